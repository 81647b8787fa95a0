//! Services with one port at the top, and endpoints as `ip:port` texts.
use super::{IMPLICIT_TARGET, LegacyError, Object, Result, Version, copy, remember, remembered, take};
use serde_json::{Value, json};

pub(super) fn to_v1(object: &mut Object, version: Version, out: &mut Value) -> Result<()> {
    let mut spec = if version.flat() { std::mem::take(object) } else { super::pod::map(take(object, "spec")) };
    let mut new = json!({});
    let ports = match take(&mut spec, "ports") {
        Some(Value::Array(ports)) if !ports.is_empty() => ports.into_iter().map(port_to_v1).collect(),
        _ => {
            let mut port = Object::new();
            for member in ["port", "protocol", "containerPort"] {
                if let Some(value) = take(&mut spec, member) {
                    port.insert(member.into(), value);
                }
            }
            if port.is_empty() { Vec::new() } else { vec![port_to_v1(Value::Object(port))] }
        }
    };
    // Some port without a target: the pod's own is meant, which v1 cannot say.
    if ports.iter().any(|p: &Value| p.get("targetPort").is_none()) {
        remember(out, IMPLICIT_TARGET, "true".into());
    }
    if !ports.is_empty() {
        new["ports"] = ports.into();
    }
    for (old, now) in
        [("selector", "selector"), ("portalIP", "clusterIP"), ("sessionAffinity", "sessionAffinity"), ("publicIPs", "externalIPs")]
    {
        if let Some(value) = take(&mut spec, old).filter(|v| *v != "") {
            new[now] = value;
        }
    }
    if take(&mut spec, "createExternalLoadBalancer") == Some(json!(true)) {
        new["type"] = json!("LoadBalancer");
    }
    for member in ["clusterIP", "type", "externalIPs"] {
        if let Some(value) = take(&mut spec, member) {
            new[member] = value;
        }
    }
    out["spec"] = new;
    Ok(())
}

fn port_to_v1(mut port: Value) -> Value {
    let target = ["containerPort", "targetPort"].iter().find_map(|m| port.as_object_mut()?.remove(*m));
    if let Some(target) = target.filter(|t| !t.is_null() && *t != 0 && *t != "") {
        port["targetPort"] = target;
    }
    port
}

pub(super) fn from_v1(value: &Value, version: Version, out: &mut Object) {
    let spec = &value["spec"];
    let mut old = Object::new();
    let ports = spec["ports"].as_array().cloned().unwrap_or_default();
    let implicit = remembered(value, IMPLICIT_TARGET).is_some();
    if let Some(first) = ports.first() {
        copy(first, &["port", "protocol"], &mut old);
        let target = first.get("targetPort").filter(|_| !implicit).cloned();
        old.insert("containerPort".into(), target.unwrap_or_else(|| json!(0)));
    }
    if ports.len() > 1 {
        let renamed = ports.iter().map(|p| {
            let mut p = p.clone();
            if let Some(target) = p.as_object_mut().and_then(|p| p.remove("targetPort")) {
                p[if version.flat() { "containerPort" } else { "targetPort" }] = target;
            }
            p
        });
        old.insert("ports".into(), renamed.collect::<Vec<_>>().into());
    }
    old.insert("selector".into(), spec.get("selector").cloned().unwrap_or(Value::Null));
    copy(spec, &["sessionAffinity"], &mut old);
    if let Some(ip) = spec["clusterIP"].as_str() {
        old.insert("portalIP".into(), json!(ip));
    }
    if let Some(ips) = spec.get("externalIPs") {
        old.insert("publicIPs".into(), ips.clone());
    }
    if spec["type"] == "LoadBalancer" {
        old.insert("createExternalLoadBalancer".into(), json!(true));
    }
    if version.flat() {
        out.extend(old);
    } else {
        out.insert("spec".into(), Value::Object(old));
        out.insert("status".into(), json!({}));
    }
}

pub(super) fn endpoints_to_v1(object: &mut Object, version: Version, out: &mut Value) -> Result<()> {
    if let Some(subsets) = take(object, "subsets") {
        out["subsets"] = subsets;
        return Ok(());
    }
    let protocol = take(object, "protocol").unwrap_or_else(|| json!("TCP"));
    let mut by_port: std::collections::BTreeMap<i64, Vec<Value>> = std::collections::BTreeMap::new();
    for (i, e) in take(object, "endpoints").and_then(|e| e.as_array().cloned()).unwrap_or_default().into_iter().enumerate() {
        let wrong = |why: &str| LegacyError::Field { field: format!("endpoints[{i}]"), why: why.into() };
        let (ip, port) = if version.flat() {
            let text = e.as_str().ok_or_else(|| wrong("must be a text such as 10.1.2.3:80"))?;
            let (ip, port) = text.rsplit_once(':').ok_or_else(|| wrong("must be ip:port"))?;
            (ip.to_string(), port.parse().map_err(|_| wrong("the port must be a number"))?)
        } else {
            (e["ip"].as_str().unwrap_or_default().to_string(), e["port"].as_i64().unwrap_or(0))
        };
        by_port.entry(port).or_default().push(json!({"ip": ip}));
    }
    let subsets: Vec<Value> = by_port
        .into_iter()
        .map(|(port, addresses)| json!({"addresses": addresses, "ports": [{"port": port, "protocol": protocol}]}))
        .collect();
    if !subsets.is_empty() {
        out["subsets"] = subsets.into();
    }
    Ok(())
}

pub(super) fn endpoints_from_v1(value: &Value, version: Version, out: &mut Object) {
    let mut list = Vec::new();
    let mut protocol = json!("TCP");
    for subset in value["subsets"].as_array().into_iter().flatten() {
        for port in subset["ports"].as_array().into_iter().flatten() {
            protocol = port.get("protocol").cloned().unwrap_or(protocol);
            for address in subset["addresses"].as_array().into_iter().flatten() {
                let (ip, port) = (&address["ip"], &port["port"]);
                list.push(if version.flat() {
                    json!(format!("{}:{port}", ip.as_str().unwrap_or_default()))
                } else {
                    json!({"ip": ip, "port": port})
                });
            }
        }
    }
    out.insert("protocol".into(), protocol);
    out.insert("endpoints".into(), if list.is_empty() { Value::Null } else { list.into() });
}
