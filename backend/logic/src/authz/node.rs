//! What a node agent may do over the wire: what concerns itself and the pods that are bound to it, and nothing else.
//!
//! Source of the rules: <https://kubernetes.io/docs/reference/access-authn-authz/node/> and
//! <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>. Narrower where our
//! agent needs less, and wider in one point: it is service proxy and pod network too, so it reads services, endpoints and
//! the other nodes' addresses.
use super::Attributes;
use serde_json::Value;
use shared::objects::pod::{Container, Pod};

pub const GROUP: &str = "system:nodes";
pub const PREFIX: &str = "system:node:";
/// Where the lease of each node lies, by the node's name.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Annotation of a Node: SHA-256 (hex) of the public key of the machine that the name belongs to.
pub const MACHINE_KEY: &str = "node.openshift.io/machine-key";
/// Member of an identity's `extra`: the same of the certificate that somebody shows.
pub const EXTRA_KEY: &str = "node.openshift.io/machine-key";
/// URL by which a node's agent waits for what the server asks of it.
pub const TUNNEL_PATH: &str = "/node-tunnel";

/// The node that a caller speaks for.
pub fn node_of<'a>(user: &'a str, groups: &[String]) -> Option<&'a str> {
    let name = user.strip_prefix(PREFIX).filter(|name| !name.is_empty())?;
    groups.iter().any(|g| g == GROUP).then_some(name)
}

/// What pods refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referred {
    Secret,
    ConfigMap,
    ServiceAccount,
}

/// What a request of a node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Allowed,
    /// Why not, as the end of a sentence.
    Refused(&'static str),
    /// If the pod that is named is bound to the node, or is not there at all.
    OwnPod,
    /// If a pod that is bound to the node refers to what is named.
    Referred(Referred),
    /// Not for these rules to say: roles and bindings decide.
    NoOpinion,
}

const READ: [&str; 3] = ["get", "list", "watch"];

/// `selected_node`: what the field selector of a list or watch demands of `spec.nodeName`.
pub fn rule(node: &str, a: &Attributes<'_>, selected_node: Option<&str>) -> Rule {
    if !a.path.is_empty() {
        return if a.path == TUNNEL_PATH && a.verb == "get" { Rule::Allowed } else { Rule::NoOpinion };
    }
    match (a.group, a.resource) {
        ("", "pods") => pods(node, a, selected_node),
        ("", "nodes") => nodes(node, a),
        ("", "secrets") => referred(a, Referred::Secret),
        ("", "configmaps") => referred(a, Referred::ConfigMap),
        ("", "serviceaccounts") => match (a.subresource, a.verb) {
            ("token", "create") | ("", "get") => Rule::Referred(Referred::ServiceAccount),
            _ => Rule::Refused("a node reads the accounts of its pods, one at a time"),
        },
        ("", "services" | "endpoints") | ("discovery.k8s.io", "endpointslices") if a.subresource.is_empty() && READ.contains(&a.verb) => {
            Rule::Allowed
        }
        ("", "events") if ["create", "update", "patch"].contains(&a.verb) => Rule::Allowed,
        ("coordination.k8s.io", "leases") if a.namespace == LEASE_NAMESPACE && a.name == node => match a.verb {
            "get" | "create" | "update" | "patch" => Rule::Allowed,
            _ => Rule::Refused("a node keeps its lease"),
        },
        ("coordination.k8s.io", "leases") => Rule::Refused("a node has one lease, its own"),
        ("certificates.k8s.io", "certificatesigningrequests") if a.subresource.is_empty() && ["create", "get"].contains(&a.verb) => {
            Rule::Allowed
        }
        _ => Rule::NoOpinion,
    }
}

fn pods(node: &str, a: &Attributes<'_>, selected_node: Option<&str>) -> Rule {
    match (a.subresource, a.verb) {
        ("", "list" | "watch") if selected_node == Some(node) => Rule::Allowed,
        ("", "list" | "watch") => Rule::Refused("a node lists its own pods only, by the field selector spec.nodeName"),
        ("", "get" | "delete") | ("status", "get" | "update" | "patch") => Rule::OwnPod,
        _ => Rule::Refused("a node reports on its pods and ends them, no more"),
    }
}

fn nodes(node: &str, a: &Attributes<'_>) -> Rule {
    match (a.subresource, a.verb) {
        ("", "get" | "list" | "watch") => Rule::Allowed,
        ("", "create" | "update" | "patch") | ("status", "get" | "update" | "patch") if a.name == node => Rule::Allowed,
        ("" | "status", "create" | "update" | "patch") => Rule::Refused("a node changes no node but itself"),
        _ => Rule::Refused("a node registers itself and reports, no more"),
    }
}

fn referred(a: &Attributes<'_>, what: Referred) -> Rule {
    match (a.subresource, a.verb) {
        ("", "get") => Rule::Referred(what),
        _ => Rule::Refused("a node reads what its pods refer to, one at a time"),
    }
}

/// Does the pod refer to the object of this name in its namespace?
pub fn refers(pod: &Pod, what: Referred, name: &str) -> bool {
    let spec = &pod.spec;
    let containers = || spec.containers.iter().chain(&spec.init_containers);
    match what {
        Referred::ServiceAccount => spec.service_account_name == name,
        Referred::Secret => {
            spec.image_pull_secrets.iter().any(|r| r.name == name)
                || containers().any(|c| in_env(c, what, name))
                || in_volumes(pod, what, name)
        }
        Referred::ConfigMap => containers().any(|c| in_env(c, what, name)) || in_volumes(pod, what, name),
    }
}

fn in_env(container: &Container, what: Referred, name: &str) -> bool {
    let from = container.env_from.iter().any(|from| {
        let source = if what == Referred::Secret { &from.secret_ref } else { &from.config_map_ref };
        source.as_ref().is_some_and(|r| r.name == name)
    });
    from || container.env.iter().filter_map(|v| v.value_from.as_ref()).any(|v| {
        let key = if what == Referred::Secret { &v.secret_key_ref } else { &v.config_map_key_ref };
        key.as_ref().is_some_and(|k| k.name == name)
    })
}

fn in_volumes(pod: &Pod, what: Referred, name: &str) -> bool {
    let (member, by, projected) =
        if what == Referred::Secret { ("secret", "secretName", "secret") } else { ("configMap", "name", "configMap") };
    let volumes = serde_json::to_value(&pod.spec.volumes).unwrap_or_default();
    volumes.as_array().into_iter().flatten().any(|volume| {
        let sources = volume.pointer("/projected/sources").and_then(Value::as_array);
        volume.get(member).and_then(|v| v.get(by)).is_some_and(|n| n == name)
            || sources.into_iter().flatten().any(|s| s.get(projected).and_then(|v| v.get("name")).is_some_and(|n| n == name))
    })
}

/// Whether a machine that shows this key may speak for a name whose Node has this annotation.
pub fn is_machine_of(shown: Option<&str>, kept: Option<&str>) -> bool {
    match (shown, kept) {
        (Some(shown), Some(kept)) => shown == kept,
        // A name that nobody has taken, or somebody who acts in its name by other rights.
        _ => true,
    }
}

/// Labels of these domains say what a node is; others of them are the administrator's.
/// <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>
const OWN_LABELS: [&str; 9] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

fn may_label(name: &str) -> bool {
    let domain = name.split_once('/').map_or("", |(domain, _)| domain);
    let within = |of: &str| domain == of || domain.ends_with(&format!(".{of}"));
    let of_kubernetes = within("kubernetes.io") || within("k8s.io");
    !of_kubernetes || OWN_LABELS.contains(&name) || within("kubelet.kubernetes.io") || domain == "node.kubernetes.io"
}

/// What a node must not change of itself: why it is refused, or nothing. `old` is null where the node makes itself known.
pub fn restricted(new: &Value, old: &Value) -> Option<String> {
    let changed = |path: &str| new.pointer(path).unwrap_or(&Value::Null) != old.pointer(path).unwrap_or(&Value::Null);
    let part = |value: &Value, path: &str, name: &str| value.pointer(path).and_then(|m| m.get(name)).cloned().unwrap_or_default();
    let names = |value: &Value, path: &str| -> Vec<String> {
        value.pointer(path).and_then(Value::as_object).map(|m| m.keys().cloned().collect()).unwrap_or_default()
    };
    for name in names(new, "/metadata/labels").into_iter().chain(names(old, "/metadata/labels")) {
        if !may_label(&name) && part(new, "/metadata/labels", &name) != part(old, "/metadata/labels", &name) {
            return Some(format!("is not allowed to modify the label {name}"));
        }
    }
    if !old.is_null() && part(new, "/metadata/annotations", MACHINE_KEY) != part(old, "/metadata/annotations", MACHINE_KEY) {
        return Some(format!("is not allowed to modify the annotation {MACHINE_KEY}"));
    }
    if changed("/metadata/ownerReferences") {
        return Some("is not allowed to modify its owners".into());
    }
    // It may come with taints, but not lose them.
    if !old.is_null() && changed("/spec/taints") {
        return Some("is not allowed to modify taints".into());
    }
    if !old.is_null() && changed("/spec/unschedulable") {
        return Some("is not allowed to modify spec.unschedulable".into());
    }
    if changed("/spec/podCIDR") {
        return Some("is not allowed to modify spec.podCIDR".into());
    }
    None
}

#[cfg(test)]
mod tests;
