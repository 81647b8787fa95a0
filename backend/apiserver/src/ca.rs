//! The cluster's own certificate authority: makes, keeps and renews the CA, the serving certificate and client certificates.
use crate::error::Error;
use rcgen::PublicKeyData;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_DAYS: u32 = 3650;
const LEAF_DAYS: u32 = 730;
/// A certificate with less than this left is replaced at the next start.
const RENEW_DAYS: i64 = 60;

/// The certificate authority of one cluster, and the directory in which its files lie.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

/// A certificate (PEM, chain of one) and its private key (PEM, PKCS#8).
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Opens the authority in `dir`, or makes one there.
    pub fn open(dir: &Path) -> Result<Authority, Error> {
        std::fs::create_dir_all(dir).map_err(|source| Error::File { what: "create", path: dir.into(), source })?;
        let (cert, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        if !cert.exists() || !key.exists() {
            let made = make_ca()?;
            write_secret(&key, made.key.as_bytes())?;
            write_secret(&cert, made.certificate.as_bytes())?;
        }
        let ca_pem = read(&cert)?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, KeyPair::from_pem(&read(&key)?)?)?;
        Ok(Authority { dir: dir.into(), issuer, ca_pem })
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// The CA's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The serving certificate; issued anew when `names` (host names and addresses) changed or expiry is near.
    pub fn serving(&self, names: &BTreeSet<String>) -> Result<Identity, Error> {
        self.kept(
            "server",
            |pem| names_of(pem).is_some_and(|have| have == *names) && days_left(pem) > RENEW_DAYS,
            || {
                let mut params = leaf("openshift-master", &[])?;
                params.subject_alt_names = names.iter().map(|n| san(n)).collect::<Result<_, _>>()?;
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                Ok(params)
            },
        )
    }

    /// A client certificate kept as `FILE.crt` and `FILE.key`; made on first use and before it expires.
    pub fn client(&self, file: &str, user: &str, groups: &[&str]) -> Result<Identity, Error> {
        self.kept(file, |pem| days_left(pem) > RENEW_DAYS, || client_params(user, groups))
    }

    /// A client certificate that is not kept here, for a node or another program.
    pub fn issue_client(&self, user: &str, groups: &[&str]) -> Result<Identity, Error> {
        self.issue(client_params(user, groups)?)
    }

    /// The key that signs service-account tokens (ECDSA P-256, PKCS#8 PEM); made on first use.
    pub fn service_account_key(&self) -> Result<String, Error> {
        let path = self.dir.join("serviceaccount.key");
        if !path.exists() {
            write_secret(&path, KeyPair::generate()?.serialize_pem().as_bytes())?;
        }
        read(&path)
    }

    fn kept(
        &self,
        file: &str,
        still_good: impl Fn(&str) -> bool,
        params: impl FnOnce() -> Result<CertificateParams, Error>,
    ) -> Result<Identity, Error> {
        let (cert, key) = (self.dir.join(format!("{file}.crt")), self.dir.join(format!("{file}.key")));
        if let (Ok(certificate), Ok(key)) = (read(&cert), read(&key))
            && still_good(&certificate)
            && self.signed(&certificate)
        {
            return Ok(Identity { certificate, key });
        }
        let made = self.issue(params()?)?;
        write_secret(&key, made.key.as_bytes())?;
        write_secret(&cert, made.certificate.as_bytes())?;
        Ok(made)
    }

    /// Whether our CA signed this certificate: a new CA, which has another random name, makes all kept ones worthless.
    fn signed(&self, pem: &str) -> bool {
        let verify = || -> Option<bool> {
            let (ca, leaf) = (der(&self.ca_pem)?, der(pem)?);
            let (_, ca) = X509Certificate::from_der(&ca).ok()?;
            let (_, leaf) = X509Certificate::from_der(&leaf).ok()?;
            Some(leaf.issuer() == ca.subject())
        };
        verify().unwrap_or(false)
    }

    fn issue(&self, params: CertificateParams) -> Result<Identity, Error> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: cert.pem(), key: key.serialize_pem() })
    }
}

fn make_ca() -> Result<Identity, Error> {
    let key = KeyPair::generate()?;
    let mut params = leaf("openshift-signer", &[])?;
    // The random part keeps the CAs of two clusters apart in one trust store.
    params.distinguished_name.push(DnType::CommonName, format!("openshift-signer@{}", uuid::Uuid::new_v4()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_after = params.not_before + DAY * CA_DAYS;
    let cert = params.self_signed(&key)?;
    Ok(Identity { certificate: cert.pem(), key: key.serialize_pem() })
}

pub(crate) fn client_params(user: &str, groups: &[&str]) -> Result<CertificateParams, Error> {
    let mut params = leaf(user, groups)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Only one O is possible in rcgen's name, so several groups are joined; `groups_of_name` splits them again.
const GROUP_SEPARATOR: char = ',';

/// The groups that an `O` of a client certificate names.
pub fn groups_of_name(organization: &str) -> impl Iterator<Item = &str> {
    organization.split(GROUP_SEPARATOR).filter(|g| !g.is_empty())
}

fn leaf(name: &str, groups: &[&str]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if !groups.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, groups.join(&GROUP_SEPARATOR.to_string()));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.use_authority_key_identifier_extension = true;
    // A day back, for machines whose clocks are behind.
    let start = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    let date = jiff::tz::TimeZone::UTC.to_datetime(start).date();
    params.not_before = rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
    params.not_after = params.not_before + DAY * LEAF_DAYS;
    Ok(params)
}

fn san(name: &str) -> Result<SanType, Error> {
    Ok(match name.parse::<IpAddr>() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) => SanType::DnsName(name.try_into()?),
    })
}

fn der(pem: &str) -> Option<Vec<u8>> {
    rustls_pemfile::certs(&mut pem.as_bytes()).next()?.ok().map(|d| d.to_vec())
}

fn names_of(pem: &str) -> Option<BTreeSet<String>> {
    let der = der(pem)?;
    let (_, cert) = X509Certificate::from_der(&der).ok()?;
    let names = cert.subject_alternative_name().ok()??;
    Some(
        names
            .value
            .general_names
            .iter()
            .filter_map(|n| match n {
                GeneralName::DNSName(d) => Some(d.to_string()),
                GeneralName::IPAddress(b) => match b.len() {
                    4 => <[u8; 4]>::try_from(*b).ok().map(|a| IpAddr::from(a).to_string()),
                    _ => <[u8; 16]>::try_from(*b).ok().map(|a| IpAddr::from(a).to_string()),
                },
                _ => None,
            })
            .collect(),
    )
}

/// What is wrong with the files of a data directory that make its cluster the one that clients know: file and sentence.
pub fn check(dir: &Path) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let mut key = |file: &'static str| {
        let found = read(&dir.join(file)).map_err(|e| e.to_string()).and_then(|pem| KeyPair::from_pem(&pem).map_err(|e| e.to_string()));
        found.map_err(|why| faults.push((file, why))).ok()
    };
    let ca_key = key("ca.key");
    key("serviceaccount.key");
    match read(&dir.join("ca.crt")).map_err(|e| e.to_string()).and_then(|pem| public_key(&pem).ok_or_else(|| "is no certificate".into())) {
        Err(why) => faults.push(("ca.crt", why)),
        Ok(public) if ca_key.is_some_and(|key| key.subject_public_key_info() != public) => {
            faults.push(("ca.crt", "is not the certificate of ca.key".into()));
        }
        Ok(_) => {}
    }
    faults
}

fn public_key(pem: &str) -> Option<Vec<u8>> {
    let der = der(pem)?;
    let (_, cert) = X509Certificate::from_der(&der).ok()?;
    Some(cert.public_key().raw.to_vec())
}

fn days_left(pem: &str) -> i64 {
    let left = || -> Option<i64> {
        let der = der(pem)?;
        let (_, cert) = X509Certificate::from_der(&der).ok()?;
        Some((cert.validity().not_after.timestamp() - jiff::Timestamp::now().as_second()) / 86_400)
    };
    left().unwrap_or(-1)
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File { what: "read", path: path.into(), source })
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    let fail = |source| Error::File { what: "write", path: path.into(), source };
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(fail)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(fail)?;
    std::fs::rename(&temporary, path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn serving_certificate_is_kept_until_its_names_change() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path()).unwrap();
        let first = ca.serving(&set(&["localhost", "127.0.0.1", "::1"])).unwrap();
        let again = Authority::open(dir.path()).unwrap().serving(&set(&["::1", "localhost", "127.0.0.1"])).unwrap();
        assert_eq!(first.certificate, again.certificate);
        let other = ca.serving(&set(&["localhost", "127.0.0.1", "::1", "10.0.0.1"])).unwrap();
        assert_ne!(first.certificate, other.certificate);
        assert!(days_left(&other.certificate) > 700);
    }

    #[test]
    fn secrets_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::open(dir.path()).unwrap();
        ca.client("admin", "system:admin", &["system:masters", "b"]).unwrap();
        ca.service_account_key().unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_new_authority_replaces_what_the_old_one_signed() {
        let dir = tempfile::tempdir().unwrap();
        let old = Authority::open(dir.path()).unwrap().client("admin", "a", &[]).unwrap();
        std::fs::remove_file(dir.path().join("ca.key")).unwrap();
        let new = Authority::open(dir.path()).unwrap().client("admin", "a", &[]).unwrap();
        assert_ne!(old.certificate, new.certificate);
    }
}
