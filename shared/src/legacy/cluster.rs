//! Nodes (`Minion`), namespaces, events, secrets, quotas, limits and the small kinds.
use super::pod::{amounts_from_v1, amounts_to_v1, map};
use super::{Object, Result, UNNAMED_IS_NOTHING, Version, copy, remember, take};
use serde_json::{Value, json};

pub(super) fn to_v1(object: &mut Object, kind: &str, version: Version, out: &mut Value) -> Result<()> {
    match kind {
        "Node" => node_to_v1(object, version, out),
        "Event" => event_to_v1(object, version, out),
        "Binding" => {
            let host = take(object, "host").unwrap_or_default();
            out["target"] = take(object, "target").unwrap_or_else(|| json!({"kind": "Node", "name": host}));
            if let Some(kind) = out.pointer_mut("/target/kind").filter(|k| **k == "Minion") {
                *kind = json!("Node");
            }
            if let Some(pod) = take(object, "podID") {
                out["metadata"]["name"] = pod;
            }
        }
        "LimitRange" => {
            let mut spec = take(object, "spec").unwrap_or_default();
            for item in spec.get_mut("limits").and_then(Value::as_array_mut).into_iter().flatten() {
                for member in ["max", "min"] {
                    if let Some(amounts) = item[member].as_object() {
                        item[member] = Value::Object(amounts_to_v1(amounts, version));
                    }
                }
            }
            out["spec"] = spec;
            remember(out, UNNAMED_IS_NOTHING, "true".into());
        }
        "ResourceQuota" => {
            let spec = take(object, "spec").unwrap_or_default();
            let hard = spec["hard"].as_object().map(|h| amounts_to_v1(h, version)).unwrap_or_default();
            out["spec"] = json!({"hard": hard});
            remember(out, UNNAMED_IS_NOTHING, "true".into());
        }
        _ => {
            for (name, value) in
                std::mem::take(object).into_iter().filter(|(k, v)| !matches!(k.as_str(), "kind" | "apiVersion") && !v.is_null())
            {
                out[name] = value;
            }
        }
    }
    Ok(())
}

fn node_to_v1(object: &mut Object, version: Version, out: &mut Value) {
    out["metadata"].as_object_mut().map(|m| m.remove("namespace"));
    let (capacity, host_ip) = if version.flat() {
        let mut resources = map(take(object, "resources"));
        (take(&mut resources, "capacity"), take(object, "hostIP"))
    } else {
        let mut spec = map(take(object, "spec"));
        (take(&mut spec, "capacity"), take(&mut map(take(object, "status")), "hostIP"))
    };
    if let Some(capacity) = capacity.as_ref().and_then(Value::as_object) {
        out["status"]["capacity"] = Value::Object(amounts_to_v1(capacity, version));
    }
    if let Some(ip) = host_ip.filter(|ip| ip != "") {
        out["status"]["addresses"] = json!([{"type": "InternalIP", "address": ip}]);
    }
}

fn event_to_v1(object: &mut Object, version: Version, out: &mut Value) {
    if version.flat() {
        let source = take(object, "source").unwrap_or_else(|| json!(""));
        let mut new = json!({"component": source});
        if let Some(host) = take(object, "host") {
            new["host"] = host;
        }
        out["source"] = new;
        let timestamp = take(object, "timestamp");
        if let Some(first) = take(object, "firstTimestamp").or(timestamp) {
            out["firstTimestamp"] = first;
        }
    }
    for (name, value) in
        std::mem::take(object).into_iter().filter(|(k, v)| !matches!(k.as_str(), "kind" | "apiVersion" | "status") && !v.is_null())
    {
        out[name] = value;
    }
    if let Some(kind) = out.pointer_mut("/involvedObject/kind").filter(|k| **k == "Minion") {
        *kind = json!("Node");
    }
}

pub(super) fn from_v1(value: &Value, kind: &str, version: Version, out: &mut Object) {
    match kind {
        "Node" => node_from_v1(value, version, out),
        "Event" => event_from_v1(value, version, out),
        "Namespace" => {
            out.insert("spec".into(), json!({}));
            out.insert("status".into(), json!({}));
        }
        "Secret" => copy(value, &["data", "type"], out),
        "LimitRange" => {
            let mut spec = value["spec"].clone();
            for item in spec.get_mut("limits").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(map) = item.as_object_mut() {
                    map.retain(|name, _| matches!(name.as_str(), "type" | "max" | "min"));
                }
                for member in ["max", "min"] {
                    if let Some(amounts) = item[member].as_object() {
                        item[member] = Value::Object(amounts_from_v1(amounts, version));
                    }
                }
            }
            out.insert("spec".into(), spec);
        }
        _ => {
            let amounts = |v: &Value| v.as_object().map(|a| Value::Object(amounts_from_v1(a, version)));
            let mut status = json!({});
            for member in ["hard", "used"] {
                if let Some(a) = amounts(&value["status"][member]) {
                    status[member] = a;
                }
            }
            out.insert("spec".into(), json!({"hard": amounts(&value["spec"]["hard"]).unwrap_or_else(|| json!({}))}));
            out.insert("status".into(), status);
        }
    }
}

fn node_from_v1(value: &Value, version: Version, out: &mut Object) {
    let status = &value["status"];
    let capacity = status["capacity"].as_object().map(|c| {
        let known: Object = c.iter().filter(|(k, _)| matches!(k.as_str(), "cpu" | "memory")).map(|(k, v)| (k.clone(), v.clone())).collect();
        Value::Object(amounts_from_v1(&known, version))
    });
    let capacity = capacity.unwrap_or_else(|| json!({}));
    let address = status["addresses"].as_array().into_iter().flatten().find(|a| a["type"] == "InternalIP").map(|a| a["address"].clone());
    // The era knew Ready and Reachable; the pressures came later.
    let conditions: Vec<Value> =
        status["conditions"].as_array().into_iter().flatten().filter(|c| c["type"] == "Ready").map(condition).collect();
    let mut old_status = json!({});
    if !conditions.is_empty() {
        old_status["conditions"] = conditions.into();
    }
    if version.flat() {
        if let Some(ip) = address {
            out.insert("hostIP".into(), ip);
        }
        out.insert("resources".into(), json!({"capacity": capacity}));
    } else {
        if let Some(ip) = address {
            old_status["hostIP"] = ip;
        }
        out.insert("spec".into(), json!({"capacity": capacity}));
    }
    out.insert("status".into(), old_status);
}

fn condition(c: &Value) -> Value {
    let status = match c["status"].as_str() {
        Some("True") => "Full",
        Some("False") => "None",
        _ => "Unknown",
    };
    let mut out = json!({"kind": c["type"], "status": status});
    for (old, new) in
        [("lastHeartbeatTime", "lastProbeTime"), ("lastTransitionTime", "lastTransitionTime"), ("reason", "reason"), ("message", "message")]
    {
        if let Some(v) = c.get(old).filter(|v| !v.is_null() && *v != "") {
            out[new] = v.clone();
        }
    }
    out
}

fn event_from_v1(value: &Value, version: Version, out: &mut Object) {
    copy(value, &["involvedObject", "reason", "message", "firstTimestamp", "lastTimestamp", "count"], out);
    if version.flat()
        && let Some(about) = out.get_mut("involvedObject").filter(|o| o["kind"] == "Node")
    {
        about["kind"] = json!("Minion");
    }
    if version.flat() {
        out.insert("source".into(), json!(value["source"]["component"].as_str().unwrap_or_default()));
        if let Some(host) = value["source"]["host"].as_str() {
            out.insert("host".into(), json!(host));
        }
        if let Some(first) = value.get("firstTimestamp") {
            out.insert("timestamp".into(), first.clone());
        }
    } else {
        copy(value, &["source"], out);
    }
}
