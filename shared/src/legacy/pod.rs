//! Pods: `desiredState.manifest` and `currentState` of v1beta1 and 2, `spec` and `status` of v1beta3.
use super::{LegacyError, Object, Result, Version, copy, take};
use crate::quantity::Quantity;
use serde_json::{Map, Value, json};

/// What the pod's own container was made of.
const INFRA_IMAGE: &str = "openshift/origin-pod:v0.4.1";

pub(super) fn to_v1(object: &mut Object, version: Version, out: &mut Value) -> Result<()> {
    let selector = take(object, "nodeSelector");
    let (spec, host) = if version.flat() {
        let mut desired = map(take(object, "desiredState"));
        (map(take(&mut desired, "manifest")), take(&mut desired, "host"))
    } else {
        let mut spec = map(take(object, "spec"));
        let host = take(&mut spec, "host");
        (spec, host)
    };
    out["spec"] = spec_to_v1(spec, version)?;
    if let Some(selector) = selector {
        out["spec"]["nodeSelector"] = selector;
    }
    if let Some(host) = host.filter(|h| h != "") {
        out["spec"]["nodeName"] = host;
    }
    Ok(())
}

pub(super) fn map(value: Option<Value>) -> Object {
    match value {
        Some(Value::Object(m)) => m,
        _ => Map::new(),
    }
}

/// A manifest (flat versions) or a v1beta3 spec as today's pod spec.
pub(super) fn spec_to_v1(mut spec: Object, version: Version) -> Result<Value> {
    let mut out = json!({});
    if let Some(policy) = take(&mut spec, "restartPolicy") {
        out["restartPolicy"] = restart_policy_to_v1(&policy)?;
    }
    let containers = take(&mut spec, "containers").unwrap_or_else(|| json!([]));
    let containers = containers.as_array().cloned().unwrap_or_default();
    out["containers"] = containers.into_iter().map(|c| container_to_v1(map(Some(c)), version)).collect::<Result<Vec<_>>>()?.into();
    if let Some(Value::Array(volumes)) = take(&mut spec, "volumes") {
        out["volumes"] = volumes.into_iter().map(volume_to_v1).collect::<Vec<_>>().into();
    }
    for member in ["version", "id", "uuid", "host"] {
        spec.remove(member);
    }
    for (name, value) in spec.into_iter().filter(|(_, v)| !v.is_null() && *v != "") {
        out[name] = value;
    }
    Ok(out)
}

fn restart_policy_to_v1(policy: &Value) -> Result<Value> {
    match policy {
        Value::String(s) => Ok(json!(s)),
        Value::Object(m) if m.contains_key("always") || m.is_empty() => Ok(json!("Always")),
        Value::Object(m) if m.contains_key("onFailure") => Ok(json!("OnFailure")),
        Value::Object(m) if m.contains_key("never") => Ok(json!("Never")),
        other => Err(LegacyError::Field { field: "restartPolicy".into(), why: format!("{other} is none of always, onFailure, never") }),
    }
}

fn container_to_v1(mut c: Object, version: Version) -> Result<Value> {
    let mut out = json!({});
    // Until Kubernetes 0.13 `command` was Docker's CMD; the entrypoint could not be changed.
    if let Some(command) = take(&mut c, "command") {
        out[if c.contains_key("args") { "command" } else { "args" }] = command;
    }
    let mut limits = c.remove("resources").and_then(|mut r| r.get_mut("limits").map(Value::take)).map(|l| map(Some(l))).unwrap_or_default();
    let (cpu, memory) = (take(&mut c, "cpu"), take(&mut c, "memory"));
    if let Some(cpu) = cpu.and_then(|v| v.as_i64()).filter(|n| *n != 0) {
        limits.entry("cpu").or_insert_with(|| json!(format!("{cpu}m")));
    }
    if let Some(memory) = memory.and_then(|v| v.as_i64()).filter(|n| *n != 0) {
        limits.entry("memory").or_insert_with(|| json!(memory.to_string()));
    }
    if !limits.is_empty() {
        out["resources"] = json!({"limits": amounts_to_v1(&limits, version)});
    }
    if let Some(policy) = take(&mut c, "imagePullPolicy").and_then(|p| p.as_str().map(str::to_string)).filter(|p| !p.is_empty()) {
        out["imagePullPolicy"] = json!(if version.flat() { policy.trim_start_matches("Pull") } else { &policy });
    }
    if let Some(Value::Array(env)) = take(&mut c, "env") {
        out["env"] = env.into_iter().map(env_to_v1).collect::<Vec<_>>().into();
    }
    if let Some(Value::Array(mounts)) = take(&mut c, "volumeMounts") {
        out["volumeMounts"] = mounts.into_iter().map(mount_to_v1).collect::<Vec<_>>().into();
    }
    if let Some(ports) = c.get_mut("ports").and_then(Value::as_array_mut) {
        ports.iter_mut().filter_map(Value::as_object_mut).for_each(set);
    }
    let privileged = take(&mut c, "privileged");
    let capabilities = take(&mut c, "capabilities").filter(|v| v.as_object().is_some_and(|m| !m.is_empty()));
    if privileged == Some(json!(true)) || capabilities.is_some() {
        let mut context = json!({});
        if privileged == Some(json!(true)) {
            context["privileged"] = json!(true);
        }
        if let Some(capabilities) = capabilities {
            context["capabilities"] = capabilities;
        }
        out["securityContext"] = context;
    }
    for (name, value) in c.into_iter().filter(|(_, v)| !v.is_null() && *v != "") {
        out[name] = value;
    }
    Ok(out)
}

/// Old amounts may be numbers; today they are texts. A number of bytes becomes as short as it can be: 64Mi.
pub(super) fn amounts_to_v1(amounts: &Object, version: Version) -> Object {
    let text = |name: &str, v: &Value| {
        let text = v.as_str().map_or_else(|| v.to_string(), str::to_string);
        match text.parse::<i64>() {
            Ok(bytes) if version.flat() && name == "memory" => json!(Quantity::from_bytes(bytes).to_string()),
            _ => json!(text),
        }
    };
    amounts.iter().map(|(k, v)| (k.clone(), text(k, v))).collect()
}

/// Go wrote what was not set as an empty value.
fn set(map: &mut Object) {
    map.retain(|_, v| !v.is_null() && *v != "" && *v != 0 && *v != false);
}

fn env_to_v1(mut e: Value) -> Value {
    if let Some(map) = e.as_object_mut() {
        set(map);
        if let Some(key) = map.remove("key") {
            map.entry("name").or_insert(key);
        }
    }
    e
}

fn mount_to_v1(mut m: Value) -> Value {
    if let Some(map) = m.as_object_mut() {
        set(map);
        let path = map.remove("path");
        map.remove("mountType");
        if map.get("mountPath").is_none_or(|p| p.is_null() || p == "")
            && let Some(path) = path
        {
            map.insert("mountPath".into(), path);
        }
    }
    m
}

fn volume_to_v1(mut volume: Value) -> Value {
    let source = map(volume.get_mut("source").map(Value::take));
    let mut out = json!({"name": volume["name"]});
    for (name, value) in source.into_iter().filter(|(_, v)| !v.is_null()) {
        match name.as_str() {
            "hostDir" | "hostPath" => out["hostPath"] = value,
            "persistentDisk" | "gcePersistentDisk" => out["gcePersistentDisk"] = value,
            "secret" => {
                out["secret"] = json!({"secretName": value["target"]["name"].as_str().or(value["target"]["ID"].as_str()).or(value["secretName"].as_str())})
            }
            _ => out[name] = value,
        }
    }
    // A v1beta3 volume of later days has its source inline.
    for (name, value) in volume.as_object().into_iter().flatten().filter(|(k, v)| !matches!(k.as_str(), "name" | "source") && !v.is_null())
    {
        out[name] = value.clone();
    }
    if out.as_object().is_some_and(|o| o.len() == 1) {
        out["emptyDir"] = json!({});
    }
    out
}

pub(super) fn from_v1(value: &Value, version: Version, out: &mut Object) {
    let spec = spec_from_v1(&value["spec"], version);
    let status = status_from_v1(value, version);
    // Where a pod runs was part of its state only; what was asked for stayed as it was sent.
    if version.flat() {
        out.insert("desiredState".into(), json!({"manifest": spec}));
        out.insert("currentState".into(), status);
        copy(&value["spec"], &["nodeSelector"], out);
    } else {
        out.insert("spec".into(), spec);
        out.insert("status".into(), status);
    }
}

/// An empty manifest, as the old API printed it in states that have none.
pub(super) fn no_manifest() -> Value {
    json!({"version": "", "id": "", "volumes": null, "containers": null, "restartPolicy": {}})
}

pub(super) fn spec_from_v1(spec: &Value, version: Version) -> Value {
    let mut out = json!({});
    if version.flat() {
        out["version"] = json!("v1beta2");
        out["id"] = json!("");
    }
    let list = |member: &str| spec[member].as_array().cloned().unwrap_or_default();
    let volumes: Vec<Value> = list("volumes").iter().filter(|v| !injected(v)).map(|v| volume_from_v1(v, version)).collect();
    out["volumes"] = if volumes.is_empty() { Value::Null } else { volumes.into() };
    out["containers"] = list("containers").iter().map(|c| container_from_v1(c, version)).collect::<Vec<_>>().into();
    out["restartPolicy"] = match spec["restartPolicy"].as_str() {
        Some("Never") => json!({"never": {}}),
        Some("OnFailure") => json!({"onFailure": {}}),
        _ => json!({"always": {}}),
    };
    out["dnsPolicy"] = spec.get("dnsPolicy").cloned().unwrap_or_else(|| json!("ClusterFirst"));
    if !version.flat()
        && let Some(selector) = spec.get("nodeSelector")
    {
        out["nodeSelector"] = selector.clone();
    }
    out
}

fn container_from_v1(c: &Value, version: Version) -> Value {
    let mut out = Object::new();
    copy(c, &["name", "image", "workingDir", "terminationMessagePath"], &mut out);
    for member in ["livenessProbe", "readinessProbe"] {
        if let Some(probe) = c.get(member).filter(|p| !p.is_null()) {
            out.insert(member.into(), action_from_v1(probe));
        }
    }
    if let Some(hooks) = c["lifecycle"].as_object() {
        let hooks = hooks.iter().filter(|(name, _)| matches!(name.as_str(), "postStart" | "preStop"));
        out.insert("lifecycle".into(), hooks.map(|(name, hook)| (name.clone(), action_from_v1(hook))).collect());
    }
    let command: Vec<Value> = ["command", "args"].iter().flat_map(|m| c[*m].as_array().cloned().unwrap_or_default()).collect();
    if !command.is_empty() {
        out.insert("command".into(), command.into());
    }
    if let Some(ports) = c["ports"].as_array().filter(|p| !p.is_empty()) {
        let known = ["name", "hostPort", "containerPort", "protocol", "hostIP"];
        out.insert("ports".into(), ports.iter().map(|p| only(p, &known)).collect());
    }
    if let Some(env) = c["env"].as_array().filter(|e| !e.is_empty()) {
        let env = env.iter().map(|e| {
            let mut e = only(e, &["name", "value"]);
            if version == Version::V1Beta1 {
                e["key"] = e["name"].clone();
            }
            e
        });
        out.insert("env".into(), env.collect::<Vec<_>>().into());
    }
    let mounts: Vec<&Value> = c["volumeMounts"].as_array().into_iter().flatten().filter(|m| !injected(m)).collect();
    if !mounts.is_empty() {
        let mounts = mounts.into_iter().map(|m| {
            let mut m = only(m, &["name", "readOnly", "mountPath"]);
            if version == Version::V1Beta1 {
                m["path"] = m["mountPath"].clone();
            }
            m
        });
        out.insert("volumeMounts".into(), mounts.collect::<Vec<_>>().into());
    }
    let limits = c["resources"]["limits"].as_object().cloned().unwrap_or_default();
    out.insert("resources".into(), if limits.is_empty() { json!({}) } else { json!({"limits": amounts_from_v1(&limits, version)}) });
    if version.flat() {
        let amount = |name: &str| limits.get(name).and_then(Value::as_str).and_then(|t| t.parse::<Quantity>().ok());
        if let Some(cpu) = amount("cpu") {
            out.insert("cpu".into(), json!(cpu.millis()));
        }
        if let Some(memory) = amount("memory") {
            out.insert("memory".into(), json!(memory.units()));
        }
    }
    let policy = c["imagePullPolicy"].as_str().unwrap_or("IfNotPresent");
    out.insert("imagePullPolicy".into(), if version.flat() { json!(format!("Pull{policy}")) } else { json!(policy) });
    if c["securityContext"]["privileged"] == true {
        out.insert("privileged".into(), json!(true));
    }
    out.insert("capabilities".into(), only(&c["securityContext"]["capabilities"], &["add", "drop"]));
    Value::Object(out)
}

/// The service account's token came after these versions, which have no words for its volume.
fn injected(volume_or_mount: &Value) -> bool {
    volume_or_mount["name"].as_str().is_some_and(|n| n.starts_with("kube-api-access-"))
}

/// The members that the era knew. Its clients lose the others, which must not look as if somebody had taken them away.
fn only(value: &Value, known: &[&str]) -> Value {
    let mut out = Object::new();
    copy(value, known, &mut out);
    Value::Object(out)
}

/// A probe, or what a hook does.
fn action_from_v1(action: &Value) -> Value {
    let mut out = only(action, &["initialDelaySeconds", "timeoutSeconds"]);
    for (member, known) in [("exec", &["command"][..]), ("httpGet", &["path", "port", "host"]), ("tcpSocket", &["port"])] {
        if let Some(how) = action.get(member).filter(|h| !h.is_null()) {
            out[member] = only(how, known);
        }
    }
    out
}

/// In the flat versions cpu is a string of cores and everything else a number.
pub(super) fn amounts_from_v1(amounts: &Object, version: Version) -> Object {
    if !version.flat() {
        return amounts.clone();
    }
    let convert = |name: &str, value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        match text.parse::<Quantity>() {
            Ok(q) if name.ends_with("cpu") => json!(cores(q.millis())),
            Ok(q) => json!(q.units()),
            Err(_) => value.clone(),
        }
    };
    amounts.iter().map(|(k, v)| (k.clone(), convert(k, v))).collect()
}

/// `200m` is "0.2", `2` is "2".
fn cores(millis: i64) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn volume_from_v1(volume: &Value, version: Version) -> Value {
    let (host, disk) = if version.flat() { ("hostDir", "persistentDisk") } else { ("hostPath", "gcePersistentDisk") };
    let mut source = json!({host: null, "emptyDir": null, disk: null, "gitRepo": null, "secret": null});
    for (name, value) in volume.as_object().into_iter().flatten().filter(|(k, _)| *k != "name") {
        match name.as_str() {
            "hostPath" => source[host] = json!({"path": value["path"]}),
            "gcePersistentDisk" => source[disk] = only(value, &["pdName", "fsType", "partition", "readOnly"]),
            "gitRepo" => source["gitRepo"] = only(value, &["repository", "revision"]),
            "emptyDir" => source["emptyDir"] = json!({}),
            "secret" => source["secret"] = json!({"target": {"kind": "Secret", "name": value["secretName"]}}),
            // It has a volume of a kind that came later; which one cannot be said.
            _ => {}
        }
    }
    json!({"name": volume["name"], "source": source})
}

fn status_from_v1(value: &Value, version: Version) -> Value {
    let status = &value["status"];
    let mut out = json!({});
    if version.flat() {
        out["manifest"] = no_manifest();
    }
    let phase = status["phase"].as_str().unwrap_or("Pending");
    if version.flat() {
        out["status"] = json!(match phase {
            "Pending" => "Waiting",
            "Failed" => "Terminated",
            other => other,
        });
    } else {
        out["phase"] = json!(phase);
    }
    let ready = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
    if let Some(ready) = ready {
        out["Condition"] = json!([{"kind": "Ready", "status": if ready["status"] == "True" { "Full" } else { "None" }}]);
    }
    if let Some(host) = value["spec"]["nodeName"].as_str() {
        out["host"] = json!(host);
    }
    for member in ["hostIP", "podIP", "message"] {
        if let Some(v) = status.get(member).filter(|v| v.as_str().is_some_and(|s| !s.is_empty())) {
            out[member] = v.clone();
        }
    }
    let mut info = json!({});
    // The container that owned the pod's network stood among the others, and clients looked for the pod's address there.
    if let (Some(ip), Some(start)) = (out.get("podIP").cloned(), status.get("startTime")) {
        let running = json!({"running": {"startedAt": start}});
        info["POD"] = json!({"state": running, "ready": false, "restartCount": 0, "podIP": ip, "image": INFRA_IMAGE});
    }
    for c in status["containerStatuses"].as_array().into_iter().flatten() {
        let mut one = json!({"state": state_from_v1(&c["state"]), "ready": c["ready"] == true, "restartCount": c["restartCount"].as_i64().unwrap_or(0)});
        for member in ["image", "imageID", "containerID"] {
            if let Some(v) = c.get(member).filter(|v| v.is_string()) {
                one[member] = v.clone();
            }
        }
        info[c["name"].as_str().unwrap_or_default()] = one;
    }
    if info.as_object().is_some_and(|i| !i.is_empty()) {
        out["info"] = info;
    }
    out
}

fn state_from_v1(state: &Value) -> Value {
    match state.as_object().and_then(|s| s.iter().next()) {
        Some((name, value)) if name == "terminated" => json!({"termination": value}),
        Some((name, value)) => json!({name: value}),
        None => json!({}),
    }
}
