//! Which of the nodes that fit is best: each score is 0 to 100, weighted and summed.
use super::affinity::Needs;
use super::cluster::{Cluster, NodeState};
use crate::controllers::node_health::tolerates;
use crate::facts::PodFacts;

type Score = fn(&PodFacts, &Needs, &NodeState, &Cluster) -> i64;

/// Weight and score. Spreading an owner's pods weighs most: all replicas on one host is the failure that hurts.
const SCORES: [(i64, Score); 5] = [(3, spread), (1, least_requested), (1, balanced), (3, soft_taints), (2, preferred_nodes)];

pub fn total(pod: &PodFacts, needs: &Needs, node: &NodeState, cluster: &Cluster) -> i64 {
    SCORES.iter().map(|(weight, score)| weight * score(pod, needs, node, cluster)).sum()
}

/// Fewer pods of the same owner here is better.
fn spread(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> i64 {
    let here = pod.owner.as_ref().and_then(|o| node.owners.get(&o.uid)).copied().unwrap_or(0) as i64;
    100 / (1 + here)
}

/// More room left is better; a pod that asks for nothing still counts by the number of pods.
fn least_requested(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> i64 {
    let after = node.requested.plus(pod.requests);
    let left = |asked: i64, all: i64| if all <= 0 { 0 } else { ((all - asked).max(0)) * 100 / all };
    let slots = left(node.pods.len() as i64 + 1, node.facts.pods_max);
    (left(after.cpu_millis, node.facts.allocatable.cpu_millis) + left(after.memory_bytes, node.facts.allocatable.memory_bytes) + slots) / 3
}

/// CPU and memory used alike is better: neither strands the other.
fn balanced(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> i64 {
    let after = node.requested.plus(pod.requests);
    let used = |asked: i64, all: i64| if all <= 0 { 100 } else { (asked * 100 / all).min(100) };
    let (cpu, memory) =
        (used(after.cpu_millis, node.facts.allocatable.cpu_millis), used(after.memory_bytes, node.facts.allocatable.memory_bytes));
    100 - (cpu - memory).abs()
}

fn soft_taints(pod: &PodFacts, _: &Needs, node: &NodeState, _: &Cluster) -> i64 {
    let soft = node.facts.taints.iter().filter(|t| t.effect == "PreferNoSchedule");
    let untolerated = soft.filter(|taint| !pod.scheduling.tolerations.iter().any(|t| tolerates(t, taint))).count() as i64;
    100 / (1 + untolerated)
}

fn preferred_nodes(_: &PodFacts, needs: &Needs, node: &NodeState, _: &Cluster) -> i64 {
    needs.node_preference(node)
}
