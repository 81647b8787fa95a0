//! What a kind says about itself when it is written: what a client may set, what counts as a new generation.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use shared::kinds::Kind;

/// Members of metadata that only the server sets.
const SYSTEM_METADATA: [&str; 6] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"];

/// Clears what a client must not set at creation.
pub(crate) fn prepare_create(kind: &Kind, object: &mut Map<String, Value>, uid: String, now: String) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for member in SYSTEM_METADATA.into_iter().chain(["resourceVersion"]) {
            metadata.remove(member);
        }
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), now.into());
        if kind.has_generation {
            metadata.insert("generation".into(), json!(1));
        }
    }
    fold_string_data(kind, object);
    match kind.kind {
        "Pod" => {
            object.insert("status".into(), json!({"phase": "Pending"}));
        }
        "ReplicationController" => {
            object.insert("status".into(), json!({"replicas": 0}));
        }
        "Service" => {
            object.insert("status".into(), json!({"loadBalancer": {}}));
        }
        "Node" => {
            object.entry("status").or_insert_with(|| json!({}));
        }
        _ if kind.has_status() => {
            object.insert("status".into(), json!({}));
        }
        _ => {}
    }
}

/// Takes over from the old object what an update of the main resource must not change.
pub(crate) fn prepare_update(kind: &Kind, new: &mut Map<String, Value>, old: &Map<String, Value>) {
    keep_metadata(new, old);
    fold_string_data(kind, new);
    // Nodes report themselves whole at registration, and the original let clients write them so.
    if kind.has_status() {
        match old.get("status") {
            Some(status) => new.insert("status".into(), status.clone()),
            None => new.remove("status"),
        };
    }
    if kind.kind == "Service" {
        keep_service_address(new, old);
    }
    if kind.kind == "Namespace" {
        new.insert("spec".into(), old.get("spec").cloned().unwrap_or_default());
    }
}

/// A secret's `stringData` is a way of writing only: its texts become `data`, over entries of the same name there.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data>
fn fold_string_data(kind: &Kind, object: &mut Map<String, Value>) {
    if kind.kind != "Secret" {
        return;
    }
    let Some(Value::Object(texts)) = object.remove("stringData") else { return };
    if object.get("data").is_none_or(Value::is_null) {
        object.insert("data".into(), json!({}));
    }
    if let Some(Value::Object(data)) = object.get_mut("data") {
        data.extend(texts.into_iter().filter_map(|(name, text)| Some((name, STANDARD.encode(text.as_str()?).into()))));
    }
}

/// An update of /status changes the status and nothing else (but metadata such as labels stays as it was).
pub(crate) fn prepare_status(new: Map<String, Value>, old: &Map<String, Value>) -> Map<String, Value> {
    let mut result = old.clone();
    if let Some(status) = new.get("status") {
        result.insert("status".into(), status.clone());
    }
    result
}

fn keep_metadata(new: &mut Map<String, Value>, old: &Map<String, Value>) {
    let (Some(Value::Object(metadata)), Some(Value::Object(before))) = (new.get_mut("metadata"), old.get("metadata")) else { return };
    for member in SYSTEM_METADATA.into_iter().chain(["name", "namespace", "generateName", "resourceVersion"]) {
        match before.get(member) {
            Some(value) => metadata.insert(member.into(), value.clone()),
            None => metadata.remove(member),
        };
    }
}

/// A service keeps its address and node ports over updates that do not mention them.
fn keep_service_address(new: &mut Map<String, Value>, old: &Map<String, Value>) {
    let (Some(Value::Object(spec)), Some(before)) = (new.get_mut("spec"), old.get("spec")) else { return };
    if spec.get("type") == Some(&json!("ExternalName")) {
        return;
    }
    let absent = |spec: &Map<String, Value>, m: &str| spec.get(m).is_none_or(|v| v.is_null() || *v == json!(""));
    if absent(spec, "clusterIP") {
        for member in ["clusterIP", "clusterIPs"] {
            if let Some(value) = before.get(member) {
                spec.insert(member.into(), value.clone());
            }
        }
    }
    let old_ports: Vec<Value> = before["ports"].as_array().cloned().unwrap_or_default();
    if matches!(spec.get("type").and_then(Value::as_str), Some("NodePort" | "LoadBalancer")) {
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            // Defaults are filled in later.
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let same = old_ports.iter().find(|o| o["port"] == port["port"] && o["protocol"] == protocol);
            if let Some(number) =
                same.and_then(|o| o.get("nodePort")).filter(|_| port.get("nodePort").is_none_or(|n| n.is_null() || *n == json!(0)))
            {
                port["nodePort"] = number.clone();
            }
        }
    }
}

/// Compares objects that have their defaults, so that to leave one out is no change.
pub(crate) fn count_generation(kind: &Kind, new: &mut Value, old: &Value) {
    let (Some(new), Some(old)) = (new.as_object_mut().filter(|_| kind.has_generation), old.as_object()) else { return };
    let changed = new.iter().filter(|(k, _)| !matches!(k.as_str(), "metadata" | "status")).any(|(k, v)| old.get(k) != Some(v));
    let before = old.get("metadata").and_then(|m| m.get("generation")).and_then(Value::as_i64).unwrap_or(1);
    if let Some(Value::Object(metadata)) = new.get_mut("metadata") {
        metadata.insert("generation".into(), json!(before + i64::from(changed)));
    }
}

/// Nulls say "absent"; kept, they would make equal objects differ.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
