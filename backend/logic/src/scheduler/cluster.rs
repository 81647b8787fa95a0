//! What the scheduler sees: nodes and what already runs on them, kept up to date pod by pod.
use crate::facts::{NodeFacts, PodFacts, Port, Resources};
use shared::meta::StringMap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A node with the sum of what its pods ask for.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub facts: NodeFacts,
    pub requested: Resources,
    /// Pods on the node, by namespace and name.
    pub pods: BTreeMap<(String, String), Arc<PodFacts>>,
    /// Host port uses: (protocol, port, host address, pod).
    pub host_ports: Vec<(String, i32, String, String)>,
    /// How many pods of each owner run here, for spreading.
    pub owners: HashMap<String, usize>,
}

/// All nodes and the selectors of services, by which pods belong together.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    nodes: Vec<NodeState>,
    position: HashMap<String, usize>,
    /// Where each placed pod is, so that its change or end finds it.
    placed: HashMap<(String, String), String>,
    /// Pods of nodes that are not known, by node: a node may come after its pods, or come back to them.
    homeless: HashMap<String, BTreeMap<(String, String), Arc<PodFacts>>>,
}

impl Cluster {
    pub fn nodes(&self) -> &[NodeState] {
        &self.nodes
    }

    pub fn node(&self, name: &str) -> Option<&NodeState> {
        self.position.get(name).map(|i| &self.nodes[*i])
    }

    /// Adds a node, with the pods that waited for it, or replaces what is known of it; its pods stay.
    pub fn set_node(&mut self, facts: NodeFacts) {
        match self.position.get(&facts.name) {
            Some(i) => self.nodes[*i].facts = facts,
            None => {
                let waiting = self.homeless.remove(&facts.name).unwrap_or_default();
                self.position.insert(facts.name.clone(), self.nodes.len());
                self.nodes.push(NodeState {
                    facts,
                    requested: Resources::default(),
                    pods: BTreeMap::new(),
                    host_ports: Vec::new(),
                    owners: HashMap::new(),
                });
                waiting.values().for_each(|pod| self.set_pod(pod));
            }
        }
    }

    pub fn remove_node(&mut self, name: &str) {
        let Some(i) = self.position.remove(name) else { return };
        let gone = self.nodes.swap_remove(i);
        if !gone.pods.is_empty() {
            self.homeless.insert(name.to_string(), gone.pods);
        }
        if let Some(moved) = self.nodes.get(i) {
            self.position.insert(moved.facts.name.clone(), i);
        }
    }

    /// Takes over a pod's newest state; finished and unbound pods use nothing.
    pub fn set_pod(&mut self, pod: &Arc<PodFacts>) {
        let key = (pod.namespace.clone(), pod.name.clone());
        self.remove_pod(&key);
        if pod.node.is_empty() || pod.phase.finished() {
            return;
        }
        self.placed.insert(key.clone(), pod.node.clone());
        let Some(i) = self.position.get(&pod.node).copied() else {
            self.homeless.entry(pod.node.clone()).or_default().insert(key, pod.clone());
            return;
        };
        let node = &mut self.nodes[i];
        node.requested = node.requested.plus(pod.requests);
        for port in pod.ports.iter().filter(|p| p.host_port != 0) {
            node.host_ports.push((port.protocol.clone(), port.host_port, port.host_ip.clone(), format!("{}/{}", pod.namespace, pod.name)));
        }
        if let Some(owner) = &pod.owner {
            *node.owners.entry(owner.uid.clone()).or_default() += 1;
        }
        node.pods.insert(key, pod.clone());
    }

    pub fn remove_pod(&mut self, key: &(String, String)) {
        let Some(name) = self.placed.remove(key) else { return };
        let Some(i) = self.position.get(&name).copied() else {
            if let Some(pods) = self.homeless.get_mut(&name) {
                pods.remove(key);
                if pods.is_empty() {
                    self.homeless.remove(&name);
                }
            }
            return;
        };
        let node = &mut self.nodes[i];
        let Some(pod) = node.pods.remove(key) else { return };
        node.requested = node.requested.minus(pod.requests);
        let label = format!("{}/{}", key.0, key.1);
        node.host_ports.retain(|(_, _, _, p)| *p != label);
        if let Some(owner) = &pod.owner
            && let Some(n) = node.owners.get_mut(&owner.uid)
        {
            *n -= 1;
            if *n == 0 {
                node.owners.remove(&owner.uid);
            }
        }
    }
}

impl NodeState {
    /// The pod that holds a host port already, if any. An empty address or 0.0.0.0 means all addresses.
    pub fn holder_of(&self, port: &Port) -> Option<&str> {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.host_ports
            .iter()
            .find(|(protocol, number, ip, _)| {
                *protocol == port.protocol && *number == port.host_port && (any(ip) || any(&port.host_ip) || *ip == port.host_ip)
            })
            .map(|(_, _, _, pod)| pod.as_str())
    }

    /// The value of a topology label, such as `kubernetes.io/hostname`.
    pub fn topology(&self, key: &str) -> Option<&str> {
        let labels: &StringMap = &self.facts.labels;
        labels.get(key).map(String::as_str).or((key == "kubernetes.io/hostname").then_some(self.facts.name.as_str()))
    }
}
