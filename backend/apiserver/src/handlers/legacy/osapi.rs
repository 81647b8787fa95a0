//! Answers of `/osapi` that are no stored objects: who may do what, and kinds of the era that this server does not keep.
use super::form::pretty;
use super::template;
use super::words::Absent;
use crate::body;
use crate::handlers::Call;
use crate::respond::{self, Response};
use axum::body::{Body, Bytes};
use http::{Method, StatusCode};
use rand::Rng;
use registry::AccessRequest;
use registry::caller::{Caller, GROUP_AUTHENTICATED, Identity};
use serde_json::json;
use shared::kinds::{self, KINDS, Storage};
use shared::legacy::resource_to_v1;
use shared::status::{Details, Reason, Status};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How long a watch of nothing lasts; old clients begin another.
const EMPTY_WATCH: Duration = Duration::from_secs(1800);

/// There are none: lists are empty, watches silent, and nothing can be made.
pub fn absent(call: &Call, kind: &Absent, name: Option<&str>, watch: bool) -> Result<Response, Status> {
    is_somebody(call, kind.word)?;
    let query = call.query()?;
    match (name, call.reads()) {
        (None, true) if watch || query.flag("watch").unwrap_or(false) => {
            let stop = call.app.stop.clone();
            let silence = futures::stream::once(async move {
                let _ = tokio::time::timeout(EMPTY_WATCH, stop.cancelled()).await;
                Ok::<_, Infallible>(Bytes::new())
            });
            Ok(respond::with_type(StatusCode::OK, "application/json", Body::from_stream(silence)))
        }
        (None, true) => {
            let namespace = query.get("namespace").filter(|n| kind.namespaced && !n.is_empty());
            let link = format!("/osapi/v1beta1/{}{}", kind.word, namespace.map_or(String::new(), |n| format!("?namespace={n}")));
            let metadata = json!({"selfLink": link, "resourceVersion": call.app.registry.revision().to_string()});
            let list = json!({"kind": format!("{}List", kind.kind), "apiVersion": "v1beta1", "metadata": metadata, "items": []});
            Ok(pretty(StatusCode::OK, &list))
        }
        (Some(name), _) => {
            let mut missing = Status::failure(404, Reason::NotFound, format!("{} {name:?} not found", kind.singular));
            missing.details = Some(Box::new(Details { name: name.into(), kind: kind.singular.into(), ..Details::default() }));
            Err(missing)
        }
        (None, false) => Err(Status::failure(404, Reason::NotFound, format!("this server keeps no {}", kind.word))),
    }
}

/// POST `templateConfigs`: whoever is somebody may have a template processed; it touches nothing.
pub async fn process(mut call: Call) -> Result<Response, Status> {
    if *call.method() != Method::POST {
        return Err(respond::method_not_allowed());
    }
    is_somebody(&call, "templateConfigs")?;
    let media = body::media(&call.parts.headers)?;
    let bytes = body::read(call.take_body()).await?;
    let template = body::decode(&bytes, media, "Template")?.value;
    let done = template::process(&template, &mut |bound| rand::rng().random_range(0..bound))?;
    Ok(pretty(StatusCode::CREATED, &done))
}

fn is_somebody(call: &Call, word: &str) -> Result<(), Status> {
    if call.caller.0.groups.iter().any(|g| g == GROUP_AUTHENTICATED) {
        return Ok(());
    }
    Err(Status::failure(403, Reason::Forbidden, format!("User {:?} cannot use {word}", call.caller.0.name)))
}

/// POST `resourceAccessReviews`: who may do it; `subjectAccessReviews`: may this user or group.
pub async fn review(mut call: Call, who: bool) -> Result<Response, Status> {
    if *call.method() != Method::POST {
        return Err(respond::method_not_allowed());
    }
    let namespace = call.query()?.get("namespace").unwrap_or_default().to_string();
    let media = body::media(&call.parts.headers)?;
    let bytes = body::read(call.take_body()).await?;
    let asked = body::decode(&bytes, media, "AccessReview")?.value;
    let local = &kinds::LOCAL_SUBJECT_ACCESS_REVIEW;
    let may_ask = match namespace.as_str() {
        "" => AccessRequest::resource("create", &kinds::SUBJECT_ACCESS_REVIEW, None, "", ""),
        namespace => AccessRequest::resource("create", local, Some(namespace), "", ""),
    };
    let text = |member: &str| asked[member].as_str().unwrap_or_default().to_string();
    let groups: Vec<String> = asked["groups"].as_array().into_iter().flatten().filter_map(|g| g.as_str().map(String::from)).collect();
    // Everybody who is somebody may ask about himself.
    let himself = !who && text("user").is_empty() && groups.is_empty();
    if !himself {
        call.app.registry.authorise(&call.caller, &may_ask)?;
    }
    let resource = resource_to_v1(&text("resource"));
    let request = AccessRequest {
        verb: text("verb"),
        group: KINDS.iter().find(|k| k.plural == resource && k.storage != Storage::Virtual).map_or("", |k| k.group).into(),
        resource,
        namespace: namespace.clone(),
        name: text("resourceName"),
        ..AccessRequest::default()
    };
    let allowed = |caller: &Caller| call.app.registry.authorise(caller, &request).is_ok();
    let (kind, mut answer) = if who {
        let (users, groups) = subjects(&call, &namespace);
        let users: Vec<String> = users.into_iter().filter(|u| allowed(&named(u, Vec::new()))).collect();
        let groups: Vec<String> = groups.into_iter().filter(|g| allowed(&named("", vec![g.clone()]))).collect();
        ("ResourceAccessReviewResponse", json!({"users": users, "groups": groups}))
    } else {
        let yes = allowed(&if himself { call.caller.clone() } else { named(&text("user"), groups) });
        ("SubjectAccessReviewResponse", json!({"allowed": yes, "reason": if yes { "allowed by a role" } else { "no role allows it" }}))
    };
    answer["kind"] = json!(kind);
    answer["apiVersion"] = json!("v1beta1");
    if !namespace.is_empty() {
        answer["namespace"] = json!(namespace);
    }
    Ok(pretty(StatusCode::CREATED, &answer))
}

fn named(name: &str, groups: Vec<String>) -> Caller {
    Caller(Arc::new(Identity { name: name.into(), groups, ..Identity::default() }))
}

/// The users and groups that any binding names which could matter in a namespace.
fn subjects(call: &Call, namespace: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let registry = &call.app.registry;
    let local = if namespace.is_empty() { Vec::new() } else { registry.all(&kinds::ROLE_BINDING, Some(namespace)).1 };
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for binding in registry.all(&kinds::CLUSTER_ROLE_BINDING, None).1.iter().chain(&local) {
        for subject in binding.value()["subjects"].as_array().into_iter().flatten() {
            let text = |member: &str| subject[member].as_str().unwrap_or_default();
            match text("kind") {
                "User" => _ = users.insert(text("name").to_string()),
                "Group" => _ = groups.insert(text("name").to_string()),
                _ => _ = users.insert(format!("system:serviceaccount:{}:{}", text("namespace"), text("name"))),
            }
        }
    }
    (users, groups)
}

/// The user on whom `users/~` was asked, for those who are nobody: refusing makes the old client log in.
pub fn nobody() -> Status {
    Status::forbidden(&kinds::USER, "~", "User \"system:anonymous\" cannot get users")
}
