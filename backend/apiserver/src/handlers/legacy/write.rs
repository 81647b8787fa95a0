//! Takes an object in its old form out of a request, and puts today's in its place.
use super::form::OldForm;
use super::merge::merge;
use crate::body;
use crate::handlers::Call;
use crate::router::Resource;
use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use registry::AccessRequest;
use serde_json::{Value, json};
use shared::kinds;
use shared::legacy::{self, Version};
use shared::status::Status;

/// A PUT of what is not there makes it only for these kinds; and only if the caller may create.
const MADE_BY_PUT: [&kinds::Kind; 3] = [&kinds::REPLICATION_CONTROLLER, &kinds::ENDPOINTS, &kinds::EVENT];

pub async fn take_object(call: &mut Call, today: &mut Resource, old: OldForm) -> Result<(), Status> {
    let media = body::media(&call.parts.headers)?;
    let bytes = body::read(call.take_body()).await?;
    let mut sent = body::decode(&bytes, media, today.kind.kind)?.value;
    let old_kind = today.kind.kind.trim_start_matches("Cluster");
    if sent.get("kind").is_none_or(Value::is_null) && sent.is_object() {
        sent["kind"] = json!(old_kind);
    }
    if sent.get("apiVersion").is_none_or(Value::is_null) && sent.is_object() {
        sent["apiVersion"] = json!(old.version.name());
    }
    if today.kind.kind != old_kind && sent["metadata"].is_object() {
        sent["metadata"]["namespace"] = json!("master");
    }
    let has_ports = sent["ports"].is_array() || sent["spec"]["ports"].is_array();
    let mut value = legacy::to_v1(sent).map_err(|e| Status::bad_request(e.to_string()))?;
    if !value["metadata"].is_object() {
        return Err(Status::bad_request("metadata must be an object with at least a name"));
    }
    if !today.kind.namespaced()
        && let Some(metadata) = value["metadata"].as_object_mut()
    {
        // The old client names its namespace also where there is none.
        metadata.remove("namespace");
    }
    if today.kind.namespaced() && today.namespace.is_none() {
        let named = value["metadata"]["namespace"].as_str().filter(|n| !n.is_empty());
        today.namespace = Some(named.unwrap_or(super::DEFAULT_NAMESPACE).into());
    }
    if let (&Method::PUT, Some(name)) = (call.method(), today.name.clone()) {
        let namespace = today.namespace.as_deref();
        // What is stored is looked at only for those who could overwrite it.
        call.app.registry.authorise(&call.caller, &AccessRequest::resource("update", today.kind, namespace, &name, ""))?;
        match call.app.registry.get(&call.app.myself, today.kind, namespace, &name) {
            Ok(stored) => value = update(&stored.value(), value, old.version, has_ports),
            Err(error) if error.is_not_found() && MADE_BY_PUT.contains(&today.kind) => {
                call.parts.method = Method::POST;
                today.name = None;
                value["metadata"].as_object_mut().map(|m| m.remove("resourceVersion"));
            }
            Err(error) => return Err(error),
        }
    }
    call.parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    call.parts.headers.remove(CONTENT_LENGTH);
    *call.body.get_mut() = Body::from(value.to_string());
    Ok(())
}

/// The stored object with what the client changed; a service keeps its address when the client does not say one, and its
/// further ports when the client knows of one only.
fn update(stored: &Value, mut sent: Value, version: Version, has_ports: bool) -> Value {
    let Ok(shown) = legacy::to_v1(legacy::from_v1(stored, version)) else { return sent };
    if let Some(further) = shown["spec"]["ports"].as_array().and_then(|p| p.get(1..))
        && let Some(ports) = sent.pointer_mut("/spec/ports").and_then(Value::as_array_mut).filter(|p| !has_ports && p.len() == 1)
    {
        // The first has its name from the list that the client did not see.
        if let Some(first) = ports[0].as_object_mut() {
            first.insert("name".into(), shown["spec"]["ports"][0]["name"].clone());
        }
        ports.extend_from_slice(further);
    }
    let mut merged = merge(stored, &shown, &sent);
    commands(&mut merged, stored, &shown, &sent);
    if stored["kind"] == "Service"
        && sent["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty()
        && let Some(spec) = merged.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.extend(["clusterIP", "clusterIPs"].map(|member| (member.to_string(), stored["spec"][member].clone())));
    }
    // The old client sends back a creation time that it was not told as null, and no uid: neither is a wish.
    for member in ["uid", "creationTimestamp"] {
        merged["metadata"][member] = stored["metadata"][member].clone();
    }
    merged
}

/// The era had one list for the command and its arguments: where a client changed it, both are in what it sent.
fn commands(merged: &mut Value, stored: &Value, shown: &Value, sent: &Value) {
    for place in ["/spec/containers", "/spec/template/spec/containers"] {
        let of = |side: &Value, name: &Value, member: &str| {
            let containers = side.pointer(place).and_then(Value::as_array).into_iter().flatten();
            containers.filter(|c| c["name"] == *name).map(|c| c[member].clone()).next().unwrap_or_default()
        };
        let containers = merged.pointer_mut(place).and_then(Value::as_array_mut).into_iter().flatten();
        for c in containers.filter_map(Value::as_object_mut) {
            let name = c.get("name").cloned().unwrap_or_default();
            let told = of(sent, &name, "args");
            if of(stored, &name, "command").is_array() && told != of(shown, &name, "args") {
                c.remove("args");
                c.insert("command".into(), told);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_command_replaces_command_and_arguments() {
        let container = json!({"name": "c", "image": "i", "command": ["sh", "-c"], "args": ["old"]});
        let stored = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}});
        let put = |edit: &dyn Fn(&mut Value)| {
            let mut old = legacy::from_v1(&stored, Version::V1Beta1);
            edit(&mut old["desiredState"]["manifest"]["containers"][0]);
            update(&stored, legacy::to_v1(old).unwrap(), Version::V1Beta1, false)["spec"]["containers"][0].clone()
        };
        assert_eq!(put(&|c| c["command"][2] = json!("new")), json!({"name": "c", "image": "i", "command": ["sh", "-c", "new"]}));
        let renamed = put(&|c| c["image"] = json!("j"));
        assert_eq!(renamed, json!({"name": "c", "image": "j", "command": ["sh", "-c"], "args": ["old"]}));
    }
}
