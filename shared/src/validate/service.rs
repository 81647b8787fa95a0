//! Services and hand-made endpoints.
use super::names::is_dns_label;
use crate::status::FieldError;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) fn service(service: &Value, errors: &mut Vec<FieldError>) {
    let spec = &service["spec"];
    let kind = spec["type"].as_str().unwrap_or("ClusterIP");
    const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported("spec.type", kind, &TYPES));
    }
    let ip = spec["clusterIP"].as_str().unwrap_or_default();
    if !matches!(ip, "" | "None") && ip.parse::<IpAddr>().is_err() {
        errors.push(FieldError::invalid("spec.clusterIP", ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    }
    let affinity = spec["sessionAffinity"].as_str().unwrap_or("None");
    if !matches!(affinity, "None" | "ClientIP") {
        errors.push(FieldError::not_supported("spec.sessionAffinity", affinity, &["ClientIP", "None"]));
    }
    if kind == "ExternalName" {
        if spec["externalName"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required("spec.externalName", ""));
        }
        return;
    }
    ports(spec, ip == "None", errors);
    super::names::labels(&spec["selector"], "spec.selector", errors);
}

fn ports(spec: &Value, headless: bool, errors: &mut Vec<FieldError>) {
    let ports: &[Value] = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    if ports.is_empty() && !headless {
        errors.push(FieldError::required("spec.ports", ""));
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (i, p) in ports.iter().enumerate() {
        let at = format!("spec.ports[{i}]");
        let name = p["name"].as_str().unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else if !name.is_empty() {
            if let Err(why) = is_dns_label(name) {
                errors.push(FieldError::invalid(format!("{at}.name"), name, why));
            }
            if !names.insert(name) {
                errors.push(FieldError::duplicate(format!("{at}.name"), name));
            }
        }
        let range = |v: &Value| v.as_i64().is_some_and(|n| (1..=65535).contains(&n));
        if !range(&p["port"]) {
            errors.push(FieldError::invalid(format!("{at}.port"), &p["port"], "must be between 1 and 65535, inclusive"));
        }
        match &p["targetPort"] {
            Value::Null => {}
            Value::String(s) if !s.is_empty() && s.len() <= 15 && is_dns_label(s).is_ok() => {}
            target if range(target) => {}
            target => errors.push(FieldError::invalid(
                format!("{at}.targetPort"),
                target,
                "must be between 1 and 65535, inclusive, or the name of a container port",
            )),
        }
        let protocol = p["protocol"].as_str().unwrap_or("TCP");
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            errors.push(FieldError::not_supported(format!("{at}.protocol"), protocol, &["SCTP", "TCP", "UDP"]));
        }
        if !numbers.insert((protocol, p["port"].as_i64())) {
            errors.push(FieldError::duplicate(&*at, p));
        }
    }
}

pub(super) fn endpoints(endpoints: &Value, errors: &mut Vec<FieldError>) {
    for (i, subset) in endpoints["subsets"].as_array().into_iter().flatten().enumerate() {
        for member in ["addresses", "notReadyAddresses"] {
            for (j, address) in subset[member].as_array().into_iter().flatten().enumerate() {
                let field = format!("subsets[{i}].{member}[{j}].ip");
                match address["ip"].as_str().unwrap_or_default().parse::<IpAddr>() {
                    Err(_) => errors.push(FieldError::invalid(
                        field,
                        &address["ip"],
                        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                    )),
                    // CVE-2021-25737: endpoints must not lead into the node itself.
                    Ok(ip) if ip.is_loopback() => {
                        errors.push(FieldError::invalid(field, &address["ip"], "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
                    }
                    Ok(IpAddr::V4(ip)) if ip.is_link_local() => errors.push(FieldError::invalid(
                        field,
                        &address["ip"],
                        "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
                    )),
                    Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
                        errors.push(FieldError::invalid(field, &address["ip"], "may not be unspecified or multicast"))
                    }
                    Ok(_) => {}
                }
            }
        }
        for (j, port) in subset["ports"].as_array().into_iter().flatten().enumerate() {
            if !port["port"].as_i64().is_some_and(|n| (1..=65535).contains(&n)) {
                errors.push(FieldError::invalid(
                    format!("subsets[{i}].ports[{j}].port"),
                    &port["port"],
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
    }
}
