//! Certificate requests (PKCS#10): makes them, reads them, signs them with the cluster's CA.
use crate::ca::{Authority, client_params};
use crate::error::Error;
use logic::controllers::certificates::Requested;
use rcgen::{CertificateParams, CertificateSigningRequestParams, DnType, KeyPair};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::Duration;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A new private key (ECDSA P-256, PKCS#8 PEM).
pub fn new_key() -> Result<String, Error> {
    Ok(KeyPair::generate()?.serialize_pem())
}

/// A request for a client certificate, PEM; `key` is the private key that it is for.
pub fn request(key: &str, user: &str, group: &str) -> Result<String, Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    Ok(params.serialize_request(&KeyPair::from_pem(key)?)?.pem()?)
}

/// What a request (PEM) asks for; the error is for people. Its signature is checked.
pub fn read(pem: &str) -> Result<Requested, String> {
    let checked = CertificateSigningRequestParams::from_pem(pem).map_err(|e| e.to_string())?;
    let der = rustls_pemfile::csr(&mut pem.as_bytes()).ok().flatten().ok_or("it is no PEM")?;
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|e| e.to_string())?;
    let info = &request.certification_request_info;
    let texts = |found: Vec<&x509_parser::x509::AttributeTypeAndValue<'_>>| -> Result<Vec<String>, String> {
        found.into_iter().map(|a| a.as_str().map(str::to_string).map_err(|e| e.to_string())).collect()
    };
    let names = texts(info.subject.iter_common_name().collect())?;
    let [common_name] = names.as_slice() else { return Err("it has not one common name".into()) };
    Ok(Requested {
        common_name: common_name.clone(),
        organizations: texts(info.subject.iter_organization().collect())?,
        more_names: !checked.params.subject_alt_names.is_empty(),
        key: hash(info.subject_pki.raw),
    })
}

impl Authority {
    /// A client certificate (PEM) for what the request asks, good from now for so many seconds.
    pub fn sign(&self, request: &str, seconds: i64) -> Result<String, Error> {
        let asks = read(request).map_err(Error::Certificates)?;
        let groups: Vec<&str> = asks.organizations.iter().map(String::as_str).collect();
        let mut params = client_params(&asks.common_name, &groups)?;
        let before = jiff::Timestamp::now().as_second() - params.not_before.unix_timestamp();
        params.not_after = params.not_before + Duration::from_secs(u64::try_from(before + seconds).unwrap_or(0));
        let key = CertificateSigningRequestParams::from_pem(request)?.public_key;
        Ok(params.signed_by(&key, self.issuer())?.pem())
    }
}

/// SHA-256 (hex) of the public key (SubjectPublicKeyInfo) of a certificate, PEM: what kubeadm pins a CA by.
pub fn key_hash(certificate: &str) -> Option<String> {
    let der = rustls_pemfile::certs(&mut certificate.as_bytes()).next()?.ok()?;
    key_hash_of(&der)
}

/// The same of a certificate in DER.
pub fn key_hash_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(hash(certificate.public_key().raw))
}

/// Whom a certificate (PEM) is for.
pub fn common_name(certificate: &str) -> Option<String> {
    let der = rustls_pemfile::certs(&mut certificate.as_bytes()).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    certificate.subject().iter_common_name().next()?.as_str().ok().map(str::to_string)
}

/// From when and until when a certificate (PEM) is good, in Unix seconds.
pub fn validity(certificate: &str) -> Option<(i64, i64)> {
    let der = rustls_pemfile::certs(&mut certificate.as_bytes()).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some((certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp()))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_is_signed_for_the_asker_s_key() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path()).unwrap();
        let key = new_key().unwrap();
        let pem = request(&key, "system:node:n1", "system:nodes").unwrap();
        let asks = read(&pem).unwrap();
        assert_eq!((asks.common_name.as_str(), asks.organizations.as_slice()), ("system:node:n1", ["system:nodes".to_string()].as_slice()));
        assert!(!asks.more_names);
        let signed = ca.sign(&pem, 3600).unwrap();
        assert_eq!(key_hash(&signed), Some(asks.key));
        let (_, until) = validity(&signed).unwrap();
        let now = jiff::Timestamp::now().as_second();
        assert!((now + 3500..=now + 3600).contains(&until), "{until}");
        let der = rustls_pemfile::certs(&mut signed.as_bytes()).next().unwrap().unwrap();
        let identity = crate::tls::identity(&der).unwrap();
        assert_eq!((identity.name.as_str(), identity.groups[0].as_str()), ("system:node:n1", "system:nodes"));
    }

    #[test]
    fn a_request_that_its_key_has_not_signed_is_refused() {
        let pem = request(&new_key().unwrap(), "a", "b").unwrap();
        let mut der = rustls_pemfile::csr(&mut pem.as_bytes()).unwrap().unwrap().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        use base64::Engine;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        assert!(read(&format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")).is_err());
        assert!(read("no request").is_err());
    }
}
