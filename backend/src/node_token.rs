//! `openshift ex node-token`: makes a token by which another machine becomes a node, and prints the command for it.
use crate::config::NodeToken;
use apiserver::signing;
use logic::bootstrap_token::{NAMESPACE, Pinned, Token};
use rand::Rng;
use shared::client::config::{self, Overrides};
use shared::client::http::Client;
use shared::kinds::SECRET;

/// Of id and secret.
const LETTERS: usize = 22;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Makes a token that is good for so many seconds, and keeps it in the cluster.
pub async fn make(client: &Client, seconds: i64) -> Result<Pinned, String> {
    let ca_pem = client.target.ca_pem.as_deref().map(|pem| String::from_utf8_lossy(pem).into_owned()).unwrap_or_default();
    let unknown = "the kubeconfig names no certificate authority, by which the other machine would know the server";
    let ca_hash = signing::key_hash(&ca_pem).ok_or(unknown)?;
    let mut random = rand::rng();
    let letters: String = (0..LETTERS).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect();
    let token = Token::of_chance(&letters).expect("there are enough letters of the right kind");
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let secret = token.to_secret(&until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "made by openshift ex node-token");
    client.post(&SECRET.collection_path(Some(NAMESPACE)), &secret).await.map_err(|e| e.to_string())?;
    Ok(Pinned { token, ca_hash })
}

/// Prints one line, and nothing else on standard output: it can be run on the other machine as it is.
pub async fn run(options: &NodeToken) -> Result<(), String> {
    let overrides = Overrides { kubeconfig: options.kubeconfig.clone(), ..Overrides::default() };
    let client = config::load(&overrides).and_then(Client::new).map_err(|e| e.to_string())?;
    let server = client.target.server.trim_end_matches('/').to_string();
    let token = make(&client, options.ttl).await?;
    if server.contains("//127.") || server.contains("//localhost") || server.contains("//[::1]") {
        eprintln!(
            "note: the server listens for this machine only ({server}); others reach it when it is started with --listen=https://ADDRESS:PORT"
        );
    }
    println!("openshift start node --master={server} --token={}", token.text());
    Ok(())
}
