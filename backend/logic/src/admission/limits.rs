//! LimitRange: what a container gets when it asks for nothing, and how little or much it may ask for.
use serde_json::{Value, json};
use shared::legacy::UNNAMED_IS_NOTHING;
use shared::meta::StringMap;
use shared::objects::quota::{LimitRange, LimitRangeItem};
use shared::quantity::Quantity;

/// Fills requests and limits that containers leave out. Who names a limit only requests as much, before any range is asked.
pub fn fill(pod: &mut Value, ranges: &[LimitRange]) {
    for list in ["containers", "initContainers"] {
        for c in pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut).into_iter().flatten() {
            let limits: StringMap = serde_json::from_value(c["resources"]["limits"].clone()).unwrap_or_default();
            if !limits.is_empty() {
                fill_one(c, "requests", &limits);
            }
        }
    }
    for item in ranges.iter().flat_map(|r| &r.spec.limits).filter(|i| i.type_ == "Container") {
        for list in ["containers", "initContainers"] {
            let Some(containers) = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut) else { continue };
            for c in containers {
                fill_one(c, "limits", &item.default_);
                fill_one(c, "requests", &item.default_request);
            }
        }
    }
}

fn fill_one(container: &mut Value, member: &str, amounts: &StringMap) {
    for (name, amount) in amounts {
        if container["resources"][member].get(name).is_none() {
            container["resources"][member][name] = json!(amount);
        }
    }
    if container["resources"][member].is_null() {
        container["resources"].as_object_mut().map(|r| r.remove(member));
    }
}

/// Every limit that a pod breaks, in Kubernetes' words.
pub fn check(pod: &Value, ranges: &[LimitRange]) -> Vec<String> {
    let mut errors = Vec::new();
    let containers = || ["containers", "initContainers"].into_iter().flat_map(|l| pod["spec"][l].as_array().into_iter().flatten());
    for (range, item) in ranges.iter().flat_map(|r| r.spec.limits.iter().map(move |item| (r, item))) {
        // In the forms of 2015 who named no limit broke none.
        let unnamed_passes = range.metadata.annotations.contains_key(UNNAMED_IS_NOTHING);
        match item.type_.as_str() {
            "Container" => containers().for_each(|c| check_one(&c["resources"], item, unnamed_passes, &mut errors)),
            "Pod" => check_one(&sum(pod), item, unnamed_passes, &mut errors),
            _ => {}
        }
    }
    errors
}

fn amount(resources: &Value, member: &str, name: &str) -> Option<Quantity> {
    match &resources[member][name] {
        Value::String(s) => s.parse().ok(),
        Value::Number(n) => n.to_string().parse().ok(),
        _ => None,
    }
}

fn check_one(resources: &Value, item: &LimitRangeItem, unnamed_passes: bool, errors: &mut Vec<String>) {
    let kind = &item.type_;
    for (name, min) in parsed(&item.min) {
        match (amount(resources, "requests", name), amount(resources, "limits", name)) {
            (Some(r), _) if r < min => errors.push(format!("minimum {name} usage per {kind} is {min}, but request is {r}")),
            (None, _) => errors.push(format!("minimum {name} usage per {kind} is {min}.  No request is specified")),
            (_, Some(l)) if l < min => errors.push(format!("minimum {name} usage per {kind} is {min}, but limit is {l}")),
            _ => {}
        }
    }
    for (name, max) in parsed(&item.max) {
        match (amount(resources, "limits", name), amount(resources, "requests", name)) {
            (Some(l), _) if l > max => errors.push(format!("maximum {name} usage per {kind} is {max}, but limit is {l}")),
            (None, None) if unnamed_passes => {}
            (None, _) => errors.push(format!("maximum {name} usage per {kind} is {max}.  No limit is specified")),
            (_, Some(r)) if r > max => errors.push(format!("maximum {name} usage per {kind} is {max}, but request is {r}")),
            _ => {}
        }
    }
    for (name, ratio) in parsed(&item.max_limit_request_ratio) {
        if let (Some(l), Some(r)) = (amount(resources, "limits", name), amount(resources, "requests", name))
            && !r.is_zero()
            && i128::from(l.millis()) * 1000 > i128::from(r.millis()) * i128::from(ratio.millis())
        {
            errors.push(format!(
                "{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is {:.6}",
                l.millis() as f64 / r.millis() as f64
            ));
        }
    }
}

fn parsed(map: &StringMap) -> impl Iterator<Item = (&str, Quantity)> {
    map.iter().filter_map(|(k, v)| Some((k.as_str(), v.parse().ok()?)))
}

/// Requests and limits of all containers together; a limit counts only if every container has one.
fn sum(pod: &Value) -> Value {
    let mut total = json!({"requests": {}, "limits": {}});
    let containers: Vec<&Value> = pod["spec"]["containers"].as_array().into_iter().flatten().collect();
    for member in ["requests", "limits"] {
        for name in ["cpu", "memory", "ephemeral-storage"] {
            let amounts: Vec<Quantity> = containers.iter().filter_map(|c| amount(&c["resources"], member, name)).collect();
            if !amounts.is_empty() && (member == "requests" || amounts.len() == containers.len()) {
                total[member][name] = json!(amounts.into_iter().fold(Quantity::ZERO, Quantity::plus).to_string());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(item: Value) -> Vec<LimitRange> {
        vec![serde_json::from_value(json!({"spec": {"limits": [item]}})).unwrap()]
    }

    #[test]
    fn a_limit_is_a_request_too_and_the_era_let_pass_who_named_none() {
        let item = json!({"type": "Pod", "max": {"cpu": "2"}, "min": {"cpu": "100m"}});
        let mut pod = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}});
        fill(&mut pod, &range(item));
        assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "1"}));
        let none = json!({"spec": {"containers": [{"name": "c"}]}});
        let max = json!({"type": "Pod", "max": {"cpu": "2"}});
        assert_eq!(check(&none, &range(max.clone())).len(), 1);
        let metadata = json!({"annotations": {UNNAMED_IS_NOTHING: "true"}});
        let old: LimitRange = serde_json::from_value(json!({"metadata": metadata, "spec": {"limits": [max]}})).unwrap();
        assert!(check(&none, &[old]).is_empty());
    }

    #[test]
    fn containers_are_filled_and_checked() {
        let ranges = range(
            json!({"type": "Container", "max": {"memory": "1Gi"}, "min": {"cpu": "100m"}, "default": {"memory": "512Mi"}, "defaultRequest": {"cpu": "200m"}}),
        );
        let mut pod = json!({"spec": {"containers": [{"name": "c"}]}});
        assert_eq!(check(&pod, &ranges).len(), 2);
        fill(&mut pod, &ranges);
        assert!(check(&pod, &ranges).is_empty(), "{pod}");
        pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("2Gi");
        assert_eq!(check(&pod, &ranges), ["maximum memory usage per Container is 1Gi, but limit is 2Gi"]);
    }

    #[test]
    fn a_pod_counts_as_the_sum_of_its_containers() {
        let ranges = range(json!({"type": "Pod", "max": {"cpu": "1"}}));
        let c = json!({"resources": {"limits": {"cpu": "600m"}}});
        assert!(check(&json!({"spec": {"containers": [c]}}), &ranges).is_empty());
        assert_eq!(check(&json!({"spec": {"containers": [c, c]}}), &ranges), ["maximum cpu usage per Pod is 1, but limit is 1200m"]);
    }
}
