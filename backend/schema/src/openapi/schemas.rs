//! `components.schemas`: the definitions that a document's paths refer to, and what those refer to.
use crate::table::{Definition, DefinitionId, Descriptions, Field, ListType, Type, table};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where references point.
pub(super) const PREFIX: &str = "#/components/schemas/";

pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// Types without fields, by name: what their JSON is.
const SPECIAL: &[(&str, &str, &str)] = &[
    (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        "Quantity is a fixed-point representation of a number: decimal digits with an optional suffix (Ki, Mi, Gi, ... or m, k, M, G, ...) or exponent.",
        r#"{"oneOf":[{"type":"string"},{"type":"number"}]}"#,
    ),
    (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        "IntOrString is a type that can hold an int32 or a string, for example a port's number or its name.",
        r#"{"format":"int-or-string","oneOf":[{"type":"integer"},{"type":"string"}]}"#,
    ),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "Time is an instant in RFC 3339.", r#"{"type":"string","format":"date-time"}"#),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        "MicroTime is an instant with microseconds.",
        r#"{"type":"string","format":"date-time"}"#,
    ),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Duration", "Duration is a length of time, like 1m30s.", r#"{"type":"string"}"#),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "RawExtension holds an object of any kind.", r#"{"type":"object"}"#),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "FieldsV1 stores a set of fields in a data structure like a Trie, in JSON format.",
        r#"{"type":"object"}"#,
    ),
    (PATCH, "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.", r#"{"type":"object"}"#),
];

/// All schemas that a value refers to, directly or through others.
pub(super) fn referenced(root: &Value) -> Value {
    let docs = table().descriptions();
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    let mut open = Vec::new();
    collect(root, &mut open);
    while let Some(name) = open.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        let Some(schema) = schema(&name, &docs) else { continue };
        collect(&schema, &mut open);
        schemas.insert(name, schema);
    }
    json!(schemas)
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(PREFIX)) {
                found.push(target.to_string());
            }
            members.values().for_each(|v| collect(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| collect(v, found)),
        _ => {}
    }
}

fn schema(name: &str, docs: &Descriptions) -> Option<Value> {
    if let Some((_, description, json)) = SPECIAL.iter().find(|(special, ..)| *special == name) {
        let mut schema: Map<String, Value> = serde_json::from_str(json).ok()?;
        schema.insert("description".into(), json!(description));
        return Some(Value::Object(schema));
    }
    let id = table().by_name(name)?;
    Some(definition(id, table().definition(id), docs))
}

fn definition(id: DefinitionId, definition: &Definition, docs: &Descriptions) -> Value {
    let mut schema = Map::new();
    let fields = table().fields(id);
    let properties: Map<String, Value> = fields.iter().map(|f| (f.name.to_string(), property(f, docs))).collect();
    let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    let description = docs.of_definition(definition);
    if !description.is_empty() {
        schema.insert("description".into(), json!(description));
    }
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    if definition.is_atomic() {
        schema.insert("x-kubernetes-map-type".into(), json!("atomic"));
    }
    let object = definition.object.or(definition.name.ends_with(".DeleteOptions").then_some(["", "v1", "DeleteOptions"]));
    if let Some([group, version, kind]) = object {
        schema.insert("x-kubernetes-group-version-kind".into(), json!([{"group": group, "kind": kind, "version": version}]));
    }
    Value::Object(schema)
}

fn property(field: &Field, docs: &Descriptions) -> Value {
    let Value::Object(mut schema) = type_schema(field.ty) else { return json!({}) };
    let description = docs.of_field(field);
    if !description.is_empty() {
        schema.insert("description".into(), json!(description));
    }
    if let Some(default) = field.default() {
        schema.insert("default".into(), default);
    }
    if let Some(key) = field.merge_key() {
        schema.insert("x-kubernetes-patch-merge-key".into(), json!(key));
    }
    if !field.patch_strategy().is_empty() {
        schema.insert("x-kubernetes-patch-strategy".into(), json!(field.patch_strategy()));
    }
    match field.list_type() {
        Some(ListType::Atomic) => schema.insert("x-kubernetes-list-type".into(), json!("atomic")),
        Some(ListType::Set) => schema.insert("x-kubernetes-list-type".into(), json!("set")),
        Some(ListType::Map(keys)) => {
            schema.insert("x-kubernetes-list-map-keys".into(), json!(keys));
            schema.insert("x-kubernetes-list-type".into(), json!("map"))
        }
        None => None,
    };
    if field.is_atomic() {
        schema.insert("x-kubernetes-map-type".into(), json!("atomic"));
    }
    Value::Object(schema)
}

/// A reference that may have siblings (description, default), as OpenAPI 3.0 wants it.
fn refer(name: &str) -> Value {
    json!({"allOf": [{"$ref": format!("{PREFIX}{name}")}]})
}

fn type_schema(ty: Type) -> Value {
    let special =
        |short: &str| SPECIAL.iter().find(|(name, ..)| name.rsplit('.').next() == Some(short)).map_or(json!({}), |(name, ..)| refer(name));
    match ty {
        Type::Bool => json!({"type": "boolean"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Double => json!({"type": "number", "format": "double"}),
        Type::Text => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Time => special("Time"),
        Type::MicroTime => special("MicroTime"),
        Type::Duration => special("Duration"),
        Type::Quantity => special("Quantity"),
        Type::IntOrString => special("IntOrString"),
        Type::RawExtension => special("RawExtension"),
        Type::FieldsV1 => special("FieldsV1"),
        Type::Empty => json!({"type": "object"}),
        Type::Json | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => {
            json!({"x-kubernetes-preserve-unknown-fields": true})
        }
        Type::List(item) => json!({"type": "array", "items": type_schema(*item)}),
        Type::Map(item) => json!({"type": "object", "additionalProperties": type_schema(*item)}),
        Type::Object(id) => refer(table().definition(id).name),
    }
}
