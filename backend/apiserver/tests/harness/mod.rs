//! A server on a free port over a memory store, with pods that only pretend.
#![allow(dead_code)]
use apiserver::streams::{Connection, LogRequest, NodeStats, Output, PodStreams, Process, Target};
use apiserver::{Check, Handle, Parts, Server, ServerConfig};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use registry::Registry;
use registry::caller::Caller;
use registry::options::WriteOptions;
use serde_json::{Value, json};
use shared::kinds;
use shared::status::Status;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Pods whose processes are `echo WORDS`, `cat`, `exit N`; whose ports echo; whose logs have three lines.
pub struct FakePods;

#[async_trait]
impl PodStreams for FakePods {
    async fn logs(&self, _: &Target, request: &LogRequest) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        let lines = ["one\n", "two\n", "three\n"];
        let skip = request.tail_lines.map_or(0, |n| lines.len().saturating_sub(n as usize));
        let chunks: Vec<_> = lines[skip..].iter().map(|l| Ok(Bytes::from_static(l.as_bytes()))).collect();
        Ok(futures::stream::iter(chunks).boxed())
    }

    async fn exec(&self, _: &Target, command: &[String], _: bool, _: bool) -> Result<Process, Status> {
        let (resize, _) = tokio::sync::mpsc::channel(4);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        Ok(match words.as_slice() {
            ["cat"] => {
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                let stream =
                    tokio_util::io::ReaderStream::new(ours).map(|r| r.map(Output::Stdout).map_err(|e| Status::internal(e.to_string())));
                Process { stdin: Some(Box::new(theirs)), output: stream.boxed(), exit: Box::pin(async { Ok(0) }), resize }
            }
            ["exit", code] => {
                let code = code.parse().unwrap();
                Process { stdin: None, output: futures::stream::empty().boxed(), exit: Box::pin(async move { Ok(code) }), resize }
            }
            words => {
                let (out, err) = (Bytes::from(words[1..].join(" ") + "\n"), Bytes::from_static(b"to stderr\n"));
                let output = futures::stream::iter([Ok(Output::Stdout(out)), Ok(Output::Stderr(err))]).boxed();
                Process { stdin: None, output, exit: Box::pin(async { Ok(0) }), resize }
            }
        })
    }

    async fn attach(&self, target: &Target, tty: bool, stdin: bool) -> Result<Process, Status> {
        self.exec(target, &["echo".into(), "attached".into()], tty, stdin).await
    }

    async fn connect(&self, _: &Target, port: u16) -> Result<Box<dyn Connection>, Status> {
        if port == 1 {
            return Err(Status::internal("connection refused"));
        }
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            if port == 8080 {
                // Answers any request with its first line, as a small web server.
                let n = theirs.read(&mut buffer).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                let asked = text.lines().next().unwrap_or_default();
                let secret = text.to_ascii_lowercase().contains("authorization");
                let body = format!("{asked} secret={secret}");
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nset-cookie: a=b\r\n\r\n{body}", body.len());
                let _ = theirs.write_all(answer.as_bytes()).await;
                return;
            }
            while let Ok(n) = theirs.read(&mut buffer).await {
                if n == 0 || theirs.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        });
        Ok(Box::new(ours))
    }

    async fn stats(&self, _: &str) -> Result<NodeStats, Status> {
        Ok(NodeStats::default())
    }
}

pub struct Cluster {
    pub handle: Handle,
    pub dir: tempfile::TempDir,
    pub registry: Registry,
    pub admin: reqwest::Client,
    /// Without any credentials.
    pub nobody: reqwest::Client,
}

impl Cluster {
    pub async fn start() -> Cluster {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(Arc::new(store::memory::MemoryStore::new()), registry::Config::default());
        let system = Caller::system("test");
        for name in ["default", "kube-system"] {
            let body = json!({"metadata": {"name": name}});
            registry.create(&system, &kinds::NAMESPACE, None, body, &WriteOptions::default()).await.unwrap();
        }
        let body = json!({"metadata": {"name": "default"}});
        registry.create(&system, &kinds::SERVICE_ACCOUNT, Some("default"), body, &WriteOptions::default()).await.unwrap();
        let config = ServerConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            console_listen: Some("127.0.0.1:0".parse().unwrap()),
            data_dir: dir.path().into(),
            hostname: "testhost".into(),
            sans: vec!["172.30.0.1".into()],
            public_url: String::new(),
        };
        let readiness = Arc::new(|| vec![Check { name: "node".into(), result: Ok(()) }]);
        let parts = Parts {
            registry: registry.clone(),
            streams: Arc::new(FakePods),
            tunnels: Arc::new(apiserver::streams::NoTunnels),
            readiness,
            console: None,
            backup: None,
            more_metrics: Arc::new(|_| {}),
        };
        let handle = Server::bind(config, parts).await.unwrap();
        let admin = handle.authority.client("admin", "system:admin", &[]).unwrap();
        let ca = reqwest::Certificate::from_pem(handle.authority.ca_pem().as_bytes()).unwrap();
        let builder = || reqwest::Client::builder().tls_certs_only([ca.clone()]).redirect(reqwest::redirect::Policy::none());
        let pem = format!("{}{}", admin.certificate, admin.key);
        let admin = builder().identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap()).build().unwrap();
        let nobody = builder().build().unwrap();
        Cluster { handle, dir, registry, admin, nobody }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.handle.address)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.admin.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.admin.post(self.url(path)).json(&body)).await
    }

    /// A pod that a node could run.
    pub async fn pod(&self, name: &str) -> Value {
        let body = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "busybox"}]}});
        let (code, pod) = self.post("/api/v1/namespaces/default/pods", body).await;
        assert_eq!(code, 201, "{pod}");
        pod
    }
}

/// Sends, and reads the answer as JSON (null when it is none).
pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}
