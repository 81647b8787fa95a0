//! TLS settings of the client: trust the kubeconfig's CA alone when it has one, else the system's; present its certificate.
use super::config::Target;
use super::{ClientError, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Where systems keep their bundle of trusted CAs; read only when the kubeconfig names none.
const BUNDLES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

pub fn config(target: &Target) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |e: rustls::Error| ClientError::usage(format!("TLS settings: {e}"));
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(broken)?;
    let builder = if target.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnything(provider)))
    } else {
        builder.with_root_certificates(roots(target)?)
    };
    match &target.client_pem {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => {
            let key = rustls_pemfile::private_key(&mut key.as_slice())
                .ok()
                .flatten()
                .ok_or_else(|| ClientError::usage("the kubeconfig's client key is not a PEM private key"))?;
            builder.with_client_auth_cert(certificates(cert)?, key).map_err(broken)
        }
    }
}

fn roots(target: &Target) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if let Some(pem) = &target.ca_pem {
        for cert in certificates(pem)? {
            store.add(cert).map_err(|e| ClientError::usage(format!("the kubeconfig's certificate authority: {e}")))?;
        }
        return Ok(store);
    }
    let own = std::env::var("SSL_CERT_FILE").ok();
    let bundle = own.iter().map(String::as_str).chain(BUNDLES.iter().copied()).find_map(|path| std::fs::read(path).ok());
    store.add_parsable_certificates(certificates(&bundle.unwrap_or_default())?);
    Ok(store)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    rustls_pemfile::certs(&mut &*pem)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| ClientError::usage(format!("a certificate of the kubeconfig is not PEM: {e}")))
}

/// Used only with `--insecure-skip-tls-verify`.
#[derive(Debug)]
struct TrustAnything(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
