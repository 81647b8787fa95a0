//! ResourceQuota: what an object uses, and whether there is room for it.
use serde_json::Value;
use shared::kinds::Kind;
use shared::legacy::UNNAMED_IS_NOTHING;
use shared::objects::quota::ResourceQuota;
use shared::quantity::Quantity;
use std::collections::BTreeMap;

/// Amounts by resource name (`pods`, `requests.cpu`, `count/leases.coordination.k8s.io`, …).
pub type Usage = BTreeMap<String, Quantity>;

/// What one object counts for. A finished pod uses nothing.
pub fn usage_of(kind: &Kind, object: &Value) -> Usage {
    let mut usage = Usage::new();
    let one = Quantity::from_units(1);
    if kind.kind == "Pod" && matches!(object.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed")) {
        return usage;
    }
    usage.insert(format!("count/{}", kind.qualified()), one);
    match kind.kind {
        "Pod" => {
            usage.insert("pods".into(), one);
            compute(object, &mut usage);
        }
        "Service" => service(object, &mut usage),
        "ReplicationController" | "Secret" | "ConfigMap" | "ResourceQuota" | "PersistentVolumeClaim" => {
            usage.insert(kind.plural.into(), one);
        }
        _ => {}
    }
    usage
}

fn service(object: &Value, usage: &mut Usage) {
    usage.insert("services".into(), Quantity::from_units(1));
    let ports = object.pointer("/spec/ports").and_then(Value::as_array).map_or(0, Vec::len) as i64;
    match object.pointer("/spec/type").and_then(Value::as_str) {
        Some("NodePort") => {
            usage.insert("services.nodeports".into(), Quantity::from_units(ports));
        }
        Some("LoadBalancer") => {
            usage.insert("services.nodeports".into(), Quantity::from_units(ports));
            usage.insert("services.loadbalancers".into(), Quantity::from_units(1));
        }
        _ => {}
    }
}

fn compute(pod: &Value, usage: &mut Usage) {
    for name in ["cpu", "memory", "ephemeral-storage"] {
        for member in ["requests", "limits"] {
            let total = effective(pod, member, name);
            if let Some(total) = total {
                usage.insert(format!("{member}.{name}"), total);
                if member == "requests" {
                    usage.insert(name.into(), total);
                }
            }
        }
    }
}

/// The containers' sum or the largest init container, whichever is more; `None` if nobody names the resource.
fn effective(pod: &Value, member: &str, name: &str) -> Option<Quantity> {
    let of = |list: &str| -> Vec<Quantity> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.filter_map(|c| text(&c["resources"][member][name])?.parse().ok()).collect()
    };
    let sum = of("containers").into_iter().reduce(Quantity::plus);
    let largest = of("initContainers").into_iter().max();
    sum.max(largest)
}

fn text(v: &Value) -> Option<String> {
    match v {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// Is the object within the quota's scopes?
pub fn in_scope(quota: &ResourceQuota, kind: &Kind, object: &Value) -> bool {
    let best_effort = || {
        !["containers", "initContainers"].iter().any(|l| {
            object["spec"][l]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| ["requests", "limits"].iter().any(|m| c["resources"][m].as_object().is_some_and(|o| !o.is_empty())))
        })
    };
    let terminating = || object["spec"]["activeDeadlineSeconds"].is_number();
    quota.spec.scopes.iter().all(|scope| {
        kind.kind == "Pod"
            && match scope.as_str() {
                "BestEffort" => best_effort(),
                "NotBestEffort" => !best_effort(),
                "Terminating" => terminating(),
                "NotTerminating" => !terminating(),
                _ => false,
            }
    })
}

/// Compute resources that the quota limits and the pod does not name: without them it could not be counted.
pub fn unnamed(quota: &ResourceQuota, pod: &Value) -> Vec<String> {
    if quota.metadata.annotations.contains_key(UNNAMED_IS_NOTHING) {
        return Vec::new();
    }
    let limited = quota.spec.hard.keys().filter_map(|key| match key.as_str() {
        "cpu" | "requests.cpu" => Some(("requests", "cpu", key)),
        "memory" | "requests.memory" => Some(("requests", "memory", key)),
        "limits.cpu" => Some(("limits", "cpu", key)),
        "limits.memory" => Some(("limits", "memory", key)),
        _ => None,
    });
    limited
        .filter_map(|(member, name, key)| {
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let missing: Vec<&str> =
                containers.filter(|c| text(&c["resources"][member][name]).is_none()).filter_map(|c| c["name"].as_str()).collect();
            (!missing.is_empty()).then(|| format!("{key} for: {}", missing.join(",")))
        })
        .collect()
}

/// Adds up what all objects use, restricted to what the quota limits.
pub fn total(quota: &ResourceQuota, usages: impl Iterator<Item = Usage>) -> Usage {
    let mut sum: Usage = quota.spec.hard.keys().map(|k| (k.clone(), Quantity::ZERO)).collect();
    for usage in usages {
        for (name, amount) in usage {
            if let Some(total) = sum.get_mut(&name) {
                *total = total.plus(amount);
            }
        }
    }
    sum
}

/// Is there room for `delta` on top of `used`? The refusal is Kubernetes' sentence after `… is forbidden: `.
pub fn check(quota: &ResourceQuota, used: &Usage, delta: &Usage) -> Result<(), String> {
    let (mut requested, mut have, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for (name, hard) in &quota.spec.hard {
        let (Ok(hard), Some(more)) = (hard.parse::<Quantity>(), delta.get(name)) else { continue };
        let now = used.get(name).copied().unwrap_or(Quantity::ZERO);
        if *more > Quantity::ZERO && now.plus(*more) > hard {
            requested.push(format!("{name}={more}"));
            have.push(format!("{name}={now}"));
            limits.push(format!("{name}={hard}"));
        }
    }
    if requested.is_empty() {
        return Ok(());
    }
    let (requested, have, limits) = (requested.join(","), have.join(","), limits.join(","));
    Err(format!("exceeded quota: {}, requested: {requested}, used: {have}, limited: {limits}", quota.metadata.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::kinds::{POD, SERVICE};

    fn quota(hard: Value) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).unwrap()
    }

    #[test]
    fn pods_and_their_requests_are_counted() {
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}}}, {"resources": {"requests": {"cpu": "250m"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        let usage = usage_of(&POD, &pod);
        assert_eq!(usage["requests.cpu"].to_string(), "1");
        assert_eq!(usage["limits.memory"].to_string(), "1Gi");
        assert_eq!(usage["pods"], Quantity::from_units(1));
        assert!(usage_of(&POD, &json!({"status": {"phase": "Failed"}})).is_empty());
        assert_eq!(
            usage_of(&SERVICE, &json!({"spec": {"type": "NodePort", "ports": [{}, {}]}}))["services.nodeports"],
            Quantity::from_units(2)
        );
    }

    #[test]
    fn the_refusal_says_what_was_asked_used_and_allowed() {
        let q = quota(json!({"pods": "4", "cpu": "1"}));
        let used = Usage::from([("pods".into(), Quantity::from_units(4))]);
        let delta = Usage::from([("pods".into(), Quantity::from_units(1))]);
        assert_eq!(check(&q, &used, &delta).unwrap_err(), "exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4");
        assert!(check(&q, &Usage::new(), &delta).is_ok());
        assert_eq!(unnamed(&q, &json!({"spec": {"containers": [{"name": "c"}]}})), ["cpu for: c"]);
    }
}
