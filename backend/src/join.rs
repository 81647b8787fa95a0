//! How a machine becomes a node: it checks the server by the token, shows the token, and gets a certificate for its key.
//!
//! ```text
//! 1. GET cluster-info, shown nothing   ─ the CA's public key must have the hash in the token
//! 2. POST CertificateSigningRequest    ─ over TLS that this CA vouches for, with the token
//! 3. GET it until it is granted        ─ the certificate says system:node:NAME, in system:nodes
//! ```
//! Key and certificate are kept in the data directory; later starts need no token. A third of its time before the
//! certificate ends the node asks for the next one, for the same key, which is what the cluster knows the machine by.
use apiserver::ca::{Identity, write_secret};
use apiserver::{kubeconfig, signing};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use logic::authz::node::{GROUP, PREFIX};
use logic::bootstrap_token::Pinned;
use logic::controllers::certificates::KUBELET_SIGNER;
use serde_json::{Value, json};
use shared::client::config::{Kubeconfig, Overrides, Target};
use shared::client::http::Client;
use shared::client::{ClientError, files};
use shared::kinds::{CERTIFICATE_SIGNING_REQUEST, CONFIG_MAP};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A kubeconfig as any client reads it: where the server is, its CA, the node's certificate and key.
const FILE: &str = "node.kubeconfig";
/// The key alone, from before there is a certificate for it: a join that broke off goes on with the same one.
const KEY_FILE: &str = "node.key";
/// How long a server may take to be there, and to decide.
const JOIN_DEADLINE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);

/// Why a machine did not become a node; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("this machine is no node yet: give it --master and --token, as 'openshift ex node-token' prints them on the server")]
    Unknown,
    #[error("the node's certificate has ended while it was away: give it a new --token, of 'openshift ex node-token' on the server")]
    Ended,
    #[error("{0}")]
    Token(String),
    #[error("cannot reach the server at {server}: {why}")]
    Unreachable { server: String, why: String },
    #[error(
        "the server at {server} is not of the cluster that the token is for: its CA has another key (sha256:{found}); it has been told nothing"
    )]
    OtherCluster { server: String, found: String },
    #[error("the server at {server} does not say which cluster it is: {why}")]
    NoCluster { server: String, why: String },
    #[error(
        "the server refuses the token: it is wrong, used up or has ended; make another one with 'openshift ex node-token' on the server"
    )]
    TokenRefused,
    #[error("the server does not take this machine: {0}")]
    Denied(String),
    #[error("the server did not decide on this machine within {} s; see 'osc get certificatesigningrequests' there", JOIN_DEADLINE.as_secs())]
    Undecided,
    #[error("{} belongs to the node {kept}; start it by that name, or with another --data-dir", path.display())]
    OtherName { path: PathBuf, kept: String },
    #[error("{} is a server's data directory; a node wants another one: --data-dir", .0.display())]
    Server(PathBuf),
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("{0}")]
    Exchange(String),
}

/// What the node's certificate opens.
#[derive(Clone)]
pub struct Membership {
    pub target: Target,
    dir: PathBuf,
    node: String,
}

/// The membership that is kept in `dir`, or a new one by the token. `master` may be empty, if one is kept.
pub async fn membership(dir: &Path, node: &str, master: &str, token: Option<&str>) -> Result<Membership, JoinError> {
    if dir.join("ca.key").exists() {
        return Err(JoinError::Server(dir.into()));
    }
    match kept(dir, node)? {
        Some(mut membership) => {
            if !master.is_empty() {
                membership.target.server = master.trim_end_matches('/').into();
            }
            let ended = membership.seconds_left().is_none_or(|(_, left)| left <= 0);
            match token {
                Some(token) if ended || membership.is_of_another_cluster(token) => {
                    join(dir, node, &membership.target.server, Some(token)).await
                }
                None if ended => Err(JoinError::Ended),
                _ => Ok(membership),
            }
        }
        None => join(dir, node, master.trim_end_matches('/'), token).await,
    }
}

fn kept(dir: &Path, node: &str) -> Result<Option<Membership>, JoinError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let fault = |why: String| JoinError::File { path: path.clone(), why };
    let target = Kubeconfig::read(&path).and_then(|k| k.target(&Overrides::default())).map_err(|e| fault(e.to_string()))?;
    let certificate = target.client_pem.as_ref().map(|(pem, _)| String::from_utf8_lossy(pem).into_owned()).unwrap_or_default();
    let user = signing::common_name(&certificate).ok_or_else(|| fault("its certificate cannot be read".into()))?;
    match user.strip_prefix(PREFIX) {
        Some(name) if name == node => Ok(Some(Membership { target, dir: dir.into(), node: node.into() })),
        other => Err(JoinError::OtherName { path, kept: other.unwrap_or(&user).into() }),
    }
}

async fn join(dir: &Path, node: &str, server: &str, token: Option<&str>) -> Result<Membership, JoinError> {
    let (Some(token), false) = (token, server.is_empty()) else { return Err(JoinError::Unknown) };
    let pinned = Pinned::parse(token).map_err(JoinError::Token)?;
    let ca_pem = ca_of(server, &pinned.ca_hash).await?;
    let known =
        Target { server: server.into(), ca_pem: Some(ca_pem.into_bytes()), token: Some(pinned.token.bearer()), ..Target::default() };
    let key = key(dir)?;
    let certificate = certificate(&known, node, &key).await?;
    let target = Target { token: None, client_pem: Some((certificate.into_bytes(), key.into_bytes())), ..known };
    let membership = Membership { target, dir: dir.into(), node: node.into() };
    membership.keep()?;
    Ok(membership)
}

/// The CA of the server's cluster, if it is the one that the token was made for. Nothing is shown to the server before.
async fn ca_of(server: &str, wanted: &str) -> Result<String, JoinError> {
    let stranger = Target { server: server.into(), insecure: true, ..Target::default() };
    let path = CONFIG_MAP.object_path(Some("kube-public"), "cluster-info");
    let began = Instant::now();
    let info = loop {
        let client = Client::new(stranger.clone()).map_err(|e| JoinError::Exchange(e.to_string()))?;
        match client.get(&path).await {
            Ok(info) => break info,
            Err(ClientError::Connect(why)) if began.elapsed() > JOIN_DEADLINE / 3 => {
                return Err(JoinError::Unreachable { server: server.into(), why });
            }
            Err(ClientError::Connect(_)) => tokio::time::sleep(AGAIN * 5).await,
            Err(error) => return Err(JoinError::NoCluster { server: server.into(), why: error.to_string() }),
        }
    };
    let kubeconfig = files::parse_document(info["data"]["kubeconfig"].as_str().unwrap_or_default()).unwrap_or_default();
    let encoded = kubeconfig.pointer("/clusters/0/cluster/certificate-authority-data").and_then(Value::as_str).unwrap_or_default();
    let pem = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    match signing::key_hash(&pem) {
        Some(found) if found == wanted => Ok(pem),
        Some(found) => Err(JoinError::OtherCluster { server: server.into(), found }),
        None => Err(JoinError::NoCluster { server: server.into(), why: "it shows no certificate".into() }),
    }
}

/// The machine's key, made once.
fn key(dir: &Path) -> Result<String, JoinError> {
    let path = dir.join(KEY_FILE);
    if let Ok(key) = std::fs::read_to_string(&path) {
        return Ok(key);
    }
    let key = signing::new_key().map_err(|e| JoinError::Exchange(e.to_string()))?;
    write_secret(&path, key.as_bytes()).map_err(|e| JoinError::File { path, why: e.to_string() })?;
    Ok(key)
}

/// Asks for a certificate and waits for it.
async fn certificate(as_whom: &Target, node: &str, key: &str) -> Result<String, JoinError> {
    let client = Client::new(as_whom.clone()).map_err(|e| JoinError::Exchange(e.to_string()))?;
    let request = signing::request(key, &format!("{PREFIX}{node}"), GROUP).map_err(|e| JoinError::Exchange(e.to_string()))?;
    let body = json!({"kind": "CertificateSigningRequest", "apiVersion": CERTIFICATE_SIGNING_REQUEST.api_version(),
        "metadata": {"generateName": "node-csr-"},
        "spec": {"request": STANDARD.encode(request), "signerName": KUBELET_SIGNER, "usages": ["digital signature", "client auth"]}});
    let refused = |error: ClientError| match error.code() {
        401 => JoinError::TokenRefused,
        0 => JoinError::Unreachable { server: as_whom.server.clone(), why: error.to_string() },
        _ => JoinError::Denied(error.to_string()),
    };
    let made = client.post(&CERTIFICATE_SIGNING_REQUEST.collection_path(None), &body).await.map_err(refused)?;
    let path = CERTIFICATE_SIGNING_REQUEST.object_path(None, made["metadata"]["name"].as_str().unwrap_or_default());
    let began = Instant::now();
    while began.elapsed() < JOIN_DEADLINE {
        let now = client.get(&path).await.map_err(refused)?;
        let said = |what: &str| {
            let all = now["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.iter().find(|c| c["type"] == what).map(|c| c["message"].as_str().unwrap_or_default().to_string())
        };
        if let Some(why) = said("Denied").or_else(|| said("Failed")) {
            return Err(JoinError::Denied(why));
        }
        let encoded = now["status"]["certificate"].as_str().unwrap_or_default();
        if !encoded.is_empty() {
            let pem = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return pem.ok_or_else(|| JoinError::Exchange("the server's certificate is no PEM".into()));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(JoinError::Undecided)
}

impl Membership {
    /// Seconds for which the certificate is good in all, and for which it still is.
    fn seconds_left(&self) -> Option<(i64, i64)> {
        let (pem, _) = self.target.client_pem.as_ref()?;
        let (from, until) = signing::validity(std::str::from_utf8(pem).ok()?)?;
        Some((until - from, until - jiff::Timestamp::now().as_second()))
    }

    /// Whether a token is for a cluster with another CA than this one: the server has been set up anew.
    fn is_of_another_cluster(&self, token: &str) -> bool {
        let ours = self.target.ca_pem.as_deref().and_then(|pem| signing::key_hash(std::str::from_utf8(pem).ok()?));
        Pinned::parse(token).is_ok_and(|pinned| ours.is_none_or(|ours| ours != pinned.ca_hash))
    }

    /// Whether it is time for the next certificate.
    pub fn is_due(&self) -> bool {
        self.seconds_left().is_none_or(|(all, left)| left < all / 3)
    }

    /// Gets the next certificate by the present one, and keeps it.
    pub async fn renew(&mut self) -> Result<(), JoinError> {
        let Some((_, key)) = self.target.client_pem.clone() else { return Err(JoinError::Unknown) };
        let pem = certificate(&self.target, &self.node, &String::from_utf8_lossy(&key)).await?;
        self.target.client_pem = Some((pem.into_bytes(), key));
        self.keep()
    }

    fn keep(&self) -> Result<(), JoinError> {
        let path = self.dir.join(FILE);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (certificate, key) = self.target.client_pem.as_ref().map(|(c, k)| (text(c), text(k))).unwrap_or_default();
        let ca = self.target.ca_pem.as_deref().map(text).unwrap_or_default();
        let user = format!("{PREFIX}{}", self.node);
        let content = kubeconfig::render(&self.target.server, &ca, &user, &Identity { certificate, key });
        write_secret(&path, content.as_bytes()).map_err(|e| JoinError::File { path, why: e.to_string() })
    }
}
