//! `/scale`: how many replicas, without the rest of the object.
use super::{Call, objects};
use crate::body;
use crate::negotiate;
use crate::respond::{self, Response};
use crate::router::Resource;
use http::{Method, StatusCode};
use registry::AccessRequest;
use registry::options::Patch;
use serde_json::{Value, json};
use shared::kinds::Kind;
use shared::status::{FieldError, Reason, Status};

/// Times a patch of the scale is computed anew when the object changed meanwhile.
const RETRIES_MAX: usize = 10;

/// GET, PUT and PATCH of `autoscaling/v1` Scale.
pub async fn serve(mut call: Call, target: Resource) -> Result<Response, Status> {
    let verb = match *call.method() {
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        _ => return Err(respond::method_not_allowed()),
    };
    negotiate::choose(call.accept(), negotiate::PLAIN)?;
    let (namespace, name) = (target.namespace.clone(), target.name.clone().unwrap_or_default());
    let request = AccessRequest::resource(verb, target.kind, namespace.as_deref(), &name, "scale");
    call.app.registry.authorise(&call.caller, &request)?;
    let options = objects::write_options(&call)?;
    let change = match verb {
        "get" => None,
        "update" => {
            let media = body::media(&call.parts.headers)?;
            let bytes = body::read(call.take_body()).await?;
            Some(Patch::Merge(body::decode(&bytes, media, "Scale")?.value))
        }
        _ => Some(objects::patch_body(&mut call, &options).await?),
    };
    for _ in 0..RETRIES_MAX {
        let object = call.app.registry.get(&call.app.myself, target.kind, namespace.as_deref(), &name)?;
        let current = object.value();
        let Some(change) = &change else { return Ok(respond::json_value(StatusCode::OK, &scale_of(&current))) };
        let asked = apply(&current, change)?;
        let (replicas, revision) = wanted(target.kind, &name, &current, &asked)?;
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": revision}, "spec": {"replicas": replicas}}));
        let outcome = call.app.registry.patch(&call.app.myself, target.kind, namespace.as_deref(), &name, "", patch, &options).await;
        let given = change_names_revision(change);
        match outcome {
            Err(status) if status.reason == Reason::Conflict && !given => {}
            Err(status) => return Err(status),
            Ok(written) => return Ok(respond::json_value(StatusCode::OK, &scale_of(&written.object.value()))),
        }
    }
    Err(Status::modified(target.kind, &name))
}

/// The Scale of an object that counts replicas.
pub fn scale_of(object: &Value) -> Value {
    let meta = |name: &str| object.pointer(&format!("/metadata/{name}")).cloned().unwrap_or(Value::Null);
    let selector = object.pointer("/spec/selector");
    let labels = selector.and_then(|s| s.get("matchLabels")).or(selector).and_then(Value::as_object);
    let text: Vec<String> = labels.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    let count = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"),
            "resourceVersion": meta("resourceVersion"), "creationTimestamp": meta("creationTimestamp"),
        },
        "spec": {"replicas": count("/spec/replicas")},
        "status": {"replicas": count("/status/replicas"), "selector": text.join(",")},
    })
}

fn change_names_revision(change: &Patch) -> bool {
    match change {
        Patch::Json(_) => false,
        Patch::Merge(v) | Patch::Strategic(v) | Patch::Apply(v) => v.pointer("/metadata/resourceVersion").is_some_and(|r| r != ""),
    }
}

fn apply(current: &Value, change: &Patch) -> Result<Value, Status> {
    let mut scale = scale_of(current);
    match change {
        // A Scale has no lists, so that all three merge alike.
        Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Apply(patch) => merge(&mut scale, patch),
        Patch::Json(operations) => {
            let operations = operations.as_array().map(Vec::as_slice).unwrap_or_default();
            for operation in operations {
                apply_operation(&mut scale, operation)?;
            }
        }
    }
    Ok(scale)
}

/// Of RFC 6902 only what makes sense on a Scale: `add`, `replace` and `test` of a member that exists.
fn apply_operation(scale: &mut Value, operation: &Value) -> Result<(), Status> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let path = text("path");
    let Some(member) = scale.pointer_mut(path) else {
        return Err(Status::bad_request(format!("the path {path:?} of the patch is no member of a Scale")));
    };
    let value = operation.get("value").cloned().unwrap_or_default();
    match text("op") {
        "add" | "replace" => *member = value,
        "test" if *member == value => {}
        "test" => return Err(Status::failure(422, Reason::Invalid, format!("testing path {path} failed"))),
        other => return Err(Status::bad_request(format!("the operation {other:?} cannot be done on a Scale"))),
    }
    Ok(())
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.as_object_mut().and_then(|t| t.remove(name))),
            _ => merge(&mut target[name.as_str()], value),
        }
    }
}

fn wanted(kind: &'static Kind, name: &str, current: &Value, asked: &Value) -> Result<(i64, Value), Status> {
    let replicas = match asked.pointer("/spec/replicas") {
        None | Some(Value::Null) => 0,
        Some(value) => value.as_i64().ok_or_else(|| Status::bad_request("spec.replicas of a Scale must be a whole number"))?,
    };
    if replicas < 0 {
        let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
        return Err(Status::invalid(kind, name, &[error]));
    }
    let given = asked.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if !given.is_empty() && given != name {
        return Err(Status::bad_request(format!("the name of the object ({given}) does not match the name on the URL ({name})")));
    }
    let revision = asked.pointer("/metadata/resourceVersion").filter(|r| r.as_str().is_some_and(|t| !t.is_empty()));
    let revision = revision.or_else(|| current.pointer("/metadata/resourceVersion")).cloned().unwrap_or_default();
    Ok((replicas, revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_of_a_scale() {
        let rc = json!({"metadata": {"name": "r", "resourceVersion": "5"}, "spec": {"replicas": 1, "selector": {"a": "b", "c": "d"}}});
        assert_eq!(scale_of(&rc)["status"]["selector"], "a=b,c=d");
        let merged = apply(&rc, &Patch::Merge(json!({"spec": {"replicas": 3}}))).unwrap();
        assert_eq!(wanted(&shared::kinds::REPLICATION_CONTROLLER, "r", &rc, &merged).unwrap(), (3, json!("5")));
        let patched = apply(&rc, &Patch::Json(json!([{"op": "replace", "path": "/spec/replicas", "value": 7}]))).unwrap();
        assert_eq!(patched["spec"]["replicas"], 7);
        let negative = apply(&rc, &Patch::Merge(json!({"spec": {"replicas": -1}}))).unwrap();
        assert_eq!(wanted(&shared::kinds::REPLICATION_CONTROLLER, "r", &rc, &negative).unwrap_err().code, 422);
    }
}
