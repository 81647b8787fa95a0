//! Is an object well formed? Pure checks, authoritative on the server, reused by the console's forms.
pub mod names;
pub mod pod;
pub mod service;

use crate::kinds::Kind;
use crate::quantity::Quantity;
use crate::status::FieldError;
use serde_json::Value;

/// Every fault of a new object.
pub fn create(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    names::metadata(kind, object, &mut errors);
    match kind.kind {
        "Pod" => pod::spec(&object["spec"], "spec", &mut errors),
        "ReplicationController" => replication_controller(object, &mut errors),
        "Service" => service::service(object, &mut errors),
        "Secret" => data(object, &["data"], &mut errors),
        "ConfigMap" => data(object, &["data", "binaryData"], &mut errors),
        "ResourceQuota" => quota(object, &mut errors),
        "LimitRange" => limit_range(object, &mut errors),
        "Endpoints" => service::endpoints(object, &mut errors),
        "Role" | "ClusterRole" => rules(object, &mut errors),
        "RoleBinding" | "ClusterRoleBinding" => binding(object, &mut errors),
        "CertificateSigningRequest" => signing_request(&object["spec"], &mut errors),
        _ => {}
    }
    errors
}

/// Every fault of a changed object.
pub fn update(kind: &Kind, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(kind, new);
    no_new_finalizers(&new["metadata"], &old["metadata"], &mut errors);
    let immutable = |path: &str, errors: &mut Vec<FieldError>| {
        let (now, before) = (new.pointer(path), old.pointer(path));
        if before.is_some_and(|b| !b.is_null()) && now != before {
            let field = path.trim_start_matches('/').replace('/', ".");
            errors.push(FieldError::invalid(field, now.unwrap_or(&Value::Null), "field is immutable"));
        }
    };
    match kind.kind {
        "Pod" => pod::update(new, old, &mut errors),
        "Service" => {
            let changes_type = new.pointer("/spec/type") != old.pointer("/spec/type");
            if !changes_type {
                immutable("/spec/clusterIP", &mut errors);
            }
        }
        "Secret" => immutable("/type", &mut errors),
        "RoleBinding" | "ClusterRoleBinding" if new["roleRef"] != old["roleRef"] => {
            errors.push(FieldError::invalid("roleRef", &new["roleRef"], "cannot change roleRef"));
        }
        "ResourceQuota" => immutable("/spec/scopes", &mut errors),
        "CertificateSigningRequest" => immutable("/spec", &mut errors),
        "EndpointSlice" => immutable("/addressType", &mut errors),
        _ => {}
    }
    if matches!(kind.kind, "Secret" | "ConfigMap") && old["immutable"] == Value::Bool(true) {
        for member in ["data", "binaryData", "immutable"] {
            if new[member] != old[member] {
                errors.push(FieldError::forbidden(member, "field is immutable when `immutable` is set"));
            }
        }
    }
    errors
}

/// Who is deleted is held by whom he was held before, and by nobody else.
fn no_new_finalizers(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if old.get("deletionTimestamp").is_none() {
        return;
    }
    let of = |meta: &Value| -> Vec<Value> { meta["finalizers"].as_array().cloned().unwrap_or_default() };
    let (before, mut added) = (of(old), of(new));
    added.retain(|f| !before.contains(f));
    if !added.is_empty() {
        let names: Vec<String> = added.iter().map(Value::to_string).collect();
        let detail = format!("no new finalizers can be added if the object is being deleted, found new finalizers {}", names.join(", "));
        errors.push(FieldError::forbidden("metadata.finalizers", detail));
    }
}

fn replication_controller(rc: &Value, errors: &mut Vec<FieldError>) {
    let spec = &rc["spec"];
    if spec["replicas"].as_i64().is_some_and(|n| n < 0) {
        errors.push(FieldError::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    if spec["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required("spec.selector", ""));
    }
    if !spec["template"].is_object() {
        errors.push(FieldError::required("spec.template", ""));
        return;
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let matches = spec["selector"].as_object().is_none_or(|s| s.iter().all(|(k, v)| labels.get(k) == Some(v)));
    if !matches {
        errors.push(FieldError::invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
    }
    names::labels(labels, "spec.template.metadata.labels", errors);
    pod::spec(&spec["template"]["spec"], "spec.template.spec", errors);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy.as_str().is_some_and(|p| matches!(p, "Never" | "OnFailure")) {
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
}

/// Kubernetes' limit on the data of a secret or config map.
const DATA_BYTES_MAX: usize = 1 << 20;

fn data(object: &Value, members: &[&str], errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    for member in members {
        for (key, value) in object[*member].as_object().into_iter().flatten() {
            bytes += value.as_str().map_or(0, str::len);
            let good = !key.is_empty()
                && key.len() <= 253
                && key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
                && key != "."
                && key != "..";
            if !good {
                let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                errors.push(FieldError::invalid(format!("{member}[{key}]"), key, detail));
            }
            if !value.is_string() {
                errors.push(FieldError::invalid(format!("{member}[{key}]"), value, "must be a string"));
            }
        }
    }
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("data", DATA_BYTES_MAX));
    }
}

fn quantity(value: &Value, field: String, errors: &mut Vec<FieldError>) {
    let text = match value {
        Value::String(s) => s.clone(),
        Value::Number(n) => n.to_string(),
        _ => String::new(),
    };
    match text.parse::<Quantity>() {
        Ok(q) if q.is_negative() => errors.push(FieldError::invalid(field, value, "must be greater than or equal to 0")),
        Ok(_) => {}
        Err(e) => errors.push(FieldError::invalid(field, value, e.to_string())),
    }
}

fn quota(object: &Value, errors: &mut Vec<FieldError>) {
    for (name, amount) in object["spec"]["hard"].as_object().into_iter().flatten() {
        quantity(amount, format!("spec.hard[{name}]"), errors);
    }
}

fn limit_range(object: &Value, errors: &mut Vec<FieldError>) {
    for (i, item) in object["spec"]["limits"].as_array().into_iter().flatten().enumerate() {
        if item["type"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("spec.limits[{i}].type"), ""));
        }
        for member in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            for (name, amount) in item[member].as_object().into_iter().flatten() {
                quantity(amount, format!("spec.limits[{i}].{member}[{name}]"), errors);
            }
        }
        let parse = |member: &str, name: &str| item[member][name].as_str().and_then(|t| t.parse::<Quantity>().ok());
        for name in item["min"].as_object().into_iter().flatten().map(|(k, _)| k) {
            if let (Some(min), Some(max)) = (parse("min", name), parse("max", name))
                && min > max
            {
                let detail = format!("min value {min} is greater than max value {max}");
                errors.push(FieldError::invalid(format!("spec.limits[{i}].min[{name}]"), &item["min"][name], detail));
            }
        }
    }
}

/// <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/certificate-signing-request-v1/>
fn signing_request(spec: &Value, errors: &mut Vec<FieldError>) {
    const SECONDS_MIN: i64 = 600;
    if spec["request"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required("spec.request", "a certificate request in PEM"));
    }
    let signer = &spec["signerName"];
    if signer.as_str().is_none_or(|s| !s.split_once('/').is_some_and(|(domain, path)| domain.contains('.') && !path.is_empty())) {
        errors.push(FieldError::invalid(
            "spec.signerName",
            signer,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ));
    }
    if spec["usages"].as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required("spec.usages", "usages must be specified"));
    }
    if spec["expirationSeconds"].as_i64().is_some_and(|s| s < SECONDS_MIN) {
        let detail = format!("may not specify a duration less than {SECONDS_MIN} seconds (10 minutes)");
        errors.push(FieldError::invalid("spec.expirationSeconds", &spec["expirationSeconds"], detail));
    }
}

fn rules(role: &Value, errors: &mut Vec<FieldError>) {
    for (i, rule) in role["rules"].as_array().into_iter().flatten().enumerate() {
        let empty = |m: &str| rule[m].as_array().is_none_or(Vec::is_empty);
        if empty("verbs") {
            errors.push(FieldError::required(format!("rules[{i}].verbs"), "verbs must contain at least one value"));
        }
        if empty("nonResourceURLs") && empty("apiGroups") {
            errors.push(FieldError::required(format!("rules[{i}].apiGroups"), "resource rules must supply at least one api group"));
        }
        if empty("nonResourceURLs") && empty("resources") {
            errors.push(FieldError::required(format!("rules[{i}].resources"), "resource rules must supply at least one resource"));
        }
    }
}

fn binding(binding: &Value, errors: &mut Vec<FieldError>) {
    let role = &binding["roleRef"];
    if role["name"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    let kinds: &[&str] = if binding["kind"] == "ClusterRoleBinding" { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    if role["kind"].as_str().is_none_or(|k| !kinds.contains(&k)) {
        errors.push(FieldError::not_supported("roleRef.kind", &role["kind"], kinds));
    }
    for (i, s) in binding["subjects"].as_array().into_iter().flatten().enumerate() {
        if s["name"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("subjects[{i}].name"), ""));
        }
        if s["kind"].as_str().is_none_or(|k| !matches!(k, "User" | "Group" | "ServiceAccount")) {
            errors.push(FieldError::not_supported(format!("subjects[{i}].kind"), &s["kind"], &["ServiceAccount", "User", "Group"]));
        }
    }
}
