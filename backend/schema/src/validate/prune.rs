//! What is left of an object when everything is dropped that its kind does not know.
use crate::table::{DefinitionId, Field, Type, table};
use crate::{MAX_DEPTH, scalar};
use serde_json::{Map, Value};
use shared::kinds::Kind;

/// Drops what decoding into a Go struct and encoding it again would drop: unknown members, nulls, empty optional lists and maps.
/// Quantities come out in canonical spelling. Call it on objects that [`super::check_fields`] found without error.
pub fn prune(kind: &Kind, value: &mut Value) {
    if let Some(id) = table().by_kind(kind) {
        prune_object(id, value, 0);
    }
}

/// The same for bodies that are no served kind (`Scale`, `Eviction`).
pub fn prune_named(api_version: &str, kind: &str, value: &mut Value) {
    if let Some(id) = table().by_api_version(api_version, kind) {
        prune_object(id, value, 0);
    }
}

fn prune_object(id: DefinitionId, value: &mut Value, depth: usize) {
    let Value::Object(members) = value else { return };
    if depth > MAX_DEPTH {
        return;
    }
    members.retain(|name, member| match table().field(id, name) {
        Some(field) => {
            prune_value(field.ty, member, depth + 1);
            !dropped(field, member)
        }
        None => false,
    });
}

/// Would Go leave this member out?
fn dropped(field: &Field, value: &Value) -> bool {
    match (field.ty, value) {
        (_, Value::Null) => true,
        (Type::List(_), Value::Array(items)) => items.is_empty() && !field.required,
        (Type::Map(_), Value::Object(members)) => members.is_empty() && !field.required,
        _ => false,
    }
}

fn prune_value(ty: Type, value: &mut Value, depth: usize) {
    match (ty, value) {
        (Type::Object(id), value) => prune_object(id, value, depth),
        (Type::List(item), Value::Array(items)) if depth <= MAX_DEPTH => {
            for entry in items {
                fill_null(*item, entry);
                prune_value(*item, entry, depth + 1);
            }
        }
        (Type::Map(item), Value::Object(members)) if depth <= MAX_DEPTH => {
            for entry in members.values_mut() {
                fill_null(*item, entry);
                prune_value(*item, entry, depth + 1);
            }
        }
        (Type::Quantity, value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            if let Ok(canonical) = scalar::quantity(&text) {
                *value = Value::String(canonical);
            }
        }
        _ => {}
    }
}

/// A null item of a list or map is that type's zero value.
fn fill_null(ty: Type, value: &mut Value) {
    if value.is_null() {
        *value = match ty {
            Type::Object(_) => Value::Object(Map::new()),
            Type::Text | Type::Bytes => Value::String(String::new()),
            Type::Quantity => Value::String("0".into()),
            Type::Int32 | Type::Int64 => Value::from(0),
            _ => Value::Null,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::kinds;

    #[test]
    fn pruning_leaves_what_go_would_leave() {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "extra": 1,
            "metadata": {"name": "a", "creationTimestamp": null, "labels": {}, "annotations": {"keep": "", "zero": null}},
            "spec": {"volumes": [{"name": "v", "emptyDir": {}}], "nope": {}, "containers": [{"name": "c", "command": [], "resources": {"limits": {"cpu": 1, "memory": "1024Ki"}}}]},
            "status": {}});
        prune(&kinds::POD, &mut pod);
        assert_eq!(
            pod,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"keep": "", "zero": ""}},
                "spec": {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1Mi"}}}]},
                "status": {}})
        );
    }
}
