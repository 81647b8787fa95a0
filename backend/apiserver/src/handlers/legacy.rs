//! The API of 2015 (`/api/v1beta1` to `v1beta3`, `/osapi/v1beta1`, `/proxy/…`), translated to today's objects at the edge.
mod address;
pub mod docs;
mod fields;
mod form;
mod merge;
mod osapi;
mod policy;
mod template;
mod through;
mod words;
mod write;

use super::{Call, objects};
use crate::query::Query;
use crate::respond::{self, Response};
use crate::router::Resource;
use address::{Address, Objects};
pub use form::OldForm;
use form::{failure, pretty, status};
use http::header::ACCEPT;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use shared::kinds::{self, Kind, Storage};
use shared::legacy::Version;
use shared::status::Status;

/// A list larger than this is not translated.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The namespace of an object whose URL names none.
const DEFAULT_NAMESPACE: &str = "default";

/// Answers a path that `router::is_legacy` claims.
pub async fn serve(call: Call) -> Result<Response, Status> {
    let uri = call.parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let address = address::parse(call.parts.uri.path());
    let version = match &address {
        Some(Address::Objects(target)) => target.version,
        _ => Version::V1Beta1,
    };
    let answer = match address {
        Some(address) => serve_address(call, address).await,
        None => call.may_read_path().map(|()| respond::text(StatusCode::NOT_FOUND, "404: Page Not Found")),
    };
    answer.or_else(|error| Ok(failure(&error, version, &uri)))
}

async fn serve_address(call: Call, address: Address) -> Result<Response, Status> {
    match address {
        // Nothing in these depends on anybody.
        Address::OsapiVersions => Ok(docs::osapi_versions()),
        Address::Swagger(path) => Ok(docs::swagger(&path)),
        Address::Root(version) => call.may_read_path().map(|()| docs::root(version)),
        Address::Container(target) => through::container(call, target).await,
        Address::Through(target) => through::serve(call, target).await,
        Address::Policy { bindings, name } => policy::serve(&call, bindings, name.as_deref()),
        Address::Review { who } => osapi::review(call, who).await,
        Address::Process => osapi::process(call).await,
        Address::Absent { kind, name, watch } => osapi::absent(&call, kind, name.as_deref(), watch),
        Address::Objects(target) => serve_objects(call, target).await,
    }
}

fn resource(kind: &'static Kind, namespace: Option<String>, name: Option<String>) -> Resource {
    Resource { kind, version: kind.version.into(), namespace, name, subresource: String::new(), rest: String::new(), watch: false }
}

/// What the URL addresses, as today's URLs would.
fn today(target: &Objects, query: &Query) -> Resource {
    let asked = query.get("namespace").filter(|n| !n.is_empty());
    let namespace = target.namespace.as_deref().or(asked);
    let kind = policy::of_cluster(target.kind, namespace).unwrap_or(target.kind);
    let mut today = resource(kind, None, target.name.clone());
    if kind.namespaced() {
        let needs_one = target.name.is_some() || kind.storage == Storage::Virtual;
        today.namespace = namespace.or(needs_one.then_some(DEFAULT_NAMESPACE)).map(String::from);
    }
    today.subresource = target.subresource.into();
    today.watch = target.watch || query.flag("watch").unwrap_or(false) && target.name.is_none();
    today
}

async fn serve_objects(mut call: Call, target: Objects) -> Result<Response, Status> {
    let query = call.query()?;
    let old = OldForm { version: target.version, word: target.word };
    if call.caller.0.name == "system:anonymous" && *target.kind == kinds::USER && target.name.as_deref() == Some("~") {
        return Err(osapi::nobody());
    }
    let mut today = today(&target, &query);
    fields::translate(&mut call, &query, &target)?;
    match *call.method() {
        Method::POST | Method::PUT => write::take_object(&mut call, &mut today, old).await?,
        // The era had none.
        Method::PATCH => return Err(respond::method_not_allowed()),
        // Deletions of whole collections came later, and `osc delete --all` names each object.
        Method::DELETE if today.name.is_none() => return Err(respond::method_not_allowed()),
        _ => {}
    }
    call.parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let deletes = *call.method() == Method::DELETE;
    if today.watch && call.reads() {
        call.parts.extensions.insert(old);
        return objects::serve(call, today).await;
    }
    let namespace = today.namespace.clone();
    let response = objects::serve(call, today).await?;
    let code = response.status();
    if deletes && *target.kind != kinds::POD {
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
        return Ok(pretty(code, &status(&done, target.version)));
    }
    let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|e| Status::internal(e.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| Status::internal(e.to_string()))?;
    Ok(pretty(code, &old.value(&value, namespace.as_deref())))
}
