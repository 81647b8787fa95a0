//! The API forms of 2015 (v1beta1, v1beta2, v1beta3, osapi v1beta1) as conversions to and from today's v1.
//!
//! The stored form is always v1; nothing else in the system knows these. What only the old form can say is kept in
//! annotations under `pilothouse.io/`, which the way back takes out again.
mod cluster;
mod controller;
mod openshift;
mod pod;
pub mod policy;
mod service;

use serde_json::{Map, Value, json};

/// A service that did not say its container port: the pod's own port is meant.
pub const IMPLICIT_TARGET: &str = "pilothouse.io/implicit-target-port";

/// A quota or limit under which a container that names no amount uses none; today such a container is refused.
pub const UNNAMED_IS_NOTHING: &str = "pilothouse.io/unnamed-is-nothing";

/// An API version of 2015.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1Beta1,
    V1Beta2,
    V1Beta3,
    /// OpenShift's own kinds under `/osapi`.
    Osapi,
}

impl Version {
    pub fn parse(text: &str) -> Option<Version> {
        match text {
            "v1beta1" => Some(Version::V1Beta1),
            "v1beta2" => Some(Version::V1Beta2),
            "v1beta3" => Some(Version::V1Beta3),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Version::V1Beta1 | Version::Osapi => "v1beta1",
            Version::V1Beta2 => "v1beta2",
            Version::V1Beta3 => "v1beta3",
        }
    }

    /// v1beta1 and v1beta2 put the metadata at the top level.
    fn flat(self) -> bool {
        matches!(self, Version::V1Beta1 | Version::V1Beta2)
    }
}

/// The object cannot be read as what it says it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    #[error("{kind} has no form in {version}")]
    UnknownKind { kind: String, version: String },
    #[error("{field}: {why}")]
    Field { field: String, why: String },
    #[error("the object must be a JSON object with kind and apiVersion")]
    NoObject,
}

pub(crate) type Result<T> = std::result::Result<T, LegacyError>;
type Object = Map<String, Value>;

/// OpenShift's kinds keep `metadata` even though their version is called v1beta1.
const OSAPI_KINDS: [&str; 7] = ["Project", "User", "Identity", "RoleBinding", "Role", "ClusterRoleBinding", "ClusterRole"];

/// Kind words of 2015 and today's.
fn kind_to_v1(kind: &str) -> &str {
    match kind {
        "Minion" => "Node",
        "MinionList" => "NodeList",
        other => other,
    }
}

fn kind_from_v1(kind: &str, version: Version) -> &str {
    match kind {
        "Node" if version.flat() => "Minion",
        "NodeList" if version.flat() => "MinionList",
        "ClusterRole" => "Role",
        "ClusterRoleList" => "RoleList",
        "ClusterRoleBinding" => "RoleBinding",
        "ClusterRoleBindingList" => "RoleBindingList",
        other => other,
    }
}

/// Any version to v1; what is v1 already passes unchanged. Lists (also `Config`) are converted item by item.
pub fn to_v1(value: Value) -> Result<Value> {
    let Value::Object(object) = value else { return Err(LegacyError::NoObject) };
    let text = |m: &str| object.get(m).and_then(Value::as_str).unwrap_or_default().to_string();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    let Some(version) = Version::parse(&api_version) else { return Ok(Value::Object(object)) };
    if let Some(items) = object.get("items").or_else(|| object.get("minions")).and_then(Value::as_array) {
        let single = kind_to_v1(&kind).trim_end_matches("List").to_string();
        let items: Result<Vec<Value>> = items.iter().map(|i| to_v1(with_type(i.clone(), &single, &api_version))).collect();
        return Ok(json!({"kind": "List", "apiVersion": "v1", "items": items?}));
    }
    let version = if OSAPI_KINDS.contains(&kind.as_str()) { Version::Osapi } else { version };
    one_to_v1(object, kind_to_v1(&kind), version)
}

/// Items of typed lists carry no kind of their own.
fn with_type(mut item: Value, kind: &str, api_version: &str) -> Value {
    if !item.is_object() {
        return item;
    }
    if item.get("kind").is_none_or(Value::is_null) && !matches!(kind, "" | "Config") {
        item["kind"] = json!(kind);
    }
    if item.get("apiVersion").is_none_or(Value::is_null) {
        item["apiVersion"] = json!(api_version);
    }
    item
}

fn one_to_v1(mut object: Object, kind: &str, version: Version) -> Result<Value> {
    object.insert("kind".into(), kind.into());
    let metadata = metadata_to_v1(&mut object, version)?;
    let mut out = json!({"kind": kind, "apiVersion": "v1", "metadata": metadata});
    match kind {
        "Pod" => pod::to_v1(&mut object, version, &mut out)?,
        "ReplicationController" => controller::to_v1(&mut object, version, &mut out)?,
        "Service" => service::to_v1(&mut object, version, &mut out)?,
        "Endpoints" => service::endpoints_to_v1(&mut object, version, &mut out)?,
        "Project" | "User" | "Identity" => openshift::to_v1(&mut object, kind, &mut out),
        "Role" | "RoleBinding" => policy::to_v1(&mut object, kind, &mut out),
        "Node" | "Namespace" | "Event" | "Secret" | "LimitRange" | "ResourceQuota" | "Binding" | "DeleteOptions" | "Status" => {
            cluster::to_v1(&mut object, kind, version, &mut out)?;
        }
        other => return Err(LegacyError::UnknownKind { kind: other.into(), version: version.name().into() }),
    }
    Ok(out)
}

const FLAT_METADATA: [&str; 8] =
    ["id", "namespace", "uid", "creationTimestamp", "annotations", "labels", "resourceVersion", "generateName"];

fn metadata_to_v1(object: &mut Object, version: Version) -> Result<Value> {
    let mut metadata = match object.remove("metadata") {
        Some(Value::Object(m)) => m,
        _ => Object::new(),
    };
    if version.flat() {
        for member in FLAT_METADATA {
            // An Event's and a Status' members of these names stay where they are only if they are no metadata; none is.
            if let Some(value) = object.remove(member).filter(|v| !v.is_null()) {
                metadata.insert(if member == "id" { "name".into() } else { member.into() }, value);
            }
        }
        object.remove("selfLink");
    }
    metadata.remove("selfLink");
    metadata.retain(|_, v| !v.is_null());
    if let Some(Value::Number(n)) = metadata.get("resourceVersion").cloned() {
        let text = if n.as_u64() == Some(0) { String::new() } else { n.to_string() };
        metadata.insert("resourceVersion".into(), text.into());
    }
    for member in ["labels", "annotations"] {
        if metadata.get(member).is_some_and(|v| !v.is_object()) {
            return Err(LegacyError::Field { field: member.into(), why: "must be an object of names and texts".into() });
        }
    }
    Ok(Value::Object(metadata))
}

/// The v1 object in an old version's form. Kinds that have none pass unchanged.
pub fn from_v1(value: &Value, version: Version) -> Value {
    let kind = value["kind"].as_str().unwrap_or_default();
    if let Some(items) = value["items"].as_array() {
        return list_from_v1(kind, value, items, version);
    }
    let version = if OSAPI_KINDS.contains(&kind) { Version::Osapi } else { version };
    let mut out = Object::new();
    match kind {
        "Pod" => pod::from_v1(value, version, &mut out),
        "ReplicationController" => controller::from_v1(value, version, &mut out),
        "Service" => service::from_v1(value, version, &mut out),
        "Endpoints" => service::endpoints_from_v1(value, version, &mut out),
        "Project" | "User" | "Identity" => openshift::from_v1(value, kind, &mut out),
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => policy::from_v1(value, kind, &mut out),
        "Node" | "Namespace" | "Event" | "Secret" | "LimitRange" | "ResourceQuota" => cluster::from_v1(value, kind, version, &mut out),
        "Status" => return status_from_v1(value, version),
        _ => return value.clone(),
    }
    out.insert("kind".into(), kind_from_v1(kind, version).into());
    out.insert("apiVersion".into(), version.name().into());
    metadata_from_v1(value, version, &mut out);
    Value::Object(out)
}

fn list_from_v1(kind: &str, value: &Value, items: &[Value], version: Version) -> Value {
    let single = kind.trim_end_matches("List");
    let osapi = OSAPI_KINDS.contains(&single);
    let converted: Vec<Value> = items
        .iter()
        .map(|i| {
            let mut typed = with_type(i.clone(), single, "v1");
            if single.is_empty() || !typed.is_object() {
                return from_v1(&typed, version);
            }
            typed["kind"] = json!(single);
            let mut item = from_v1(&typed, version);
            // Items of a typed list carry no type of their own.
            if let Some(map) = item.as_object_mut() {
                map.remove("kind");
                map.remove("apiVersion");
            }
            item
        })
        .collect();
    let kind = kind_from_v1(kind, version);
    let mut out = json!({"kind": kind, "apiVersion": version.name(), "items": converted});
    let revision = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if version.flat() && !osapi {
        out["creationTimestamp"] = Value::Null;
        if let Ok(number) = revision.parse::<u64>() {
            out["resourceVersion"] = json!(number);
        }
        if kind == "MinionList" {
            out["minions"] = out["items"].clone();
        }
    } else {
        out["metadata"] = json!({"resourceVersion": revision});
    }
    out
}

fn metadata_from_v1(value: &Value, version: Version, out: &mut Object) {
    let mut metadata = value["metadata"].as_object().cloned().unwrap_or_default();
    for member in ["managedFields", "generation", "ownerReferences", "finalizers", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        metadata.remove(member);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.retain(|k, _| !k.starts_with("pilothouse.io/"));
        openshift::old_annotations(annotations);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
        let kind = value["kind"].as_str().unwrap_or_default();
        labels.retain(|k, _| !set_by_system(kind, k));
        if labels.is_empty() || kind == "ReplicationController" && controller::has_no_labels(value) {
            metadata.remove("labels");
        }
    }
    if matches!(value["kind"].as_str(), Some("ClusterRole" | "ClusterRoleBinding")) {
        metadata.insert("namespace".into(), policy::MASTER.into());
    }
    if !version.flat() {
        out.insert("metadata".into(), Value::Object(metadata));
        return;
    }
    for (name, value) in metadata {
        match name.as_str() {
            "name" => out.insert("id".into(), value),
            "resourceVersion" => match value.as_str().and_then(|v| v.parse::<u64>().ok()) {
                Some(number) => out.insert(name, json!(number)),
                None => None,
            },
            _ => out.insert(name, value),
        };
    }
}

/// Labels that all objects of a kind have today and none had then.
fn set_by_system(kind: &str, label: &str) -> bool {
    match kind {
        "Node" => matches!(label, "kubernetes.io/hostname" | "kubernetes.io/os" | "kubernetes.io/arch"),
        "Endpoints" => label == "endpoints.kubernetes.io/managed-by",
        "Namespace" | "Project" => label == "kubernetes.io/metadata.name",
        _ => false,
    }
}

/// Answers of the old API carry Status in its old form: metadata at the top.
fn status_from_v1(value: &Value, version: Version) -> Value {
    let mut out = value.clone();
    out["apiVersion"] = json!(version.name());
    let Some(map) = out.as_object_mut() else { return out };
    if version != Version::V1Beta3 {
        map.remove("metadata");
        map.insert("creationTimestamp".into(), Value::Null);
    }
    if let Some(details) = map.get_mut("details").and_then(Value::as_object_mut) {
        details.retain(|member, _| !matches!(member.as_str(), "group" | "uid"));
        if let Some(name) = details.remove("name") {
            details.insert("id".into(), name);
        }
    }
    out
}

/// Moves a member if it is there and not null.
fn take(object: &mut Object, member: &str) -> Option<Value> {
    object.remove(member).filter(|v| !v.is_null())
}

/// Copies members that are called the same on both sides.
fn copy(from: &Value, members: &[&str], to: &mut Object) {
    for member in members {
        if let Some(value) = from.get(*member).filter(|v| !v.is_null()) {
            to.insert((*member).into(), value.clone());
        }
    }
}

/// Remembers a fact in an annotation that the way back takes out.
fn remember(out: &mut Value, name: &str, value: String) {
    out["metadata"]["annotations"][name] = value.into();
}

fn remembered<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value["metadata"]["annotations"][name].as_str()
}

/// The plural resource word of the old URLs, from today's, and back: `replicationControllers`, `minions`.
pub fn resource_to_v1(word: &str) -> String {
    match word.to_ascii_lowercase().as_str() {
        "minions" => "nodes".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests;
