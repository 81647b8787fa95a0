//! What the API server asks of the node that runs a pod: logs, exec, attach, port-forward, statistics.
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use shared::status::Status;
use tokio::io::{AsyncRead, AsyncWrite};

/// Which container of which pod; the container's name is already resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub node: String,
    pub namespace: String,
    pub pod: String,
    pub uid: String,
    pub container: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRequest {
    pub follow: bool,
    pub previous: bool,
    pub tail_lines: Option<u64>,
    /// Unix seconds.
    pub since: Option<i64>,
    pub timestamps: bool,
    pub limit_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// A process in a container. With a tty, stdout carries everything.
pub struct Process {
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub output: BoxStream<'static, Result<Output, Status>>,
    pub exit: BoxFuture<'static, Result<i32, Status>>,
    /// Columns, rows.
    pub resize: tokio::sync::mpsc::Sender<(u16, u16)>,
}

/// A byte stream both ways.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Held as `Arc<dyn PodStreams>`; the all-in-one's goes straight to its own node agent.
#[async_trait]
pub trait PodStreams: Send + Sync {
    async fn logs(&self, target: &Target, request: &LogRequest) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status>;
    async fn exec(&self, target: &Target, command: &[String], tty: bool, stdin: bool) -> Result<Process, Status>;
    async fn attach(&self, target: &Target, tty: bool, stdin: bool) -> Result<Process, Status>;
    async fn connect(&self, target: &Target, port: u16) -> Result<Box<dyn Connection>, Status>;
    /// What a node and each of its running containers have used so far.
    async fn stats(&self, node: &str) -> Result<NodeStats, Status>;
}

/// Who takes over the connections of nodes on other machines, by which the server reaches them. Held as `Arc<dyn Tunnels>`.
#[async_trait]
pub trait Tunnels: Send + Sync {
    /// Serves one connection of this node until it ends. A newer one of the same node takes its place.
    async fn serve(&self, node: &str, connection: Box<dyn Connection>);
}

/// A server that no node of another machine joins.
pub struct NoTunnels;

#[async_trait]
impl Tunnels for NoTunnels {
    async fn serve(&self, _: &str, _: Box<dyn Connection>) {}
}

/// Use of one machine or container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Nanoseconds of CPU time since the start.
    pub cpu_ns: u64,
    /// Bytes that cannot be taken away at once: what Kubernetes calls the working set.
    pub memory_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeStats {
    pub node: Use,
    pub containers: Vec<ContainerStats>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerStats {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    pub used: Use,
}
