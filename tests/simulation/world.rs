//! A whole cluster on simulated engines: one store, a server that can die, and nodes that can be switched off.
use crate::faults::{Disk, Door, Link};
use crate::laws::Laws;
use control::Control;
use node::agent::{Agent, AgentConfig};
use node::runtime::simulated::{Behaviour, Latency, Simulated};
use node::runtime::{ContainerInfo, ContainerState};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use registry::caller::Caller;
use registry::options::{DeleteOptions, Patch, WriteOptions};
use registry::{Config, Registry};
use serde_json::Value;
use shared::kinds::Kind;
use shared::status::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::Store;
use store::memory::MemoryStore;

/// The image whose containers end by themselves and well.
pub const JOB: &str = "job";
/// More than any seed asks for: a node is not what runs short here.
const PODS_MAX: i64 = 250;
/// No node is silent for so long in a simulation: its hours are not simulated.
const NODE_GRACE_SECONDS: i64 = 3600;

pub struct Machine {
    pub name: String,
    pub engine: Simulated,
    pub link: Arc<Link>,
    pub agent: Option<Agent>,
    data: tempfile::TempDir,
}

pub struct World {
    pub chance: SmallRng,
    pub machines: Vec<Machine>,
    pub laws: Laws,
    /// Containers that were ended by hand: a second time in a row they would wait for their back-off.
    pub ended: BTreeSet<String>,
    store: Arc<dyn Store>,
    faults: Arc<AtomicBool>,
    door: Arc<Door>,
    disk: Arc<Disk>,
    control: Option<Control>,
    caller: Caller,
}

impl World {
    pub async fn new(seed: u64) -> World {
        let mut chance = SmallRng::seed_from_u64(seed);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let faults = Arc::new(AtomicBool::new(false));
        let disk = Arc::new(Disk::new(store.clone(), faults.clone(), seed));
        let registry = Registry::new(disk.clone(), Config::default());
        let door = Arc::new(Door::new(registry));
        let count = chance.random_range(1..=5);
        let machines = (0..count).map(|i| Machine::new(i, &door, &mut chance)).collect();
        let caller = Caller::system("test");
        let (laws, ended) = (Laws::default(), BTreeSet::new());
        let mut world = World { chance, machines, laws, ended, store, faults, door, disk, control: None, caller };
        world.start_server().await;
        for i in 0..world.machines.len() {
            world.start_agent(i).await;
        }
        world
    }

    /// True in so many of a hundred cases.
    pub fn maybe(&mut self, percent: u32) -> bool {
        self.chance.random_range(0..100) < percent
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.chance.random_range(0..end.max(1))
    }

    pub fn set_faults(&self, on: bool) {
        self.faults.store(on, Ordering::SeqCst);
    }

    /// Ends the server in the middle of whatever it does.
    pub fn kill_server(&mut self) {
        self.disk.kill();
        self.control = None;
    }

    /// Starts the next server on what the last one left; again until its first objects are made.
    pub async fn start_server(&mut self) {
        loop {
            self.disk = Arc::new(Disk::new(self.store.clone(), self.faults.clone(), self.chance.random()));
            let registry = Registry::new(self.disk.clone(), Config::default());
            let config = control::Config {
                api_address: "10.0.0.1:8443".parse().expect("an address"),
                kubernetes_ips: (Ipv4Addr::new(172, 30, 0, 1), Ipv4Addr::new(172, 30, 0, 2)),
                dns_ip: Some(Ipv4Addr::new(172, 30, 0, 10)),
                portal_net: Config::default().portal_net,
                public_url: "https://10.0.0.1:8443".into(),
                ca_pem: "certificate".into(),
                node_grace_seconds: NODE_GRACE_SECONDS,
            };
            match Control::start(registry.clone(), config, None).await {
                Ok(control) => {
                    self.control = Some(control);
                    self.door.open(registry);
                    return;
                }
                // Only the disk has a reason to fail.
                Err(status) => assert_eq!(status.code, 503, "the cluster cannot begin: {}", status.message),
            }
            self.disk.kill();
        }
    }

    pub async fn start_agent(&mut self, i: usize) {
        let machine = &mut self.machines[i];
        let config = AgentConfig {
            node_name: machine.name.clone(),
            address: "127.0.0.1".into(),
            data_dir: machine.data.path().into(),
            pods_max: PODS_MAX,
            dns_interface: None,
        };
        // An agent registers first, which cannot end while its network is cut.
        machine.link.set_cut(false);
        machine.agent = Some(Agent::start(config, machine.link.clone(), Arc::new(machine.engine.clone()), None).await);
    }

    /// Everything that can work works again.
    pub async fn heal(&mut self) {
        self.set_faults(false);
        if self.control.is_none() {
            self.start_server().await;
        }
        for i in 0..self.machines.len() {
            self.machines[i].engine.set_unreachable(false);
            self.machines[i].link.set_cut(false);
            if self.machines[i].agent.is_none() {
                self.start_agent(i).await;
            }
            self.machines[i].engine.resync();
        }
    }

    pub fn all(&self, kind: &'static Kind) -> Vec<Value> {
        self.door.registry().all(kind, None).1.iter().map(registry::object::Object::value).collect()
    }

    pub async fn create(&self, kind: &'static Kind, namespace: Option<&str>, body: Value) -> Result<Value, Status> {
        let outcome = self.door.registry().create(&self.caller, kind, namespace, body, &WriteOptions::default()).await;
        expected(outcome.map(|w| w.object.value()))
    }

    pub async fn merge(&self, kind: &'static Kind, object: &Value, patch: Value) -> Result<(), Status> {
        let (namespace, name) = place(object);
        let options = WriteOptions::default();
        let outcome = self.door.registry().patch(&self.caller, kind, namespace, name, "", Patch::Merge(patch), &options).await;
        expected(outcome.map(|_| ()))
    }

    pub async fn delete(&self, kind: &'static Kind, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
        let (namespace, name) = place(object);
        expected(self.door.registry().delete(&self.caller, kind, namespace, name, options).await.map(|_| ()))
    }

    /// All that can be wrong at any moment.
    pub fn check(&self) -> Result<(), String> {
        self.laws.check(&*self.store)?;
        let mut running: BTreeMap<(String, String), String> = BTreeMap::new();
        for machine in &self.machines {
            for container in machine.engine.containers().iter().filter(|c| c.state == ContainerState::Running) {
                let Some((name, uid)) = parse(container) else { continue };
                if let Some(other) = running.insert((uid.clone(), name.clone()), machine.name.clone()) {
                    return Err(format!("container {name} of pod {uid} runs twice, on {other} and {}", machine.name));
                }
            }
        }
        Ok(())
    }

    /// Of everything that was ever stored, in order.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for event in self.store.history(0, self.store.revision()).expect("nothing is forgotten yet") {
            (event.revision, &event.key, event.current.as_ref().map(|r| &r.value)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Directories that a node keeps of pods.
    pub fn pod_dirs(&self) -> Vec<String> {
        let dirs = self.machines.iter().flat_map(|m| std::fs::read_dir(m.data.path().join("pods")).into_iter().flatten());
        dirs.flatten().map(|entry| entry.path().display().to_string()).collect()
    }
}

impl Machine {
    fn new(i: usize, door: &Arc<Door>, chance: &mut SmallRng) -> Machine {
        let mut upto = |ms: u64| Duration::from_millis(chance.random_range(0..=ms));
        let engine = Simulated::new(Latency { start: upto(20), stop: upto(20), list: upto(5) });
        engine.behave(JOB, Behaviour { ends_after: Some(upto(50)), ..Behaviour::default() });
        // In memory where that can be had: disks are slow, and none is tested here.
        let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory for a while");
        Machine { name: format!("node{i}"), engine, link: Arc::new(Link::new(door.clone())), agent: None, data }
    }
}

/// Refusals are part of life; what the server calls its own fault is none.
fn expected<T>(outcome: Result<T, Status>) -> Result<T, Status> {
    if let Err(status) = &outcome {
        assert_ne!(status.code, 500, "internal error: {}", status.message);
    }
    outcome
}

fn place(object: &Value) -> (Option<&str>, &str) {
    let metadata = &object["metadata"];
    (metadata["namespace"].as_str(), metadata["name"].as_str().unwrap_or_default())
}

/// Container name and pod uid.
pub fn parse(info: &ContainerInfo) -> Option<(String, String)> {
    let parts: Vec<&str> = info.name.split('_').collect();
    let [_, container, _, uid, _] = parts.as_slice() else { return None };
    Some((container.split('.').next()?.to_string(), (*uid).to_string()))
}
