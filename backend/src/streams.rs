//! The API server's way to the agents of nodes: this machine's in process, all others by their tunnels.
use crate::tunnel::server::NodeTunnels;
use apiserver::streams::{Connection, ContainerStats, LogRequest, NodeStats, Output, PodStreams, Process, Target, Use};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use node::agent::Agent;
use node::runtime::{self, LogOptions, RuntimeError};
use registry::Registry;
use shared::kinds::POD;
use shared::status::Status;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The agent comes to be after the API server: until then there is nothing to stream.
#[derive(Default)]
pub struct LocalStreams {
    agent: OnceLock<(Agent, Registry)>,
}

impl LocalStreams {
    pub fn set(&self, agent: Agent, registry: Registry) {
        let _ = self.agent.set((agent, registry));
    }

    fn agent(&self) -> Result<&Agent, Status> {
        self.agent.get().map(|(agent, _)| agent).ok_or_else(|| Status::unavailable("the node agent is still starting; try again"))
    }

    pub fn stop(&self) {
        if let Some((agent, _)) = self.agent.get() {
            agent.shutdown();
        }
    }
}

fn status(error: RuntimeError) -> Status {
    Status::internal(error.to_string())
}

fn process(p: runtime::Process) -> Process {
    let output = p.output.map(|item| match item {
        Ok(runtime::Output::Stdout(b)) => Ok(Output::Stdout(b)),
        Ok(runtime::Output::Stderr(b)) => Ok(Output::Stderr(b)),
        Err(e) => Err(status(e)),
    });
    Process { stdin: p.stdin, output: output.boxed(), exit: p.exit.map(|r| r.map_err(status)).boxed(), resize: p.resize }
}

/// A connection of the node as one of the API server.
struct Joined(Box<dyn runtime::Connection>);

impl tokio::io::AsyncRead for Joined {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Joined {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

#[async_trait]
impl PodStreams for LocalStreams {
    async fn logs(&self, target: &Target, request: &LogRequest) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        let options = LogOptions { follow: request.follow, tail: request.tail_lines, since: request.since, timestamps: request.timestamps };
        let lines = self.agent()?.logs(&target.uid, &target.container, request.previous, &options).await?;
        Ok(lines.map(|line| line.map(|(runtime::Output::Stdout(b) | runtime::Output::Stderr(b))| b).map_err(status)).boxed())
    }

    async fn exec(&self, target: &Target, command: &[String], tty: bool, stdin: bool) -> Result<Process, Status> {
        self.agent()?.exec(&target.uid, &target.container, command, tty, stdin).await.map(process)
    }

    async fn attach(&self, target: &Target, tty: bool, stdin: bool) -> Result<Process, Status> {
        self.agent()?.attach(&target.uid, &target.container, tty, stdin).await.map(process)
    }

    async fn connect(&self, target: &Target, port: u16) -> Result<Box<dyn Connection>, Status> {
        Ok(Box::new(Joined(self.agent()?.connect(&target.uid, port).await?)))
    }

    async fn stats(&self, _: &str) -> Result<NodeStats, Status> {
        let used = |s: runtime::Stats| Use { cpu_ns: s.cpu_usage_ns, memory_bytes: s.memory_bytes };
        let agent = self.agent()?;
        let (node, stats) = (used(agent.host_stats()), agent.stats().await);
        let Some((_, registry)) = self.agent.get() else { return Ok(NodeStats::default()) };
        let pods: HashMap<String, (String, String)> = registry
            .all(&POD, None)
            .1
            .iter()
            .map(|o| (o.index().meta.uid.clone(), (o.namespace().to_string(), o.name().to_string())))
            .collect();
        let named = stats.into_iter().filter_map(|(uid, container, s)| {
            let (namespace, pod) = pods.get(&uid)?.clone();
            Some(ContainerStats { namespace, pod, container, used: used(s) })
        });
        Ok(NodeStats { node, containers: named.collect() })
    }
}

/// Pods wherever they run.
pub struct PodsEverywhere {
    /// Name of the node on this machine; empty if there is none.
    pub here: String,
    pub local: LocalStreams,
    pub tunnels: Arc<NodeTunnels>,
    pub registry: Registry,
}

impl PodsEverywhere {
    fn of(&self, node: &str) -> &dyn PodStreams {
        if node == self.here { &self.local } else { &*self.tunnels }
    }

    pub fn stop(&self) {
        self.local.stop();
        self.tunnels.stop();
    }
}

#[async_trait]
impl PodStreams for PodsEverywhere {
    async fn logs(&self, target: &Target, request: &LogRequest) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        self.of(&target.node).logs(target, request).await
    }

    async fn exec(&self, target: &Target, command: &[String], tty: bool, stdin: bool) -> Result<Process, Status> {
        self.of(&target.node).exec(target, command, tty, stdin).await
    }

    async fn attach(&self, target: &Target, tty: bool, stdin: bool) -> Result<Process, Status> {
        self.of(&target.node).attach(target, tty, stdin).await
    }

    async fn connect(&self, target: &Target, port: u16) -> Result<Box<dyn Connection>, Status> {
        self.of(&target.node).connect(target, port).await
    }

    async fn stats(&self, node: &str) -> Result<NodeStats, Status> {
        if node == self.here { self.local.stats(node).await } else { self.tunnels.stats_of(node, &self.registry).await }
    }
}
