//! What a node stands on, on this machine: the container engine and what programs the service rules.
use crate::config::{ProxyMode, RuntimeKind};
use crate::{diagnostics, network};
use ipnet::Ipv4Net;
use node::agent::AgentConfig;
use node::proxy::ServiceProxy;
use node::proxy::iptables::IptablesProxy;
use node::proxy::nftables::NftablesProxy;
use node::runtime::Runtime;
use node::runtime::docker::DockerRuntime;
use node::runtime::simulated::Simulated;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// Pods on one machine; the tests of what people run here end well before.
const PODS_MAX: i64 = 250;
/// Docker's own choice for its bridge, where Docker has not made it yet.
const BRIDGE_DEFAULT: &str = "172.17.0.0/16";

/// The engine and the service rules of the cluster (or node) with this id.
pub fn engine(kind: RuntimeKind, docker: &str, id: &str) -> Result<Arc<dyn Runtime>, String> {
    Ok(match kind {
        RuntimeKind::Docker => Arc::new(DockerRuntime::connect(docker, id).map_err(|e| e.to_string())?.with_pod_network(docker)),
        RuntimeKind::Simulated => Arc::new(Simulated::default()),
    })
}

/// What the agent of a node is told of the machine that it runs on.
pub fn agent(kind: RuntimeKind, node_name: &str, address: IpAddr, dir: &Path) -> AgentConfig {
    AgentConfig {
        node_name: node_name.into(),
        address: address.to_string(),
        data_dir: dir.into(),
        pods_max: PODS_MAX,
        dns_interface: (kind == RuntimeKind::Docker).then(|| network::DOCKER_BRIDGE.into()),
    }
}

/// What keeps the service rules, if any are wanted; a machine on which they could not work is warned of.
pub fn proxy(mode: ProxyMode, id: &str) -> Option<Arc<dyn ServiceProxy>> {
    if mode != ProxyMode::None
        && let Some(problem) = diagnostics::network_problem(mode)
    {
        tracing::warn!("{problem}");
    }
    let bridge = network::docker_bridge().map_or_else(|| BRIDGE_DEFAULT.into(), |n| n.trunc().to_string());
    match mode {
        ProxyMode::Iptables => Some(Arc::new(IptablesProxy::new(id, &bridge))),
        ProxyMode::Nftables => Some(Arc::new(NftablesProxy::new(id, &bridge))),
        ProxyMode::None => None,
    }
}

/// The network of this machine's pods, if other machines are to reach it: those with an address by which they could.
pub fn pod_network(kind: RuntimeKind, address: IpAddr) -> Option<Ipv4Net> {
    let alone = kind != RuntimeKind::Docker || address.is_loopback() || !nix::unistd::geteuid().is_root();
    network::docker_bridge().filter(|_| !alone)
}

/// The two images that the tutorial needs, made from our own programs where they are absent.
pub async fn load_images(runtime: &dyn Runtime) {
    let both = [&images::POD, &images::HELLO_OPENSHIFT];
    let loads = both.map(|image| async move {
        let outcome = runtime.load_image(image.name, image.root(), &[image.program.to_string()]).await;
        if let Err(error) = outcome {
            tracing::warn!(image = image.name, %error, "image not loaded");
        }
    });
    futures::future::join_all(loads).await;
}
