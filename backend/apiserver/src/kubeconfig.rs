//! Writes a kubeconfig that any Kubernetes client accepts, with the certificates inside.
use crate::ca::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A kubeconfig whose one context reaches `server` as the holder of `client`.
pub fn render(server: &str, ca_pem: &str, user: &str, client: &Identity) -> String {
    let (ca, cert, key) = (STANDARD.encode(ca_pem), STANDARD.encode(&client.certificate), STANDARD.encode(&client.key));
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: master\n  cluster:\n    server: {server}\n    \
         certificate-authority-data: {ca}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {cert}\n    \
         client-key-data: {key}\ncontexts:\n- name: master-admin\n  context:\n    cluster: master\n    user: {user}\n    \
         namespace: default\ncurrent-context: master-admin\npreferences: {{}}\n"
    )
}
