//! What the engine says of its bridge, and who must make way on it.
use super::{DockerRuntime, LABEL_CLUSTER, LOOK_SECONDS_MAX, call};
use crate::network::{Bridge, LABEL_ADDRESS, PodNetwork};
use crate::runtime::{ContainerInfo, Runtime};
use bollard::query_parameters::ListContainersOptions;
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// The engine's name for its default network, and of the options that matter here.
const NETWORK: &str = "bridge";
const OPTION_NAME: &str = "com.docker.network.bridge.name";
const OPTION_MTU: &str = "com.docker.network.driver.mtu";

/// Tells the pod network who has which address. `ours` are all containers of this cluster, listed after `mark` was taken.
pub(super) async fn settle(runtime: &DockerRuntime, network: &PodNetwork, ours: &[ContainerInfo], mark: u64) {
    let bridge = match bridge(runtime).await {
        Ok(bridge) => bridge,
        Err(error) => return tracing::debug!(%error, "the engine has no bridge that pods could use"),
    };
    let address = |c: &ContainerInfo| c.labels.get(LABEL_ADDRESS)?.parse().ok();
    let held: Vec<(String, Ipv4Addr)> = ours.iter().filter_map(|c| Some((c.id.clone(), address(c)?))).collect();
    for id in network.settle(bridge, &held, mark) {
        // Its pod gets a new sandbox, with another address.
        tracing::warn!(container = id, "the engine has given a sandbox's address to another container; the sandbox makes way");
        let _ = runtime.remove(&id).await;
    }
}

async fn bridge(runtime: &DockerRuntime) -> crate::runtime::Result<Bridge> {
    let docker = &runtime.docker;
    let found = call("inspect network", LOOK_SECONDS_MAX, docker.inspect_network(NETWORK, None)).await?;
    let filters = HashMap::from([("label".to_string(), vec![LABEL_ADDRESS.to_string()])]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
    let plugged = call("list", LOOK_SECONDS_MAX, docker.list_containers(Some(options))).await?;
    let labels = plugged.into_iter().filter_map(|c| c.labels);
    let others = labels.filter(|l| l.get(LABEL_CLUSTER) != Some(&runtime.cluster)).filter_map(|l| l.get(LABEL_ADDRESS)?.parse().ok());
    // With the network's length: `172.17.0.2/16`.
    let endpoints = found.containers.unwrap_or_default().into_values().filter_map(|e| e.ipv4_address);
    let engines = endpoints.filter_map(|a| a.split('/').next()?.parse::<Ipv4Addr>().ok());
    let taken: BTreeSet<Ipv4Addr> = engines.chain(others).collect();
    let options = found.options.unwrap_or_default();
    let name = options.get(OPTION_NAME).cloned().unwrap_or_else(|| "docker0".into());
    Ok(Bridge { name, mtu: options.get(OPTION_MTU).and_then(|mtu| mtu.parse().ok()), taken })
}
