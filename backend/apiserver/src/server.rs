//! Listens, shakes hands, serves connections within limits, and stops gracefully.
use crate::app::{App, Backup, MoreMetrics, Peer, Port, Readiness};
use crate::authn::sessions::Sessions;
use crate::authn::tokens::Tokens;
use crate::ca::{Authority, write_secret};
use crate::error::Error;
use crate::limits::Limits;
use crate::limits::connections::{Place, Registered};
use crate::limits::stall::Unstalled;
use crate::metrics::Metrics;
use crate::streams::{PodStreams, Tunnels};
use crate::{kubeconfig, layers, tls};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use logic::fairness::{Class, Lane, class};
use registry::Registry;
use registry::caller::{Caller, Identity};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A connection must bring its next request's headers within this; also how long an idle one is kept.
const HEADER_DEADLINE: Duration = Duration::from_secs(120);
/// Connections that wait in the kernel: whoever finds it full tries again only a second later.
const BACKLOG: u32 = 4096;
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// A client that takes nothing of its answer for this long is given up.
const STALL_DEADLINE: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long open requests may go on after a shutdown began.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the server is to be reached and where its files lie.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Addresses of the API: the first is the main one, others (the pod bridge) are for clients inside the cluster.
    pub listen: Vec<SocketAddr>,
    pub console_listen: Option<SocketAddr>,
    pub data_dir: PathBuf,
    pub hostname: String,
    /// More names and addresses for the serving certificate: the service address, the pod bridge, what the user gave.
    pub sans: Vec<String>,
    /// The address that clients are told; `https://ADDRESS:PORT` of the first listener when empty.
    pub public_url: String,
}

/// The other parts that requests reach.
pub struct Parts {
    pub registry: Registry,
    pub streams: Arc<dyn PodStreams>,
    pub tunnels: Arc<dyn Tunnels>,
    pub readiness: Readiness,
    pub console: Option<axum::Router>,
    pub backup: Option<Backup>,
    pub more_metrics: MoreMetrics,
}

/// The server as a whole.
pub struct Server;

/// A running server.
pub struct Handle {
    /// The main API address, with the port that was really taken.
    pub address: SocketAddr,
    pub console_address: Option<SocketAddr>,
    pub app: Arc<App>,
    pub authority: Arc<Authority>,
    /// Path of the administrator's kubeconfig.
    pub admin_kubeconfig: PathBuf,
    stop: CancellationToken,
    accepting: Vec<JoinHandle<()>>,
    connections: TaskTracker,
}

impl Handle {
    /// Stops accepting, lets open requests finish within a deadline, ends watches and streams.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.accepting {
            let _ = task.await;
        }
        self.connections.close();
        let _ = tokio::time::timeout(DRAIN_DEADLINE, self.connections.wait()).await;
    }
}

impl Server {
    /// Makes certificates and keys where they are missing, binds every listener, and serves until shut down.
    pub async fn bind(config: ServerConfig, parts: Parts) -> Result<Handle, Error> {
        let authority = Arc::new(Authority::open(&config.data_dir)?);
        let serving = authority.serving(&certificate_names(&config))?;
        let tls = TlsAcceptor::from(tls::server_config(&authority, &serving)?);
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push((Port::Api, listen(*address)?));
        }
        if let Some(address) = config.console_listen {
            listeners.push((Port::Console, listen(address)?));
        }
        let bound = |port| listeners.iter().find(|(p, _)| *p == port).and_then(|(_, l)| l.local_addr().ok());
        let address = bound(Port::Api).ok_or_else(|| Error::Certificates("no address to listen on".into()))?;
        let console_address = bound(Port::Console);
        let public_url = match config.public_url.trim_end_matches('/') {
            "" => format!("https://{address}"),
            url => url.to_string(),
        };
        let admin = authority.client("admin", "system:admin", &["system:masters", "system:cluster-admins"])?;
        let admin_kubeconfig = config.data_dir.join("admin.kubeconfig");
        write_secret(&admin_kubeconfig, kubeconfig::render(&public_url, authority.ca_pem(), "system:admin", &admin).as_bytes())?;

        let stop = CancellationToken::new();
        let app = Arc::new(App {
            registry: parts.registry,
            streams: parts.streams,
            tunnels: parts.tunnels,
            tokens: Tokens::new(&authority.service_account_key()?)?,
            sessions: Sessions::open(&config.data_dir),
            metrics: Metrics::default(),
            more_metrics: parts.more_metrics,
            readiness: parts.readiness,
            public_url,
            console: parts.console,
            backup: parts.backup,
            stop: stop.clone(),
            limits: Limits::start()?,
            usage: crate::usage::Usage::default(),
            guesses: parking_lot::Mutex::default(),
            started: std::time::Instant::now(),
            myself: Caller::system("apiserver"),
        });
        let connections = TaskTracker::new();
        let accepting = listeners
            .into_iter()
            .map(|(port, listener)| {
                let loop_ =
                    AcceptLoop { port, listener, tls: tls.clone(), app: app.clone(), connections: connections.clone(), stop: stop.clone() };
                tokio::spawn(loop_.run())
            })
            .collect();
        Ok(Handle { address, console_address, app, authority, admin_kubeconfig, stop, accepting, connections })
    }
}

/// Every name by which a client may call us.
fn certificate_names(config: &ServerConfig) -> BTreeSet<String> {
    let fixed = [
        "localhost",
        "127.0.0.1",
        "::1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "openshift",
        "openshift.default",
        "openshift.default.svc",
        "openshift.default.svc.cluster.local",
    ];
    let mut names: BTreeSet<String> = fixed.iter().map(ToString::to_string).collect();
    names.extend(config.sans.iter().filter(|n| !n.is_empty()).cloned());
    if !config.hostname.is_empty() {
        names.insert(config.hostname.to_ascii_lowercase());
    }
    names.extend(config.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    names
}

fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| Error::Listen { address, source })
}

struct AcceptLoop {
    port: Port,
    listener: TcpListener,
    tls: TlsAcceptor,
    app: Arc<App>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl AcceptLoop {
    async fn run(self) {
        loop {
            let accepted = tokio::select! {
                a = self.listener.accept() => a,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((tcp, remote)) => {
                    let place = tokio::select! {
                        place = self.app.limits.connections.place() => place,
                        () = self.stop.cancelled() => return,
                    };
                    let (tls, app, port, connections) = (self.tls.clone(), self.app.clone(), self.port, self.connections.clone());
                    let door = self.app.limits.lanes.door.clone();
                    self.connections.spawn_on(enter(tcp, remote, port, tls, app, place, connections), &door);
                }
                // Out of file descriptors, or the client is gone already: neither ends the server.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Shakes hands, and sends the connection on to the lane of whom its certificate names.
async fn enter(tcp: TcpStream, remote: SocketAddr, port: Port, tls: TlsAcceptor, app: Arc<App>, place: Place, connections: TaskTracker) {
    let Ok(local) = tcp.local_addr() else { return };
    let _ = tcp.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive);
    let shake = async {
        tcp.readable().await?;
        place.spoke().await;
        tls.accept(Unstalled::new(tcp, STALL_DEADLINE)).await
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_DEADLINE, shake) => shaken,
        () = place.end.cancelled() => return tracing::debug!(%remote, "too many handshakes at once"),
    };
    drop(place);
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%remote, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%remote, "TLS handshake took too long"),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|c| c.first()).and_then(tls::identity);
    let lane = certificate.as_ref().map_or(Class::Nobody, class_of).lane();
    let registered = app.limits.connections.register(lane, remote.ip());
    let threads = match lane {
        Lane::Reserved => &app.limits.lanes.reserved,
        Lane::Crowd => &app.limits.lanes.crowd,
    };
    let last_caller = parking_lot::Mutex::new(None);
    let peer = Peer { remote, local, port, certificate, last_caller, id: registered.id, line: registered.line.clone() };
    connections.spawn_on(serve(stream, Arc::new(peer), lane, app.clone(), registered), threads);
}

fn class_of(identity: &Identity) -> Class {
    class(&identity.name, identity.groups.iter().map(String::as_str))
}

/// What a lane allows one HTTP/2 connection: requests at once, and bytes that wait in either direction.
struct H2 {
    streams: u32,
    stream_window: u32,
    window: u32,
    send_buffer: usize,
}

fn h2(lane: Lane) -> H2 {
    match lane {
        Lane::Reserved => H2 { streams: 250, stream_window: 1 << 20, window: 4 << 20, send_buffer: 400 << 10 },
        Lane::Crowd => H2 { streams: 100, stream_window: 64 << 10, window: 256 << 10, send_buffer: 16 << 10 },
    }
}

async fn serve(stream: TlsStream<Unstalled>, peer: Arc<Peer>, lane: Lane, app: Arc<App>, registered: Registered) {
    let (stop, remote, end) = (app.stop.clone(), peer.remote, registered.line.end.clone());
    let service = service_fn(move |request| layers::answer(app.clone(), peer.clone(), request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(HEADERS_BYTES_MAX);
    let allowed = h2(lane);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(allowed.streams)
        .max_header_list_size(HEADERS_BYTES_MAX as u32)
        .initial_stream_window_size(allowed.stream_window)
        .initial_connection_window_size(allowed.window)
        .max_send_buf_size(allowed.send_buffer)
        .keep_alive_interval(KEEPALIVE);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        r = connection.as_mut() => r,
        () = end.cancelled() => return tracing::debug!(%remote, "connection ended to make room, or for its resets"),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "connection ended");
    }
}
