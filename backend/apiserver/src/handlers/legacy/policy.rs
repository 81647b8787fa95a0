//! Today's roles and bindings as the `policies` and `policyBindings` of 2015, which gathered them by namespace.
use super::DEFAULT_NAMESPACE;
use super::form::pretty;
use crate::handlers::Call;
use crate::respond::{self, Response};
use http::StatusCode;
use registry::options::ListOptions;
use serde_json::{Value, json};
use shared::kinds::{self, Kind};
use shared::legacy::policy::MASTER;
use shared::legacy::{self, Version};
use shared::status::{Details, Reason, Status};
use std::collections::BTreeMap;

/// Which of the two is asked for.
struct Gathering {
    kind: &'static str,
    word: &'static str,
    singular: &'static str,
    list: &'static str,
    member: &'static str,
}

const POLICIES: Gathering = Gathering { kind: "Policy", word: "policies", singular: "policy", list: "roles", member: "role" };
const BINDINGS: Gathering =
    Gathering { kind: "PolicyBinding", word: "policyBindings", singular: "policyBinding", list: "roleBindings", member: "roleBinding" };

/// The policies, or policy bindings, of a namespace, or one of them by name.
pub fn serve(call: &Call, bindings: bool, name: Option<&str>) -> Result<Response, Status> {
    if !call.reads() {
        return Err(respond::method_not_allowed());
    }
    let query = call.query()?;
    let namespace = query.get("namespace").filter(|n| !n.is_empty()).unwrap_or(DEFAULT_NAMESPACE);
    let what = if bindings { &BINDINGS } else { &POLICIES };
    let (revision, members) = members(call, bindings, namespace)?;
    let mut all: Vec<Value> = members.into_iter().map(|(home, items)| gathered(what, namespace, &home, &items)).collect();
    let Some(name) = name else {
        let link = format!("/osapi/v1beta1/{}?namespace={namespace}", what.word);
        let metadata = json!({"selfLink": link, "resourceVersion": revision.to_string()});
        let kind = format!("{}List", what.kind);
        return Ok(pretty(StatusCode::OK, &json!({"kind": kind, "apiVersion": "v1beta1", "metadata": metadata, "items": all})));
    };
    let Some(at) = all.iter().position(|p| p["metadata"]["name"] == name) else {
        let mut missing = Status::failure(404, Reason::NotFound, format!("{} {name:?} not found", what.singular));
        missing.details = Some(Box::new(Details { name: name.into(), kind: what.singular.into(), ..Details::default() }));
        return Err(missing);
    };
    let mut one = all.swap_remove(at);
    one["kind"] = json!(what.kind);
    one["apiVersion"] = json!("v1beta1");
    Ok(pretty(StatusCode::OK, &one))
}

/// Roles under the name `default`; bindings by the namespace that their roles come from.
fn members(call: &Call, bindings: bool, namespace: &str) -> Result<(u64, BTreeMap<String, Vec<Value>>), Status> {
    let global = namespace == MASTER;
    let (kind, home): (&'static Kind, _) = match (bindings, global) {
        (true, true) => (&kinds::CLUSTER_ROLE_BINDING, None),
        (true, false) => (&kinds::ROLE_BINDING, Some(namespace)),
        (false, true) => (&kinds::CLUSTER_ROLE, None),
        (false, false) => (&kinds::ROLE, Some(namespace)),
    };
    let list = call.app.registry.list(&call.caller, kind, home, &ListOptions::default())?;
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in &list.items {
        let old = legacy::from_v1(&object.value(), Version::Osapi);
        let from = if bindings { old["roleRef"]["namespace"].as_str().unwrap_or(MASTER).to_string() } else { "default".into() };
        found.entry(from).or_default().push(old);
    }
    Ok((list.revision, found))
}

fn gathered(what: &Gathering, namespace: &str, name: &str, items: &[Value]) -> Value {
    let meta = |member: &'static str| items.iter().filter_map(move |i| i["metadata"][member].as_str());
    let newest = meta("creationTimestamp").max().map(String::from);
    let revision = meta("resourceVersion").filter_map(|r| r.parse::<u64>().ok()).max().unwrap_or_default();
    let link = format!("/osapi/v1beta1/{}/{name}?namespace={namespace}", what.word);
    let entries = items.iter().map(|i| json!({"name": i["metadata"]["name"], what.member: bare(i)}));
    let mut out = json!({
        "metadata": {"name": name, "namespace": namespace, "selfLink": link, "resourceVersion": revision.to_string(), "creationTimestamp": newest},
        "lastModified": newest,
        what.list: entries.collect::<Vec<_>>(),
    });
    if what.kind == BINDINGS.kind {
        out["policyRef"] = json!({"namespace": name, "name": "default"});
    } else {
        // An aggregate has no identity of its own; readers expect one.
        out["metadata"]["uid"] = items.first().map(|i| i["metadata"]["uid"].clone()).unwrap_or_default();
    }
    out
}

fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(map) = value.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
    value
}

/// Whether a kind's objects of namespace `master` are the cluster's today, and as what.
pub fn of_cluster(kind: &'static Kind, namespace: Option<&str>) -> Option<&'static Kind> {
    match kind.kind {
        _ if namespace != Some(MASTER) => None,
        "Role" => Some(&kinds::CLUSTER_ROLE),
        "RoleBinding" => Some(&kinds::CLUSTER_ROLE_BINDING),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_gathered_with_their_newest_change() {
        let binding = |name: &str, revision: &str, time: &str| json!({"kind": "RoleBinding", "metadata": {"name": name, "resourceVersion": revision, "creationTimestamp": time}, "userNames": ["u"]});
        let items = [binding("a", "7", "2026-01-01T00:00:00Z"), binding("b", "9", "2025-01-01T00:00:00Z")];
        let all = gathered(&BINDINGS, "hack", "master", &items);
        assert_eq!((&all["metadata"]["resourceVersion"], &all["lastModified"]), (&json!("9"), &json!("2026-01-01T00:00:00Z")));
        assert_eq!(all["roleBindings"][1]["roleBinding"]["userNames"], json!(["u"]));
        assert!(all["roleBindings"][1]["roleBinding"].get("kind").is_none());
    }
}
