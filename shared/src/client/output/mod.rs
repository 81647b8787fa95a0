//! What commands print: tables, descriptions, JSON, YAML, templates and paths. Pure: JSON in, text out.
pub mod columns;
pub mod describe;
pub mod describe_more;
pub mod gotemplate;
pub mod json;
pub mod jsonpath;
pub mod rows;
pub mod tabwriter;
pub mod time;
pub mod yaml;

use serde_json::Value;

/// The text of a JSON string, else nothing.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The members of a JSON array, else none.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// `k=v,k=v` sorted by key, or `<none>`.
pub fn pairs(map: &Value) -> String {
    let pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().map_or_else(|| v.to_string(), str::to_string)))
        .collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

/// Labels for people: those that the system itself puts on every namespace and node are left out.
pub fn labels(object: &Value) -> String {
    let own = |key: &str| {
        let prefix = key.split_once('/').map_or("", |(p, _)| p);
        key == "kubernetes.io/metadata.name"
            || object["kind"] == "Node" && (prefix == "kubernetes.io" || prefix.ends_with(".kubernetes.io"))
    };
    let shown: serde_json::Map<String, Value> = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(k, _)| !own(k))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    pairs(&Value::Object(shown))
}
