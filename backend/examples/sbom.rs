//! The bill of materials of `openshift` in CycloneDX's form: `cargo metadata` on standard input, JSON on standard output.
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("standard input is text");
    let metadata: Value = serde_json::from_str(&text).expect("standard input is the output of cargo metadata");
    println!("{:#}", bill(&metadata, "backend"));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Everything that is linked into the root package, or runs while it is built; not what only tests need.
fn bill(metadata: &Value, root: &str) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"]).into_iter().map(|p| (text(&p["id"]).to_owned(), p)).collect();
    let nodes: BTreeMap<String, Vec<String>> =
        list(&metadata["resolve"]["nodes"]).iter().map(|n| (text(&n["id"]).to_owned(), needed(n))).collect();
    let start = packages.iter().find(|(_, p)| p["name"] == root).map(|(id, _)| id.clone()).expect("the root package is there");
    let mut seen = BTreeSet::new();
    let mut open = vec![start.clone()];
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            open.extend(nodes.get(&id).cloned().unwrap_or_default());
        }
    }
    let reference = |id: &String| format!("pkg:cargo/{}@{}", text(&packages[id]["name"]), text(&packages[id]["version"]));
    let components: Vec<Value> = seen.iter().filter(|id| **id != start).map(|id| component(&packages[id], &reference(id))).collect();
    let dependencies: Vec<Value> = seen
        .iter()
        .map(|id| json!({"ref": reference(id), "dependsOn": nodes[id].iter().map(reference).collect::<BTreeSet<_>>()}))
        .collect();
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": reference(&start), "name": "openshift",
            "version": packages[&start]["version"], "licenses": licences(&packages[&start])}},
        "components": components, "dependencies": dependencies,
    })
}

fn needed(node: &Value) -> Vec<String> {
    let outside_tests =
        |dependency: &&Value| dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k["kind"] != "dev"));
    node["deps"].as_array().into_iter().flatten().filter(outside_tests).map(|d| text(&d["pkg"]).to_owned()).collect()
}

fn component(package: &Value, reference: &str) -> Value {
    json!({
        "type": "library", "bom-ref": reference, "name": package["name"], "version": package["version"],
        "purl": reference, "licenses": licences(package), "description": package["description"].as_str().unwrap_or_default().trim(),
        "externalReferences": package["repository"].as_str().map(|url| json!([{"type": "vcs", "url": url}])).unwrap_or(json!([])),
    })
}

fn licences(package: &Value) -> Value {
    package["license"].as_str().map_or(json!([]), |expression| json!([{"expression": expression.replace('/', " OR ")}]))
}
