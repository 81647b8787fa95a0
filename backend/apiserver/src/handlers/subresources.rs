//! Parts of objects and actions on pods: status, finalize, binding, eviction.
use super::Call;
use super::objects::{self, read_delete_options};
use crate::body;
use crate::negotiate;
use crate::respond::{self, Response};
use crate::router::Resource;
use http::{Method, StatusCode};
use registry::AccessRequest;
use registry::options::DeleteOptions;
use serde_json::{Value, json};
use shared::kinds;
use shared::status::{FieldError, Status};

/// `/status`, `/finalize`, `/ephemeralcontainers`, `/approval`: read the object, write one part of it.
pub async fn part(call: Call, target: Resource) -> Result<Response, Status> {
    let part = target.subresource.clone();
    match *call.method() {
        Method::GET | Method::HEAD if part != "finalize" => {
            let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
            let (namespace, name) = (target.namespace.as_deref(), target.name.as_deref().unwrap_or_default());
            let request = AccessRequest::resource("get", target.kind, namespace, name, &part);
            call.app.registry.authorise(&call.caller, &request)?;
            let object = call.app.registry.get(&call.app.myself, target.kind, namespace, name)?;
            objects::send(&call, StatusCode::OK, &form, target.kind, object.bytes())
        }
        Method::PUT => objects::replace(call, target, &part).await,
        Method::PATCH if part != "finalize" => objects::patch(call, target, &part).await,
        _ => Err(respond::method_not_allowed()),
    }
}

/// Reads the body of an action as JSON, whatever it came in.
pub async fn action_body(call: &mut Call, expected: &str) -> Result<Value, Status> {
    let media = body::media(&call.parts.headers)?;
    let bytes = body::read(call.take_body()).await?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    Ok(body::decode(&bytes, media, expected)?.value)
}

pub fn success(code: StatusCode) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code.as_u16()});
    respond::json_value(code, &body)
}

/// POST `pods/NAME/binding`: places a pod.
pub async fn binding(mut call: Call, target: Resource) -> Result<Response, Status> {
    if *call.method() != Method::POST {
        return Err(respond::method_not_allowed());
    }
    let value = action_body(&mut call, "Binding").await?;
    let pod = target.name.unwrap_or_default();
    bind(&call, &target.namespace.unwrap_or_default(), &pod, &value).await
}

/// Binds the pod that a Binding is for.
pub async fn bind(call: &Call, namespace: &str, pod: &str, value: &Value) -> Result<Response, Status> {
    // First of all: what is wrong with a request is told only to those who may send it.
    let request = AccessRequest::resource("create", &kinds::POD, Some(namespace), pod, "binding");
    call.app.registry.authorise(&call.caller, &request)?;
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (node, kind) = (text("/target/name"), text("/target/kind"));
    let named = text("/metadata/name");
    if !named.is_empty() && named != pod {
        return Err(Status::bad_request(format!("the name of the object ({named}) does not match the name on the URL ({pod})")));
    }
    let mut errors = Vec::new();
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if node.is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&kinds::BINDING, pod, &errors));
    }
    call.app.registry.bind(&call.caller, namespace, pod, node).await?;
    Ok(success(StatusCode::CREATED))
}

/// POST `pods/NAME/eviction`: a deletion that may be refused for the sake of availability.
pub async fn eviction(mut call: Call, target: Resource) -> Result<Response, Status> {
    if *call.method() != Method::POST {
        return Err(respond::method_not_allowed());
    }
    let value = action_body(&mut call, "Eviction").await?;
    let (namespace, name) = (target.namespace.as_deref(), target.name.as_deref().unwrap_or_default());
    let request = AccessRequest::resource("create", target.kind, namespace, name, "eviction");
    call.app.registry.authorise(&call.caller, &request)?;
    let named = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if !named.is_empty() && named != name {
        return Err(Status::bad_request(format!("name in URL does not match name in Eviction object: {named} and {name}")));
    }
    let options = match value.get("deleteOptions") {
        None | Some(Value::Null) => DeleteOptions::default(),
        Some(options) => read_delete_options(options)?,
    };
    let options = call.query()?.delete(options)?;
    call.app.registry.delete(&call.app.myself, target.kind, namespace, name, &options).await?;
    Ok(success(StatusCode::CREATED))
}
