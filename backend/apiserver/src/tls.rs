//! TLS for the listeners: our serving certificate, and client certificates of our own CA as identities.
use crate::ca::{Authority, Identity, groups_of_name};
use crate::error::Error;
use crate::signing;
use logic::authz::node;
use registry::caller::GROUP_AUTHENTICATED;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::collections::BTreeMap;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A configuration that offers HTTP/2 and HTTP/1.1, accepts but does not demand a client certificate.
pub fn server_config(authority: &Authority, serving: &Identity) -> Result<Arc<rustls::ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for cert in certificates(authority.ca_pem())? {
        roots.add(cert)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| Error::Certificates(e.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&serving.certificate)?, private_key(&serving.key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Who a verified client certificate speaks for: CN is the user, O the groups.
pub fn identity(certificate: &CertificateDer<'_>) -> Option<registry::caller::Identity> {
    let (_, cert) = X509Certificate::from_der(certificate).ok()?;
    let name = cert.subject().iter_common_name().next()?.as_str().ok()?;
    if name.is_empty() {
        return None;
    }
    let mut groups: Vec<String> = Vec::new();
    for organization in cert.subject().iter_organization() {
        groups.extend(groups_of_name(organization.as_str().ok()?).map(str::to_string));
    }
    groups.push(GROUP_AUTHENTICATED.into());
    // Which machine this is: a node's name belongs to one.
    let mut extra = BTreeMap::new();
    if groups.iter().any(|g| g == node::GROUP) {
        extra.insert(node::EXTRA_KEY.to_string(), vec![signing::key_hash_of(certificate)?]);
    }
    Some(registry::caller::Identity { name: name.into(), groups, extra, ..Default::default() })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    rustls_pemfile::certs(&mut pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| Error::Certificates(e.to_string()))
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Error> {
    rustls_pemfile::private_key(&mut pem.as_bytes())
        .map_err(|e| Error::Certificates(e.to_string()))?
        .ok_or_else(|| Error::Certificates("no private key in the file".into()))
}
