//! The container engine behind the agent: mechanical verbs, no policy. Docker and a simulated one.
pub(crate) mod counted;
pub mod docker;
pub mod simulated;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::collections::BTreeMap;
use tokio::io::{AsyncRead, AsyncWrite};

/// Why the engine refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    #[error("image {0:?} is not present")]
    ImageMissing(String),
    #[error("no such container: {0}")]
    NotFound(String),
    #[error("{call} did not answer within {seconds} s")]
    Deadline { call: &'static str, seconds: u64 },
    #[error("{0}")]
    Engine(String),
    #[error("pod network: {0}")]
    Network(String),
    /// The engine itself cannot be reached.
    #[error("cannot reach the container engine: {0}")]
    Unreachable(String),
}

pub type Result<T> = std::result::Result<T, RuntimeError>;

/// Everything the engine needs to make one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerSpec {
    /// `k8s_NAME.HASH_POD.NS.api_UID_RAND`.
    pub name: String,
    pub image: String,
    /// What the image was found to be; empty where nobody looked.
    pub image_id: String,
    /// Overrides the image's entrypoint when not empty.
    pub entrypoint: Vec<String>,
    pub args: Vec<String>,
    pub working_dir: String,
    pub env: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub hostname: String,
    /// `None`: a network of its own on the bridge (infra container). `Some("container:ID")` or `Some("host")`.
    pub network: Option<String>,
    pub ipc: Option<String>,
    pub pid: Option<String>,
    pub ports: Vec<PublishedPort>,
    /// `HOST:CONTAINER[:ro]`.
    pub binds: Vec<String>,
    /// Container path → mount options.
    pub tmpfs: BTreeMap<String, String>,
    pub cpu_shares: i64,
    /// CFS quota in 1/1000 of a core; 0 is unlimited.
    pub cpu_millis_max: i64,
    /// 0 is unlimited.
    pub memory_bytes_max: i64,
    pub oom_score_adj: Option<i64>,
    pub privileged: bool,
    pub user: String,
    pub read_only_root: bool,
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub group_add: Vec<String>,
    pub no_new_privileges: bool,
    /// Runs none but our own program, which does nothing but wait: no output to keep, and no filter of system calls to prepare.
    pub only_waits: bool,
    pub sysctls: BTreeMap<String, String>,
    /// `NAME:IP`, for those that have the host's network; others find theirs in a file of their own.
    pub extra_hosts: Vec<String>,
    pub tty: bool,
    pub stdin: bool,
    /// The first attached client's end of input is the program's.
    pub stdin_once: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedPort {
    pub container_port: u16,
    pub host_port: u16,
    pub host_ip: String,
    /// `tcp` or `udp`.
    pub protocol: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    Created,
    Running,
    Exited,
}

/// A container that does not run yet, and what its maker knows of it: nobody has to ask the engine again when it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// With the address that it will have, where that is known before it runs.
    pub info: ContainerInfo,
    /// Joins nobody's network.
    pub own_network: bool,
}

impl Created {
    fn new(id: String, spec: &ContainerSpec, labels: BTreeMap<String, String>, ip: Option<String>) -> Created {
        let info = ContainerInfo {
            id,
            name: spec.name.clone(),
            image: spec.image.clone(),
            image_id: spec.image_id.clone(),
            labels,
            state: ContainerState::Created,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            ip,
            pid: None,
        };
        Created { info, own_network: spec.network.is_none() }
    }
}

/// An image that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`.
    pub id: String,
    /// Whom its program runs as; empty for root.
    pub user: String,
}

/// What the engine says of a container that is ours.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerInfo {
    pub id: String,
    pub name: String,
    pub image: String,
    pub image_id: String,
    pub labels: BTreeMap<String, String>,
    pub state: ContainerState,
    /// RFC 3339.
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub exit_code: i32,
    pub oom_killed: bool,
    /// The engine's own words when the start failed.
    pub error: String,
    /// Address on the bridge; infra containers only.
    pub ip: Option<String>,
    pub pid: Option<u32>,
}

/// Something happened to a container of ours, or the stream was re-established and anything may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    Container { id: String, name: String, action: String },
    Resync,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub follow: bool,
    pub tail: Option<u64>,
    /// Unix seconds.
    pub since: Option<i64>,
    pub timestamps: bool,
}

/// A process in a container, or the container's own streams. With a tty, stdout carries everything.
pub struct Process {
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub output: BoxStream<'static, std::result::Result<Output, RuntimeError>>,
    /// Resolves to the exit code when the process has ended.
    pub exit: futures::future::BoxFuture<'static, Result<i32>>,
    /// Columns, rows.
    pub resize: tokio::sync::mpsc::Sender<(u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Nanoseconds of CPU time used since the start.
    pub cpu_usage_ns: u64,
    pub memory_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineInfo {
    pub name: String,
    pub version: String,
    pub cpu_count: i64,
    pub memory_bytes: i64,
    pub kernel_version: String,
    pub os_image: String,
    pub architecture: String,
}

/// Mechanical verbs, all idempotent, each with its own deadline.
#[async_trait]
pub trait Runtime: Send + Sync {
    async fn info(&self) -> Result<EngineInfo>;
    /// All containers of this cluster, running or not.
    async fn list(&self) -> Result<Vec<ContainerInfo>>;
    async fn inspect(&self, id: &str) -> Result<ContainerInfo>;
    /// Makes a container. What it joins (another's network) must exist, but need not run yet.
    async fn create(&self, spec: &ContainerSpec) -> Result<Created>;
    /// Starts one that was made; answers its state after that (with the address, for an infra container). One that ends at once may
    /// be shown as running: its end is an event.
    async fn start(&self, created: Created) -> Result<ContainerInfo>;
    /// Both. A container that cannot be started is removed: it would hold its name, and shows nothing that the error does not say.
    async fn run(&self, spec: &ContainerSpec) -> Result<ContainerInfo> {
        let created = self.create(spec).await?;
        let id = created.info.id.clone();
        let started = self.start(created).await;
        if started.is_err() {
            let _ = self.remove(&id).await;
        }
        started
    }
    /// TERM, then KILL after the grace period.
    async fn stop(&self, id: &str, grace_seconds: i64) -> Result<()>;
    async fn remove(&self, id: &str) -> Result<()>;
    /// `None`: it is not present.
    async fn image(&self, image: &str) -> Result<Option<Image>>;
    async fn pull(&self, image: &str) -> Result<()>;
    /// Loads an image from the tar of its root file system if it is not there.
    async fn load_image(&self, image: &str, root: Bytes, entrypoint: &[String]) -> Result<()>;
    fn events(&self) -> BoxStream<'static, RuntimeEvent>;
    async fn logs(&self, id: &str, options: &LogOptions) -> Result<BoxStream<'static, std::result::Result<Output, RuntimeError>>>;
    async fn exec(&self, id: &str, command: &[String], tty: bool, stdin: bool, user: &str) -> Result<Process>;
    async fn attach(&self, id: &str, tty: bool, stdin: bool) -> Result<Process>;
    /// A connection to a port inside the pod's network.
    async fn connect(&self, info: &ContainerInfo, port: u16) -> Result<Box<dyn Connection>>;
    async fn stats(&self, id: &str) -> Result<Stats>;
}

/// A byte stream both ways.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}
