//! A pod's spec: containers, ports, volumes, probes, and what may change later.
use super::names::is_dns_label;
use super::quantity;
use crate::quantity::Quantity;
use crate::status::FieldError;
use serde_json::Value;
use std::collections::BTreeSet;

fn list<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    value[member].as_array().into_iter().flatten().enumerate()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn one_of(value: &Value, field: String, allowed: &[&str], errors: &mut Vec<FieldError>) {
    if let Some(v) = value.as_str().filter(|v| !v.is_empty() && !allowed.contains(v)) {
        errors.push(FieldError::not_supported(field, v, allowed));
    }
}

/// Checks a pod's spec found at `at`.
pub fn spec(spec: &Value, at: &str, errors: &mut Vec<FieldError>) {
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(format!("{at}.containers"), ""));
    }
    let volumes = volumes(spec, at, errors);
    let mut names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    for member in ["initContainers", "containers"] {
        for (i, c) in list(spec, member) {
            let field = format!("{at}.{member}[{i}]");
            container(c, &field, &volumes, errors);
            if !names.insert(text(c, "name").to_string()) && !text(c, "name").is_empty() {
                errors.push(FieldError::duplicate(format!("{field}.name"), &c["name"]));
            }
            if member == "containers" {
                ports(c, &field, &mut host_ports, errors);
            }
        }
    }
    one_of(&spec["restartPolicy"], format!("{at}.restartPolicy"), &["Always", "OnFailure", "Never"], errors);
    one_of(&spec["dnsPolicy"], format!("{at}.dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], errors);
    for member in ["terminationGracePeriodSeconds", "activeDeadlineSeconds"] {
        if spec[member].as_i64().is_some_and(|n| n < 0) {
            errors.push(FieldError::invalid(format!("{at}.{member}"), &spec[member], "must be greater than or equal to 0"));
        }
    }
    for member in ["hostname", "subdomain"] {
        if let Some(name) = spec[member].as_str().filter(|n| !n.is_empty())
            && let Err(why) = is_dns_label(name)
        {
            errors.push(FieldError::invalid(format!("{at}.{member}"), name, why));
        }
    }
    super::names::labels(&spec["nodeSelector"], &format!("{at}.nodeSelector"), errors);
    for (i, t) in list(spec, "tolerations") {
        one_of(&t["operator"], format!("{at}.tolerations[{i}].operator"), &["Equal", "Exists"], errors);
        one_of(&t["effect"], format!("{at}.tolerations[{i}].effect"), &["NoSchedule", "PreferNoSchedule", "NoExecute"], errors);
    }
}

fn volumes(spec: &Value, at: &str, errors: &mut Vec<FieldError>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (i, v) in list(spec, "volumes") {
        let field = format!("{at}.volumes[{i}]");
        let name = text(v, "name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        } else if let Err(why) = is_dns_label(name) {
            errors.push(FieldError::invalid(format!("{field}.name"), name, why));
        }
        if !names.insert(name.to_string()) {
            errors.push(FieldError::duplicate(format!("{field}.name"), name));
        }
        let sources: Vec<&String> =
            v.as_object().into_iter().flatten().filter(|(k, s)| *k != "name" && !s.is_null()).map(|(k, _)| k).collect();
        if let [_, second, ..] = sources.as_slice() {
            errors.push(FieldError::forbidden(format!("{field}.{second}"), "may not specify more than 1 volume type"));
        }
        if let Some(path) = v.get("hostPath").filter(|h| h.is_object()) {
            let p = text(path, "path");
            if p.is_empty() {
                errors.push(FieldError::required(format!("{field}.hostPath.path"), ""));
            } else if p.split('/').any(|part| part == "..") {
                errors.push(FieldError::invalid(format!("{field}.hostPath.path"), p, "must not contain '..'"));
            }
        }
        if v.get("secret").is_some_and(|s| s.is_object() && text(s, "secretName").is_empty()) {
            errors.push(FieldError::required(format!("{field}.secret.secretName"), ""));
        }
        if v.get("configMap").is_some_and(|s| s.is_object() && text(s, "name").is_empty()) {
            errors.push(FieldError::required(format!("{field}.configMap.name"), ""));
        }
    }
    names
}

fn container(c: &Value, field: &str, volumes: &BTreeSet<String>, errors: &mut Vec<FieldError>) {
    let name = text(c, "name");
    if name.is_empty() {
        errors.push(FieldError::required(format!("{field}.name"), ""));
    } else if let Err(why) = is_dns_label(name) {
        errors.push(FieldError::invalid(format!("{field}.name"), name, why));
    }
    let image = text(c, "image");
    if image.is_empty() {
        errors.push(FieldError::required(format!("{field}.image"), ""));
    } else if image.trim() != image {
        errors.push(FieldError::invalid(format!("{field}.image"), image, "must not have leading or trailing whitespace"));
    }
    one_of(&c["imagePullPolicy"], format!("{field}.imagePullPolicy"), &["Always", "IfNotPresent", "Never"], errors);
    one_of(&c["terminationMessagePolicy"], format!("{field}.terminationMessagePolicy"), &["File", "FallbackToLogsOnError"], errors);
    for (i, e) in list(c, "env") {
        let at = format!("{field}.env[{i}]");
        let name = text(e, "name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else if name.contains('=') {
            errors.push(FieldError::invalid(format!("{at}.name"), name, "a valid environment variable name must not contain '='"));
        }
        if e.get("valueFrom").is_some_and(Value::is_object) && !text(e, "value").is_empty() {
            errors.push(FieldError::invalid(format!("{at}.valueFrom"), "", "may not be specified when `value` is not empty"));
        }
    }
    let mut mounted = BTreeSet::new();
    for (i, m) in list(c, "volumeMounts") {
        let at = format!("{field}.volumeMounts[{i}]");
        if !volumes.contains(text(m, "name")) {
            errors.push(FieldError::not_found(format!("{at}.name"), &m["name"]));
        }
        let path = text(m, "mountPath");
        if path.is_empty() {
            errors.push(FieldError::required(format!("{at}.mountPath"), ""));
        } else if !mounted.insert(path.to_string()) {
            errors.push(FieldError::invalid(format!("{at}.mountPath"), path, "must be unique"));
        }
        let sub = text(m, "subPath");
        if sub.starts_with('/') || sub.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(format!("{at}.subPath"), sub, "must be a relative path and not contain '..'"));
        }
    }
    resources(&c["resources"], &format!("{field}.resources"), errors);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(p) = c.get(probe).filter(|p| p.is_object()) {
            check_probe(p, &format!("{field}.{probe}"), errors);
        }
    }
}

fn check_probe(p: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let handlers: Vec<&str> =
        ["exec", "httpGet", "tcpSocket", "grpc"].into_iter().filter(|h| p.get(*h).is_some_and(Value::is_object)).collect();
    match handlers.as_slice() {
        [] => errors.push(FieldError::required(field, "must specify a handler type")),
        [_] => {}
        [_, second, ..] => errors.push(FieldError::forbidden(format!("{field}.{second}"), "may not specify more than 1 handler type")),
    }
    for member in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if p[member].as_i64().is_some_and(|n| n < 0) {
            errors.push(FieldError::invalid(format!("{field}.{member}"), &p[member], "must be greater than or equal to 0"));
        }
    }
    if field.ends_with("livenessProbe") && p["successThreshold"].as_i64().is_some_and(|n| n != 1) {
        errors.push(FieldError::invalid(format!("{field}.successThreshold"), &p["successThreshold"], "must be 1"));
    }
}

fn resources(r: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for member in ["limits", "requests"] {
        for (name, amount) in r[member].as_object().into_iter().flatten() {
            quantity(amount, format!("{field}.{member}[{name}]"), errors);
        }
    }
    let parse = |v: &Value| match v {
        Value::String(s) => s.parse::<Quantity>().ok(),
        Value::Number(n) => n.to_string().parse().ok(),
        _ => None,
    };
    for (name, request) in r["requests"].as_object().into_iter().flatten() {
        if let (Some(asked), Some(limit)) = (parse(request), parse(&r["limits"][name]))
            && asked > limit
        {
            errors.push(FieldError::invalid(
                format!("{field}.requests"),
                request,
                format!("must be less than or equal to {name} limit of {limit}"),
            ));
        }
    }
}

fn ports(c: &Value, field: &str, host_ports: &mut BTreeSet<(String, String, i64)>, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (i, p) in list(c, "ports") {
        let at = format!("{field}.ports[{i}]");
        match p["containerPort"].as_i64() {
            Some(1..=65535) => {}
            None | Some(0) => errors.push(FieldError::required(format!("{at}.containerPort"), "")),
            Some(n) => errors.push(FieldError::invalid(format!("{at}.containerPort"), n, "must be between 1 and 65535, inclusive")),
        }
        one_of(&p["protocol"], format!("{at}.protocol"), &["TCP", "UDP", "SCTP"], errors);
        let name = text(p, "name");
        if !name.is_empty() {
            if name.len() > 15 || is_dns_label(name).is_err() {
                errors.push(FieldError::invalid(
                    format!("{at}.name"),
                    name,
                    "must be no more than 15 characters, lower case alphanumeric or '-', and contain at least one letter",
                ));
            }
            if !names.insert(name.to_string()) {
                errors.push(FieldError::duplicate(format!("{at}.name"), name));
            }
        }
        match p["hostPort"].as_i64() {
            None | Some(0) => {}
            Some(n @ 1..=65535) => {
                let protocol = if text(p, "protocol").is_empty() { "TCP" } else { text(p, "protocol") };
                if !host_ports.insert((protocol.into(), text(p, "hostIP").into(), n)) {
                    errors.push(FieldError::duplicate(format!("{at}.hostPort"), n));
                }
            }
            Some(n) => errors.push(FieldError::invalid(format!("{at}.hostPort"), n, "must be between 1 and 65535, inclusive")),
        }
    }
}

/// What of a pod's spec may change: images, tolerations that are added, a deadline, and the node when it is set first.
pub(super) fn update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let mut allowed = new["spec"].clone();
    for member in ["containers", "initContainers"] {
        if let (Some(now), Some(before)) = (allowed[member].as_array_mut(), old["spec"][member].as_array())
            && now.len() == before.len()
        {
            for (n, b) in now.iter_mut().zip(before) {
                n["image"] = b["image"].clone();
            }
        }
        if allowed[member].is_null() {
            allowed.as_object_mut().map(|s| s.remove(member));
        }
    }
    for member in ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"] {
        match old["spec"].get(member) {
            Some(v) => allowed[member] = v.clone(),
            None => {
                allowed.as_object_mut().map(|s| s.remove(member));
            }
        }
    }
    if allowed != old["spec"] {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden("spec", detail));
    }
    let kept = |t: &Value| new["spec"]["tolerations"].as_array().is_some_and(|n| n.contains(t));
    if !list(&old["spec"], "tolerations").all(|(_, t)| kept(t)) {
        errors.push(FieldError::forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(spec_json: Value) -> Vec<String> {
        let mut errors = Vec::new();
        spec(&spec_json, "spec", &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_fault_names_its_field() {
        for (spec, wanted) in [
            (json!({}), "spec.containers: Required value"),
            (json!({"containers": [{"image": "i"}]}), "spec.containers[0].name: Required value"),
            (json!({"containers": [{"name": "c"}]}), "spec.containers[0].image: Required value"),
            (
                json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
                "spec.containers[1].name: Duplicate value: \"c\"",
            ),
            (
                json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "X"}),
                "spec.restartPolicy: Unsupported value: \"X\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ),
            (
                json!({"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]}),
                "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
            ),
            (
                json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}]}),
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]}]}),
                "spec.containers[0].ports[1].hostPort: Duplicate value: 5",
            ),
            (
                json!({"containers": [{"name": "c", "image": "i", "livenessProbe": {}}]}),
                "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            ),
        ] {
            assert_eq!(faults(spec.clone()), [wanted], "{spec}");
        }
        assert!(faults(json!({"containers": [{"name": "c", "image": "i"}]})).is_empty());
    }

    #[test]
    fn only_the_image_may_change() {
        let old = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        let check = |new: Value| {
            let mut errors = Vec::new();
            update(&new, &old, &mut errors);
            errors.len()
        };
        assert_eq!(check(json!({"spec": {"containers": [{"name": "c", "image": "j"}]}})), 0);
        assert_eq!(
            check(json!({"spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}})),
            1,
            "that is what a binding is for"
        );
        assert_eq!(check(json!({"spec": {"containers": [{"name": "c", "image": "i", "command": ["x"]}]}})), 1);
    }
}
