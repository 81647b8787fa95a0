//! What a field reference of the downward API stands for, and `$(NAME)` in commands and variables.
use shared::objects::pod::Pod;
use std::collections::BTreeMap;

/// The text of `metadata.labels['x']`, `status.podIP` and the like; `None` for a field that cannot be referred to.
pub fn field(pod: &Pod, path: &str, host_ip: &str, pod_ip: &str) -> Option<String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        let map = match map {
            "metadata.labels" => &pod.metadata.labels,
            "metadata.annotations" => &pod.metadata.annotations,
            _ => return None,
        };
        return Some(map.get(key).cloned().unwrap_or_default());
    }
    let lines = |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join("\n");
    Some(match path {
        "metadata.name" => pod.metadata.name.clone(),
        "metadata.namespace" => pod.metadata.namespace.clone(),
        "metadata.uid" => pod.metadata.uid.clone(),
        "metadata.labels" => lines(&pod.metadata.labels),
        "metadata.annotations" => lines(&pod.metadata.annotations),
        "spec.nodeName" => pod.spec.node_name.clone(),
        "spec.serviceAccountName" => pod.spec.service_account_name.clone(),
        "status.hostIP" | "status.hostIPs" => host_ip.into(),
        "status.podIP" | "status.podIPs" => pod_ip.into(),
        _ => return None,
    })
}

/// A container's resource as `resourceFieldRef` gives it: `limits.cpu` in cores rounded up, or divided by the divisor.
pub fn resource(pod: &Pod, container: &str, name: &str, divisor: &str, node: (i64, i64)) -> Option<String> {
    let c = pod.spec.containers.iter().chain(&pod.spec.init_containers).find(|c| c.name == container)?;
    let (member, what) = name.split_once('.')?;
    let map = if member == "limits" { &c.resources.limits } else { &c.resources.requests };
    let given = map.get(what).and_then(|q| q.parse::<shared::quantity::Quantity>().ok());
    let millis = match (given, member, what) {
        (Some(q), ..) => q.millis(),
        (None, "limits", "cpu") => node.0,
        (None, "limits", "memory") => node.1.saturating_mul(1000),
        _ => 0,
    };
    let divisor = divisor.parse::<shared::quantity::Quantity>().map_or(1000, |q| if q.is_zero() { 1000 } else { q.millis() }).max(1);
    Some((i128::from(millis) + i128::from(divisor) - 1).div_euclid(i128::from(divisor)).to_string())
}

/// Replaces `$(NAME)` by known values; `$$` is a dollar sign, unknown names stay as they are.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|r| r.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_and_unknown_ones_stay() {
        let known = BTreeMap::from([("A".to_string(), "1".to_string())]);
        for (text, wanted) in
            [("$(A)", "1"), ("x$(A)y", "x1y"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A", "$A"), ("$", "$"), ("$(A", "$(A")]
        {
            assert_eq!(expand(text, &known), wanted, "{text}");
        }
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let pod: Pod = serde_json::from_value(
            serde_json::json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}}]}}),
        )
        .unwrap();
        assert_eq!(resource(&pod, "c", "limits.cpu", "", (0, 0)).as_deref(), Some("2"));
        assert_eq!(resource(&pod, "c", "limits.cpu", "1m", (0, 0)).as_deref(), Some("1500"));
        assert_eq!(resource(&pod, "c", "limits.memory", "1Mi", (0, 0)).as_deref(), Some("64"));
        assert_eq!(resource(&pod, "x", "limits.cpu", "", (0, 0)), None);
    }
}
