//! Chooses implementations and starts every part, in the order in which they need each other.
use crate::backup;
use crate::cluster_id;
use crate::config::{RuntimeKind, Start, data_dir};
use crate::diagnostics;
use crate::machine;
use crate::metrics;
use crate::neighbours;
use crate::network;
use crate::node_api::LocalApi;
use crate::signer::CaSigner;
use crate::streams::{LocalStreams, PodsEverywhere};
use crate::supervisor;
use crate::tunnel::{self, server::NodeTunnels};
use apiserver::{Check, Handle, Parts, Server, ServerConfig};
use control::{Config as ControlConfig, Control};
use node::agent::Agent;
use node::runtime::simulated::Simulated;
use registry::Registry;
use registry::caller::Caller;
use shared::client::config::{Kubeconfig, Overrides, Target};
use shared::client::http::Client;
use shared::kinds::NODE;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store::Store;
use store::redb::{Options, RedbStore};
use tokio_util::sync::CancellationToken;

/// Ready is announced when it is true, or given up after this.
const READY_SECONDS_MAX: u64 = 60;
/// A node that is not ready by then has a reason that its user must hear.
const WHY_NOT_READY_AFTER: Duration = Duration::from_secs(2);
/// Open requests may finish for this long at the end.
const STOP_SECONDS_MAX: u64 = 5;

/// A running cluster.
pub struct Cluster {
    pub registry: Registry,
    pub server: Handle,
    /// Of the node on this machine; empty if it has none.
    pub node_name: String,
    store: Arc<dyn Store>,
    streams: Arc<PodsEverywhere>,
    control: Option<Control>,
    stopping: CancellationToken,
}

impl Cluster {
    /// One more node, with an engine of its own that is simulated; it lives as long as the agent that is returned.
    pub async fn add_simulated_node(&self, name: &str, dir: &Path) -> Agent {
        let config = machine::agent(RuntimeKind::Simulated, name, Ipv4Addr::LOCALHOST.into(), dir);
        let api = Arc::new(LocalApi::new(self.registry.clone(), self.server.app.clone(), name));
        Agent::start(config, api, Arc::new(Simulated::default()), None).await
    }

    /// Stops the server and all loops, and closes the store. Containers and service rules stay.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        self.streams.stop();
        self.control.take();
        let _ = tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), self.server.shutdown()).await;
        self.store.close().await;
    }
}

/// Runs the cluster in the foreground until a signal, with a node on this machine or without.
pub async fn run(config: Start, with_node: bool) -> Result<(), String> {
    let began = Instant::now();
    let cluster = start_as(&config, with_node).await?;
    let console = cluster.server.console_address;
    announce(&cluster, &config, console, began).await;
    let watchdog = own_client(&cluster).map(|client| tokio::spawn(supervisor::watchdog(client)));
    supervisor::ready(&format!("serving {}", cluster.server.app.public_url));
    wait_for_signal().await;
    supervisor::stopping();
    watchdog.inspect(tokio::task::JoinHandle::abort);
    tracing::info!("stopping; containers keep running");
    cluster.stop().await;
    Ok(())
}

/// The administrator's client of our own API, at the address where it listens.
fn own_client(cluster: &Cluster) -> Option<Client> {
    let target = Kubeconfig::read(&cluster.server.admin_kubeconfig).and_then(|k| k.target(&Overrides::default())).ok()?;
    let mut address = cluster.server.address;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Client::new(Target { server: format!("https://{address}"), ..target }).ok()
}

/// Starts everything on this machine; returns when the API answers.
pub async fn start(config: &Start) -> Result<Cluster, String> {
    start_as(config, true).await
}

/// The name by which this machine is a node.
pub(crate) fn node_name(given: Option<&str>) -> String {
    let name = given.map(str::to_string).or_else(|| nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()));
    name.unwrap_or_else(|| "localhost".into()).to_lowercase()
}

/// The same with a node on this machine or without.
pub async fn start_as(config: &Start, with_node: bool) -> Result<Cluster, String> {
    let dir = data_dir(config.data_dir.as_ref());
    make_private(&dir)?;
    let options = Options { bytes_max: config.store_max, ..Options::default() };
    let store: Arc<dyn Store> =
        Arc::new(RedbStore::open(&dir.join("store"), options).map_err(|e| diagnostics::cannot_open(&dir, e.to_string()))?);
    let registry = Registry::new(store.clone(), registry::Config { portal_net: config.portal_net });
    let hostname = node_name(config.hostname.as_deref());
    let node_name = if with_node { hostname.clone() } else { String::new() };
    let streams = Arc::new(PodsEverywhere {
        here: node_name.clone(),
        local: LocalStreams::default(),
        tunnels: Arc::new(NodeTunnels::default()),
        registry: registry.clone(),
    });
    let bootstrapped = Arc::new(AtomicBool::new(false));
    let server = serve(config, &dir, &registry, &streams, &bootstrapped, &hostname).await?;
    let api_address = address_for_pods(&server);
    let control_config = ControlConfig {
        api_address,
        kubernetes_ips: first_two(config.portal_net),
        dns_ip: dns_ip(config.portal_net),
        portal_net: config.portal_net,
        public_url: server.app.public_url.clone(),
        ca_pem: server.authority.ca_pem().to_string(),
        node_grace_seconds: config.node_grace,
    };
    let control = Control::start(registry.clone(), control_config, Some(Arc::new(CaSigner(server.authority.clone()))))
        .await
        .map_err(|s| format!("the cluster's first objects could not be made: {s}"))?;
    bootstrapped.store(true, Ordering::Release);
    let cluster = Cluster { registry, server, node_name, store, streams, control: Some(control), stopping: CancellationToken::new() };
    if with_node && let Err(error) = start_node(config, &dir, &cluster) {
        cluster.stop().await;
        return Err(diagnostics::docker_problem(&config.docker).await.unwrap_or(error));
    }
    Ok(cluster)
}

pub(crate) fn make_private(dir: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let fail = |e: std::io::Error| diagnostics::cannot_keep_data(dir, &e);
    std::fs::create_dir_all(dir).map_err(fail)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).map_err(fail)
}

fn first_two(net: ipnet::Ipv4Net) -> (Ipv4Addr, Ipv4Addr) {
    let base = u32::from(net.network());
    (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2))
}

/// The tenth address, as most clusters have it.
fn dns_ip(net: ipnet::Ipv4Net) -> Option<Ipv4Addr> {
    net.hosts().nth(9)
}

async fn serve(
    config: &Start,
    dir: &Path,
    registry: &Registry,
    streams: &Arc<PodsEverywhere>,
    bootstrapped: &Arc<AtomicBool>,
    node: &str,
) -> Result<Handle, String> {
    let bridge = network::docker_bridge();
    let mut listen = vec![config.listen];
    // Pods reach the API by the bridge; nothing outside this host does, unless told otherwise.
    if let Some(bridge) = bridge.filter(|_| config.listen.ip().is_loopback() && config.listen.port() != 0) {
        listen.push(SocketAddr::new(bridge.addr().into(), config.listen.port()));
    }
    let (_, service_ip) = first_two(config.portal_net);
    let mut sans = vec![service_ip.to_string(), node.to_string()];
    sans.extend(bridge.map(|b| b.addr().to_string()));
    sans.extend(tunnel::node::host_and_port(&config.master).ok().map(|(host, _)| host));
    if config.listen.ip().is_unspecified() {
        sans.extend(network::addresses().map(|a| a.to_string()));
    }
    let server = ServerConfig {
        listen,
        console_listen: Some(if config.listen.port() == 0 { SocketAddr::new(config.listen.ip(), 0) } else { config.console() }),
        data_dir: dir.to_path_buf(),
        hostname: node.to_string(),
        sans,
        public_url: config.master.clone(),
    };
    let done = bootstrapped.clone();
    let readiness = Arc::new(move || {
        let result = if done.load(Ordering::Acquire) { Ok(()) } else { Err("the cluster's first objects are being made".to_string()) };
        vec![Check { name: "bootstrap".into(), result }]
    });
    let parts = Parts {
        registry: registry.clone(),
        streams: streams.clone(),
        tunnels: streams.tunnels.clone(),
        readiness,
        console: Some(apiserver::console::router()),
        backup: Some(backup::source(dir, registry)),
        more_metrics: Arc::new(metrics::write),
    };
    Server::bind(server, parts).await.map_err(|error| match error {
        apiserver::Error::Listen { address, source } => diagnostics::cannot_listen(address, &source),
        other => format!("the API server cannot start: {other}"),
    })
}

/// The address behind the `kubernetes` service.
fn address_for_pods(server: &Handle) -> SocketAddr {
    let port = server.address.port();
    if !server.address.ip().is_loopback() && !server.address.ip().is_unspecified() {
        return server.address;
    }
    let bridge = || network::docker_bridge().map(|b| b.addr());
    // Pods of other machines reach what this one is called by, and never its bridge.
    let ip = match server.address.ip().is_unspecified() {
        true => network::primary_address().or_else(bridge),
        false => bridge().or_else(network::primary_address),
    };
    let ip = ip.unwrap_or(Ipv4Addr::new(172, 17, 0, 1));
    SocketAddr::new(ip.into(), port)
}

/// What this machine's node is called by: as the tutorial has it where all is on one machine, else what others reach it by.
fn own_address(config: &Start) -> IpAddr {
    let listen = config.listen.ip();
    match listen.is_unspecified() {
        true => network::primary_address().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4),
        false => listen,
    }
}

/// Starts the agent of this machine in the background: the API must not wait for Docker.
fn start_node(config: &Start, dir: &Path, cluster: &Cluster) -> Result<(), String> {
    let id = cluster_id::of(dir)?;
    let runtime = machine::engine(config.runtime, &config.docker, &id)?;
    let proxy = machine::proxy(config.proxy_mode, &id);
    let address = own_address(config);
    let network = machine::pod_network(config.runtime, address);
    let agent = machine::agent(config.runtime, &cluster.node_name, address, dir);
    let api = Arc::new(LocalApi::new(cluster.registry.clone(), cluster.server.app.clone(), &cluster.node_name));
    let (streams, registry) = (cluster.streams.clone(), cluster.registry.clone());
    let (name, cluster_id) = (cluster.node_name.clone(), id.clone());
    let (shares_host, stop) = (config.runtime == RuntimeKind::Docker, cluster.stopping.clone());
    let (dir, docker, portal_net) = (dir.to_path_buf(), config.docker.clone(), config.portal_net);
    tokio::spawn(async move {
        let claim = if shares_host { neighbours::settle(&dir, &id, portal_net, &docker).await } else { None };
        machine::load_images(&*runtime).await;
        let agent = Agent::start(agent, api.clone(), runtime, proxy).await;
        if let Some(own) = network {
            tokio::spawn(node::machines::run(api, name, cluster_id, own, stop.clone()));
        }
        streams.local.set(agent, registry);
        stop.cancelled().await;
        drop(claim);
    });
    Ok(())
}

/// Says when the node is ready, where things are, and what to try first.
async fn announce(cluster: &Cluster, config: &Start, console: Option<SocketAddr>, began: Instant) {
    let caller = Caller::system("announcement");
    let ready = || {
        let node = cluster.registry.get(&caller, &NODE, None, &cluster.node_name).ok()?;
        let status = node.value();
        let conditions = status["status"]["conditions"].as_array()?.clone();
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True").then_some(())
    };
    let mut asked = false;
    while !cluster.node_name.is_empty() && ready().is_none() {
        if began.elapsed() > Duration::from_secs(READY_SECONDS_MAX) {
            tracing::warn!(node = cluster.node_name, "the API serves, but this node is not ready; 'openshift ex diagnostics' may say why");
            break;
        }
        if !asked && config.runtime == RuntimeKind::Docker && began.elapsed() > WHY_NOT_READY_AFTER {
            asked = true;
            if let Some(problem) = diagnostics::docker_problem(&config.docker).await {
                tracing::warn!(node = cluster.node_name, "the API serves, but no pod can run: {problem}");
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let console = console.map(|c| format!("https://{c}/")).unwrap_or_default();
    println!("ready after {} ms: API {}, console {console}", began.elapsed().as_millis(), cluster.server.app.public_url);
    println!("try:  osc get minions");
    println!("      openshift ex new-project hack --display-name=\"Hack Night\" --admin=anypassword:admin");
    println!("      osc create -n hack -f examples/hello-openshift/hello-pod.json");
    println!("      kubectl --kubeconfig {} get nodes", cluster.server.admin_kubeconfig.display());
}

pub(crate) async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
