//! Reads and writes objects of every kind: one handler for all, by method and what the path names.
use super::list_body::ListBody;
use super::{Call, pods, proxy, reviews, scale, subresources, table, token, usage, watch};
use crate::body::{self, Media};
use crate::limits::bodies::Own;
use crate::negotiate::{self, Form};
use crate::query::Query;
use crate::respond::{self, Response};
use crate::router::Resource;
use axum::body::{Body, Bytes};
use http::header::USER_AGENT;
use http::{Method, StatusCode};
use registry::options::{DeleteOptions, FieldValidation, ListAt, Patch, WriteOptions};
use registry::{List, Written};
use serde_json::{Value, json};
use shared::kinds::{self, Kind, Storage};
use shared::status::{Cause, FieldError, Reason, Status};
use std::time::Duration;

/// How long a read may wait for a revision that is still to come.
const FUTURE_DEADLINE: Duration = Duration::from_secs(3);
const FUTURE_STEP: Duration = Duration::from_millis(20);

/// Answers a request whose path names a resource.
pub async fn serve(call: Call, target: Resource) -> Result<Response, Status> {
    if kinds::MEASURED.contains(&target.kind) {
        return usage::serve(call, target).await;
    }
    if target.kind.storage == Storage::Virtual {
        return reviews::serve(call, target).await;
    }
    match target.subresource.as_str() {
        "" => {}
        "status" | "ephemeralcontainers" | "finalize" | "approval" => return subresources::part(call, target).await,
        "scale" => return scale::serve(call, target).await,
        "binding" => return subresources::binding(call, target).await,
        "eviction" => return subresources::eviction(call, target).await,
        "token" => return token::request(call, target).await,
        "proxy" => return proxy::serve(call, target).await,
        _ => return pods::serve(call, target).await,
    }
    let named = target.name.is_some();
    match *call.method() {
        Method::GET | Method::HEAD => {
            let query = call.query()?;
            if target.watch || !named && query.flag("watch")? {
                return watch::serve(call, target, &query).await;
            }
            if named { get(&call, &target) } else { list(call, target, &query).await }
        }
        Method::POST if !named => create(call, target).await,
        Method::PUT if named => replace(call, target, "").await,
        Method::PATCH if named => patch(call, target, "").await,
        Method::DELETE => delete(call, target).await,
        _ => Err(respond::method_not_allowed()),
    }
}

fn get(call: &Call, target: &Resource) -> Result<Response, Status> {
    let name = target.name.as_deref().unwrap_or_default();
    if *target.kind == kinds::USER && name == "~" {
        return Ok(respond::json_value(StatusCode::OK, &reviews::current_user(call)));
    }
    let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
    let object = call.app.registry.get(&call.caller, target.kind, target.namespace.as_deref(), name)?;
    // The fast path: stored bytes go out as they are.
    if form == Form::Json && call.parts.uri.query().is_none() {
        return Ok(respond::json(StatusCode::OK, object.bytes()));
    }
    send(call, StatusCode::OK, &form, target.kind, object.bytes())
}

/// Sends one object in the chosen form.
pub fn send(call: &Call, code: StatusCode, form: &Form, kind: &'static Kind, bytes: Bytes) -> Result<Response, Status> {
    match form {
        Form::Table { version } => table::one(call, kind, version, &bytes).map(|t| respond::json(code, t)),
        Form::Metadata => table::metadata_of(&bytes).map(|m| respond::json(code, m)),
        form => respond::document(code, form, call.query()?.flag("pretty").unwrap_or(false), bytes),
    }
}

async fn list(call: Call, target: Resource, query: &Query) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
    let options = query.list()?;
    if let ListAt::NotOlderThan(revision) | ListAt::Exact(revision) = options.at {
        wait_for(&call, revision).await?;
    }
    let list = call.app.registry.list(&call.caller, target.kind, target.namespace.as_deref(), &options)?;
    match form {
        Form::Table { version } => table::list(target.kind, version, list, query),
        Form::Metadata => table::metadata_list(list),
        Form::Json if !query.flag("pretty").unwrap_or(false) => {
            let head = head(&format!("{}List", target.kind.kind), &target.kind.api_version(), &list);
            let items: Vec<Bytes> = list.items.into_iter().map(|o| o.bytes()).collect();
            let own = Own((items.len() * size_of::<Bytes>()) as u64);
            let mut response = respond::with_type(StatusCode::OK, "application/json", Body::new(ListBody::new(head, items)));
            response.extensions_mut().insert(own);
            Ok(response)
        }
        form => {
            let items: Vec<Value> = list.items.iter().map(|o| o.value()).collect();
            let (kind, version) = (format!("{}List", target.kind.kind), target.kind.api_version());
            let value = json!({"kind": kind, "apiVersion": version, "metadata": list_meta(&list), "items": items});
            respond::document(StatusCode::OK, &form, true, value.to_string().into())
        }
    }
}

/// The `metadata` of a list.
pub fn list_meta(list: &List) -> Value {
    let mut meta = json!({"resourceVersion": list.revision.to_string()});
    if let Some(token) = &list.continue_token {
        meta["continue"] = json!(token);
        if let Some(remaining) = list.remaining {
            meta["remainingItemCount"] = json!(remaining);
        }
    }
    meta
}

/// The beginning of a list up to its items.
pub fn head(kind: &str, api_version: &str, list: &List) -> Bytes {
    let meta = list_meta(list);
    format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{meta},\"items\":[").into()
}

/// Waits a little for a revision that this server has not reached: a client may have heard of it elsewhere.
pub async fn wait_for(call: &Call, revision: u64) -> Result<(), Status> {
    let registry = &call.app.registry;
    let deadline = tokio::time::Instant::now() + FUTURE_DEADLINE;
    while registry.revision() < revision {
        if tokio::time::Instant::now() >= deadline {
            let text = format!("Too large resource version: {revision}, current: {}", registry.revision());
            let cause =
                Cause { reason: "ResourceVersionTooLarge".into(), message: "Too large resource version".into(), field: String::new() };
            return Err(Status::timeout(text).with_causes(vec![cause]).with_retry_after(1));
        }
        tokio::time::sleep(FUTURE_STEP).await;
    }
    Ok(())
}

async fn create(mut call: Call, target: Resource) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
    let mut options = write_options(&call)?;
    let (value, mut warnings) = object_body(&mut call, &target, &mut options).await?;
    let written = call.app.registry.create(&call.caller, target.kind, target.namespace.as_deref(), value, &options).await?;
    warnings.extend(written.warnings);
    let mut response = send(&call, StatusCode::CREATED, &form, target.kind, written.object.bytes())?;
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// PUT of an object or of one part of it.
pub async fn replace(mut call: Call, target: Resource, part: &str) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
    let mut options = write_options(&call)?;
    let (value, warnings) = object_body(&mut call, &target, &mut options).await?;
    let (namespace, name) = (target.namespace.as_deref(), target.name.as_deref().unwrap_or_default());
    let written = call.app.registry.update(&call.caller, target.kind, namespace, name, part, value, &options).await?;
    finish(&call, &form, &target, written, warnings, StatusCode::OK)
}

/// PATCH of an object or of one part of it.
pub async fn patch(mut call: Call, target: Resource, part: &str) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
    let options = write_options(&call)?;
    let patch = patch_body(&mut call, &options).await?;
    let applied = matches!(patch, Patch::Apply(_));
    let (namespace, name) = (target.namespace.as_deref(), target.name.as_deref().unwrap_or_default());
    let written = call.app.registry.patch(&call.caller, target.kind, namespace, name, part, patch, &options).await?;
    let created = applied && written.object.record.created == written.object.revision();
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    finish(&call, &form, &target, written, Vec::new(), code)
}

fn finish(
    call: &Call,
    form: &Form,
    target: &Resource,
    written: Written,
    mut warnings: Vec<String>,
    code: StatusCode,
) -> Result<Response, Status> {
    warnings.extend(written.warnings);
    let mut response = send(call, code, form, target.kind, written.object.bytes())?;
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// The write options of the query; the field manager defaults to the client's name.
pub fn write_options(call: &Call) -> Result<WriteOptions, Status> {
    let mut options = call.query()?.write()?;
    if options.field_manager.is_none() {
        let agent = call.header(&USER_AGENT).unwrap_or_default().split('/').next().unwrap_or_default();
        options.field_manager = (!agent.is_empty()).then(|| agent.to_string());
    }
    Ok(options)
}

/// Reads the body as an object of the target's kind; also what to warn of.
async fn object_body(call: &mut Call, target: &Resource, options: &mut WriteOptions) -> Result<(Value, Vec<String>), Status> {
    let media = body::media(&call.parts.headers)?;
    let bytes = body::read(call.take_body()).await?;
    let mut decoded = body::decode(&bytes, media, target.kind.kind)?;
    body::expect_kind(&mut decoded.value, target.kind, &target.version)?;
    if media == Media::Protobuf {
        // The encoding names no unknown fields: there is nothing to be strict about.
        options.field_validation = FieldValidation::Ignore;
    }
    match options.field_validation {
        FieldValidation::Strict if !decoded.duplicates.is_empty() => {
            let (kind, version) = (target.kind.kind, &target.version);
            let problems = schema::validate::strict_error(&decoded.duplicates);
            Err(Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {problems}")))
        }
        FieldValidation::Warn => Ok((decoded.value, decoded.duplicates)),
        _ => Ok((decoded.value, Vec::new())),
    }
}

const PATCHES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, application/strategic-merge-patch+json";

/// Reads the body as a patch of the kind that its Content-Type names.
pub async fn patch_body(call: &mut Call, options: &WriteOptions) -> Result<Patch, Status> {
    let kind = body::content_type(&call.parts.headers);
    if kind == "application/apply-patch+yaml" && call.query()?.text("fieldManager").is_empty() {
        let error = FieldError::required("fieldManager", "is required for apply patch");
        return Err(crate::query::invalid("PatchOptions", &error));
    }
    if kind != "application/apply-patch+yaml" && options.force {
        return Err(crate::query::invalid("PatchOptions", &FieldError::forbidden("force", "may not be specified for non-apply patch")));
    }
    let bytes = body::read(call.take_body()).await?;
    let json = || -> Result<Value, Status> {
        body::check_shape(&bytes)?;
        serde_json::from_slice(&bytes).map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))
    };
    match kind.as_str() {
        "application/json-patch+json" => {
            let value = json()?;
            let operations = value.as_array().map_or(0, Vec::len);
            if operations > body::PATCH_OPERATIONS_MAX {
                let text = format!("The allowed maximum operations in a JSON patch is {}, got {operations}", body::PATCH_OPERATIONS_MAX);
                return Err(Status::failure(413, Reason::RequestEntityTooLarge, text));
            }
            Ok(Patch::Json(value))
        }
        "application/merge-patch+json" => Ok(Patch::Merge(json()?)),
        "application/strategic-merge-patch+json" => Ok(Patch::Strategic(json()?)),
        // JSON is YAML, and much faster to read.
        "application/apply-patch+yaml" => Ok(Patch::Apply(json().or_else(|_| body::yaml(&bytes))?)),
        other => Err(body::unsupported(other, PATCHES)),
    }
}

async fn delete(mut call: Call, target: Resource) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
    let query = call.query()?;
    let options = query.delete(delete_options(&mut call).await?)?;
    let namespace = target.namespace.as_deref();
    let Some(name) = target.name.as_deref() else {
        if target.kind.namespaced() && namespace.is_none() {
            return Err(respond::method_not_allowed());
        }
        let selected = query.list()?;
        let removed = call.app.registry.delete_collection(&call.caller, target.kind, namespace, &selected, &options).await?;
        let list = List { revision: call.app.registry.revision(), items: removed, continue_token: None, remaining: None };
        let head = head(&format!("{}List", target.kind.kind), &target.kind.api_version(), &list);
        let items = list.items.into_iter().map(|o| o.bytes()).collect();
        return Ok(respond::with_type(StatusCode::OK, "application/json", Body::new(ListBody::new(head, items))));
    };
    let deleted = call.app.registry.delete(&call.caller, target.kind, namespace, name, &options).await?;
    if !deleted.gone || returns_object(target.kind) {
        return send(&call, StatusCode::OK, &form, target.kind, deleted.object.bytes());
    }
    let uid = deleted.object.index().meta.uid.clone();
    let details = json!({"name": name, "group": target.kind.group, "kind": target.kind.plural, "uid": uid});
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Ok(respond::json_value(StatusCode::OK, &status))
}

/// Kinds whose deletion answers with the object, as Kubernetes does.
fn returns_object(kind: &Kind) -> bool {
    [&kinds::POD, &kinds::SERVICE, &kinds::SERVICE_ACCOUNT, &kinds::RESOURCE_QUOTA].contains(&kind)
}

/// The `DeleteOptions` of a body; an empty body has none.
pub async fn delete_options(call: &mut Call) -> Result<DeleteOptions, Status> {
    let media = body::media(&call.parts.headers)?;
    let bytes = body::read(call.take_body()).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(DeleteOptions::default());
    }
    let value = body::decode(&bytes, media, "DeleteOptions")?.value;
    read_delete_options(&value)
}

/// `DeleteOptions` out of its JSON form.
pub fn read_delete_options(value: &Value) -> Result<DeleteOptions, Status> {
    let dry_run = match value.get("dryRun") {
        None | Some(Value::Null) => false,
        Some(Value::Array(all)) if all.iter().all(|v| v == "All") => !all.is_empty(),
        Some(other) => {
            let error = FieldError::not_supported("dryRun", other, &["All"]);
            return Err(crate::query::invalid("DeleteOptions", &error));
        }
    };
    let options: DeleteOptions =
        serde_json::from_value(value.clone()).map_err(|e| Status::bad_request(format!("DeleteOptions cannot be read: {e}")))?;
    Ok(DeleteOptions { dry_run, ..options })
}
