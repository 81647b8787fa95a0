//! Node affinity and inter-pod (anti-)affinity, read once per pod and asked per node.
use super::cluster::{Cluster, NodeState};
use crate::facts::PodFacts;
use serde_json::Value;
use shared::selector::{LabelSelector, LabelSelectorSpec};

/// One term of required pod affinity or anti-affinity.
struct PodTerm {
    selector: LabelSelector,
    namespaces: Vec<String>,
    topology_key: String,
}

/// A pod's `spec.affinity`, decoded; empty for most pods.
#[derive(Default)]
pub struct Needs {
    node_terms: Option<Vec<Value>>,
    preferred_nodes: Vec<(i64, Value)>,
    together: Vec<PodTerm>,
    apart: Vec<PodTerm>,
}

impl Needs {
    pub fn of(pod: &PodFacts) -> Needs {
        let Some(affinity) = &pod.scheduling.affinity else { return Needs::default() };
        let list = |path: &str| affinity.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
        let node_terms = affinity.pointer("/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms");
        Needs {
            node_terms: node_terms.and_then(Value::as_array).cloned(),
            preferred_nodes: list("/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution")
                .into_iter()
                .map(|t| (t["weight"].as_i64().unwrap_or(1), t["preference"].clone()))
                .collect(),
            together: pod_terms(pod, list("/podAffinity/requiredDuringSchedulingIgnoredDuringExecution")),
            apart: pod_terms(pod, list("/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution")),
        }
    }

    /// One of the required terms must hold; no terms at all hold always.
    pub fn node_matches(&self, node: &NodeState) -> bool {
        self.node_terms.as_ref().is_none_or(|terms| terms.iter().any(|t| term_matches(t, node)))
    }

    /// Sum of the weights of preferred terms that hold, in percent of what is possible.
    pub fn node_preference(&self, node: &NodeState) -> i64 {
        let possible: i64 = self.preferred_nodes.iter().map(|(w, _)| *w).sum();
        let held: i64 = self.preferred_nodes.iter().filter(|(_, t)| term_matches(t, node)).map(|(w, _)| *w).sum();
        if possible == 0 { 0 } else { held * 100 / possible }
    }

    pub(super) fn pods_allow(&self, pod: &PodFacts, node: &NodeState, cluster: &Cluster) -> Result<(), String> {
        for term in &self.apart {
            if self.any_in_domain(term, node, cluster) {
                return Err("node(s) didn't match pod anti-affinity rules".into());
            }
        }
        for term in &self.together {
            let first_of_its_kind = || {
                let itself = term.selector.matches(&pod.labels) && term.namespaces.contains(&pod.namespace);
                itself && !cluster.nodes().iter().any(|n| n.pods.values().any(|p| term.covers(p)))
            };
            if node.topology(&term.topology_key).is_none() || !self.any_in_domain(term, node, cluster) && !first_of_its_kind() {
                return Err("node(s) didn't match pod affinity rules".into());
            }
        }
        Ok(())
    }

    fn any_in_domain(&self, term: &PodTerm, node: &NodeState, cluster: &Cluster) -> bool {
        if term.topology_key == "kubernetes.io/hostname" {
            return node.pods.values().any(|p| term.covers(p));
        }
        let Some(domain) = node.topology(&term.topology_key) else { return false };
        cluster.nodes().iter().any(|n| n.topology(&term.topology_key) == Some(domain) && n.pods.values().any(|p| term.covers(p)))
    }
}

impl PodTerm {
    fn covers(&self, pod: &PodFacts) -> bool {
        self.namespaces.contains(&pod.namespace) && self.selector.matches(&pod.labels) && !pod.deleting
    }
}

fn pod_terms(pod: &PodFacts, terms: Vec<Value>) -> Vec<PodTerm> {
    terms
        .into_iter()
        .filter_map(|t| {
            let spec: LabelSelectorSpec = serde_json::from_value(t.get("labelSelector")?.clone()).ok()?;
            let mut namespaces: Vec<String> = serde_json::from_value(t["namespaces"].clone()).unwrap_or_default();
            if namespaces.is_empty() {
                namespaces.push(pod.namespace.clone());
            }
            let topology_key = t["topologyKey"].as_str().unwrap_or_default().to_string();
            Some(PodTerm { selector: spec.to_selector().ok()?, namespaces, topology_key })
        })
        .collect()
}

fn term_matches(term: &Value, node: &NodeState) -> bool {
    let list = |member: &str| term[member].as_array().cloned().unwrap_or_default();
    let (expressions, fields) = (list("matchExpressions"), list("matchFields"));
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|e| expression_holds(e, e["key"].as_str().and_then(|k| node.topology(k))))
        && fields.iter().all(|e| expression_holds(e, Some(node.facts.name.as_str())))
}

fn expression_holds(expression: &Value, value: Option<&str>) -> bool {
    let values: Vec<&str> = expression["values"].as_array().map(|v| v.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
    let number = |t: Option<&str>| t.and_then(|t| t.parse::<i64>().ok());
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => value.is_some_and(|v| values.contains(&v)),
        "NotIn" => value.is_none_or(|v| !values.contains(&v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(number(values.first().copied())).is_some_and(|(a, b)| a > b),
        "Lt" => number(value).zip(number(values.first().copied())).is_some_and(|(a, b)| a < b),
        _ => false,
    }
}
