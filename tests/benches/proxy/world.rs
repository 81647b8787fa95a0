//! A cluster of services as a node's agent sees it: lists, and a watch of endpoints that the bench writes.
use async_trait::async_trait;
use logic::proxy::RuleSet;
use node::agent::{Agent, AgentConfig};
use node::api::{NodeApi, NodeWatch};
use node::proxy::{ProxyError, ServiceProxy};
use node::runtime::simulated::Simulated;
use serde_json::{Value, json};
use shared::kinds::Kind;
use shared::status::Status;
use shared::watch::{EventType, WatchEvent};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

pub const SERVICES: usize = 10_000;
pub const ENDPOINTS: usize = 10;

struct Api {
    services: usize,
    changes: Mutex<Option<mpsc::UnboundedReceiver<Value>>>,
}

struct Watch(Option<mpsc::UnboundedReceiver<Value>>);

#[async_trait]
impl NodeWatch for Watch {
    async fn next(&mut self) -> Result<WatchEvent<Value>, Status> {
        match &mut self.0 {
            Some(changes) => {
                let object = changes.recv().await.ok_or_else(|| Status::expired("the bench is over"))?;
                Ok(WatchEvent { event_type: EventType::Modified, object })
            }
            None => std::future::pending().await,
        }
    }
}

fn service(index: usize) -> Value {
    json!({"metadata": {"namespace": "bench", "name": format!("service-{index}")},
        "spec": {"clusterIP": format!("172.30.{}.{}", index >> 8, index & 255), "ports": [{"port": 80}]}})
}

fn pod_ip(index: usize, endpoint: usize, round: usize) -> String {
    format!("10.{}.{}.{}", 16 * (round % 8) + endpoint, index >> 8, index & 255)
}

/// The first endpoint is another one each round.
fn endpoints(index: usize, round: usize) -> Value {
    let address = |endpoint: usize| json!({"ip": pod_ip(index, endpoint, if endpoint == 0 { round } else { 0 })});
    json!({"metadata": {"namespace": "bench", "name": format!("service-{index}")},
        "subsets": [{"addresses": (0..ENDPOINTS).map(address).collect::<Vec<_>>(), "ports": [{"port": 8080}]}]})
}

#[async_trait]
impl NodeApi for Api {
    async fn list(&self, kind: &'static Kind, _: &str) -> Result<(Vec<Value>, u64), Status> {
        let all = match kind.plural {
            "services" => (0..self.services).map(service).collect(),
            "endpoints" => (0..self.services).map(|index| endpoints(index, 0)).collect(),
            _ => Vec::new(),
        };
        Ok((all, 1))
    }

    async fn watch(&self, kind: &'static Kind, _: &str, _: u64) -> Result<Box<dyn NodeWatch>, Status> {
        Ok(Box::new(Watch(if kind.plural == "endpoints" { self.changes.lock().await.take() } else { None })))
    }

    async fn get(&self, kind: &'static Kind, _: Option<&str>, name: &str) -> Result<Value, Status> {
        Err(Status::not_found(kind, name))
    }

    async fn create(&self, _: &'static Kind, _: Option<&str>, body: Value) -> Result<Value, Status> {
        Ok(body)
    }

    async fn update(&self, _: &'static Kind, _: Option<&str>, _: &str, body: Value) -> Result<Value, Status> {
        Ok(body)
    }

    async fn patch_status(&self, _: &'static Kind, _: Option<&str>, _: &str, patch: Value) -> Result<Value, Status> {
        Ok(patch)
    }

    async fn delete_pod(&self, _: &str, _: &str, _: &str) -> Result<(), Status> {
        Ok(())
    }

    async fn service_account_token(&self, _: &str, _: &str, _: &str, _: &str, _: &str, _: i64) -> Result<String, Status> {
        Ok(String::new())
    }
}

/// Says when the kernel has what it was told, and how long that took.
struct Timed(Arc<dyn ServiceProxy>, mpsc::UnboundedSender<Duration>);

#[async_trait]
impl ServiceProxy for Timed {
    async fn apply(&self, rules: &RuleSet) -> Result<(), ProxyError> {
        let began = Instant::now();
        self.0.apply(rules).await.inspect_err(|error| panic!("{error}"))?;
        let _ = self.1.send(began.elapsed());
        Ok(())
    }

    async fn check(&self) -> Result<(), ProxyError> {
        self.0.check().await
    }

    async fn remove_all(&self) -> Result<(), ProxyError> {
        self.0.remove_all().await
    }
}

/// An agent whose proxy has programmed all services.
pub struct Cluster {
    _agent: Agent,
    _dir: tempfile::TempDir,
    services: usize,
    change: mpsc::UnboundedSender<Value>,
    done: Mutex<mpsc::UnboundedReceiver<Duration>>,
    /// How long the whole set took.
    pub full: Duration,
}

impl Cluster {
    pub async fn start(proxy: Arc<dyn ServiceProxy>, services: usize) -> Cluster {
        let (change, changes) = mpsc::unbounded_channel();
        let (say, mut done) = mpsc::unbounded_channel();
        let api = Arc::new(Api { services, changes: Mutex::new(Some(changes)) });
        let dir = tempfile::tempdir().expect("a directory");
        let config = AgentConfig {
            node_name: "bench".into(),
            address: "127.0.0.1".into(),
            data_dir: dir.path().to_path_buf(),
            pods_max: 1,
            dns_interface: None,
        };
        let agent = Agent::start(config, api, Arc::new(Simulated::default()), Some(Arc::new(Timed(proxy, say)))).await;
        let full = done.recv().await.expect("the agent lives");
        Cluster { _agent: agent, _dir: dir, services, change, done: Mutex::new(done), full }
    }

    /// From the watch's event to the kernel's answer, for changes of one endpoint of this and that service.
    pub async fn changes(&self, rounds: usize) -> Vec<Duration> {
        let mut done = self.done.lock().await;
        let mut times = Vec::new();
        for round in 1..=rounds {
            let event = endpoints(self.place(round), round);
            let began = Instant::now();
            self.change.send(event).expect("the agent lives");
            done.recv().await.expect("the agent lives");
            times.push(began.elapsed());
        }
        times
    }

    fn place(&self, round: usize) -> usize {
        round * 7919 % self.services
    }

    /// Does the kernel have what changed last? `round` is the one of [`Self::changes`].
    pub fn is_in_the_kernel(&self, table: &str) -> Result<(), String> {
        let round = super::CHANGES;
        let listed = super::floor::nft(&["list", "map", "ip", table, "backends"], "")?;
        let wanted = format!(": {} . 8080", pod_ip(self.place(round), 0, round));
        if listed.contains(&wanted) { Ok(()) } else { Err(format!("the kernel does not have {wanted}")) }
    }
}
