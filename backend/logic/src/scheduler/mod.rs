//! How a node is chosen: filter the nodes that can take the pod, score them, pick the best.
pub mod affinity;
pub mod cluster;
pub mod fits;
pub mod scores;

use crate::facts::PodFacts;
use cluster::{Cluster, NodeState};
use std::collections::BTreeMap;

/// More feasible nodes than this are not looked for: the choice hardly improves, the time grows.
const FEASIBLE_MAX: usize = 100;
/// How many nodes a refusal names one by one.
const NODES_NAMED_MAX: usize = 10;

/// The outcome for one pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Bind {
        node: String,
    },
    /// Why no node fits, for the pod's condition and an event.
    Unschedulable {
        message: String,
    },
}

/// Chooses a node. `start` rotates where the search begins, so that equal nodes are used in turn.
pub fn schedule(pod: &PodFacts, cluster: &Cluster, start: usize) -> Decision {
    let nodes = cluster.nodes();
    let mut feasible: Vec<&NodeState> = Vec::new();
    let mut refused: Vec<(&str, String)> = Vec::new();
    let affinity = affinity::Needs::of(pod);
    for i in 0..nodes.len() {
        let node = &nodes[(start + i) % nodes.len()];
        match fits::check(pod, &affinity, node, cluster) {
            Ok(()) => feasible.push(node),
            Err(why) => refused.push((&node.facts.name, why)),
        }
        if feasible.len() >= FEASIBLE_MAX {
            break;
        }
    }
    let best = feasible.into_iter().map(|n| (scores::total(pod, &affinity, n, cluster), n)).reduce(|a, b| if b.0 > a.0 { b } else { a });
    match best {
        Some((_, node)) => Decision::Bind { node: node.facts.name.clone() },
        None => Decision::Unschedulable { message: refusal(nodes.len(), &mut refused) },
    }
}

/// `0/3 nodes are available: 2 insufficient cpu, 1 … (master: …; node-1: …)`: the sum, then each node's own reason.
fn refusal(count: usize, refused: &mut [(&str, String)]) -> String {
    if count == 0 {
        return "0/0 nodes are available: no node has joined the cluster yet".into();
    }
    refused.sort();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, why) in refused.iter() {
        *reasons.entry(why.split(" (").next().unwrap_or(why)).or_default() += 1;
    }
    let sum: Vec<String> = reasons.into_iter().map(|(why, n)| format!("{n} {why}")).collect();
    let mut named: Vec<String> = refused.iter().take(NODES_NAMED_MAX).map(|(node, why)| format!("{node}: {why}")).collect();
    if refused.len() > NODES_NAMED_MAX {
        named.push(format!("and {} more", refused.len() - NODES_NAMED_MAX));
    }
    format!("0/{count} nodes are available: {}. {}", sum.join(", "), named.join("; "))
}

#[cfg(test)]
mod tests;
