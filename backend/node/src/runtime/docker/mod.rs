//! Docker behind the `Runtime` trait: one persistent connection, a deadline on every call.
mod bridge;
mod create;
mod process;

use super::{
    Connection, ContainerInfo, ContainerSpec, ContainerState, Created, EngineInfo, Image, LogOptions, Output, Process, Result, Runtime,
    RuntimeError, RuntimeEvent, Stats,
};
use crate::cgroup;
use crate::network::{self, LABEL_ADDRESS, PodNetwork};
use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerConfig, ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::{
    CreateImageOptions, EventsOptions, ListContainersOptions, LogsOptions, RemoveContainerOptions, StatsOptions, StopContainerOptions,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Calls that only look.
const LOOK_SECONDS_MAX: u64 = 20;
/// Calls that make or end containers; a busy engine takes its time.
const CHANGE_SECONDS_MAX: u64 = 120;
const PULL_SECONDS_MAX: u64 = 600;
/// After the event stream broke, it is opened again this often.
const EVENTS_AGAIN: Duration = Duration::from_millis(500);
/// What our containers are called.
const NAME_PREFIX: &str = "k8s_";

/// The label that says which cluster a container belongs to: several may share one engine.
pub const LABEL_CLUSTER: &str = "io.pilothouse.cluster";

pub struct DockerRuntime {
    docker: Docker,
    cluster: String,
    /// `None`: the engine's own network serves all.
    network: Option<PodNetwork>,
}

impl DockerRuntime {
    /// `address` is `unix:///var/run/docker.sock` or a path; `cluster` is the id of the cluster whose containers are ours.
    /// Does not talk to the engine yet.
    pub fn connect(address: &str, cluster: &str) -> Result<DockerRuntime> {
        let path = address.strip_prefix("unix://").unwrap_or(address);
        // 1.40 (Docker 19.03) has everything that is asked here, and newer engines still answer it.
        let version = bollard::ClientVersion { major_version: 1, minor_version: 40 };
        let docker = Docker::connect_with_unix(path, CHANGE_SECONDS_MAX, &version).map_err(|e| RuntimeError::Unreachable(e.to_string()))?;
        Ok(DockerRuntime { docker, cluster: cluster.into(), network: None })
    }

    /// Plugs sandboxes into the engine's bridge itself where it can, which is faster than the engine.
    pub fn with_pod_network(self, address: &str) -> DockerRuntime {
        let path = address.strip_prefix("unix://").unwrap_or(address);
        DockerRuntime { network: Some(PodNetwork::new(&self.cluster, path.as_ref())), ..self }
    }

    fn label(&self) -> String {
        format!("{LABEL_CLUSTER}={}", self.cluster)
    }

    /// Plugs one in that has been started and has an address of ours; lets the others tell theirs.
    async fn started_sandbox(&self, info: ContainerInfo) -> Result<ContainerInfo> {
        let ours = self.network.as_ref().zip(info.ip.as_deref().and_then(|ip| ip.parse().ok()));
        if let Some(((network, ip), pid)) = ours.zip(cgroup::process(&info.id)) {
            network.attach(&info.id, pid, ip).await?;
            let started_at = Some(jiff::Timestamp::now().to_string());
            return Ok(ContainerInfo { state: ContainerState::Running, started_at, pid: Some(pid), ..info });
        }
        let found = self.inspect(&info.id).await?;
        // One that has ended at once has no network to be plugged into; the caller sees that it does not run.
        match (ours, found.pid) {
            (Some((network, ip)), Some(pid)) => {
                network.attach(&info.id, pid, ip).await?;
                return Ok(ContainerInfo { ip: info.ip, ..found });
            }
            (None, Some(pid)) if found.ip.is_some() => {
                if let Some(network) = &self.network {
                    network.let_back(&info.id, pid).await;
                }
            }
            _ => {}
        }
        Ok(found)
    }
}

/// Runs one call within its deadline.
async fn call<T>(name: &'static str, seconds: u64, work: impl Future<Output = std::result::Result<T, Error>>) -> Result<T> {
    match tokio::time::timeout(Duration::from_secs(seconds), work).await {
        Ok(outcome) => outcome.map_err(translate),
        Err(_) => Err(RuntimeError::Deadline { call: name, seconds }),
    }
}

pub(super) fn translate(error: Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError { status_code: 404, message } if message.to_lowercase().contains("no such image") => {
            RuntimeError::ImageMissing(message)
        }
        Error::DockerResponseServerError { status_code: 404, message } => RuntimeError::NotFound(message),
        Error::DockerResponseServerError { message, .. } => RuntimeError::Engine(message),
        Error::HyperResponseError { .. } | Error::IOError { .. } | Error::SocketNotFoundError(_) | Error::HyperLegacyError { .. } => {
            RuntimeError::Unreachable(error.to_string())
        }
        other => RuntimeError::Engine(other.to_string()),
    }
}

fn time(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty() && !t.starts_with("0001-"))
}

/// The address that a sandbox of ours was given, whether it has it already or not.
fn address_of(config: Option<&ContainerConfig>) -> Option<Ipv4Addr> {
    config?.labels.as_ref()?.get(LABEL_ADDRESS)?.parse().ok()
}

fn info_of(c: ContainerInspectResponse) -> ContainerInfo {
    let state = c.state.unwrap_or_default();
    let config = c.config.unwrap_or_default();
    let networks = c.network_settings.and_then(|n| n.networks).unwrap_or_default();
    let engines = networks.into_values().filter_map(|n| n.ip_address).find(|ip| !ip.is_empty());
    let running = state.running.unwrap_or(false);
    let ours = address_of(Some(&config)).filter(|_| running && c.id.as_deref().is_some_and(network::is_attached));
    let ip = engines.or_else(|| ours.map(|ip| ip.to_string()));
    let created = state.status == Some(ContainerStateStatusEnum::CREATED);
    ContainerInfo {
        id: c.id.unwrap_or_default(),
        name: c.name.unwrap_or_default().trim_start_matches('/').to_string(),
        image: config.image.unwrap_or_default(),
        image_id: c.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        state: if running {
            ContainerState::Running
        } else if created {
            ContainerState::Created
        } else {
            ContainerState::Exited
        },
        started_at: time(state.started_at),
        finished_at: time(state.finished_at),
        exit_code: i32::try_from(state.exit_code.unwrap_or(0)).unwrap_or(-1),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        ip,
        pid: state.pid.and_then(|p| u32::try_from(p).ok()).filter(|p| *p > 0),
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn info(&self) -> Result<EngineInfo> {
        let info = call("info", LOOK_SECONDS_MAX, self.docker.info()).await?;
        Ok(EngineInfo {
            name: "docker".into(),
            version: info.server_version.unwrap_or_default(),
            cpu_count: info.ncpu.unwrap_or(1),
            memory_bytes: info.mem_total.unwrap_or(0),
            kernel_version: info.kernel_version.unwrap_or_default(),
            os_image: info.operating_system.unwrap_or_default(),
            architecture: info.architecture.unwrap_or_default(),
        })
    }

    async fn list(&self) -> Result<Vec<ContainerInfo>> {
        let mark = self.network.as_ref().map(PodNetwork::mark);
        let filters = HashMap::from([("label".to_string(), vec![self.label()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let found = call("list", LOOK_SECONDS_MAX, self.docker.list_containers(Some(options))).await?;
        let infos = found.into_iter().map(|c| async move {
            let id = c.id.clone().unwrap_or_default();
            self.inspect(&id).await
        });
        let infos: Vec<Result<ContainerInfo>> = futures::stream::iter(infos).buffered(8).collect().await;
        let infos: Vec<ContainerInfo> =
            infos.into_iter().filter(|i| !matches!(i, Err(RuntimeError::NotFound(_)))).collect::<Result<_>>()?;
        if let (Some(network), Some(mark)) = (&self.network, mark) {
            bridge::settle(self, network, &infos, mark).await;
        }
        Ok(infos)
    }

    async fn inspect(&self, id: &str) -> Result<ContainerInfo> {
        call("inspect", LOOK_SECONDS_MAX, self.docker.inspect_container(id, None)).await.map(info_of)
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<Created> {
        let options = bollard::query_parameters::CreateContainerOptions { name: Some(spec.name.clone()), platform: String::new() };
        let mut body = create::body(spec);
        let mut labels = spec.labels.clone();
        labels.insert(LABEL_CLUSTER.into(), self.cluster.clone());
        // Host ports are the engine's business, and so is the network of whoever has some.
        let wants = spec.network.is_none() && spec.ports.iter().all(|p| p.host_port == 0);
        let address = self.network.as_ref().filter(|_| wants).and_then(|n| Some((n, n.lease()?)));
        if let Some((_, ip)) = address {
            body.network_disabled = Some(true);
            labels.insert(LABEL_ADDRESS.into(), ip.to_string());
        }
        body.labels = Some(labels.clone().into_iter().collect());
        let created = call("create", CHANGE_SECONDS_MAX, self.docker.create_container(Some(options), body)).await;
        match (&created, address) {
            (Ok(created), Some((network, ip))) => network.held(ip, &created.id),
            (Err(_), Some((network, ip))) => network.give_back(ip),
            (_, None) => {}
        }
        let created = created.map_err(|e| match e {
            RuntimeError::ImageMissing(_) => RuntimeError::ImageMissing(spec.image.clone()),
            other => other,
        })?;
        Ok(Created::new(created.id, spec, labels.into_iter().collect(), address.map(|(_, ip)| ip.to_string())))
    }

    async fn start(&self, created: Created) -> Result<ContainerInfo> {
        let Created { info, own_network } = created;
        call("start", CHANGE_SECONDS_MAX, self.docker.start_container(&info.id, None)).await?;
        if own_network {
            return self.started_sandbox(info).await;
        }
        // What the engine noted a moment ago differs by less than what is shown of it.
        Ok(ContainerInfo { state: ContainerState::Running, started_at: Some(jiff::Timestamp::now().to_string()), ..info })
    }

    async fn stop(&self, id: &str, grace_seconds: i64) -> Result<()> {
        let grace = grace_seconds.clamp(0, 86_400);
        let options = StopContainerOptions { signal: None, t: i32::try_from(grace).ok() };
        let seconds = CHANGE_SECONDS_MAX + u64::try_from(grace).unwrap_or(0);
        match call("stop", seconds, self.docker.stop_container(id, Some(options))).await {
            Err(RuntimeError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        match call("remove", CHANGE_SECONDS_MAX, self.docker.remove_container(id, Some(options))).await {
            Ok(()) | Err(RuntimeError::NotFound(_)) => {}
            Err(RuntimeError::Engine(why)) if why.contains("already in progress") => return Ok(()),
            Err(other) => return Err(other),
        }
        self.network.iter().for_each(|n| n.release(id));
        Ok(())
    }

    async fn image(&self, image: &str) -> Result<Option<Image>> {
        match call("inspect image", LOOK_SECONDS_MAX, self.docker.inspect_image(image)).await {
            Ok(found) => Ok(Some(Image { id: found.id.unwrap_or_default(), user: found.config.and_then(|c| c.user).unwrap_or_default() })),
            Err(RuntimeError::NotFound(_) | RuntimeError::ImageMissing(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    async fn pull(&self, image: &str) -> Result<()> {
        let named =
            if image.rsplit('/').next().unwrap_or(image).contains([':', '@']) { image.to_string() } else { format!("{image}:latest") };
        let options = CreateImageOptions { from_image: Some(named), ..CreateImageOptions::default() };
        let work = self.docker.create_image(Some(options), None, None).try_for_each(|_| async { Ok(()) });
        call("pull", PULL_SECONDS_MAX, work).await
    }

    async fn load_image(&self, image: &str, root: Bytes, entrypoint: &[String]) -> Result<()> {
        if self.image(image).await?.is_some() {
            return Ok(());
        }
        let (repo, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let command = serde_json::to_string(entrypoint).unwrap_or_default();
        // As CMD, not ENTRYPOINT: `docker ps` shows the program either way, and a pod may replace it.
        let changes = vec![format!("CMD {command}")];
        let options = CreateImageOptions {
            from_src: Some("-".into()),
            repo: Some(repo.into()),
            tag: Some(tag.into()),
            changes,
            ..CreateImageOptions::default()
        };
        let work = self.docker.create_image(Some(options), Some(bollard::body_full(root)), None).try_for_each(|_| async { Ok(()) });
        call("import image", CHANGE_SECONDS_MAX, work).await
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let (docker, label) = (self.docker.clone(), self.label());
        let connections = futures::stream::unfold((docker, label, true), |(docker, label, first)| async move {
            if !first {
                tokio::time::sleep(EVENTS_AGAIN).await;
            }
            let filters = HashMap::from([("type".to_string(), vec!["container".to_string()]), ("label".to_string(), vec![label.clone()])]);
            // From before the Resync on: what happens between its comparison and the connection must not be lost. Seen
            // twice does no harm.
            let since = Some(jiff::Timestamp::now().as_second().to_string());
            let options = EventsOptions { since, filters: Some(filters), ..EventsOptions::default() };
            let events = docker.events(Some(options)).filter_map(|e| async move { event_of(e) });
            // Whatever happened while nobody listened must be looked for.
            let stream = futures::stream::once(async { RuntimeEvent::Resync }).chain(events).boxed();
            Some((stream, (docker, label, false)))
        });
        connections.flatten().boxed()
    }

    async fn logs(&self, id: &str, options: &LogOptions) -> Result<BoxStream<'static, Result<Output>>> {
        let options = LogsOptions {
            follow: options.follow,
            stdout: true,
            stderr: true,
            since: i32::try_from(options.since.unwrap_or(0)).unwrap_or(0),
            timestamps: options.timestamps,
            tail: options.tail.map_or_else(|| "all".to_string(), |n| n.to_string()),
            ..LogsOptions::default()
        };
        Ok(self.docker.logs(id, Some(options)).map(process::output).boxed())
    }

    async fn exec(&self, id: &str, command: &[String], tty: bool, stdin: bool, user: &str) -> Result<Process> {
        process::exec(&self.docker, id, command, tty, stdin, user).await
    }

    async fn attach(&self, id: &str, tty: bool, stdin: bool) -> Result<Process> {
        process::attach(&self.docker, id, tty, stdin).await
    }

    async fn connect(&self, info: &ContainerInfo, port: u16) -> Result<Box<dyn Connection>> {
        let ip = info.ip.clone().ok_or_else(|| RuntimeError::Engine(format!("container {} has no address", info.name)))?;
        let connecting = tokio::net::TcpStream::connect((ip.as_str(), port));
        match tokio::time::timeout(Duration::from_secs(LOOK_SECONDS_MAX), connecting).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(RuntimeError::Engine(format!("cannot connect to {ip}:{port}: {error}"))),
            Err(_) => Err(RuntimeError::Deadline { call: "connect", seconds: LOOK_SECONDS_MAX }),
        }
    }

    async fn stats(&self, id: &str) -> Result<Stats> {
        // Where the kernel's own count is in reach, the engine is not asked for it.
        let container = self.inspect(id).await?;
        if let Some(counted) = container.pid.and_then(|pid| cgroup::stats(pid, id)) {
            return Ok(counted);
        }
        let options = StatsOptions { stream: false, one_shot: true };
        let mut stream = self.docker.stats(id, Some(options));
        let first = call("stats", LOOK_SECONDS_MAX, async { stream.try_next().await }).await?;
        let Some(stats) = first else { return Ok(Stats::default()) };
        let cpu = stats.cpu_stats.and_then(|c| c.cpu_usage).and_then(|u| u.total_usage).unwrap_or(0);
        let memory = stats.memory_stats.unwrap_or_default();
        // Pages of files that were not used of late go when somebody needs their room (cgroup v1 and v2 call them so).
        let details = memory.stats.unwrap_or_default();
        let spare = ["total_inactive_file", "inactive_file"].iter().find_map(|name| details.get(*name)).copied().unwrap_or(0);
        Ok(Stats { cpu_usage_ns: cpu, memory_bytes: memory.usage.unwrap_or(0).saturating_sub(spare) })
    }
}

/// Starts and ends of our containers; an error ends this connection, the next one follows.
fn event_of(event: std::result::Result<bollard::models::EventMessage, Error>) -> Option<RuntimeEvent> {
    let event = event.ok()?;
    let actor = event.actor?;
    let name = actor.attributes.as_ref().and_then(|a| a.get("name")).cloned()?;
    let action = event.action?;
    let concerns = matches!(action.as_str(), "die" | "start" | "destroy" | "oom");
    (name.starts_with(NAME_PREFIX) && concerns).then(|| RuntimeEvent::Container { id: actor.id.unwrap_or_default(), name, action })
}
