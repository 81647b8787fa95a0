//! When a node counts as lost, and what happens to its pods then.
use super::Write;
use crate::facts::PodFacts;
use serde_json::{Value, json};
use shared::kinds::{NODE, POD};
use shared::objects::node::{Node, Taint};
use shared::objects::pod::Toleration;

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// One node, when it was last heard of and when each of its taints was added, all in Unix seconds.
pub struct Observed<'a> {
    pub node: &'a Node,
    pub last_heard: i64,
    pub now: i64,
    /// RFC 3339 of `now`.
    pub now_text: &'a str,
    /// A node that says nothing for so long is lost (Kubernetes' default: 40, or 50 since 1.32).
    pub grace_seconds: i64,
}

/// Sets the Ready condition to Unknown when the node is silent, and the taints that follow from its condition.
pub fn reconcile(observed: &Observed<'_>) -> Vec<Write> {
    let node = observed.node;
    let silent = observed.now - observed.last_heard > observed.grace_seconds;
    let mut writes = Vec::new();
    let ready = node.status.conditions.iter().find(|c| c.type_ == "Ready").map_or("Unknown", |c| c.status.as_str());
    let mut status = ready;
    if silent && ready != "Unknown" {
        status = "Unknown";
        writes.push(merge(node, "status", json!({"status": {"conditions": unknown_conditions(observed)}})));
    }
    let taints = wanted_taints(node, status, observed.now_text);
    if taints != node.spec.taints {
        writes.push(merge(node, "", json!({"spec": {"taints": if taints.is_empty() { Value::Null } else { json!(taints) }}})));
    }
    writes
}

fn merge(node: &Node, subresource: &'static str, patch: Value) -> Write {
    let (name, uid) = (node.metadata.name.clone(), node.metadata.uid.clone());
    Write::Merge { kind: &NODE, namespace: String::new(), name, subresource, uid, patch }
}

fn unknown_conditions(observed: &Observed<'_>) -> Vec<Value> {
    observed
        .node
        .status
        .conditions
        .iter()
        .map(|c| {
            let mut c = c.clone();
            if c.status != "Unknown" {
                c.status = "Unknown".into();
                c.reason = "NodeStatusUnknown".into();
                c.message = "the node has stopped posting its status".into();
                c.last_transition_time = Some(observed.now_text.into());
            }
            json!(c)
        })
        .collect()
}

/// The node's own taints with ours put right: not-ready, unreachable (each NoSchedule and NoExecute) and unschedulable.
fn wanted_taints(node: &Node, ready: &str, now: &str) -> Vec<Taint> {
    let wanted: &[(&str, &str)] = match ready {
        "True" => &[],
        "False" => &[(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
        _ => &[(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
    };
    let cordoned = node.spec.unschedulable.then_some((UNSCHEDULABLE, "NoSchedule"));
    let wanted: Vec<(&str, &str)> = wanted.iter().copied().chain(cordoned).collect();
    let ours = |t: &Taint| [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&t.key.as_str());
    let is = |t: &Taint, (key, effect): (&str, &str)| t.key == key && t.effect == effect;
    let mut taints: Vec<Taint> = node.spec.taints.iter().filter(|t| !ours(t) || wanted.iter().any(|w| is(t, *w))).cloned().collect();
    for w in wanted {
        if !taints.iter().any(|t| is(t, w)) {
            taints.push(Taint { key: w.0.into(), value: String::new(), effect: w.1.into(), time_added: Some(now.into()) });
        }
    }
    taints
}

/// When a pod must leave a node because of a NoExecute taint: `None` if never, else seconds after the taint was added.
pub fn eviction_after(taints: &[Taint], tolerations: &[Toleration]) -> Option<(i64, &'static str)> {
    let mut soonest: Option<i64> = None;
    for taint in taints.iter().filter(|t| t.effect == "NoExecute") {
        let tolerating: Vec<&Toleration> = tolerations.iter().filter(|t| tolerates(t, taint)).collect();
        let after =
            if tolerating.is_empty() { Some(0) } else { tolerating.iter().filter_map(|t| t.toleration_seconds).map(|s| s.max(0)).min() };
        soonest = [soonest, after].into_iter().flatten().min();
    }
    soonest.map(|s| (s, "TaintManagerEviction"))
}

/// Does the toleration cover the taint? <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    (toleration.effect.is_empty() || toleration.effect == taint.effect)
        && match toleration.operator.as_str() {
            "Exists" => toleration.key.is_empty() || toleration.key == taint.key,
            _ => toleration.key == taint.key && toleration.value == taint.value,
        }
}

/// Pods of a node that no longer exists will never be stopped by anybody: they are removed at once.
pub fn orphaned_pods<'a>(pods: impl Iterator<Item = &'a PodFacts>) -> Vec<Write> {
    pods.map(|p| Write::Delete {
        kind: &POD,
        namespace: p.namespace.clone(),
        name: p.name.clone(),
        uid: p.uid.clone(),
        grace_seconds: Some(0),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, taints: Value) -> Node {
        serde_json::from_value(
            json!({"metadata": {"name": "n"}, "spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}),
        )
        .unwrap()
    }

    fn run(node: &Node, silent_for: i64) -> Vec<Write> {
        reconcile(&Observed { node, last_heard: 1000, now: 1000 + silent_for, now_text: "2026-01-01T00:00:00Z", grace_seconds: 40 })
    }

    #[test]
    fn a_silent_node_becomes_unknown_and_unreachable_and_a_loud_one_is_left_alone() {
        assert!(run(&node("True", json!([])), 40).is_empty());
        let writes = run(&node("True", json!([])), 41);
        assert_eq!(writes.len(), 2);
        assert!(matches!(&writes[1], Write::Merge { patch, .. } if patch["spec"]["taints"].as_array().unwrap().len() == 2));
    }

    #[test]
    fn a_node_that_returns_loses_our_taints_and_keeps_its_own() {
        let taints = json!([{"key": UNREACHABLE, "effect": "NoSchedule"}, {"key": "mine", "effect": "NoSchedule"}, {"key": UNREACHABLE, "effect": "NoExecute"}]);
        let writes = run(&node("True", taints), 0);
        assert!(matches!(&writes[..], [Write::Merge { patch, .. }] if patch["spec"]["taints"].as_array().unwrap().len() == 1));
    }

    #[test]
    fn the_shortest_toleration_decides_the_eviction() {
        let taint: Vec<Taint> = serde_json::from_value(json!([{"key": UNREACHABLE, "effect": "NoExecute"}])).unwrap();
        let tolerations = |v: Value| -> Vec<Toleration> { serde_json::from_value(v).unwrap() };
        assert_eq!(eviction_after(&taint, &[]).unwrap().0, 0);
        assert_eq!(eviction_after(&taint, &tolerations(json!([{"operator": "Exists"}]))), None);
        assert_eq!(
            eviction_after(&taint, &tolerations(json!([{"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 300}]))).unwrap().0,
            300
        );
        assert_eq!(eviction_after(&[], &[]), None);
    }
}
