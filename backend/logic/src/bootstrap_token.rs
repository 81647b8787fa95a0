//! Bootstrap tokens: what a machine shows to become a node, and how the cluster keeps them.
//!
//! Kept as Kubernetes does, <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>. For people the
//! token also carries the hash of the cluster's CA, so that a machine never shows it to a server that it does not know:
//!
//! ```text
//! abcdef.0123456789abcdef@sha256:9f86d08188…
//! |ID--| |SECRET--------|        hash of the CA's public key, as kubeadm's --discovery-token-ca-cert-hash
//! ```
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::table::time::unix;
use std::fmt;

pub const NAMESPACE: &str = "kube-system";
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
pub const GROUP: &str = "system:bootstrappers";
const NAME_PREFIX: &str = "bootstrap-token-";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
const HASH_PREFIX: &str = "sha256:";
const HASH_LENGTH: usize = 64;

/// The part that the cluster checks.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    pub secret: String,
}

/// Only the id, which is no secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

/// A token and the hash (hex) of the CA of the cluster that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub token: Token,
    pub ca_hash: String,
}

fn is_word(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

impl Token {
    /// `ID.SECRET`; anything else is no bootstrap token.
    pub fn parse(text: &str) -> Option<Token> {
        let (id, secret) = text.split_once('.')?;
        (is_word(id, ID_LENGTH) && is_word(secret, SECRET_LENGTH)).then(|| Token { id: id.into(), secret: secret.into() })
    }

    /// From random letters, of which it takes as many as it needs: `None` if there are too few.
    pub fn of_chance(letters: &str) -> Option<Token> {
        let (id, rest) = letters.split_at_checked(ID_LENGTH)?;
        let (secret, _) = rest.split_at_checked(SECRET_LENGTH)?;
        Token::parse(&format!("{id}.{secret}"))
    }

    /// `ID.SECRET`, as it is sent.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// Name of the Secret that keeps it.
    pub fn object_name(&self) -> String {
        format!("{NAME_PREFIX}{}", self.id)
    }

    /// The Secret that keeps it; `expires` is RFC 3339.
    pub fn to_secret(&self, expires: &str, description: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE, "metadata": {"name": self.object_name(), "namespace": NAMESPACE},
            "data": {"token-id": encode(&self.id), "token-secret": encode(&self.secret), "expiration": encode(expires),
                "description": encode(description), "usage-bootstrap-authentication": encode("true"),
                "auth-extra-groups": encode(&format!("{GROUP}:kubeadm:default-node-token"))}})
    }
}

impl Pinned {
    /// The error says what was expected and does not repeat the token.
    pub fn parse(text: &str) -> Result<Pinned, String> {
        let (token, hash) = text.trim().split_once('@').ok_or(
            "the token lacks the hash of the cluster's CA: expected ID.SECRET@sha256:HASH, as 'openshift ex node-token' prints it",
        )?;
        let token =
            Token::parse(token).ok_or("the token is none: expected ID.SECRET@sha256:HASH, as 'openshift ex node-token' prints it")?;
        let hash = hash.strip_prefix(HASH_PREFIX).unwrap_or_default();
        if hash.len() != HASH_LENGTH || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("the token's hash is none: expected ID.SECRET@sha256: and 64 hexadecimal digits".into());
        }
        Ok(Pinned { token, ca_hash: hash.to_ascii_lowercase() })
    }

    /// As people copy it.
    pub fn text(&self) -> String {
        format!("{}@{HASH_PREFIX}{}", self.token.bearer(), self.ca_hash)
    }
}

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// A member of a Secret's data.
fn member(secret: &Value, name: &str) -> String {
    let text = secret["data"][name].as_str().unwrap_or_default();
    STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// As long for a wrong guess as for a right one.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// When a kept token ends, in Unix seconds; `None` for one that says nothing of it.
pub fn expires(secret: &Value) -> Option<i64> {
    let text = member(secret, "expiration");
    if text.is_empty() {
        return None;
    }
    // What cannot be read has ended.
    Some(unix(&text).unwrap_or(0))
}

/// The groups of whoever shows this token, if the Secret keeps it and it has not ended.
pub fn groups(secret: &Value, shown: &Token, now: i64) -> Option<Vec<String>> {
    let good = secret["type"] == SECRET_TYPE
        && secret["metadata"].get("deletionTimestamp").is_none()
        && member(secret, "token-id") == shown.id
        && same(&member(secret, "token-secret"), &shown.secret)
        && member(secret, "usage-bootstrap-authentication") == "true"
        && expires(secret).is_none_or(|end| end > now);
    if !good {
        return None;
    }
    // Not `system:authenticated`: whoever has only a token asks for a certificate and does nothing else.
    let mut groups = vec![GROUP.to_string()];
    let within = format!("{GROUP}:");
    groups.extend(member(secret, "auth-extra-groups").split(',').map(str::trim).filter(|g| g.starts_with(&within)).map(str::to_string));
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "abcdef.0123456789abcdef";

    fn kept(change: impl FnOnce(&mut Value)) -> Value {
        let mut secret = Token::parse(TEXT).unwrap().to_secret("2026-01-02T00:00:00Z", "");
        change(&mut secret);
        secret
    }

    #[test]
    fn only_the_kept_token_is_good_and_only_until_it_ends() {
        let shown = Token::parse(TEXT).unwrap();
        let end = unix("2026-01-02T00:00:00Z").unwrap();
        let of = |secret: &Value, now| groups(secret, &shown, now);
        assert_eq!(of(&kept(|_| {}), end - 1).unwrap(), [GROUP, "system:bootstrappers:kubeadm:default-node-token"]);
        assert_eq!(of(&kept(|_| {}), end), None, "it has ended");
        assert_eq!(of(&kept(|s| s["type"] = "Opaque".into()), 0), None);
        assert_eq!(of(&kept(|s| s["data"]["token-secret"] = encode("0123456789abcdeX").into()), 0), None);
        assert_eq!(of(&kept(|s| s["data"]["usage-bootstrap-authentication"] = encode("false").into()), 0), None);
        assert_eq!(of(&kept(|s| s["data"]["expiration"] = encode("soon").into()), 1), None);
        assert_eq!(of(&kept(|s| s["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into()), 0), None);
        let masters = kept(|s| s["data"]["auth-extra-groups"] = encode("system:masters").into());
        assert_eq!(of(&masters, 0).unwrap(), [GROUP], "no group beyond those of bootstrapping");
    }

    #[test]
    fn tokens_are_read_whole_or_not_at_all() {
        let hash = "9f".repeat(32);
        let pinned = Pinned::parse(&format!("{TEXT}@sha256:{hash}")).unwrap();
        assert_eq!(Pinned::parse(&pinned.text()), Ok(pinned.clone()));
        assert_eq!((pinned.token.bearer().as_str(), pinned.ca_hash), (TEXT, hash.clone()));
        for bad in [
            "",
            TEXT,
            "abcdef@sha256:00",
            &format!("ABCDEF.0123456789abcdef@sha256:{hash}"),
            &format!("{TEXT}@sha256:zz"),
            &format!("{TEXT}@{hash}"),
        ] {
            let error = Pinned::parse(bad).unwrap_err();
            assert!(error.contains("expected ID.SECRET@sha256:") && !error.contains("0123456789abcdef"), "{error}");
        }
        assert_eq!(Token::of_chance("abcdef0123456789abcdefgh"), Token::parse(TEXT));
        assert_eq!(Token::of_chance("abc"), None);
        assert_eq!(format!("{:?}", Token::parse(TEXT).unwrap()), "Token(abcdef)");
    }
}
