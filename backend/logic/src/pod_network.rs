//! How pods of one machine reach those of another: each node has a network of its own, and the others have a route to it.
//!
//! ```text
//! node a 10.0.0.1                                node b 10.0.0.2
//! docker0 172.18.1.1/24 ─ pods 172.18.1.x        docker0 172.18.2.1/24 ─ pods 172.18.2.x
//! route 172.18.2.0/24 via 10.0.0.2               route 172.18.1.0/24 via 10.0.0.1
//! ```
//! A node reports the network of its engine's bridge; the control plane makes it `spec.podCIDR` if it is nobody else's. The
//! nodes stand on one layer-2 network (what flannel calls host-gw): packets travel as they are, with the pods' own addresses.
use crate::controllers::Write;
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use shared::kinds::NODE;
use shared::objects::node::Node;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Annotation by which a node reports the network of its pods.
pub const REPORTED: &str = "node.openshift.io/pod-network";
/// A network with more addresses is not one machine's.
const PREFIX_MIN: u8 = 16;
const CONDITION: &str = "NetworkUnavailable";

/// Routes and what may pass, as one node needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Empty until the control plane has agreed to the node's network.
    pub own: Option<Ipv4Net>,
    /// Network of each other node, and the node's address.
    pub peers: BTreeMap<Ipv4Net, Ipv4Addr>,
}

/// What the node of this name needs, given all nodes.
pub fn plan<'a>(own: &str, nodes: impl Iterator<Item = &'a Node>) -> Plan {
    let mut plan = Plan::default();
    for node in nodes {
        let Ok(net) = node.spec.pod_cidr.parse::<Ipv4Net>() else { continue };
        if node.metadata.name == own {
            plan.own = Some(net.trunc());
        } else if let Some(address) = address(node) {
            plan.peers.insert(net.trunc(), address);
        }
    }
    plan
}

fn address(node: &Node) -> Option<Ipv4Addr> {
    let internal = node.status.addresses.iter().find(|a| a.type_ == "InternalIP")?;
    internal.address.parse().ok().filter(|a: &Ipv4Addr| !a.is_loopback() && !a.is_unspecified())
}

/// Agrees to the networks that nodes report, in the order of the nodes' names, or says in a condition why not.
pub fn reconcile(nodes: &[Node], portal_net: Ipv4Net, now_text: &str) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut given: Vec<(&str, Ipv4Net)> =
        nodes.iter().filter_map(|n| Some((n.metadata.name.as_str(), n.spec.pod_cidr.parse().ok()?))).collect();
    for node in nodes {
        let name = node.metadata.name.as_str();
        let Some(reported) = node.metadata.annotations.get(REPORTED) else { continue };
        let fault = match reported.parse::<Ipv4Net>() {
            Ok(net) => fault(name, net, portal_net, &given, nodes),
            Err(_) => Some(format!("{reported:?} is no network")),
        };
        if fault.is_none() && node.spec.pod_cidr != *reported {
            given.retain(|(n, _)| *n != name);
            given.extend(reported.parse().ok().map(|net| (name, net)));
            writes.push(merge(node, "", json!({"spec": {"podCIDR": reported, "podCIDRs": [reported]}})));
        }
        writes.extend(condition(node, fault.as_deref(), now_text));
    }
    writes
}

/// Why this network cannot be the node's.
fn fault(name: &str, net: Ipv4Net, portal_net: Ipv4Net, given: &[(&str, Ipv4Net)], nodes: &[Node]) -> Option<String> {
    let overlap = |a: &Ipv4Net, b: &Ipv4Net| a.contains(&b.network()) || b.contains(&a.network());
    if net.prefix_len() < PREFIX_MIN || !net.network().is_private() {
        return Some(format!("{net} is no private network of one machine"));
    }
    if overlap(&net, &portal_net) {
        return Some(format!("{net} overlaps the services' network {portal_net}"));
    }
    // Or routes to it would cut off the nodes themselves.
    if let Some(node) = nodes.iter().find(|n| address(n).is_some_and(|a| net.contains(&a))) {
        return Some(format!("{net} contains the address of node {}", node.metadata.name));
    }
    let (other, theirs) = given.iter().find(|(n, other)| *n != name && overlap(&net, other))?;
    Some(format!("{net} overlaps the pod network {theirs} of node {other}; give Docker another one here: dockerd --bip=ADDRESS/24"))
}

fn merge(node: &Node, subresource: &'static str, patch: Value) -> Write {
    let (name, uid) = (node.metadata.name.clone(), node.metadata.uid.clone());
    Write::Merge { kind: &NODE, namespace: String::new(), name, subresource, uid, patch }
}

/// The condition, if it does not say so yet. Of a silent node nothing is known.
fn condition(node: &Node, fault: Option<&str>, now_text: &str) -> Option<Write> {
    let conditions = &node.status.conditions;
    if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "Unknown") {
        return None;
    }
    let (status, reason, message) = match fault {
        Some(why) => ("True", "PodNetworkUnusable", why.to_string()),
        None => ("False", "RouteCreated", "the other nodes have a route to this node's pods".to_string()),
    };
    if conditions.iter().any(|c| c.type_ == CONDITION && c.status == status && c.message == message) {
        return None;
    }
    let mut all: Vec<Value> = conditions.iter().filter(|c| c.type_ != CONDITION).map(|c| json!(c)).collect();
    all.push(json!({"type": CONDITION, "status": status, "reason": reason, "message": message,
        "lastHeartbeatTime": now_text, "lastTransitionTime": now_text}));
    Some(merge(node, "status", json!({"status": {"conditions": all}})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: &str, reported: &str, given: &str) -> Node {
        let annotations = if reported.is_empty() { json!({}) } else { json!({REPORTED: reported}) };
        serde_json::from_value(json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"podCIDR": given},
            "status": {"addresses": [{"type": "InternalIP", "address": address}], "conditions": [{"type": "Ready", "status": "True"}]}}))
        .unwrap()
    }

    fn run(nodes: &[Node]) -> Vec<(String, Value)> {
        let writes = reconcile(nodes, "172.30.0.0/16".parse().unwrap(), "now");
        let told = writes.into_iter().map(|w| match w {
            Write::Merge { name, patch, .. } => (name, patch),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    fn given(nodes: &[Node]) -> Vec<(String, String)> {
        let of = |(name, patch): (String, Value)| Some((name, patch["spec"]["podCIDR"].as_str()?.to_string()));
        run(nodes).into_iter().filter_map(of).collect()
    }

    #[test]
    fn what_is_nobody_elses_is_given_and_the_rest_is_refused_with_a_reason() {
        let two = [node("a", "10.0.0.1", "172.18.1.0/24", ""), node("b", "10.0.0.2", "172.18.2.0/24", "")];
        assert_eq!(given(&two), [("a".into(), "172.18.1.0/24".into()), ("b".into(), "172.18.2.0/24".into())]);
        let same = [node("a", "10.0.0.1", "172.17.0.0/16", ""), node("b", "10.0.0.2", "172.17.0.0/16", "")];
        assert_eq!(given(&same), [("a".into(), "172.17.0.0/16".into())]);
        let told = run(&same);
        let why = told.iter().filter(|(name, _)| name == "b").find_map(|(_, p)| p.pointer("/status/conditions/1/message")?.as_str());
        assert!(why.unwrap().contains("overlaps the pod network 172.17.0.0/16 of node a"), "{told:?}");
        // Whoever has it keeps it, whatever he is called.
        let kept = [node("a", "10.0.0.1", "172.17.0.0/16", ""), node("b", "10.0.0.2", "172.17.0.0/16", "172.17.0.0/16")];
        assert_eq!(given(&kept), []);
        for bad in ["10.0.0.0/24", "172.30.1.0/24", "10.0.0.0/8", "8.8.8.0/24", "nonsense"] {
            assert_eq!(given(&[node("a", "10.0.0.1", bad, "")]), [], "{bad}");
        }
    }

    #[test]
    fn what_is_settled_is_not_written_again() {
        let mut one = node("a", "10.0.0.1", "172.18.1.0/24", "");
        let told = run(std::slice::from_ref(&one));
        one.spec.pod_cidr = "172.18.1.0/24".into();
        one.status.conditions = serde_json::from_value(told.last().unwrap().1["status"]["conditions"].clone()).unwrap();
        assert_eq!(run(std::slice::from_ref(&one)), []);
        assert_eq!(run(&[node("plain", "127.0.0.1", "", "")]), []);
    }

    #[test]
    fn a_node_has_a_route_to_each_other_node_that_has_a_network_and_an_address() {
        let nodes = [
            node("a", "10.0.0.1", "", "172.18.1.0/24"),
            node("b", "10.0.0.2", "", "172.18.2.0/24"),
            node("c", "10.0.0.3", "", ""),
            node("d", "127.0.0.1", "", "172.18.4.0/24"),
        ];
        let peers = BTreeMap::from([("172.18.2.0/24".parse().unwrap(), Ipv4Addr::new(10, 0, 0, 2))]);
        assert_eq!(plan("a", nodes.iter()), Plan { own: Some("172.18.1.0/24".parse().unwrap()), peers });
        assert_eq!(plan("c", nodes.iter()).peers.len(), 2);
    }
}
