//! OpenAPI v3 documents of the served kinds, as kubectl, helm and the generated clients read them.
mod paths;
mod schemas;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use shared::kinds::KINDS;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::{Mutex, OnceLock};

/// The groups and versions that have a document.
fn group_versions() -> BTreeSet<(&'static str, &'static str)> {
    KINDS.iter().map(|k| (k.group, k.version)).collect()
}

/// `api/v1` or `apis/GROUP/VERSION`.
fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The document at `/openapi/v3`: where the others are, each with its hash.
pub fn index() -> Bytes {
    let mut paths = Map::new();
    for (group, version) in group_versions() {
        let path = path_of(group, version);
        let url = format!("/openapi/v3/{path}?hash={}", hash());
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    Bytes::from(json!({"paths": paths}).to_string())
}

/// Changes whenever any document changes: with it in the URL or as ETag, documents may be cached for good.
pub fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let mut hasher = Sha256::new();
        hasher.update(crate::table::source());
        hasher.update(env!("CARGO_PKG_VERSION"));
        hasher.update(format!("{KINDS:?}"));
        hasher.finalize().iter().map(|byte| format!("{byte:02X}")).collect()
    })
}

/// The document at `/openapi/v3/api/v1` (group empty) or `/openapi/v3/apis/GROUP/VERSION`, as JSON.
pub fn group(group: &str, version: &str) -> Option<Bytes> {
    let mut plain = Vec::new();
    GzDecoder::new(&group_gzip(group, version)?[..]).read_to_end(&mut plain).ok()?;
    Some(Bytes::from(plain))
}

/// The same document, compressed with gzip, as it is kept once it was asked for.
pub fn group_gzip(group: &str, version: &str) -> Option<Bytes> {
    static KEPT: Mutex<BTreeMap<(&str, &str), Bytes>> = Mutex::new(BTreeMap::new());
    let key = group_versions().into_iter().find(|gv| *gv == (group, version))?;
    // Held while building: a second caller waits for the first one's result instead of building it too.
    let mut kept = KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(document) = kept.get(&key) {
        return Some(document.clone());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(document(key.0, key.1).to_string().as_bytes()).ok()?;
    let document = Bytes::from(encoder.finish().ok()?);
    kept.insert(key, document.clone());
    Some(document)
}

fn document(group: &str, version: &str) -> Value {
    let kinds: Vec<_> = KINDS.iter().copied().filter(|k| k.group == group && k.version == version).collect();
    let paths = paths::of(&kinds);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": concat!("pilothouse-", env!("CARGO_PKG_VERSION"))},
        "components": {
            "schemas": schemas::referenced(&paths),
            "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}}
        },
        "paths": paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(group_name: &str, version: &str) -> Value {
        serde_json::from_slice(&group(group_name, version).unwrap()).unwrap()
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    found.insert(target.trim_start_matches("#/components/schemas/").to_string());
                }
                members.values().for_each(|v| references(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }

    #[test]
    fn every_document_is_complete_and_holds_nothing_else() {
        for (group, version) in group_versions() {
            let document = read(group, version);
            let mut used = BTreeSet::new();
            references(&document, &mut used);
            let defined: BTreeSet<String> = document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
            assert_eq!(used, defined, "{group}/{version}");
        }
        assert!(group("", "v9").is_none());
    }

    #[test]
    fn the_index_leads_to_every_group() {
        let index: Value = serde_json::from_slice(&index()).unwrap();
        let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
        assert!(url.starts_with("/openapi/v3/api/v1?hash=") && url.len() > 60, "{url}");
        assert_eq!(index["paths"].as_object().unwrap().len(), group_versions().len());
    }

    #[test]
    fn a_pod_is_described_for_apply_and_explain() {
        let core = read("", "v1");
        let schemas = &core["components"]["schemas"];
        let pod = &schemas["io.k8s.api.core.v1.Pod"];
        assert_eq!(pod["x-kubernetes-group-version-kind"], json!([{"group": "", "kind": "Pod", "version": "v1"}]));
        let spec = &schemas["io.k8s.api.core.v1.PodSpec"];
        assert_eq!(spec["required"], json!(["containers"]));
        let containers = &spec["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        assert_eq!(containers["items"]["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.core.v1.Container");
        assert!(containers["description"].as_str().unwrap().starts_with("List of containers belonging to the pod."));
        let port = &schemas["io.k8s.api.core.v1.ContainerPort"]["properties"];
        assert_eq!(port["containerPort"]["format"], "int32");
        assert_eq!(port["protocol"]["default"], "TCP");
        assert_eq!(schemas["io.k8s.api.core.v1.Secret"]["properties"]["data"]["additionalProperties"]["format"], "byte");
    }

    #[test]
    fn patches_announce_field_validation() {
        let core = read("", "v1");
        for path in ["/api/v1/namespaces/{name}", "/api/v1/namespaces/{namespace}/pods/{name}"] {
            let patch = &core["paths"][path]["patch"];
            assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"), "{path}");
            assert!(patch["x-kubernetes-group-version-kind"]["kind"].is_string());
        }
        assert!(core["paths"]["/api/v1/pods"]["get"].is_object());
        assert!(core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/log"]["get"].is_object());
        assert_eq!(
            core["paths"]["/api/v1/namespaces/{namespace}/replicationcontrollers/{name}/scale"]["patch"]["x-kubernetes-group-version-kind"]
                ["kind"],
            "Scale"
        );
    }
}
