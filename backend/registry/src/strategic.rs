//! Strategic merge patch: lists of objects are merged by the key that identifies their items.
//!
//! Source: <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md>.
use serde_json::{Map, Value};
use shared::kinds::Kind;

/// Deeper nesting is refused; no object of ours comes near.
const DEPTH_MAX: usize = 64;

/// How a list merges.
enum Merge {
    By(&'static [&'static str]),
    /// A set of plain values.
    Set,
    Replace,
}

/// By the list's member name; the same name means the same everywhere in our kinds, but for `ports`.
fn strategy(kind: &Kind, name: &str, patch: &[Value]) -> Merge {
    match name {
        "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets" | "secrets" => {
            Merge::By(&["name"])
        }
        "containerStatuses" | "initContainerStatuses" if kind.kind == "Pod" => Merge::Replace,
        "volumeMounts" => Merge::By(&["mountPath"]),
        "volumeDevices" => Merge::By(&["devicePath"]),
        "ports" if kind.kind == "Service" => Merge::By(&["port"]),
        "ports" if patch.iter().any(|p| p.get("containerPort").is_some()) => Merge::By(&["containerPort"]),
        "conditions" | "addresses" if kind.kind != "Endpoints" => Merge::By(&["type"]),
        "ownerReferences" => Merge::By(&["uid"]),
        "hostAliases" | "podIPs" | "hostIPs" => Merge::By(&["ip"]),
        "taints" => Merge::By(&["key"]),
        "topologySpreadConstraints" => Merge::By(&["topologyKey"]),
        "finalizers" => Merge::Set,
        _ => Merge::Replace,
    }
}

/// Changes `current` as the patch says.
pub(crate) fn merge(kind: &Kind, current: &mut Value, patch: &Value) -> Result<(), String> {
    merge_value(kind, current, patch, 0)
}

fn merge_value(kind: &Kind, current: &mut Value, patch: &Value, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("the patch is nested more than {DEPTH_MAX} levels deep"));
    }
    let Value::Object(changes) = patch else {
        *current = patch.clone();
        return Ok(());
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut new = changes.clone();
            new.remove("$patch");
            *current = Value::Object(new);
            return Ok(());
        }
        Some("delete") => {
            *current = Value::Null;
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(format!("Unknown patch type: {other}")),
    }
    if !current.is_object() {
        *current = Value::Object(Map::new());
    }
    let target = current.as_object_mut().expect("made an object above");
    if let Some(keep) = changes.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|k, _| keep.iter().any(|r| r == k));
    }
    for (name, change) in changes.iter().filter(|(n, _)| !n.starts_with('$')) {
        merge_member(kind, target, name, change, changes, depth)?;
    }
    for (directive, values) in changes {
        if let Some(list) = directive.strip_prefix("$deleteFromPrimitiveList/")
            && let (Some(Value::Array(current)), Value::Array(gone)) = (target.get_mut(list), values)
        {
            current.retain(|v| !gone.contains(v));
        }
        if let Some(list) = directive.strip_prefix("$setElementOrder/")
            && let (Some(Value::Array(current)), Value::Array(order)) = (target.get_mut(list), values)
        {
            reorder(kind, list, current, order);
        }
    }
    Ok(())
}

fn merge_member(
    kind: &Kind,
    target: &mut Map<String, Value>,
    name: &str,
    change: &Value,
    changes: &Map<String, Value>,
    depth: usize,
) -> Result<(), String> {
    match change {
        Value::Null => {
            target.remove(name);
        }
        Value::Object(_) => {
            let existing = target.entry(name).or_insert(Value::Null);
            merge_value(kind, existing, change, depth + 1)?;
            if existing.is_null() {
                target.remove(name);
            }
        }
        Value::Array(items) => {
            let replace = items.iter().any(|i| i.get("$patch").and_then(Value::as_str) == Some("replace"));
            let existing = target.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            match (strategy(kind, name, items), existing.as_array_mut()) {
                (Merge::By(keys), Some(current)) if !replace => merge_list(kind, current, items, keys, depth)?,
                (Merge::Set, Some(current)) => {
                    let ordered = changes.contains_key(&format!("$setElementOrder/{name}"));
                    if !ordered && changes.keys().all(|k| !k.starts_with('$')) && items.is_empty() {
                        current.clear();
                    }
                    for item in items.iter().filter(|i| !i.is_null()) {
                        if !current.contains(item) {
                            current.push(item.clone());
                        }
                    }
                }
                _ => *existing = items.iter().filter(|i| i.get("$patch").is_none()).cloned().collect::<Vec<_>>().into(),
            }
        }
        plain => {
            target.insert(name.to_string(), plain.clone());
        }
    }
    Ok(())
}

fn merge_list(kind: &Kind, current: &mut Vec<Value>, items: &[Value], keys: &[&str], depth: usize) -> Result<(), String> {
    for item in items {
        if !item.is_object() {
            return Err("a list of objects may only be patched with objects".into());
        }
        let same = |c: &Value| keys.iter().all(|k| c.get(*k).is_some() && c.get(*k) == item.get(*k));
        if keys.iter().any(|k| item.get(*k).is_none()) {
            return Err(format!("map: {item} does not contain declared merge key: {}", keys.join(", ")));
        }
        let position = current.iter().position(same);
        let delete = item.get("$patch").and_then(Value::as_str) == Some("delete");
        match (position, delete) {
            (Some(i), true) => {
                current.remove(i);
            }
            (None, true) => {}
            (Some(i), false) => merge_value(kind, &mut current[i], item, depth + 1)?,
            (None, false) => {
                let mut new = Value::Object(Map::new());
                merge_value(kind, &mut new, item, depth + 1)?;
                current.push(new);
            }
        }
    }
    Ok(())
}

/// Items that the order names come in that order; others keep their place behind.
fn reorder(kind: &Kind, name: &str, current: &mut [Value], order: &[Value]) {
    let keys: &[&str] = match strategy(kind, name, current) {
        Merge::By(keys) => keys,
        _ => &[],
    };
    let rank = |v: &Value| {
        let found = order.iter().position(|o| if keys.is_empty() { o == v } else { keys.iter().all(|k| o.get(*k) == v.get(*k)) });
        found.unwrap_or(usize::MAX)
    };
    current.sort_by_key(rank);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::kinds::{POD, SERVICE};

    fn merged(kind: &Kind, mut current: Value, patch: Value) -> Value {
        merge(kind, &mut current, &patch).unwrap();
        current
    }

    #[test]
    fn containers_merge_by_name_and_ports_by_the_kinds_key() {
        let current =
            json!({"spec": {"containers": [{"name": "a", "image": "1", "ports": [{"containerPort": 80}]}, {"name": "b", "image": "1"}]}});
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b", "image": "2"}, {"name": "a", "ports": [{"containerPort": 81}]}]}});
        let got = merged(&POD, current, patch);
        assert_eq!(
            got,
            json!({"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "a", "image": "1", "ports": [{"containerPort": 80}, {"containerPort": 81}]}]}})
        );
        let got = merged(
            &SERVICE,
            json!({"spec": {"ports": [{"port": 80, "targetPort": 1}]}}),
            json!({"spec": {"ports": [{"port": 80, "targetPort": 2}]}}),
        );
        assert_eq!(got, json!({"spec": {"ports": [{"port": 80, "targetPort": 2}]}}));
    }

    #[test]
    fn directives_delete_and_replace() {
        let current = json!({"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]}, "spec": {"volumes": [{"name": "v"}, {"name": "w"}], "nodeSelector": {"k": "v"}}});
        let patch = json!({"metadata": {"labels": {"a": null}, "$deleteFromPrimitiveList/finalizers": ["x"]},
            "spec": {"volumes": [{"name": "v", "$patch": "delete"}], "nodeSelector": {"$patch": "replace", "n": "m"}}});
        assert_eq!(
            merged(&POD, current, patch),
            json!({"metadata": {"labels": {"b": "2"}, "finalizers": ["y"]}, "spec": {"volumes": [{"name": "w"}], "nodeSelector": {"n": "m"}}})
        );
    }

    #[test]
    fn an_item_without_its_key_is_refused() {
        assert!(merge(&POD, &mut json!({}), &json!({"spec": {"containers": [{"image": "x"}]}})).is_err());
    }
}
