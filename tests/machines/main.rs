//! Nodes on other machines: how they join, what they may do, and what reaches their pods, over real TLS with simulated engines.
mod conformance;
mod joining;
mod line;
mod rights;
mod streams;

use backend::config::{LogFormat, ProxyMode, RuntimeKind, StartNode};
use backend::start_node::{self, Node};
use e2e::{Caller, Cluster, eventually};
use shared::client::config::{Kubeconfig, Overrides, Target};
use shared::client::http::Client;
use std::path::{Path, PathBuf};

/// A machine with nothing on it yet.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        Machine { dir: tempfile::tempdir().expect("a directory") }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn flags(&self, name: &str, master: &str, token: Option<&str>) -> StartNode {
        StartNode {
            master: master.into(),
            token: token.map(str::to_string),
            data_dir: Some(self.data()),
            hostname: Some(name.into()),
            node_ip: None,
            portal_net: "172.30.0.0/16".parse().expect("a network"),
            docker: "unix:///nonexistent".into(),
            runtime: RuntimeKind::Simulated,
            proxy_mode: ProxyMode::None,
            log_level: "warn".into(),
            log_format: LogFormat::Text,
        }
    }

    async fn start(&self, name: &str, master: &str, token: Option<&str>) -> Result<Node, String> {
        start_node::start(&self.flags(name, master, token)).await
    }

    /// Whoever has this machine's certificate.
    fn target(&self) -> Target {
        kubeconfig(&self.data().join("node.kubeconfig"))
    }

    fn caller(&self) -> Caller {
        Caller { client: Client::new(self.target()).expect("a client") }
    }
}

fn kubeconfig(path: &Path) -> Target {
    Kubeconfig::read(path).and_then(|k| k.target(&Overrides::default())).expect("a kubeconfig")
}

async fn token(cluster: &Cluster) -> String {
    backend::node_token::make(&cluster.admin().client, 3600).await.expect("a token").text()
}

fn url(cluster: &Cluster) -> String {
    cluster.target().server
}

/// A machine that has joined by this name.
async fn joined(cluster: &Cluster, name: &str) -> (Machine, Node) {
    let machine = Machine::new();
    let node = machine.start(name, &url(cluster), Some(&token(cluster).await)).await.expect("it joins");
    until_ready(cluster, name).await;
    (machine, node)
}

async fn until_ready(cluster: &Cluster, name: &str) {
    let admin = cluster.admin();
    eventually("the node being ready", async || {
        let node = admin.get(&format!("/api/v1/nodes/{name}")).await.1;
        node["status"]["conditions"].as_array()?.iter().any(|c| c["type"] == "Ready" && c["status"] == "True").then_some(())
    })
    .await;
}
