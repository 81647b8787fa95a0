//! Whole clusters in one process for tests: a free port, a directory of its own, a simulated engine.
pub mod lean;
pub mod process;

use backend::config::{LogFormat, ProxyMode, RuntimeKind, Start};
use backend::wiring;
use reqwest::Method;
use serde_json::{Value, json};
use shared::client::config::{Kubeconfig, Overrides, Target};
use shared::client::http::Client;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Nothing that is waited for takes longer, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Cluster {
    running: Option<wiring::Cluster>,
    config: Start,
    dir: tempfile::TempDir,
}

impl Cluster {
    pub async fn start() -> Cluster {
        Cluster::start_on(|_| {}).await
    }

    /// Starts on a data directory that `prepare` makes at the path it is given.
    pub async fn start_on(prepare: impl FnOnce(&Path)) -> Cluster {
        Cluster::start_as(prepare, |_| {}).await
    }

    /// Starts with flags other than the usual ones.
    pub async fn start_with(change: impl FnOnce(&mut Start)) -> Cluster {
        Cluster::start_as(|_| {}, change).await
    }

    /// Starts a server without a node.
    pub async fn start_master() -> Cluster {
        let mut cluster = Cluster::start().await;
        if let Some(running) = cluster.running.take() {
            running.stop().await;
        }
        std::fs::remove_dir_all(cluster.data_dir()).expect("a directory");
        cluster.running = Some(wiring::start_as(&cluster.config, false).await.expect("the server starts"));
        cluster
    }

    async fn start_as(prepare: impl FnOnce(&Path), change: impl FnOnce(&mut Start)) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary directory");
        prepare(&dir.path().join("data"));
        let mut config = Start {
            listen: "127.0.0.1:0".parse().expect("an address"),
            console_listen: None,
            master: String::new(),
            data_dir: Some(dir.path().join("data")),
            hostname: Some("master".into()),
            portal_net: "172.30.0.0/16".parse().expect("a network"),
            docker: "unix:///nonexistent".into(),
            runtime: RuntimeKind::Simulated,
            proxy_mode: ProxyMode::None,
            log_level: "warn".into(),
            store_max: 2 << 30,
            node_grace: 40,
            log_format: LogFormat::Text,
        };
        change(&mut config);
        let running = wiring::start(&config).await.expect("the cluster starts");
        Cluster { running: Some(running), config, dir }
    }

    pub fn running(&self) -> &wiring::Cluster {
        self.running.as_ref().expect("the cluster runs")
    }

    /// Stops and starts again on the same data directory; ports change.
    pub async fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        self.running = Some(wiring::start(&self.config).await.expect("the cluster starts again"));
    }

    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Stops the cluster and leaves its directory to whoever looks at it.
    pub async fn stop_and_keep(mut self) -> tempfile::TempDir {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        self.dir
    }

    /// The server, and the administrator's way in.
    pub fn target(&self) -> Target {
        let path = self.dir.path().join("data/admin.kubeconfig");
        Kubeconfig::read(&path).and_then(|k| k.target(&Overrides::default())).expect("the administrator's kubeconfig")
    }

    /// The cluster's administrator, by client certificate.
    pub fn admin(&self) -> Caller {
        Caller { client: Client::new(self.target()).expect("a client") }
    }

    /// Somebody who logs in with a name and any password: the user `anypassword:NAME`.
    pub fn user(&self, name: &str) -> Caller {
        let target = Target { client_pem: None, basic: Some((name.into(), "any".into())), ..self.target() };
        Caller { client: Client::new(target).expect("a client") }
    }

    pub fn bearer(&self, token: &str) -> Caller {
        let target = Target { client_pem: None, token: Some(token.into()), ..self.target() };
        Caller { client: Client::new(target).expect("a client") }
    }

    /// Somebody who shows nothing at all.
    pub fn nobody(&self) -> Caller {
        Caller { client: Client::new(Target { client_pem: None, ..self.target() }).expect("a client") }
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct Caller {
    pub client: Client,
}

impl Caller {
    /// Status code and body, whatever they are. An empty content type sends no body.
    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let mut request = self.client.request(method, path);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type).body(body);
        }
        let response = self.client.send(request).await.unwrap_or_else(|e| panic!("{path}: {e}"));
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap_or_default();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())))
    }

    /// Only the status code; the body, which may go on for ever, is not read.
    pub async fn status(&self, method: Method, path: &str, content_type: &str, body: &str) -> u16 {
        let mut request = self.client.request(method, path);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type).body(body.to_string());
        }
        self.client.send(request).await.unwrap_or_else(|e| panic!("{path}: {e}")).status().as_u16()
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, "", "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, "application/json", body.to_string()).await
    }

    /// Creates and expects that it works.
    pub async fn create(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 201, "{path}: {answer}");
        answer
    }

    pub async fn namespace(&self, name: &str) {
        self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
    }
}

/// Waits until the condition yields something; panics with `what` after the deadline.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(began.elapsed() < DEADLINE, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
