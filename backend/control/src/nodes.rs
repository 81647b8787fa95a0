//! Watches that nodes keep reporting, and moves pods away from those that do not.
use crate::events::{now_text, seconds_of};
use crate::{Context, apply};
use logic::controllers::Write;
use logic::controllers::node_health::{Observed, eviction_after, orphaned_pods, reconcile};
use logic::facts::PodFacts;
use logic::pod_network;
use registry::object::Object;
use serde_json::Value;
use shared::kinds::{LEASE, NODE, POD};
use shared::objects::node::Node;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);
/// Node leases live here, as in Kubernetes.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// A pod of a node that never joined is kept this many rounds, since its node may be about to.
const ORPHAN_ROUNDS: u32 = 8;

pub(crate) fn start(context: &Context) {
    let context = context.clone();
    tokio::spawn(async move {
        let mut orphans: BTreeMap<String, u32> = BTreeMap::new();
        // Leases that were written before a pause of this server say nothing of the time since.
        let mut heard: BTreeMap<String, (String, i64)> = BTreeMap::new();
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep(EVERY) => {}
                () = context.stop.cancelled() => return,
            }
            let mut writes = Vec::new();
            let nodes = context.registry.all(&NODE, None).1;
            let mut by_node: BTreeMap<String, Vec<Arc<PodFacts>>> = BTreeMap::new();
            for pod in context.pods.all() {
                by_node.entry(pod.node.clone()).or_default().push(pod);
            }
            for node in &nodes {
                writes.extend(health(&context, node, &mut heard));
                writes.extend(evictions(&node.view(), by_node.get(node.name()).map_or(&[], Vec::as_slice)));
            }
            let views: Vec<Node> = nodes.iter().map(Object::view).collect();
            writes.extend(pod_network::reconcile(&views, context.config.portal_net, &now_text()));
            writes.extend(gone(&nodes, by_node, &mut orphans));
            if let Err(status) = apply::all(&context, writes, &NODE).await {
                tracing::warn!(error = %status, "node health could not be written");
            }
        }
    });
}

fn health(context: &Context, object: &Object, heard: &mut BTreeMap<String, (String, i64)>) -> Vec<Write> {
    let node: Node = object.view();
    let now = registry::clock::now().as_second();
    let lease = context.registry.get(&context.caller, &LEASE, Some(LEASE_NAMESPACE), &node.metadata.name).ok();
    let sign = match lease.map(|l| l.value()) {
        Some(lease) => lease.pointer("/spec/renewTime").and_then(Value::as_str).unwrap_or_default().to_string(),
        None => node.status.conditions.iter().find(|c| c.type_ == "Ready").and_then(|c| c.last_heartbeat_time.clone()).unwrap_or_default(),
    };
    // By our own clock, from when the sign of life changed: clocks of nodes may differ.
    let entry = heard.entry(node.metadata.name.clone()).or_insert_with(|| (sign.clone(), now));
    if entry.0 != sign {
        *entry = (sign, now);
    }
    let observed =
        Observed { node: &node, last_heard: entry.1, now, now_text: &now_text(), grace_seconds: context.config.node_grace_seconds };
    reconcile(&observed)
}

fn evictions(node: &Node, pods: &[Arc<PodFacts>]) -> Vec<Write> {
    let taints: Vec<_> = node.spec.taints.iter().filter(|t| t.effect == "NoExecute").cloned().collect();
    if taints.is_empty() {
        return Vec::new();
    }
    let since = taints.iter().filter_map(|t| seconds_of(t.time_added.as_deref()?)).min().unwrap_or(0);
    let now = registry::clock::now().as_second();
    pods.iter()
        .filter(|p| p.active())
        .filter(|p| eviction_after(&taints, &p.scheduling.tolerations).is_some_and(|(after, _)| now >= since + after))
        .map(|p| Write::Delete {
            kind: &POD,
            namespace: p.namespace.clone(),
            name: p.name.clone(),
            uid: p.uid.clone(),
            grace_seconds: None,
        })
        .collect()
}

/// Pods of nodes that are not there, and have not been for a while.
fn gone(nodes: &[Object], mut by_node: BTreeMap<String, Vec<Arc<PodFacts>>>, rounds: &mut BTreeMap<String, u32>) -> Vec<Write> {
    by_node.remove("");
    for node in nodes {
        by_node.remove(node.name());
    }
    rounds.retain(|name, _| by_node.contains_key(name));
    for name in by_node.keys() {
        *rounds.entry(name.clone()).or_default() += 1;
    }
    by_node.retain(|name, _| rounds.get(name).copied().unwrap_or(0) >= ORPHAN_ROUNDS);
    orphaned_pods(by_node.values().flatten().map(AsRef::as_ref))
}
