//! An engine that only pretends: containers are entries in a table, for tests, benchmarks and thousands of nodes in one process.
use super::{
    Connection, ContainerInfo, ContainerSpec, ContainerState, Created, EngineInfo, Image, LogOptions, Output, Process, Result, Runtime,
    RuntimeError, RuntimeEvent, Stats,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Events that may wait for one listener; one that falls behind is told to look at everything.
const EVENTS_MAX: usize = 256;
/// What a container answers that was stopped from outside.
const KILLED: i32 = 137;

/// How containers of one image behave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// The image is neither here nor to be had.
    pub missing: bool,
    /// Ends by itself after this, with `exit_code`; `None` runs until it is stopped.
    pub ends_after: Option<Duration>,
    pub exit_code: i32,
    pub oom_killed: bool,
    /// Each start fails with this.
    pub start_error: Option<String>,
    pub log: String,
    /// Exit code of every command run inside it: probes and hooks.
    pub exec_code: i32,
}

/// How long the engine takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    pub start: Duration,
    pub stop: Duration,
    pub list: Duration,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<String, ContainerInfo>,
    /// Addresses that sandboxes have while they run.
    addresses: BTreeMap<String, String>,
    images: BTreeMap<String, Behaviour>,
    latency: Latency,
    made: u32,
    unreachable: bool,
    listeners: Vec<(mpsc::Sender<RuntimeEvent>, bool)>,
}

/// Held by an agent as its engine; clones show the same engine.
#[derive(Clone, Default)]
pub struct Simulated {
    state: Arc<Mutex<State>>,
}

impl Simulated {
    pub fn new(latency: Latency) -> Simulated {
        let simulated = Simulated::default();
        simulated.state.lock().latency = latency;
        simulated
    }

    /// Containers made of this image from now on behave so. Images never named run for ever.
    pub fn behave(&self, image: &str, behaviour: Behaviour) {
        self.state.lock().images.insert(image.into(), behaviour);
    }

    /// Every call fails until it is reachable again.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state.lock().unreachable = unreachable;
    }

    pub fn containers(&self) -> Vec<ContainerInfo> {
        self.state.lock().containers.values().cloned().collect()
    }

    /// Puts a container there as if an earlier agent had left it.
    pub fn put(&self, info: ContainerInfo) {
        self.state.lock().containers.insert(info.id.clone(), info);
    }

    /// Makes every listener believe that its event stream broke.
    pub fn resync(&self) {
        self.state.lock().listeners.retain(|(listener, _)| listener.try_send(RuntimeEvent::Resync).is_ok());
    }

    /// Ends a running container, as a crash or somebody's hand does.
    pub fn end(&self, id: &str, exit_code: i32, oom_killed: bool) {
        self.state.lock().end(id, exit_code, oom_killed);
    }

    /// Takes a container away, as `docker rm -f` does.
    pub fn vanish(&self, id: &str) {
        let mut state = self.state.lock();
        state.end(id, KILLED, false);
        state.addresses.remove(id);
        if let Some(info) = state.containers.remove(id) {
            state.tell(id, &info.name, "destroy");
        }
    }

    fn reach(&self) -> Result<Latency> {
        let state = self.state.lock();
        if state.unreachable { Err(RuntimeError::Unreachable("the simulated engine is switched off".into())) } else { Ok(state.latency) }
    }

    fn behaviour(&self, id: &str) -> Behaviour {
        let state = self.state.lock();
        state.containers.get(id).and_then(|c| state.images.get(&c.image)).cloned().unwrap_or_default()
    }
}

fn identity(image: &str) -> String {
    format!("sha256:{image}")
}

fn now() -> String {
    crate::clock::now().to_string()
}

impl State {
    fn tell(&mut self, id: &str, name: &str, action: &str) {
        let event = RuntimeEvent::Container { id: id.into(), name: name.into(), action: action.into() };
        self.listeners.retain_mut(|(listener, behind)| {
            if *behind && listener.try_send(RuntimeEvent::Resync).is_ok() {
                *behind = false;
            }
            match listener.try_send(event.clone()) {
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
                Err(mpsc::error::TrySendError::Full(_)) => *behind = true,
                Ok(()) => {}
            }
            true
        });
    }

    fn end(&mut self, id: &str, exit_code: i32, oom_killed: bool) {
        let Some(info) = self.containers.get_mut(id).filter(|c| c.state == ContainerState::Running) else { return };
        info.state = ContainerState::Exited;
        info.exit_code = exit_code;
        info.oom_killed = oom_killed;
        info.finished_at = Some(now());
        info.ip = None;
        let name = info.name.clone();
        self.tell(id, &name, "die");
    }

    fn make(&mut self, spec: &ContainerSpec) -> Created {
        self.made += 1;
        let n = self.made;
        let id = format!("{n:08x}{:056x}", crate::clock::random::<u128>());
        let ip = spec.network.is_none().then(|| format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255));
        self.addresses.extend(ip.clone().map(|ip| (id.clone(), ip)));
        let created = Created::new(id.clone(), spec, spec.labels.clone(), ip);
        // Has its image's identity whether its maker looked or not, and an address only while it runs.
        let held = ContainerInfo { image_id: identity(&spec.image), ip: None, ..created.info.clone() };
        self.containers.insert(id, held);
        created
    }

    fn start(&mut self, id: &str) -> Result<ContainerInfo> {
        let info = self.containers.get_mut(id).ok_or_else(|| RuntimeError::NotFound(id.into()))?;
        info.state = ContainerState::Running;
        info.started_at = Some(now());
        info.ip = self.addresses.get(id).cloned();
        let info = info.clone();
        self.tell(id, &info.name, "start");
        Ok(info)
    }
}

#[async_trait]
impl Runtime for Simulated {
    async fn info(&self) -> Result<EngineInfo> {
        self.reach()?;
        Ok(EngineInfo {
            name: "simulated".into(),
            version: "1".into(),
            cpu_count: 64,
            memory_bytes: 256 << 30,
            kernel_version: "simulated".into(),
            os_image: "simulated".into(),
            architecture: "x86_64".into(),
        })
    }

    async fn list(&self) -> Result<Vec<ContainerInfo>> {
        let latency = self.reach()?;
        // As a real engine: what is answered is what was there when the work began.
        let found = self.containers();
        tokio::time::sleep(latency.list).await;
        Ok(found)
    }

    async fn inspect(&self, id: &str) -> Result<ContainerInfo> {
        self.reach()?;
        self.state.lock().containers.get(id).cloned().ok_or_else(|| RuntimeError::NotFound(id.into()))
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<Created> {
        self.reach()?;
        let mut state = self.state.lock();
        if state.images.get(&spec.image).is_some_and(|b| b.missing) {
            return Err(RuntimeError::ImageMissing(spec.image.clone()));
        }
        if state.containers.values().any(|c| c.name == spec.name) {
            return Err(RuntimeError::Engine(format!("the name {} is in use", spec.name)));
        }
        Ok(state.make(spec))
    }

    async fn start(&self, created: Created) -> Result<ContainerInfo> {
        let latency = self.reach()?;
        tokio::time::sleep(latency.start).await;
        let behaviour = self.behaviour(&created.info.id);
        if let Some(why) = behaviour.start_error {
            return Err(RuntimeError::Engine(why));
        }
        let info = self.state.lock().start(&created.info.id)?;
        if let Some(after) = behaviour.ends_after {
            let (engine, id) = (self.clone(), info.id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                engine.end(&id, behaviour.exit_code, behaviour.oom_killed);
            });
        }
        Ok(info)
    }

    async fn stop(&self, id: &str, _grace_seconds: i64) -> Result<()> {
        let latency = self.reach()?;
        tokio::time::sleep(latency.stop).await;
        self.end(id, KILLED, false);
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.reach()?;
        self.vanish(id);
        Ok(())
    }

    async fn image(&self, image: &str) -> Result<Option<Image>> {
        self.reach()?;
        let missing = self.state.lock().images.get(image).is_some_and(|b| b.missing);
        Ok((!missing).then(|| Image { id: identity(image), user: String::new() }))
    }

    async fn pull(&self, image: &str) -> Result<()> {
        self.image(image).await?.map(drop).ok_or_else(|| RuntimeError::ImageMissing(image.into()))
    }

    async fn load_image(&self, image: &str, _root: Bytes, _entrypoint: &[String]) -> Result<()> {
        self.reach()?;
        self.state.lock().images.entry(image.into()).or_default().missing = false;
        Ok(())
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        self.state.lock().listeners.push((sender, false));
        let all = futures::stream::unfold(receiver, |mut r| async move { Some((r.recv().await?, r)) });
        futures::stream::once(async { RuntimeEvent::Resync }).chain(all).boxed()
    }

    async fn logs(&self, id: &str, _options: &LogOptions) -> Result<BoxStream<'static, Result<Output>>> {
        self.inspect(id).await?;
        Ok(futures::stream::iter([Ok(Output::Stdout(self.behaviour(id).log.into()))]).boxed())
    }

    async fn exec(&self, id: &str, command: &[String], _tty: bool, _stdin: bool, _user: &str) -> Result<Process> {
        if self.inspect(id).await?.state != ContainerState::Running {
            return Err(RuntimeError::Engine(format!("container {id} is not running")));
        }
        let code = self.behaviour(id).exec_code;
        let text = Bytes::from(format!("{}\n", command.join(" ")));
        let (resize, _) = mpsc::channel(1);
        let output = futures::stream::iter([Ok(Output::Stdout(text))]).boxed();
        Ok(Process { stdin: None, output, exit: async move { Ok(code) }.boxed(), resize })
    }

    async fn attach(&self, id: &str, _tty: bool, _stdin: bool) -> Result<Process> {
        self.inspect(id).await?;
        let (resize, _) = mpsc::channel(1);
        let output = self.logs(id, &LogOptions::default()).await?;
        Ok(Process { stdin: None, output, exit: async { Ok(0) }.boxed(), resize })
    }

    async fn connect(&self, info: &ContainerInfo, port: u16) -> Result<Box<dyn Connection>> {
        Err(RuntimeError::Engine(format!("{} is simulated: nothing listens at port {port}", info.name)))
    }

    async fn stats(&self, id: &str) -> Result<Stats> {
        self.inspect(id).await?;
        Ok(Stats { cpu_usage_ns: 1_000_000, memory_bytes: 1 << 20 })
    }
}

/// Ids of running containers whose name begins so; a shorthand for tests.
pub fn running(containers: &[ContainerInfo], prefix: &str) -> BTreeSet<String> {
    containers.iter().filter(|c| c.state == ContainerState::Running && c.name.starts_with(prefix)).map(|c| c.id.clone()).collect()
}
