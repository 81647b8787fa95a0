//! Which groups, versions and resources there are: the old documents and the aggregated ones, made once from the table of kinds.
use super::Call;
use crate::negotiate::{self, Form};
use crate::respond::{self, Response};
use axum::body::Bytes;
use http::header::{ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::kinds::{KINDS, Kind, MEASURED, Scope, Storage};
use shared::status::Status;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Clients prefer the first.
const CORE_VERSIONS: [&str; 4] = ["v1", "v1beta3", "v1beta2", "v1beta1"];

/// Every group and version beside the core's, in the order of the kinds.
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<(&str, &str)> = Vec::new();
    for kind in KINDS.iter().chain(MEASURED).filter(|k| !k.group.is_empty()) {
        if !all.contains(&(kind.group, kind.version)) {
            all.push((kind.group, kind.version));
        }
    }
    all
}

/// `/api`
pub fn core_versions(call: &Call) -> Result<Response, Status> {
    match negotiate::choose(call.accept(), negotiate::DISCOVERY)? {
        Form::Discovery { version } => aggregated(call, version, &[("", "v1")]),
        form => {
            let address = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": call.app.public_url.trim_start_matches("https://")}]);
            let value = json!({"kind": "APIVersions", "versions": CORE_VERSIONS, "serverAddressByClientCIDRs": address});
            respond::document(StatusCode::OK, &form, false, value.to_string().into())
        }
    }
}

/// `/apis`
pub fn groups(call: &Call) -> Result<Response, Status> {
    let all = group_versions();
    match negotiate::choose(call.accept(), negotiate::DISCOVERY)? {
        Form::Discovery { version } => aggregated(call, version, &all),
        form => {
            let groups: Vec<Value> = all.iter().map(|(g, v)| api_group(g, v)).collect();
            let value = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups});
            respond::document(StatusCode::OK, &form, false, value.to_string().into())
        }
    }
}

fn api_group(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `/apis/GROUP`
pub fn group(call: &Call, group: &str) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::PLAIN)?;
    let found = group_versions().into_iter().find(|(g, _)| *g == group);
    let (group, version) = found.ok_or_else(respond::unknown_path)?;
    let mut value = api_group(group, version);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    respond::document(StatusCode::OK, &form, false, value.to_string().into())
}

/// `/api/v1`, `/apis/GROUP/VERSION`
pub fn group_version(call: &Call, group: &str, version: &str) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::PLAIN)?;
    let beta_review = group == "authentication.k8s.io" && matches!(version, "v1beta1" | "v1alpha1");
    let of_version = |k: &&&Kind| k.group == group && (k.version == version || beta_review && k.kind == "SelfSubjectReview");
    let kinds: Vec<&Kind> = KINDS.iter().chain(MEASURED).filter(of_version).copied().collect();
    if kinds.is_empty() {
        return Err(respond::unknown_path());
    }
    let mut resources = Vec::new();
    for kind in kinds {
        resources.push(resource(kind));
        resources.extend(kind.subresources.iter().map(|s| subresource(kind, s)));
    }
    let name = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
    let value = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources});
    respond::document(StatusCode::OK, &form, false, value.to_string().into())
}

fn verbs(kind: &Kind) -> &'static [&'static str] {
    match kind.storage {
        _ if MEASURED.contains(&kind) => &["get", "list"],
        Storage::Virtual => &["create"],
        _ if kind.kind == "Namespace" => &["create", "delete", "get", "list", "patch", "update", "watch"],
        _ => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }
}

fn resource(kind: &Kind) -> Value {
    let mut value = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced(),
        "kind": kind.kind,
        "verbs": verbs(kind),
    });
    if !kind.short_names.is_empty() {
        value["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        value["categories"] = json!(kind.categories);
    }
    if kind.storage != Storage::Virtual {
        let digest = Sha256::digest(kind.qualified());
        value["storageVersionHash"] = json!(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &digest[..8]));
    }
    value
}

/// What a subresource takes and gives, and how.
fn describe(kind: &Kind, name: &str) -> (&'static str, &'static str, String, &'static [&'static str]) {
    let own = || (kind.group.to_string(), kind.version.to_string(), kind.kind.to_string());
    let (group, version, answered, verbs): (&str, &str, String, &[&str]) = match name {
        "binding" => ("", "v1", "Binding".into(), &["create"]),
        "eviction" => ("policy", "v1", "Eviction".into(), &["create"]),
        "scale" => ("autoscaling", "v1", "Scale".into(), &["get", "patch", "update"]),
        "token" => ("authentication.k8s.io", "v1", "TokenRequest".into(), &["create"]),
        "exec" => ("", "v1", "PodExecOptions".into(), &["create", "get"]),
        "attach" => ("", "v1", "PodAttachOptions".into(), &["create", "get"]),
        "portforward" => ("", "v1", "PodPortForwardOptions".into(), &["create", "get"]),
        "proxy" => ("", "v1", format!("{}ProxyOptions", kind.kind), &["create", "delete", "get", "patch", "update"]),
        "log" => ("", "v1", own().2, &["get"]),
        "finalize" => ("", "v1", own().2, &["update"]),
        _ => ("", "", own().2, &["get", "patch", "update"]),
    };
    (group, version, answered, verbs)
}

fn subresource(kind: &Kind, name: &str) -> Value {
    let (group, version, answered, verbs) = describe(kind, name);
    let mut value = json!({
        "name": format!("{}/{name}", kind.plural),
        "singularName": "",
        "namespaced": kind.namespaced(),
        "kind": answered,
        "verbs": verbs,
    });
    if !group.is_empty() {
        value["group"] = json!(group);
        value["version"] = json!(version);
    }
    value
}

fn aggregated_resource(kind: &Kind) -> Value {
    let of = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let subresources: Vec<Value> = kind
        .subresources
        .iter()
        .map(|name| {
            let (group, version, answered, verbs) = describe(kind, name);
            let version = if version.is_empty() { kind.version } else { version };
            let group = if group.is_empty() && answered == kind.kind { kind.group } else { group };
            json!({"subresource": name, "responseKind": of(group, version, &answered), "verbs": verbs})
        })
        .collect();
    let mut value = json!({
        "resource": kind.plural,
        "responseKind": of(kind.group, kind.version, kind.kind),
        "scope": if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    for (name, list) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
        if !list.is_empty() {
            value[name] = json!(list);
        }
    }
    if !subresources.is_empty() {
        value["subresources"] = json!(subresources);
    }
    value
}

/// A document and its strong ETag.
type Tagged = (Bytes, String);

static AGGREGATED: LazyLock<HashMap<(bool, &'static str), Tagged>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    for version in ["v2", "v2beta1"] {
        all.insert((true, version), tagged(&document(version, &[("", "v1")])));
        all.insert((false, version), tagged(&document(version, &group_versions())));
    }
    all
});

fn tagged(value: &Value) -> Tagged {
    let bytes = Bytes::from(value.to_string());
    let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02X}")).collect();
    (bytes, format!("\"{digest}\""))
}

fn document(version: &str, groups: &[(&'static str, &'static str)]) -> Value {
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, v)| {
            let resources: Vec<Value> =
                KINDS.iter().chain(MEASURED).filter(|k| k.group == *group && k.version == *v).map(|k| aggregated_resource(k)).collect();
            let metadata =
                if group.is_empty() { json!({"creationTimestamp": null}) } else { json!({"name": group, "creationTimestamp": null}) };
            json!({"metadata": metadata, "versions": [{"version": v, "resources": resources, "freshness": "Current"}]})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items})
}

fn aggregated(call: &Call, version: &'static str, groups: &[(&str, &str)]) -> Result<Response, Status> {
    let core = groups.first().is_some_and(|(g, _)| g.is_empty());
    let (bytes, etag) = &AGGREGATED[&(core, version)];
    let known = call.header(&IF_NONE_MATCH).is_some_and(|seen| seen.split(',').any(|t| t.trim() == etag));
    let form = Form::Discovery { version };
    let mut response = if known {
        respond::with_type(StatusCode::NOT_MODIFIED, form.content_type(), Bytes::new())
    } else {
        respond::with_type(StatusCode::OK, form.content_type(), bytes.clone())
    };
    response.headers_mut().insert(ETAG, HeaderValue::from_str(etag).map_err(|e| Status::internal(e.to_string()))?);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eviction_is_announced_as_kubectl_drain_looks_for_it() {
        let value = subresource(&shared::kinds::POD, "eviction");
        assert_eq!(
            (value["kind"].as_str(), value["group"].as_str(), value["version"].as_str()),
            (Some("Eviction"), Some("policy"), Some("v1"))
        );
    }

    #[test]
    fn aggregated_discovery_names_every_kind_once() {
        let value = document("v2", &group_versions());
        let count: usize = value["items"].as_array().unwrap().iter().map(|g| g["versions"][0]["resources"].as_array().unwrap().len()).sum();
        assert_eq!(count, KINDS.iter().chain(MEASURED).filter(|k| !k.group.is_empty()).count());
    }
}
