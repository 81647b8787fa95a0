//! Can this node take this pod? Each check answers with the reason why not.
use super::affinity::Needs;
use super::cluster::{Cluster, NodeState};
use crate::controllers::node_health::{UNSCHEDULABLE, tolerates};
use crate::facts::PodFacts;
use shared::quantity::Quantity;

type Check = fn(&PodFacts, &Needs, &NodeState, &Cluster) -> Result<(), String>;

/// In order of cost; the first refusal is the one that is reported.
const CHECKS: [Check; 7] = [unschedulable, node_selector, taints, node_affinity, resources, host_ports, pod_affinity];

/// The text before ` (` is the kind of reason, by which refusals are counted; the rest is this node's detail.
pub fn check(pod: &PodFacts, needs: &Needs, node: &NodeState, cluster: &Cluster) -> Result<(), String> {
    CHECKS.iter().try_for_each(|check| check(pod, needs, node, cluster))
}

fn unschedulable(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> Result<(), String> {
    let tolerated = pod.scheduling.tolerations.iter().any(|t| t.operator == "Exists" && (t.key.is_empty() || t.key == UNSCHEDULABLE));
    if node.facts.unschedulable && !tolerated {
        return Err("node(s) were unschedulable".into());
    }
    Ok(())
}

fn node_selector(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> Result<(), String> {
    match pod.scheduling.node_selector.iter().find(|(k, v)| node.topology(k) != Some(v.as_str())) {
        Some((k, v)) => Err(format!("node(s) didn't match Pod's node affinity/selector (wants label {k}={v})")),
        None => Ok(()),
    }
}

fn taints(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> Result<(), String> {
    let untolerated = node
        .facts
        .taints
        .iter()
        .filter(|t| t.effect == "NoSchedule" || t.effect == "NoExecute")
        .find(|taint| !pod.scheduling.tolerations.iter().any(|t| tolerates(t, taint)));
    match untolerated {
        Some(t) => Err(format!("node(s) had untolerated taint {{{}: {}}}", t.key, t.value)),
        None if !node.facts.ready => Err("node(s) were not ready".into()),
        None => Ok(()),
    }
}

fn node_affinity(_: &PodFacts, needs: &Needs, node: &NodeState, _: &Cluster) -> Result<(), String> {
    if needs.node_matches(node) { Ok(()) } else { Err("node(s) didn't match Pod's node affinity/selector".into()) }
}

fn resources(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> Result<(), String> {
    if node.pods.len() as i64 >= node.facts.pods_max {
        return Err(format!("Too many pods (the node takes {})", node.facts.pods_max));
    }
    let free = node.facts.allocatable.minus(node.requested);
    if pod.requests.cpu_millis > 0 && pod.requests.cpu_millis > free.cpu_millis {
        let (asked, free) = (Quantity::from_millis(pod.requests.cpu_millis), Quantity::from_millis(free.cpu_millis));
        return Err(format!("Insufficient cpu (requested {asked}, free {free})"));
    }
    if pod.requests.memory_bytes > 0 && pod.requests.memory_bytes > free.memory_bytes {
        let (asked, free) = (Quantity::from_bytes(pod.requests.memory_bytes), Quantity::from_bytes(free.memory_bytes));
        return Err(format!("Insufficient memory (requested {asked}, free {free})"));
    }
    Ok(())
}

fn host_ports(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> Result<(), String> {
    for port in pod.ports.iter().filter(|p| p.host_port != 0) {
        if let Some(holder) = node.holder_of(port) {
            let text = format!(
                "node(s) didn't have free ports for the requested pod ports (host port {} is used by pod {holder})",
                port.host_port
            );
            return Err(text);
        }
    }
    Ok(())
}

fn pod_affinity(pod: &PodFacts, needs: &Needs, node: &NodeState, cluster: &Cluster) -> Result<(), String> {
    needs.pods_allow(pod, node, cluster)
}
