//! The kinds that the console knows: those it was built with, and those that the server's discovery adds.
use serde_json::Value;
use shared::kinds::{KINDS, Kind, Scope, Storage};
use std::sync::RwLock;

/// More kinds than this of one server are not taken in.
const DISCOVERED_MAX: usize = 500;

static DISCOVERED: RwLock<Vec<&'static Kind>> = RwLock::new(Vec::new());

/// Every kind that has lists and pages.
pub fn all() -> Vec<&'static Kind> {
    let built_in = KINDS.iter().copied().filter(|k| k.storage != Storage::Virtual);
    let found = DISCOVERED.read().map(|d| d.clone()).unwrap_or_default();
    built_in.chain(found).collect()
}

/// The kind of `pods` or `leases.coordination.k8s.io`.
pub fn by_qualified(name: &str) -> Option<&'static Kind> {
    all().into_iter().find(|k| k.qualified() == name)
}

/// Takes in what an aggregated discovery document lists; whether anything was new.
///
/// <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery>
pub fn learn(document: &Value) -> bool {
    let mut new = false;
    for group in document["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        let Some(version) = group["versions"].get(0) else { continue };
        for resource in version["resources"].as_array().into_iter().flatten() {
            new |= learn_one(name, version["version"].as_str().unwrap_or_default(), resource);
        }
    }
    new
}

fn learn_one(group: &str, version: &str, resource: &Value) -> bool {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let can = |verb: &str| resource["verbs"].as_array().is_some_and(|v| v.iter().any(|v| v == verb));
    let kind = text(&resource["responseKind"]["kind"]);
    let known = |k: &&'static Kind| k.group == group && k.kind == kind;
    // What cannot be watched cannot be shown as live.
    if !can("list") || !can("watch") || kind.is_empty() || KINDS.iter().copied().any(|k| known(&k)) {
        return false;
    }
    let Ok(mut all) = DISCOVERED.write() else { return false };
    if all.len() >= DISCOVERED_MAX || all.iter().any(known) {
        return false;
    }
    // Lives as long as the page, like the kinds that were built in.
    let forever = |s: String| -> &'static str { Box::leak(s.into_boxed_str()) };
    let singular = text(&resource["singularResource"]);
    let singular = if singular.is_empty() { kind.to_lowercase() } else { singular };
    all.push(Box::leak(Box::new(Kind {
        group: forever(group.into()),
        version: forever(version.into()),
        plural: forever(text(&resource["resource"])),
        singular: forever(singular),
        kind: forever(kind),
        short_names: &[],
        categories: &[],
        scope: if resource["scope"] == "Namespaced" { Scope::Namespaced } else { Scope::Cluster },
        storage: Storage::Stored,
        subresources: &[],
        selectable_fields: &[],
        has_generation: false,
    })));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_of_the_server_are_learnt_once() {
        let resource = |plural: &str, kind: &str, verbs: Value| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": verbs});
        let document = json!({"items": [{"metadata": {"name": "example.com"}, "versions": [{"version": "v2", "resources": [
            resource("boats", "Boat", json!(["get", "list", "watch"])), resource("winds", "Wind", json!(["get", "list"]))]}]}]});
        assert!(learn(&document));
        assert!(!learn(&document));
        let boat = by_qualified("boats.example.com").expect("learnt");
        assert_eq!((boat.collection_path(Some("a")), boat.singular), ("/apis/example.com/v2/namespaces/a/boats".into(), "boat"));
        assert_eq!(by_qualified("winds.example.com"), None);
        assert_eq!(by_qualified("pods"), Some(&shared::kinds::POD));
    }
}
