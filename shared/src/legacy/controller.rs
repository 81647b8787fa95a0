//! Replication controllers: `replicaSelector` and `podTemplate` of v1beta1 and 2, `spec` of v1beta3.
use super::pod::{map, no_manifest, spec_from_v1, spec_to_v1};
use super::{Object, Result, Version, copy, remember, remembered, take};
use serde_json::{Value, json};

/// The controller was made without labels: those that it has are its template's, which today's API gives it.
const NO_LABELS: &str = "pilothouse.io/no-labels";

pub(super) fn to_v1(object: &mut Object, version: Version, out: &mut Value) -> Result<()> {
    if out["metadata"]["labels"].as_object().is_none_or(Object::is_empty) {
        remember(out, NO_LABELS, "true".into());
    }
    let mut spec = map(take(object, if version.flat() { "desiredState" } else { "spec" }));
    let (selector, template) = if version.flat() { ("replicaSelector", "podTemplate") } else { ("selector", "template") };
    out["spec"] = json!({});
    if let Some(replicas) = take(&mut spec, "replicas") {
        out["spec"]["replicas"] = replicas;
    }
    if let Some(selector) = take(&mut spec, selector) {
        out["spec"]["selector"] = selector;
    }
    let Some(template) = take(&mut spec, template) else { return Ok(()) };
    out["spec"]["template"] = template_to_v1(map(Some(template)), version)?;
    Ok(())
}

fn template_to_v1(mut template: Object, version: Version) -> Result<Value> {
    let mut metadata = if version.flat() { Object::new() } else { map(take(&mut template, "metadata")) };
    let selector = take(&mut template, "nodeSelector");
    let (spec, host) = if version.flat() {
        for member in ["labels", "annotations"] {
            if let Some(value) = take(&mut template, member) {
                metadata.insert(member.into(), value);
            }
        }
        let mut desired = map(take(&mut template, "desiredState"));
        (map(take(&mut desired, "manifest")), take(&mut desired, "host"))
    } else {
        (map(take(&mut template, "spec")), None)
    };
    metadata.retain(|_, v| !v.is_null());
    let mut spec = spec_to_v1(spec, version)?;
    if let Some(selector) = selector {
        spec["nodeSelector"] = selector;
    }
    if let Some(host) = host.filter(|h| h != "") {
        spec["nodeName"] = host;
    }
    Ok(json!({"metadata": metadata, "spec": spec}))
}

/// Whether the labels are only its template's.
pub(super) fn has_no_labels(value: &Value) -> bool {
    remembered(value, NO_LABELS).is_some() && value["metadata"]["labels"] == value["spec"]["template"]["metadata"]["labels"]
}

pub(super) fn from_v1(value: &Value, version: Version, out: &mut Object) {
    let spec = &value["spec"];
    let replicas = spec["replicas"].as_i64().unwrap_or(1);
    let current = value["status"]["replicas"].as_i64().unwrap_or(0);
    if version.flat() {
        let mut desired = json!({"replicas": replicas, "replicaSelector": spec["selector"]});
        desired["podTemplate"] = template_from_v1(&spec["template"], version);
        out.insert("desiredState".into(), desired);
        out.insert("currentState".into(), json!({"replicas": current, "podTemplate": {"desiredState": {"manifest": no_manifest()}}}));
    } else {
        let mut new = json!({"replicas": replicas, "selector": spec["selector"]});
        new["template"] = template_from_v1(&spec["template"], version);
        out.insert("spec".into(), new);
        out.insert("status".into(), json!({"replicas": current}));
    }
}

fn template_from_v1(template: &Value, version: Version) -> Value {
    let spec = spec_from_v1(&template["spec"], version);
    if version.flat() {
        let mut out = Object::new();
        out.insert("desiredState".into(), json!({"manifest": spec}));
        copy(&template["metadata"], &["labels", "annotations"], &mut out);
        copy(&template["spec"], &["nodeSelector"], &mut out);
        return Value::Object(out);
    }
    let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    metadata.insert("creationTimestamp".into(), Value::Null);
    json!({"metadata": metadata, "spec": spec})
}
