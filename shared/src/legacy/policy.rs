//! Roles and role bindings of `/osapi` as mappings of today's RBAC; what was in namespace `master` is the cluster's now.
use super::{Object, take};
use crate::kinds::KINDS;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The namespace that held the roles and bindings of the whole cluster.
pub const MASTER: &str = "master";
const GROUP: &str = "rbac.authorization.k8s.io";

/// What the era's names for several resources stood for, as far as those are served.
const RESOURCE_GROUPS: [(&str, &[&str]); 5] = [
    ("resourcegroup:exposedkube", &["pods", "replicationcontrollers", "services"]),
    ("resourcegroup:exposedopenshift", &["projects"]),
    (
        "resourcegroup:allkube",
        &[
            "pods",
            "replicationcontrollers",
            "services",
            "endpoints",
            "nodes",
            "bindings",
            "events",
            "namespaces",
            "limitranges",
            "resourcequotas",
        ],
    ),
    ("resourcegroup:granter", &["roles", "rolebindings"]),
    ("resourcegroup:policy", &["roles", "rolebindings"]),
];

pub(super) fn to_v1(object: &mut Object, kind: &str, out: &mut Value) {
    // What belongs to the whole cluster says so by its namespace.
    let global = out["metadata"]["namespace"] == MASTER;
    if global {
        out["metadata"].as_object_mut().map(|m| m.remove("namespace"));
        out["kind"] = json!(format!("Cluster{kind}"));
    }
    out["apiVersion"] = json!(format!("{GROUP}/v1"));
    if kind == "Role" {
        let rules = take(object, "rules").and_then(|r| r.as_array().cloned()).unwrap_or_default();
        out["rules"] = rules.iter().map(rule_to_v1).collect::<Vec<_>>().into();
        return;
    }
    let mut names = |m: &str| take(object, m).and_then(|n| n.as_array().cloned()).unwrap_or_default();
    let (users, groups) = (names("userNames"), names("groupNames"));
    let subject = |kind: &str, name: &Value| json!({"kind": kind, "apiGroup": GROUP, "name": name});
    let users = users.iter().map(|n| subject("User", n));
    out["subjects"] = users.chain(groups.iter().map(|n| subject("Group", n))).collect::<Vec<_>>().into();
    let role = take(object, "roleRef").unwrap_or_default();
    let kind = if role["namespace"].as_str().is_none_or(|n| n == MASTER || n.is_empty()) { "ClusterRole" } else { "Role" };
    out["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": role["name"]});
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect()
}

/// Rules named no API groups: each resource has its own.
fn rule_to_v1(rule: &Value) -> Value {
    let mut out = json!({"verbs": texts(&rule["verbs"])});
    let mut resources = BTreeSet::new();
    for word in texts(&rule["resources"]) {
        match RESOURCE_GROUPS.iter().find(|(group, _)| *group == word) {
            Some((_, members)) => resources.extend(members.iter().map(ToString::to_string)),
            None => _ = resources.insert(super::resource_to_v1(&word)),
        }
    }
    if !resources.is_empty() {
        let group = |r: &String| if r == "*" { "*" } else { KINDS.iter().find(|k| k.plural == *r).map_or("", |k| k.group) };
        out["apiGroups"] = resources.iter().map(group).collect::<BTreeSet<_>>().into_iter().collect();
        out["resources"] = resources.into_iter().collect();
    }
    for member in ["resourceNames", "nonResourceURLs"] {
        let list = texts(&rule[member]);
        if !list.is_empty() {
            out[member] = json!(list);
        }
    }
    out
}

pub(super) fn from_v1(value: &Value, kind: &str, out: &mut Object) {
    if matches!(kind, "Role" | "ClusterRole") {
        let rules: Vec<Value> = value["rules"].as_array().into_iter().flatten().map(rule_from_v1).collect();
        out.insert("rules".into(), rules.into());
        return;
    }
    let names = |kinds: &[&str]| -> Vec<Value> {
        let subjects = value["subjects"].as_array().into_iter().flatten();
        subjects.filter(|s| kinds.iter().any(|k| s["kind"] == *k)).map(subject_name).collect()
    };
    out.insert("userNames".into(), names(&["User", "ServiceAccount"]).into());
    out.insert("groupNames".into(), names(&["Group"]).into());
    let namespace = if value["roleRef"]["kind"] == "Role" { value["metadata"]["namespace"].clone() } else { json!(MASTER) };
    out.insert("roleRef".into(), json!({"namespace": namespace, "name": value["roleRef"]["name"]}));
}

/// Service accounts were users of a certain name.
fn subject_name(subject: &Value) -> Value {
    let text = |member: &str| subject[member].as_str().unwrap_or_default();
    if subject["kind"] == "ServiceAccount" {
        return json!(format!("system:serviceaccount:{}:{}", text("namespace"), text("name")));
    }
    subject["name"].clone()
}

fn rule_from_v1(rule: &Value) -> Value {
    let mut out = json!({"verbs": texts(&rule["verbs"]), "attributeRestrictions": null, "resources": texts(&rule["resources"])});
    for member in ["resourceNames", "nonResourceURLs"] {
        if let Some(list) = rule.get(member).filter(|l| !l.is_null()) {
            out[member] = list.clone();
        }
    }
    out
}
