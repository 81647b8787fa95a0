//! The node agent: which pods belong here, one worker for each, and what the API server asks of them.
use crate::api::NodeApi;
use crate::dns::Dns;
use crate::events::Events;
use crate::metrics;
use crate::names;
use crate::proxy::ServiceProxy;
use crate::runtime::counted::Counted;
use crate::runtime::{ContainerInfo, LogOptions, Output, Process, Runtime, RuntimeError, RuntimeEvent};
use crate::worker::{self, Signal};
use crate::{feed, heartbeat, volumes};
use futures::StreamExt;
use futures::stream::BoxStream;
use logic::pod::Instance;
use logic::pod::plan::INFRA;
use parking_lot::{Mutex, RwLock};
use shared::kinds::POD;
use shared::objects::pod::Pod;
use shared::status::Status;
use shared::watch::EventType;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Containers made at the same time: more only make a small machine slower.
const STARTS_MAX: usize = 8;
/// Everything is compared with everything this often, whatever events said.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

/// What differs between nodes.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Lower case.
    pub node_name: String,
    /// Shown as the node's address; `127.0.0.1` on an all-in-one, as the tutorial has it.
    pub address: String,
    pub data_dir: PathBuf,
    pub pods_max: i64,
    /// The interface by which pods reach this node, where the cluster's DNS answers them. `None`: they get the host's resolver.
    pub dns_interface: Option<String>,
}

/// A pod's containers, newest first, as the API server needs them.
struct Known {
    containers: Vec<(String, String, bool)>,
    ip: String,
}

impl Known {
    fn new(containers: Vec<(String, String, bool)>, ip: &str) -> Known {
        let known = Known { containers, ip: ip.into() };
        known.count(1);
        known
    }

    /// What runs, for `/metrics`: added when it becomes known, taken away when it is known no more.
    fn count(&self, sign: i64) {
        let running = |infra: bool| self.containers.iter().filter(|(name, _, running)| *running && (name == INFRA) == infra).count();
        metrics::RUNNING_PODS.add(sign * i64::from(running(true) > 0));
        metrics::RUNNING_CONTAINERS.add(sign * i64::try_from(running(false)).unwrap_or(0));
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.count(-1);
    }
}

/// What all parts of the agent share.
pub(crate) struct Node {
    pub(crate) config: AgentConfig,
    pub(crate) api: Arc<dyn NodeApi>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) events: Events,
    pub(crate) services: feed::Services,
    pub(crate) dns: Option<Arc<Dns>>,
    pub(crate) starts: Semaphore,
    /// CPU in thousandths of a core, memory in bytes.
    pub(crate) capacity: (i64, i64),
    /// Ends the agent with all its workers.
    pub(crate) stop: CancellationToken,
    known: RwLock<BTreeMap<String, Known>>,
    workers: Mutex<BTreeMap<String, mpsc::Sender<Signal>>>,
}

impl Node {
    pub(crate) fn index(&self, uid: &str, instances: &[Instance], ip: &str) {
        let containers = instances.iter().map(|i| (i.container.clone(), i.id.clone(), i.running)).collect();
        self.known.write().insert(uid.into(), Known::new(containers, ip));
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.known.write().remove(uid);
        self.workers.lock().remove(uid);
    }
}

/// A running agent. Dropping it stops the agent; containers go on running.
pub struct Agent {
    node: Arc<Node>,
    stop: CancellationToken,
}

impl Agent {
    /// Registers the node and starts following its pods. Returns as soon as the node is registered.
    pub async fn start(
        config: AgentConfig,
        api: Arc<dyn NodeApi>,
        runtime: Arc<dyn Runtime>,
        proxy: Option<Arc<dyn ServiceProxy>>,
    ) -> Agent {
        let runtime: Arc<dyn Runtime> = Arc::new(Counted(runtime));
        let engine = runtime.info().await;
        // The engine may come later; the machine is this one all the same.
        let capacity = engine.as_ref().map_or_else(|_| machine(), |e| (e.cpu_count * 1000, e.memory_bytes));
        let stop = CancellationToken::new();
        let node = Arc::new(Node {
            stop: stop.clone(),
            events: Events::start(api.clone(), &config.node_name, stop.clone()),
            services: feed::Services::default(),
            // Pods reach it by the rules of a service.
            dns: config.dns_interface.as_deref().filter(|_| proxy.is_some()).map(|interface| Arc::new(Dns::new(interface))),
            starts: Semaphore::new(STARTS_MAX),
            capacity,
            known: RwLock::default(),
            workers: Mutex::default(),
            config,
            api,
            runtime,
        });
        let why = engine.as_ref().err().map(|e| format!("Docker does not answer: {e}"));
        heartbeat::register(&node, engine.as_ref().map_err(|_| why.as_deref().unwrap_or_default())).await;
        heartbeat::start(node.clone(), stop.clone());
        feed::start(&node, proxy, stop.clone()).await;
        let (task, token) = (node.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = task.follow() => {}
            }
        });
        let (task, token) = (node.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = task.listen() => {}
            }
        });
        Agent { node, stop }
    }

    pub fn shutdown(&self) {
        self.stop.cancel();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// CPU (thousandths of a core) and memory (bytes) as the kernel shows them.
fn machine() -> (i64, i64) {
    let cpus = std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1));
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = total.and_then(|t| t.trim().trim_end_matches("kB").trim().parse::<i64>().ok());
    (cpus * 1000, kib.unwrap_or(0) * 1024)
}

fn by_pod(all: Vec<ContainerInfo>) -> BTreeMap<String, Vec<ContainerInfo>> {
    let mut groups: BTreeMap<String, Vec<ContainerInfo>> = BTreeMap::new();
    for info in all {
        if let Some(parsed) = names::parse(&info.name) {
            groups.entry(parsed.uid).or_default().push(info);
        }
    }
    groups
}

impl Node {
    /// Lists and watches this node's pods for ever.
    async fn follow(self: Arc<Self>) {
        loop {
            if let Err(error) = self.follow_once().await {
                tracing::info!(%error, "following pods again");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn follow_once(self: &Arc<Self>) -> Result<(), Status> {
        let fields = format!("spec.nodeName={}", self.config.node_name);
        // The engine first: a pod that the API lists must not be started twice because its containers were not seen.
        let found = self.runtime.list().await;
        let (pods, revision) = self.api.list(&POD, &fields).await?;
        let pods: Vec<Pod> = pods.into_iter().filter_map(|v| serde_json::from_value(v).ok()).collect();
        match found {
            Ok(found) => self.compare(pods, found).await,
            Err(error) => {
                tracing::warn!(%error, "the container engine cannot be listed");
                return Ok(());
            }
        }
        let mut watch = self.api.watch(&POD, &fields, revision).await?;
        let mut comparing = tokio::time::interval(COMPARE_EVERY);
        comparing.tick().await;
        loop {
            let event = tokio::select! {
                biased;
                // Listing again compares everything.
                _ = comparing.tick() => return Ok(()),
                event = watch.next() => event?,
            };
            let Ok(pod) = serde_json::from_value::<Pod>(event.object) else { continue };
            if self.has_lost(&pod.metadata.uid) {
                // Its worker died and what it knew with it. A new one must begin with what the engine shows, or it would
                // make a second sandbox beside the first: listing again compares everything.
                return Ok(());
            }
            match event.event_type {
                EventType::Added | EventType::Modified => self.desired(pod, None),
                EventType::Deleted => self.signal(&pod.metadata.uid, Signal::Gone),
                EventType::Bookmark | EventType::Error => {}
            }
        }
    }

    /// Hands every pod its containers, ends pods that are gone, and removes what belongs to none.
    async fn compare(self: &Arc<Self>, pods: Vec<Pod>, found: Vec<ContainerInfo>) {
        let mut groups = by_pod(found);
        let wanted: Vec<String> = pods.iter().map(|p| p.metadata.uid.clone()).collect();
        for pod in pods {
            let containers = groups.remove(&pod.metadata.uid).unwrap_or_default();
            self.desired(pod, Some(containers));
        }
        let gone: Vec<String> = self.workers.lock().keys().filter(|uid| !wanted.contains(uid)).cloned().collect();
        for uid in gone {
            groups.remove(&uid);
            self.signal(&uid, Signal::Gone);
        }
        // The API was listed after the engine and does not know these: their pods were deleted while nobody looked.
        for (uid, containers) in groups {
            tracing::info!(pod_uid = uid, containers = containers.len(), "removing containers of a deleted pod");
            futures::future::join_all(containers.iter().map(|c| self.runtime.remove(&c.id))).await;
            let _ = std::fs::remove_dir_all(volumes::pod_dir(&self.config.data_dir, &uid));
        }
        self.remove_directories(&wanted);
    }

    /// Directories of pods that are neither wanted nor being ended: an agent before this one came no further.
    fn remove_directories(&self, wanted: &[String]) {
        let workers = self.workers.lock();
        for entry in std::fs::read_dir(volumes::pods_dir(&self.config.data_dir)).into_iter().flatten().flatten() {
            let uid = entry.file_name().to_string_lossy().into_owned();
            if !wanted.contains(&uid) && !workers.contains_key(&uid) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Did this pod's worker end without having ended the pod?
    fn has_lost(&self, uid: &str) -> bool {
        self.workers.lock().get(uid).is_some_and(mpsc::Sender::is_closed)
    }

    fn desired(self: &Arc<Self>, pod: Pod, found: Option<Vec<ContainerInfo>>) {
        let uid = pod.metadata.uid.clone();
        let mut workers = self.workers.lock();
        match workers.get(&uid).filter(|w| !w.is_closed()) {
            Some(worker) => {
                let _ = worker.try_send(Signal::Desired(Box::new(pod)));
                if let Some(found) = found {
                    let _ = worker.try_send(Signal::All(found));
                }
            }
            None => {
                let found = found.unwrap_or_default();
                // A finished pod without containers has nothing left to do here.
                let finished = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
                if finished && found.is_empty() && !pod.metadata.is_deleting() {
                    return;
                }
                workers.insert(uid, worker::start(self.clone(), pod, found));
            }
        }
    }

    fn signal(&self, uid: &str, signal: Signal) {
        if let Some(worker) = self.workers.lock().get(uid) {
            let _ = worker.try_send(signal);
        }
    }

    /// Follows the engine's events.
    async fn listen(self: Arc<Self>) {
        let mut events = self.runtime.events();
        while let Some(event) = events.next().await {
            match event {
                RuntimeEvent::Container { id, name, action } => {
                    if action != "start"
                        && let Some(parsed) = names::parse(&name)
                    {
                        self.signal(&parsed.uid, Signal::Touched(id));
                    }
                }
                RuntimeEvent::Resync => {
                    if let Ok(found) = self.runtime.list().await {
                        let mut groups = by_pod(found);
                        let uids: Vec<String> = self.workers.lock().keys().cloned().collect();
                        for uid in uids {
                            // None left is news too.
                            let containers = groups.remove(&uid).unwrap_or_default();
                            self.signal(&uid, Signal::All(containers));
                        }
                    }
                }
            }
        }
    }

    fn container(&self, uid: &str, name: &str, previous: bool) -> Result<String, Status> {
        let known = self.known.read();
        let mut of_it = known.get(uid).into_iter().flat_map(|k| &k.containers).filter(|(c, ..)| c == name);
        let found =
            if previous { of_it.filter(|(.., running)| !running).map(|(_, id, _)| id).next() } else { of_it.next().map(|(_, id, _)| id) };
        found.cloned().ok_or_else(|| {
            let which = if previous { "previous terminated container" } else { "container" };
            Status::bad_request(format!("{which} \"{name}\" is not there (it may be waiting to start)"))
        })
    }
}

fn failed(error: RuntimeError) -> Status {
    match error {
        RuntimeError::NotFound(why) => Status::bad_request(why),
        RuntimeError::Deadline { .. } => Status::timeout(error.to_string()),
        other => Status::internal(other.to_string()),
    }
}

/// What the API server asks of this node. Pods are named by uid, so that a successor is never taken for them.
impl Agent {
    pub async fn logs(
        &self,
        uid: &str,
        container: &str,
        previous: bool,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<Output, RuntimeError>>, Status> {
        let id = self.node.container(uid, container, previous)?;
        self.node.runtime.logs(&id, options).await.map_err(failed)
    }

    pub async fn exec(&self, uid: &str, container: &str, command: &[String], tty: bool, stdin: bool) -> Result<Process, Status> {
        let id = self.node.container(uid, container, false)?;
        self.node.runtime.exec(&id, command, tty, stdin, "").await.map_err(failed)
    }

    pub async fn attach(&self, uid: &str, container: &str, tty: bool, stdin: bool) -> Result<Process, Status> {
        let id = self.node.container(uid, container, false)?;
        self.node.runtime.attach(&id, tty, stdin).await.map_err(failed)
    }

    pub async fn connect(&self, uid: &str, port: u16) -> Result<Box<dyn crate::runtime::Connection>, Status> {
        let id = self.node.container(uid, "POD", false)?;
        let mut info = self.node.runtime.inspect(&id).await.map_err(failed)?;
        if info.ip.is_none() {
            info.ip = self.node.known.read().get(uid).map(|k| k.ip.clone());
        }
        self.node.runtime.connect(&info, port).await.map_err(failed)
    }

    pub fn node_name(&self) -> &str {
        &self.node.config.node_name
    }

    /// The same of the machine as a whole.
    pub fn host_stats(&self) -> crate::runtime::Stats {
        crate::host::stats()
    }

    /// CPU time (ns) and memory (bytes) of every running container: pod uid, container, figures.
    pub async fn stats(&self) -> Vec<(String, String, crate::runtime::Stats)> {
        let running: Vec<(String, String, String)> = {
            let known = self.node.known.read();
            let all = known
                .iter()
                .flat_map(|(uid, k)| k.containers.iter().map(move |(c, id, running)| (uid.clone(), c.clone(), id.clone(), *running)));
            all.filter(|(.., running)| *running).map(|(uid, c, id, _)| (uid, c, id)).collect()
        };
        let asked = running
            .into_iter()
            .map(|(uid, container, id)| async move { self.node.runtime.stats(&id).await.ok().map(|s| (uid, container, s)) });
        futures::stream::iter(asked).buffer_unordered(STARTS_MAX).filter_map(|s| async { s }).collect().await
    }
}
