//! What controllers and the scheduler need to know of a pod or node: small projections, kept in memory for each object.
use shared::meta::{ObjectMeta, StringMap};
use shared::objects::node::{Node, Taint};
use shared::objects::pod::{Container, Pod, Toleration};
use shared::quantity::Quantity;
use std::collections::BTreeMap;

/// Where a pod is in its life; see <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl Phase {
    pub fn parse(text: &str) -> Phase {
        match text {
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            "Unknown" => Phase::Unknown,
            _ => Phase::Pending,
        }
    }

    /// All containers have ended and none will start again.
    pub fn finished(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// What a pod asks of a node, or a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_millis: i64,
    pub memory_bytes: i64,
}

impl Resources {
    pub fn plus(self, other: Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    pub fn minus(self, other: Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
        }
    }

    fn max(self, other: Resources) -> Resources {
        Resources { cpu_millis: self.cpu_millis.max(other.cpu_millis), memory_bytes: self.memory_bytes.max(other.memory_bytes) }
    }

    /// Reads `cpu` and `memory` of a quantity map; unreadable amounts count as none.
    pub fn of(map: &StringMap) -> Resources {
        let read = |key: &str| map.get(key).and_then(|q| q.parse::<Quantity>().ok());
        Resources { cpu_millis: read("cpu").map_or(0, |q| q.millis()), memory_bytes: read("memory").map_or(0, |q| q.units()) }
    }
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub number: i32,
    pub protocol: String,
    /// 0: not published on the node.
    pub host_port: i32,
    pub host_ip: String,
}

/// The controller that owns a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub kind: String,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub revision: u64,
    pub labels: StringMap,
    pub owner: Option<Owner>,
    pub created: String,
    pub deleting: bool,
    pub node: String,
    pub phase: Phase,
    pub ready: bool,
    /// When the Ready condition last changed.
    pub ready_changed: String,
    pub ip: String,
    pub host_network: bool,
    pub hostname: String,
    pub subdomain: String,
    pub restarts: i32,
    pub ports: Vec<Port>,
    pub requests: Resources,
    pub scheduling: Box<Scheduling>,
}

/// What only the scheduler asks of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduling {
    pub scheduler_name: String,
    pub node_selector: StringMap,
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<serde_json::Value>,
    pub priority: i64,
    /// The PodScheduled condition's message when it is False, so that it is not written twice.
    pub unschedulable: String,
}

impl PodFacts {
    pub fn of(pod: &Pod) -> PodFacts {
        let ready = pod.status.conditions.iter().find(|c| c.type_ == "Ready");
        PodFacts {
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            revision: pod.metadata.revision(),
            labels: pod.metadata.labels.clone(),
            owner: owner(&pod.metadata),
            created: pod.metadata.creation_timestamp.clone().unwrap_or_default(),
            deleting: pod.metadata.is_deleting(),
            node: pod.spec.node_name.clone(),
            phase: Phase::parse(&pod.status.phase),
            ready: ready.is_some_and(|c| c.status == "True"),
            ready_changed: ready.and_then(|c| c.last_transition_time.clone()).unwrap_or_default(),
            ip: pod.status.pod_ip.clone(),
            host_network: pod.spec.host_network,
            hostname: pod.spec.hostname.clone(),
            subdomain: pod.spec.subdomain.clone(),
            restarts: pod.status.container_statuses.iter().map(|c| c.restart_count).sum(),
            ports: pod.spec.containers.iter().flat_map(|c| &c.ports).map(|p| port(p, pod.spec.host_network)).collect(),
            requests: requests(pod),
            scheduling: Box::new(Scheduling {
                scheduler_name: pod.spec.scheduler_name.clone(),
                node_selector: pod.spec.node_selector.clone(),
                tolerations: pod.spec.tolerations.clone(),
                affinity: pod.spec.affinity.clone(),
                priority: pod.spec.priority.unwrap_or(0),
                unschedulable: unschedulable(pod),
            }),
        }
    }

    /// Counts against a node's resources and a controller's replicas.
    pub fn active(&self) -> bool {
        !self.phase.finished() && !self.deleting
    }
}

fn unschedulable(pod: &Pod) -> String {
    let condition = pod.status.conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    condition.map(|c| c.message.clone()).unwrap_or_default()
}

/// The controlling owner among the references.
pub fn owner(meta: &ObjectMeta) -> Option<Owner> {
    meta.controller().map(|o| Owner { kind: o.kind.clone(), name: o.name.clone(), uid: o.uid.clone() })
}

fn port(p: &shared::objects::pod::ContainerPort, host_network: bool) -> Port {
    Port {
        name: p.name.clone(),
        number: p.container_port,
        protocol: if p.protocol.is_empty() { "TCP".into() } else { p.protocol.clone() },
        host_port: if host_network && p.host_port == 0 { p.container_port } else { p.host_port },
        host_ip: p.host_ip.clone(),
    }
}

/// What a pod asks for: its containers together, or its largest init container if that is more.
fn requests(pod: &Pod) -> Resources {
    let ask = |c: &Container| {
        let mut merged = c.resources.limits.clone();
        merged.extend(c.resources.requests.clone());
        Resources::of(&merged)
    };
    let sum = pod.spec.containers.iter().map(ask).fold(Resources::default(), Resources::plus);
    pod.spec.init_containers.iter().map(ask).fold(sum, Resources::max)
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodeFacts {
    pub name: String,
    pub labels: StringMap,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub ready: bool,
    pub allocatable: Resources,
    pub pods_max: i64,
}

impl NodeFacts {
    pub fn of(node: &Node) -> NodeFacts {
        let capacity = if node.status.allocatable.is_empty() { &node.status.capacity } else { &node.status.allocatable };
        let pods = capacity.get("pods").and_then(|q| q.parse::<Quantity>().ok());
        NodeFacts {
            name: node.metadata.name.clone(),
            labels: node.metadata.labels.clone(),
            unschedulable: node.spec.unschedulable,
            taints: node.spec.taints.clone(),
            ready: node.status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"),
            allocatable: Resources::of(capacity),
            pods_max: pods.map_or(PODS_PER_NODE_DEFAULT, |q| q.units()),
        }
    }
}

/// Kubernetes' default of pods per node, for nodes that do not say.
const PODS_PER_NODE_DEFAULT: i64 = 110;

/// Objects by namespace and name.
pub type Keyed<T> = BTreeMap<(String, String), T>;
