//! Questions that are answered at once and never stored: who am I, may I, is this token good; and Binding.
use super::Call;
use super::subresources::{action_body, bind};
use crate::authn::{self, tokens};
use crate::negotiate;
use crate::respond::{self, Response};
use crate::router::Resource;
use http::{Method, StatusCode};
use registry::AccessRequest;
use registry::caller::{Caller, GROUP_AUTHENTICATED, Identity};
use serde_json::{Value, json};
use shared::kinds;
use shared::status::{FieldError, Status};
use std::sync::Arc;

/// Answers a POST of a kind that is not stored.
pub async fn serve(mut call: Call, target: Resource) -> Result<Response, Status> {
    if *call.method() != Method::POST || target.name.is_some() {
        return Err(respond::method_not_allowed());
    }
    negotiate::choose(call.accept(), negotiate::PLAIN)?;
    let mut value = action_body(&mut call, target.kind.kind).await?;
    crate::body::expect_kind(&mut value, target.kind, &target.version)?;
    let namespace = target.namespace.as_deref();
    if *target.kind == kinds::BINDING {
        let pod = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_string();
        return bind(&call, namespace.unwrap_or_default(), &pod, &value).await;
    }
    // Everybody who is somebody may ask about himself, whatever roles there are.
    let about_self = target.kind.kind.starts_with("Self") && call.caller.0.groups.iter().any(|g| g == GROUP_AUTHENTICATED);
    if !about_self {
        let request = AccessRequest::resource("create", target.kind, namespace, "", "");
        call.app.registry.authorise(&call.caller, &request)?;
    }
    let status = match target.kind.kind {
        "SelfSubjectReview" => json!({ "userInfo": user_info(&call.caller.0) }),
        "SelfSubjectAccessReview" => access(&call, &call.caller, &value)?,
        "SubjectAccessReview" => access(&call, &subject(&value)?, &value)?,
        "LocalSubjectAccessReview" => {
            let asked = value.pointer("/spec/resourceAttributes/namespace").and_then(Value::as_str).unwrap_or_default();
            if Some(asked) != namespace {
                let error = FieldError::invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace");
                return Err(Status::invalid(target.kind, "", &[error]));
            }
            access(&call, &subject(&value)?, &value)?
        }
        "SelfSubjectRulesReview" => rules(&call, &value)?,
        "TokenReview" => token_review(&call, &value),
        _ => return Err(respond::unknown_path()),
    };
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    value["metadata"]["creationTimestamp"] = Value::Null;
    value["status"] = status;
    Ok(respond::json_value(StatusCode::CREATED, &value))
}

/// `userInfo` of reviews.
pub fn user_info(identity: &Identity) -> Value {
    let mut info = json!({"username": identity.name, "groups": identity.groups});
    if !identity.uid.is_empty() {
        info["uid"] = json!(identity.uid);
    }
    if !identity.extra.is_empty() {
        info["extra"] = json!(identity.extra);
    }
    info
}

/// The User that `users/~` answers: the stored one, or one made up for identities that have none.
pub fn current_user(call: &Call) -> Value {
    let identity = &call.caller.0;
    match call.app.registry.get(&call.app.myself, &kinds::USER, None, &identity.name) {
        Ok(user) => user.value(),
        Err(_) => json!({
            "kind": "User", "apiVersion": kinds::USER.api_version(),
            "metadata": {"name": identity.name, "uid": identity.uid, "creationTimestamp": null},
            "identities": null, "groups": identity.groups,
        }),
    }
}

/// The identity that a SubjectAccessReview asks about.
fn subject(review: &Value) -> Result<Caller, Status> {
    let text = |name: &str| review.pointer(&format!("/spec/{name}")).and_then(Value::as_str).unwrap_or_default().to_string();
    let strings = |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect::<Vec<_>>();
    let groups = review.pointer("/spec/groups").map(strings).unwrap_or_default();
    let name = text("user");
    if name.is_empty() && groups.is_empty() {
        let error = FieldError::required("spec.user", "at least one of user or group must be specified");
        return Err(Status::invalid(&kinds::SUBJECT_ACCESS_REVIEW, "", &[error]));
    }
    let extra = review.pointer("/spec/extra").and_then(Value::as_object);
    let extra = extra.into_iter().flatten().map(|(k, v)| (k.clone(), strings(v))).collect();
    Ok(Caller(Arc::new(Identity { name, uid: text("uid"), groups, extra, agent: String::new() })))
}

fn access(call: &Call, who: &Caller, review: &Value) -> Result<Value, Status> {
    let resource = review.pointer("/spec/resourceAttributes").filter(|v| v.is_object());
    let path = review.pointer("/spec/nonResourceAttributes").filter(|v| v.is_object());
    let request = match (resource, path) {
        (Some(r), None) => {
            let text = |name: &str| r.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
            AccessRequest {
                verb: text("verb"),
                group: text("group"),
                resource: text("resource"),
                subresource: text("subresource"),
                namespace: text("namespace"),
                name: text("name"),
                ..AccessRequest::default()
            }
        }
        (None, Some(p)) => {
            let text = |name: &str| p.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
            AccessRequest { verb: text("verb"), path: text("path"), ..AccessRequest::default() }
        }
        _ => {
            let error = FieldError::invalid(
                "spec.resourceAttributes",
                Value::Null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            );
            return Err(Status::invalid(&kinds::SELF_SUBJECT_ACCESS_REVIEW, "", &[error]));
        }
    };
    Ok(match call.app.registry.authorise(who, &request) {
        Ok(()) => json!({"allowed": true, "reason": "RBAC: allowed"}),
        Err(status) if status.code == 403 => json!({ "allowed": false }),
        Err(status) => return Err(status),
    })
}

fn rules(call: &Call, review: &Value) -> Result<Value, Status> {
    let namespace = review.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (resource, path) = call.app.registry.rules_for(&call.caller, namespace);
    Ok(json!({"resourceRules": resource, "nonResourceRules": path, "incomplete": false}))
}

fn token_review(call: &Call, review: &Value) -> Value {
    let token = review.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
    let asked: Vec<&str> =
        review.pointer("/spec/audiences").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    match reviewed(call, token, &asked) {
        Ok((identity, audiences)) => json!({"authenticated": true, "user": user_info(&identity), "audiences": audiences}),
        Err(why) => json!({"user": {}, "error": why}),
    }
}

/// The holder of a token, and those of the asked audiences for which it is good.
fn reviewed(call: &Call, token: &str, asked: &[&str]) -> Result<(Identity, Vec<String>), &'static str> {
    const INVALID: &str = "invalid bearer token";
    let now = jiff::Timestamp::now().as_second();
    let asked: Vec<&str> = if asked.is_empty() { tokens::AUDIENCES.to_vec() } else { asked.to_vec() };
    if let Some(claims) = call.app.tokens.verify(token, now) {
        let audiences: Vec<String> = claims.aud.iter().filter(|a| asked.contains(&a.as_str())).cloned().collect();
        if audiences.is_empty() {
            return Err("token audiences do not match the audiences asked for");
        }
        return authn::service_account(&call.app, &claims).map(|i| (i, audiences)).map_err(|_| INVALID);
    }
    let identity = authn::bearer(&call.app, token).map_err(|_| INVALID)?;
    let audiences: Vec<String> = asked.iter().filter(|a| tokens::AUDIENCES.contains(a)).map(ToString::to_string).collect();
    if audiences.is_empty() { Err(INVALID) } else { Ok((identity, audiences)) }
}
