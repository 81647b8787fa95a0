//! Service-account tokens: JWTs signed with the cluster's own key, bound to the account and perhaps to a pod.
use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// `iss` of our tokens, and the audience of those meant for this API.
pub const ISSUER: &str = "https://kubernetes.default.svc";
/// Audiences by which this API may be called.
pub const AUDIENCES: &[&str] = &[ISSUER, "https://kubernetes.default.svc.cluster.local", "kubernetes"];
/// Verified tokens that are remembered, so that a signature is checked once and not per request.
const VERIFIED_MAX: usize = 10_000;

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub nbf: i64,
    pub iss: String,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub bound: Bound,
    pub sub: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub namespace: String,
    pub serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    pub uid: String,
}

/// Signs and verifies.
pub struct Tokens {
    signing: EcdsaKeyPair,
    verifying: DecodingKey,
    jwk: Jwk,
    header: Header,
    verified: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

impl Tokens {
    /// `key`: ECDSA P-256, PKCS#8 PEM.
    pub fn new(key: &str) -> Result<Tokens, Error> {
        let bad = |e: jsonwebtoken::errors::Error| Error::Certificates(format!("service account key: {e}"));
        let der = rustls_pemfile::private_key(&mut key.as_bytes()).ok().flatten();
        let der = der.ok_or_else(|| Error::Certificates("service account key: no PEM private key".into()))?;
        let key = EncodingKey::from_ec_der(der.secret_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(bad)?;
        let verifying = DecodingKey::from_jwk(&jwk).map_err(bad)?;
        let public = serde_json::to_vec(&jwk.algorithm).unwrap_or_default();
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(public));
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(key_id);
        let rejected = |e| Error::Certificates(format!("service account key: {e}"));
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der(), &SystemRandom::new()).map_err(rejected)?;
        Ok(Tokens { signing, verifying, jwk, header, verified: Mutex::new(HashMap::new()) })
    }

    /// A token as RFC 7515 §3.1 writes it. Signed by `ring` with a key that was read once: every pod needs a token, and
    /// `jsonwebtoken` reads and checks the key each time.
    pub fn sign(&self, claims: &Claims) -> Result<String, String> {
        let part = |json: serde_json::Result<Vec<u8>>| json.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|e| e.to_string());
        let message = format!("{}.{}", part(serde_json::to_vec(&self.header))?, part(serde_json::to_vec(claims))?);
        let signature = self.signing.sign(&SystemRandom::new(), message.as_bytes()).map_err(|e| e.to_string())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token that we signed and that has not expired; says nothing of whether the account still exists.
    pub fn verify(&self, token: &str, now: i64) -> Option<Arc<Claims>> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.verified.lock().get(&digest) {
            return (claims.exp > now).then(|| claims.clone());
        }
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.validate_aud = false;
        validation.validate_nbf = true;
        let claims = Arc::new(jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation).ok()?.claims);
        if claims.exp <= now {
            return None;
        }
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, c| c.exp > now);
            if verified.len() >= VERIFIED_MAX {
                verified.clear();
            }
        }
        verified.insert(digest, claims.clone());
        Some(claims)
    }

    /// The public key as `/openid/v1/jwks` publishes it.
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({ "keys": [self.jwk] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: i64) -> Claims {
        let now = jiff::Timestamp::now().as_second();
        Claims {
            aud: vec![ISSUER.into()],
            exp,
            iat: now,
            nbf: now - 1,
            iss: ISSUER.into(),
            jti: "x".into(),
            sub: "s".into(),
            ..Claims::default()
        }
    }

    #[test]
    fn only_own_unexpired_tokens_verify() {
        let key = || rcgen::KeyPair::generate().unwrap().serialize_pem();
        let (ours, theirs) = (Tokens::new(&key()).unwrap(), Tokens::new(&key()).unwrap());
        let now = jiff::Timestamp::now().as_second();
        let token = ours.sign(&claims(now + 600)).unwrap();
        assert_eq!(ours.verify(&token, now).unwrap().sub, "s");
        assert!(ours.verify(&token, now + 601).is_none(), "a remembered token expires too");
        assert!(theirs.verify(&token, now).is_none());
        assert!(ours.verify(&format!("{token}x"), now).is_none());
        assert!(ours.verify(&ours.sign(&claims(now - 600)).unwrap(), now).is_none());
    }
}
