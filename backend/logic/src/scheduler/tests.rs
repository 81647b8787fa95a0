//! The scheduler's promises: it never places a pod where it does not fit, and says per node why it cannot.
use super::*;
use crate::facts::NodeFacts;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn node(name: &str, extra: Value) -> NodeFacts {
    let mut n = json!({"metadata": {"name": name, "labels": {}}, "spec": {},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}, "conditions": [{"type": "Ready", "status": "True"}]}});
    for (path, value) in extra.as_object().unwrap() {
        match path.as_str() {
            "labels" => n["metadata"]["labels"] = value.clone(),
            "ready" => n["status"]["conditions"][0]["status"] = value.clone(),
            member => n["spec"][member] = value.clone(),
        }
    }
    NodeFacts::of(&serde_json::from_value(n).unwrap())
}

fn pod(name: &str, spec: Value) -> PodFacts {
    let owner = json!([{"kind": "ReplicationController", "name": "rc", "uid": "rc", "controller": true}]);
    let pod =
        json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "a"}, "ownerReferences": owner}, "spec": spec});
    PodFacts::of(&serde_json::from_value(pod).unwrap())
}

fn cluster(nodes: Vec<NodeFacts>) -> Cluster {
    let mut c = Cluster::default();
    for n in nodes {
        c.set_node(n);
    }
    c
}

fn place(c: &mut Cluster, mut pod: PodFacts, start: usize) -> Decision {
    let decision = schedule(&pod, c, start);
    if let Decision::Bind { node } = &decision {
        pod.node = node.clone();
        c.set_pod(&Arc::new(pod));
    }
    decision
}

fn refused(c: &Cluster, p: &PodFacts) -> String {
    match schedule(p, c, 0) {
        Decision::Unschedulable { message } => message,
        Decision::Bind { node } => panic!("placed on {node}"),
    }
}

#[test]
fn a_host_port_is_used_once_per_node_and_the_refusal_names_the_holder() {
    let mut c = cluster(vec![node("master", json!({}))]);
    let spec = json!({"containers": [{"name": "c", "ports": [{"containerPort": 8080, "hostPort": 6061}]}]});
    assert_eq!(place(&mut c, pod("one", spec.clone()), 0), Decision::Bind { node: "master".into() });
    let message = refused(&c, &pod("two", spec.clone()));
    assert!(message.starts_with("0/1 nodes are available: 1 node(s) didn't have free ports"), "{message}");
    assert!(message.contains("master:") && message.contains("n/one") && message.contains("6061"), "{message}");
    c.remove_pod(&("n".into(), "one".into()));
    assert!(matches!(schedule(&pod("two", spec), &c, 0), Decision::Bind { .. }));
}

#[test]
fn each_kind_of_refusal_is_named() {
    let plain = || pod("p", json!({"containers": [{"name": "c"}]}));
    let big = pod("p", json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}));
    assert!(refused(&cluster(vec![]), &plain()).contains("no node has joined"));
    assert!(refused(&cluster(vec![node("a", json!({}))]), &big).contains("Insufficient cpu (requested 3, free 2)"));
    assert!(refused(&cluster(vec![node("a", json!({"unschedulable": true}))]), &plain()).contains("unschedulable"));
    assert!(refused(&cluster(vec![node("a", json!({"ready": "False"}))]), &plain()).contains("not ready"));
    let tainted = json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
    assert!(refused(&cluster(vec![node("a", tainted)]), &plain()).contains("untolerated taint {k: v}"));
    let selecting = pod("p", json!({"nodeSelector": {"disk": "ssd"}, "containers": []}));
    assert!(refused(&cluster(vec![node("a", json!({})), node("b", json!({"labels": {"disk": "hdd"}}))]), &selecting).contains("0/2 nodes"));
    let affine = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]}}}, "containers": []});
    assert!(matches!(
        schedule(&pod("p", affine.clone()), &cluster(vec![node("a", json!({"labels": {"disk": "ssd"}}))]), 0),
        Decision::Bind { .. }
    ));
    assert!(refused(&cluster(vec![node("a", json!({}))]), &pod("p", affine)).contains("node affinity"));
}

#[test]
fn replicas_spread_over_equal_nodes() {
    let mut c = cluster((0..3).map(|i| node(&format!("n{i}"), json!({}))).collect());
    for i in 0..9 {
        place(&mut c, pod(&format!("p{i}"), json!({"containers": [{"name": "c"}]})), i);
    }
    assert!(c.nodes().iter().all(|n| n.pods.len() == 3));
}

#[test]
fn anti_affinity_keeps_one_per_node() {
    let spec = json!({"containers": [], "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"}]}}});
    let mut c = cluster((0..2).map(|i| node(&format!("n{i}"), json!({}))).collect());
    assert!(matches!(place(&mut c, pod("a", spec.clone()), 0), Decision::Bind { .. }));
    assert!(matches!(place(&mut c, pod("b", spec.clone()), 0), Decision::Bind { .. }));
    assert!(refused(&c, &pod("c", spec)).contains("anti-affinity"));
}

proptest! {
    #[test]
    fn no_node_is_ever_asked_for_more_than_it_has(asks in prop::collection::vec((0i64..1500, 0i64..2048, 0u8..6), 1..60)) {
        let mut c = cluster((0..3).map(|i| node(&format!("n{i}"), json!({}))).collect());
        for (i, (cpu, memory, remove)) in asks.into_iter().enumerate() {
            let spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{cpu}m"), "memory": format!("{memory}Mi")}}}]});
            place(&mut c, pod(&format!("p{i}"), spec), i);
            if remove == 0 {
                c.remove_pod(&("n".into(), format!("p{}", i / 2)));
            }
            for n in c.nodes() {
                let free = n.facts.allocatable.minus(n.requested);
                prop_assert!(free.cpu_millis >= 0 && free.memory_bytes >= 0 && n.pods.len() <= 10);
                let sum = n.pods.values().fold(crate::facts::Resources::default(), |s, p| s.plus(p.requests));
                prop_assert_eq!(sum, n.requested, "the running sum is the sum");
            }
        }
    }
}

#[test]
fn pods_that_are_there_before_their_node_or_outlive_it_count_when_it_is_there() {
    let small = || node("n1", json!({}));
    let bound = |name: &str| {
        let mut p = pod(name, json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]}));
        p.node = "n1".into();
        Arc::new(p)
    };
    let next = pod("next", json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}));
    let mut c = Cluster::default();
    c.set_pod(&bound("early"));
    c.set_node(small());
    assert!(refused(&c, &next).contains("cpu"), "the pod that came first takes its part");
    c.remove_node("n1");
    c.set_node(small());
    assert!(refused(&c, &next).contains("cpu"), "a node that comes back has its pods still");
    c.remove_node("n1");
    c.remove_pod(&("n".into(), "early".into()));
    c.set_node(small());
    assert_eq!(schedule(&next, &c, 0), Decision::Bind { node: "n1".into() }, "what ended meanwhile takes nothing");
    assert_eq!(c.node("n1").unwrap().pods.len(), 0);
}
