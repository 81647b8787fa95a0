//! The API of 2015 (`/api/v1beta1` to `v1beta3`, `/osapi/v1beta1`, `/proxy/…`), translated to today's objects at the edge.
mod address;
mod merge;

use super::{Call, objects};
use crate::body;
use crate::query::Query;
use crate::respond::{self, Response};
use crate::router::Resource;
use address::{Address, Objects};
use axum::body::Body;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use registry::options::ListOptions;
use serde_json::{Value, json};
use shared::kinds::{self, Kind};
use shared::legacy::{self, Version};
use shared::status::{Reason, Status};

/// A list larger than this is not translated.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The namespace of an object whose URL names none.
const DEFAULT_NAMESPACE: &str = "default";

/// How a watch begun through an old URL writes its objects; travels in the request's extensions.
#[derive(Clone, Copy)]
pub struct OldForm {
    version: Version,
    kind: &'static Kind,
}

impl OldForm {
    /// JSON of today in the old form.
    pub fn translate(self, bytes: &[u8]) -> Result<Vec<u8>, Status> {
        let value: Value = serde_json::from_slice(bytes).map_err(|e| Status::internal(e.to_string()))?;
        Ok(self.value(&value).to_string().into_bytes())
    }

    fn value(self, value: &Value) -> Value {
        if value["kind"] == "Status" {
            return status(value, self.version);
        }
        let mut old = legacy::from_v1(value, self.version);
        self.link(&mut old);
        for list in ["items", "minions"] {
            for item in old.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                self.link(item);
            }
        }
        old
    }

    /// Old clients refer to objects by `selfLink`.
    fn link(self, old: &mut Value) {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        let word = match self.kind.plural {
            "nodes" if self.version != Version::V1Beta3 => "minions",
            "replicationcontrollers" if self.version != Version::V1Beta3 => "replicationControllers",
            "limitranges" if self.version != Version::V1Beta3 => "limitRanges",
            "resourcequotas" if self.version != Version::V1Beta3 => "resourceQuotas",
            "rolebindings" => "roleBindings",
            other => other,
        };
        let (name, namespace) = match self.version {
            Version::V1Beta1 | Version::V1Beta2 => (text(&old["id"]), text(&old["namespace"])),
            _ => (text(&old["metadata"]["name"]), text(&old["metadata"]["namespace"])),
        };
        if name.is_empty() {
            return;
        }
        let query = if namespace.is_empty() { String::new() } else { format!("?namespace={namespace}") };
        match self.version {
            Version::V1Beta3 if namespace.is_empty() => old["metadata"]["selfLink"] = json!(format!("/api/v1beta3/{word}/{name}")),
            Version::V1Beta3 => {
                old["metadata"]["selfLink"] = json!(format!("/api/v1beta3/namespaces/{namespace}/{word}/{name}"));
            }
            Version::Osapi => old["metadata"]["selfLink"] = json!(format!("/osapi/v1beta1/{word}/{name}{query}")),
            flat => old["selfLink"] = json!(format!("/api/{}/{word}/{name}{query}", flat.name())),
        }
    }
}

/// A Status in the old form; `/osapi` wrote it as v1beta1 did.
fn status(value: &Value, version: Version) -> Value {
    legacy::from_v1(value, if version == Version::Osapi { Version::V1Beta1 } else { version })
}

fn pretty(code: StatusCode, value: &Value) -> Response {
    respond::json(code, serde_json::to_vec_pretty(value).expect("a Value is JSON").into())
}

/// Answers a path that `router::is_legacy` claims.
pub async fn serve(call: Call) -> Result<Response, Status> {
    let uri = call.parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let Some(address) = address::parse(call.parts.uri.path()) else {
        call.may_read_path()?;
        return Ok(respond::text(StatusCode::NOT_FOUND, "404: Page Not Found"));
    };
    let version = match &address {
        Address::Objects(target) => target.version,
        _ => Version::V1Beta1,
    };
    let answer = match address {
        Address::OsapiVersions => call.may_read_path().map(|()| pretty(StatusCode::OK, &json!({"versions": ["v1beta1"]}))),
        Address::Log { namespace, pod, container } => log(call, namespace, pod, &container).await,
        Address::PolicyBindings { name } => policy_bindings(&call, name.as_deref()),
        Address::Objects(target) => serve_objects(call, target).await,
    };
    answer.or_else(|error| failure(&error, version, &uri))
}

/// Errors in the old form: what policy forbids is told in plain text.
fn failure(error: &Status, version: Version, uri: &str) -> Result<Response, Status> {
    if error.code == 401 {
        return Err(error.clone());
    }
    if error.code == 403 && error.message.contains("User \"") && error.message.contains(" cannot ") {
        return Ok(respond::text(StatusCode::FORBIDDEN, format!("Forbidden: \"{uri}\" {}", error.message)));
    }
    if error.code == 405 {
        return Ok(respond::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"));
    }
    let code = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let value = serde_json::to_value(error).map_err(|e| Status::internal(e.to_string()))?;
    Ok(pretty(code, &status(&value, version)))
}

fn resource(kind: &'static Kind, namespace: Option<String>, name: Option<String>) -> Resource {
    Resource { kind, version: kind.version.into(), namespace, name, subresource: String::new(), rest: String::new(), watch: false }
}

async fn log(mut call: Call, namespace: String, pod: String, container: &str) -> Result<Response, Status> {
    let query = call.query()?;
    let follow = query.text("follow") == "true";
    set_query(&mut call, &[("container", container), ("follow", if follow { "true" } else { "false" })])?;
    let mut target = resource(&kinds::POD, Some(namespace), Some(pod));
    target.subresource = "log".into();
    objects::serve(call, target).await
}

/// The role bindings of a namespace as the one policy binding that referred to namespace `master`.
fn policy_bindings(call: &Call, name: Option<&str>) -> Result<Response, Status> {
    if !call.reads() {
        return Err(respond::method_not_allowed());
    }
    let query = call.query()?;
    let namespace = query.get("namespace").filter(|n| !n.is_empty()).unwrap_or(DEFAULT_NAMESPACE);
    let list = call.app.registry.list(&call.caller, &kinds::ROLE_BINDING, Some(namespace), &ListOptions::default())?;
    let bindings: Vec<Value> = list
        .items
        .iter()
        .map(|o| {
            let mut old = legacy::from_v1(&o.value(), Version::Osapi);
            if let Some(map) = old.as_object_mut() {
                map.remove("kind");
                map.remove("apiVersion");
            }
            json!({"name": o.name(), "roleBinding": old})
        })
        .collect();
    let metadata = json!({"name": "master", "namespace": namespace, "resourceVersion": list.revision.to_string()});
    let body = json!({"metadata": metadata, "policyRef": {"namespace": "master", "name": "default"}, "roleBindings": bindings});
    let there = !bindings.is_empty();
    match name {
        None => {
            let items: Vec<Value> = there.then_some(body).into_iter().collect();
            let metadata = json!({"resourceVersion": list.revision.to_string()});
            let value = json!({"kind": "PolicyBindingList", "apiVersion": "v1beta1", "metadata": metadata, "items": items});
            Ok(pretty(StatusCode::OK, &value))
        }
        Some("master") if there => {
            let mut value = body;
            value["kind"] = json!("PolicyBinding");
            value["apiVersion"] = json!("v1beta1");
            Ok(pretty(StatusCode::OK, &value))
        }
        Some(name) => Err(Status::failure(404, Reason::NotFound, format!("policyBinding {name:?} not found"))),
    }
}

async fn serve_objects(mut call: Call, target: Objects) -> Result<Response, Status> {
    let query = call.query()?;
    let old = OldForm { version: target.version, kind: target.kind };
    let anonymous = call.caller.0.name == "system:anonymous";
    if anonymous && *target.kind == kinds::USER && target.name.as_deref() == Some("~") {
        // The old client logs in when it is refused here.
        return Err(Status::forbidden(target.kind, "~", "User \"system:anonymous\" cannot get users"));
    }
    let mut today = resource(target.kind, namespace_of(&target, &query), target.name.clone());
    if target.kind.namespaced() && today.namespace.is_none() && today.name.is_some() {
        today.namespace = Some(DEFAULT_NAMESPACE.into());
    }
    today.watch = target.watch || query.flag("watch").unwrap_or(false) && target.name.is_none();
    translate_query(&mut call, &query, &target)?;
    let writes = matches!(*call.method(), Method::POST | Method::PUT);
    if writes {
        take_object(&mut call, &mut today, old).await?;
    } else if *call.method() == Method::PATCH {
        // A patch written against an old form cannot be told apart from one against today's.
        return Err(respond::method_not_allowed());
    }
    call.parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let deletes = *call.method() == Method::DELETE;
    if today.watch && call.reads() {
        call.parts.extensions.insert(old);
        return objects::serve(call, today).await;
    }
    let response = objects::serve(call, today).await?;
    let code = response.status();
    if deletes && *target.kind != kinds::POD {
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
        return Ok(pretty(code, &status(&done, target.version)));
    }
    let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|e| Status::internal(e.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| Status::internal(e.to_string()))?;
    Ok(pretty(code, &old.value(&value)))
}

fn namespace_of(target: &Objects, query: &Query) -> Option<String> {
    if !target.kind.namespaced() {
        return None;
    }
    target.namespace.clone().or_else(|| query.get("namespace").filter(|n| !n.is_empty()).map(String::from))
}

/// `labels`, `fields` and the rest in today's names. Deletions were immediate, and left a controller's pods alone.
fn translate_query(call: &mut Call, query: &Query, target: &Objects) -> Result<(), Status> {
    let first = |names: [&str; 2]| names.into_iter().map(|n| query.text(n)).find(|t| !t.is_empty()).unwrap_or_default().to_string();
    let fields = address::fields(&first(["fields", "fieldSelector"]));
    let labels = first(["labels", "labelSelector"]);
    let revision = query.text("resourceVersion").to_string();
    let mut pairs = vec![("labelSelector", labels.as_str()), ("fieldSelector", fields.as_str())];
    if target.watch || query.flag("watch").unwrap_or(false) {
        pairs.push(("resourceVersion", revision.as_str()));
    }
    if *call.method() == Method::DELETE {
        if *target.kind == kinds::POD {
            pairs.push(("gracePeriodSeconds", "0"));
        } else if *target.kind == kinds::REPLICATION_CONTROLLER {
            pairs.push(("propagationPolicy", "Orphan"));
        }
    }
    pairs.retain(|(_, value)| !value.is_empty());
    set_query(call, &pairs)
}

fn set_query(call: &mut Call, pairs: &[(&str, &str)]) -> Result<(), Status> {
    let encode = |text: &str| -> String {
        text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let path = call.parts.uri.path();
    let text = if query.is_empty() { path.to_string() } else { format!("{path}?{}", query.join("&")) };
    call.parts.uri = text.parse().map_err(|_| Status::bad_request("the URL cannot be read"))?;
    Ok(())
}

/// Reads the body in its old form and puts today's in its place; a PUT of what is not there becomes a POST.
async fn take_object(call: &mut Call, today: &mut Resource, old: OldForm) -> Result<(), Status> {
    let media = body::media(&call.parts.headers)?;
    let bytes = body::read(call.take_body()).await?;
    let mut sent = body::decode(&bytes, media, today.kind.kind)?.value;
    if sent.get("kind").is_none_or(Value::is_null) && sent.is_object() {
        sent["kind"] = json!(today.kind.kind);
    }
    if sent.get("apiVersion").is_none_or(Value::is_null) && sent.is_object() {
        sent["apiVersion"] = json!(old.version.name());
    }
    let mut value = legacy::to_v1(sent).map_err(|e| Status::bad_request(e.to_string()))?;
    if today.kind.namespaced() && today.namespace.is_none() {
        today.namespace = Some(value["metadata"]["namespace"].as_str().filter(|n| !n.is_empty()).unwrap_or(DEFAULT_NAMESPACE).into());
    }
    if let (&Method::PUT, Some(name)) = (call.method(), today.name.clone()) {
        match call.app.registry.get(&call.app.myself, today.kind, today.namespace.as_deref(), &name) {
            Ok(stored) => value = update(&stored.value(), value, old.version),
            Err(error) if error.is_not_found() => {
                call.parts.method = Method::POST;
                today.name = None;
            }
            Err(error) => return Err(error),
        }
    }
    call.parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    call.parts.headers.remove(CONTENT_LENGTH);
    *call.body.get_mut() = Body::from(value.to_string());
    Ok(())
}

/// The stored object with what the client changed; a service keeps its address when the client does not say one.
fn update(stored: &Value, sent: Value, version: Version) -> Value {
    let Ok(shown) = legacy::to_v1(legacy::from_v1(stored, version)) else { return sent };
    let mut merged = merge::merge(stored, &shown, &sent);
    if stored["kind"] == "Service" && sent["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty() {
        for member in ["clusterIP", "clusterIPs"] {
            merged["spec"][member] = stored["spec"][member].clone();
        }
    }
    merged
}
