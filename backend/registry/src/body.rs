//! Is what was sent an object of this kind, in its place, with members that the kind has?
use crate::options::{FieldValidation, WriteOptions};
use serde_json::{Map, Value, json};
use shared::kinds::Kind;
use shared::status::Status;

/// Wrong types are refused, unknown members dropped: silently, with a warning, or (strict) refused too.
pub(crate) fn fields(kind: &Kind, object: &mut Map<String, Value>, options: &WriteOptions) -> Result<Vec<String>, Status> {
    let mut value = Value::Object(std::mem::take(object));
    let report = schema::validate::check_fields(kind, &value);
    let strict = options.field_validation == FieldValidation::Strict;
    if let Some(why) = report.refusal(&kind.api_version(), kind.kind, &[], strict) {
        return Err(Status::bad_request(why));
    }
    // Always: quantities come out in canonical spelling, and what Go leaves out is left out.
    schema::validate::prune(kind, &mut value);
    if let Value::Object(map) = value {
        *object = map;
    }
    Ok(if options.field_validation == FieldValidation::Warn { report.unknown } else { Vec::new() })
}

/// The body must be an object of this kind.
pub(crate) fn object_of(kind: &Kind, body: Value) -> Result<Map<String, Value>, Status> {
    let Value::Object(mut map) = body else {
        return Err(Status::bad_request(format!("the body must be a JSON object of kind {}", kind.kind)));
    };
    let text = |m: &str| map.get(m).and_then(Value::as_str).unwrap_or_default();
    if !text("kind").is_empty() && text("kind") != kind.kind || !text("apiVersion").is_empty() && text("apiVersion") != kind.api_version() {
        let given = format!("{}, Kind={}", text("apiVersion"), text("kind"));
        return Err(Status::bad_request(format!("the object provided is unrecognized (must be of type {}): {given}", kind.kind)));
    }
    map.insert("kind".into(), kind.kind.into());
    map.insert("apiVersion".into(), kind.api_version().into());
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if metadata.is_null() {
        *metadata = json!({});
    }
    if !metadata.is_object() {
        return Err(Status::bad_request("metadata must be an object"));
    }
    Ok(map)
}

/// Name and namespace of body and URL must agree; the URL's are filled in.
pub(crate) fn place(kind: &Kind, namespace: Option<&str>, name: Option<&str>, object: &mut Map<String, Value>) -> Result<(), Status> {
    let metadata = &mut object["metadata"];
    let given = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    match namespace.filter(|_| kind.namespaced()) {
        Some(ns) => {
            if !given.is_empty() && given != ns {
                return Err(Status::bad_request(format!(
                    "the namespace of the provided object does not match the namespace sent on the request ({given} and {ns})"
                )));
            }
            metadata["namespace"] = json!(ns);
        }
        None => {
            metadata.as_object_mut().map(|m| m.remove("namespace"));
        }
    }
    if let Some(name) = name {
        let given = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
        if !given.is_empty() && given != name {
            return Err(Status::bad_request(format!("the name of the object ({given}) does not match the name on the URL ({name})")));
        }
        metadata["name"] = json!(name);
    }
    Ok(())
}

/// A body that names a uid means that very object.
pub(crate) fn same_object(kind: &Kind, new: &Map<String, Value>, old: &Map<String, Value>, name: &str) -> Result<(), Status> {
    let uid = |o: &Map<String, Value>| o.get("metadata").and_then(|m| m.get("uid")).and_then(Value::as_str).unwrap_or_default().to_string();
    let (asked, actual) = (uid(new), uid(old));
    if !asked.is_empty() && asked != actual {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {actual}");
        return Err(Status::conflict(kind, name, &why));
    }
    Ok(())
}
