//! What every request handler can reach: the registry, the pods' streams, tokens, counters.
use crate::authn::sessions::Sessions;
use crate::authn::tokens::Tokens;
use crate::limits::Limits;
use crate::limits::connections::Line;
use crate::metrics::Metrics;
use crate::streams::{PodStreams, Tunnels};
use registry::Registry;
use registry::caller::{Caller, Identity};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// One named check of `/readyz`.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: String,
    /// `Err` says why it fails.
    pub result: Result<(), String>,
}

/// Asks the other parts of the program whether they are ready.
pub type Readiness = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// Writes a backup of the whole cluster; called in a thread that may block.
pub type Backup = Arc<dyn Fn(&mut dyn std::io::Write) -> std::io::Result<()> + Send + Sync>;

/// Writes the families of `/metrics` that are not the server's own.
pub type MoreMetrics = Arc<dyn Fn(&mut meter::Page) + Send + Sync>;

/// Shared by all connections.
pub struct App {
    pub registry: Registry,
    pub streams: Arc<dyn PodStreams>,
    pub tunnels: Arc<dyn Tunnels>,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub metrics: Metrics,
    /// What other parts of the process have to say on `/metrics`.
    pub more_metrics: MoreMetrics,
    pub readiness: Readiness,
    /// What clients are told to call, without a slash at the end.
    pub public_url: String,
    /// What the console listener serves at `/`.
    pub console: Option<axum::Router>,
    pub backup: Option<Backup>,
    /// Cancelled when the server shuts down; ends watches and streams.
    pub stop: CancellationToken,
    pub limits: Limits,
    /// What containers and nodes used when somebody asked last.
    pub usage: crate::usage::Usage,
    /// Wrong passwords of late.
    pub guesses: parking_lot::Mutex<logic::login::Guesses>,
    pub started: std::time::Instant,
    /// Ourselves, where the server looks something up in order to answer.
    pub myself: Caller,
}

/// Which of the two ports a connection came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Api,
    Console,
}

/// What is known of a connection.
pub struct Peer {
    pub remote: SocketAddr,
    pub local: SocketAddr,
    pub port: Port,
    /// Of a verified client certificate.
    pub certificate: Option<Identity>,
    /// The last caller on this connection and the User-Agent it was made with, so that a busy client costs no allocation.
    pub last_caller: parking_lot::Mutex<Option<Caller>>,
    /// Among the connections of its lane.
    pub id: u64,
    pub line: Arc<Line>,
}

impl Peer {
    /// Whether the caller sits on this machine: it comes from loopback or from the very address it called.
    pub fn is_local(&self) -> bool {
        let remote = self.remote.ip().to_canonical();
        remote.is_loopback() || remote == self.local.ip().to_canonical()
    }
}
