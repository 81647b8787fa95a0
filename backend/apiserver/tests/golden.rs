//! Replays what the osc of 2015 asked the original, and compares our answers with the original's, member by member.
mod harness;
mod replay;

use harness::Cluster;
use replay::cluster::{Uids, play};
use replay::{Exchange, compare};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Differences that are meant: beginning of the URI, path in the answer without the names of entries, why.
const ACCEPTED: &[(&str, &str, &str)] = &[
    ("/", "items[].currentState.info.POD.", "the pod's own container is told as far as the API knows it"),
    ("/", "currentState.info.POD.", "the same"),
    ("/api/v1beta3/", "status.info.POD.", "the same"),
    ("/", "items[].currentState.info.POD", "a pod that never got its network has no container to tell of"),
    ("/", "currentState.replicas", "how many there are is the controller's word, also right after an update"),
    ("/osapi/v1beta1/projects", "metadata.resourceVersion", "project lists can be watched from where they were read"),
    ("/osapi/v1beta1/projects", "items[]", "a new project is there at once, and the cluster's own namespaces have other names"),
    ("/api/v1beta1/namespaces?", "items[]", "the cluster's own namespaces have other names"),
    ("/osapi/v1beta1/roleBindings?", "metadata.resourceVersion", "role bindings are objects of their own"),
    ("/osapi/v1beta1/policyBindings", "items[].roleBindings[].roleBinding.metadata.resourceVersion", "the same"),
    ("/osapi/v1beta1/policyBindings", "roleBindings[].roleBinding.metadata.resourceVersion", "the same"),
    ("/osapi/v1beta1/policies/default?namespace=master", "roles[]", "other roles than the test's are not there"),
    ("/osapi/v1beta1/policies/default?namespace=master", "roles[].role.metadata.", "roles are objects of their own"),
    ("/osapi/v1beta1/roles", "answer", "the original could make roles but not list them"),
    ("/osapi/v1beta1/roleBindings?namespace=filled", "answer", "the same"),
    ("/osapi/v1beta1/user", "answer", "the original showed users to nobody"),
    ("/osapi/v1beta1/oAuthClients", "items[]", "logins need no client objects"),
    ("/api/v1beta1/minions", "resourceVersion", "the original forgot it in its answer to a POST"),
    ("/api/v1beta2/minions/master", "kind", "the original called it now Minion, now Node"),
    ("/api/v1beta1/replicationControllers/hello-controller", "creationTimestamp", "the original lost it in an update"),
    ("/api/v1beta1/replicationControllers/hello-controller", "uid", "the same"),
    ("/api/v1beta1/replicationControllers?namespace=hack", "items[].creationTimestamp", "the same"),
    ("/api/v1beta1/replicationControllers?namespace=hack", "items[].uid", "the same"),
];

/// `items[web].id` is `items[].id`.
fn without_names(path: &str) -> String {
    path.split('[').map(|p| p.split_once(']').map_or(p.to_string(), |(_, rest)| format!("]{rest}"))).collect::<Vec<_>>().join("[")
}

/// Which entry of `ACCEPTED` covers a difference.
fn accepted(uri: &str, path: &str) -> Option<usize> {
    let path = without_names(path);
    let same = |meant: &str| if meant.ends_with('.') { path.starts_with(meant) } else { path == meant };
    ACCEPTED.iter().position(|(uris, meant, _)| uri.starts_with(uris) && same(meant))
}

async fn ask(c: &Cluster, exchange: &Exchange, uids: &Uids) -> (u16, String, Value) {
    let method = reqwest::Method::from_bytes(exchange.method.as_bytes()).unwrap();
    let request = c.admin.request(method, c.url(&uids.put(&exchange.uri)));
    let mut request = request.header("user-agent", "osc/v0.11.0 (linux/amd64) kubernetes/6241a21");
    if let Some(body) = &exchange.request {
        let mut body = body.clone();
        // The client had read the object before it wrote it.
        if body["resourceVersion"].is_u64() {
            body["resourceVersion"] = c.get(&exchange.uri).await.1["resourceVersion"].clone();
        }
        // It names no Content-Type.
        request = request.body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let code = response.status().as_u16();
    let kind = response.headers().get("content-type").map_or("", |v| v.to_str().unwrap()).to_string();
    let text = response.text().await.unwrap();
    (code, kind, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn the_recorded_requests_get_the_recorded_answers() {
    let c = Cluster::start().await;
    let mut uids = Uids::default();
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    let rules = json!([{"verbs": ["*"], "resources": ["*"]}, {"verbs": ["*"], "resources": [], "nonResourceURLs": ["*"]}]);
    let role = json!({"kind": "Role", "apiVersion": "v1beta1", "metadata": {"name": "cluster-admin"}, "rules": rules});
    assert_eq!(c.post("/osapi/v1beta1/roles?namespace=master", role).await.0, 201);
    let exchanges = replay::exchanges();
    for (number, exchange) in exchanges.iter().enumerate() {
        if exchange.method == "POST" && exchange.uri.contains("resourceQuotas") {
            // The pods that controllers had made by now would not be let in later.
            let pods = exchanges[number..].iter().find(|e| e.method == "GET" && e.uri.contains("/pods?namespace=")).unwrap();
            play(&c, pods, &uids).await;
        }
        play(&c, exchange, &uids).await;
        let (code, kind, ours) = ask(&c, exchange, &uids).await;
        uids.learn(&exchange.response, &ours);
        let told = format!("{} {} (line {})", exchange.method, exchange.uri, number + 1);
        if (code, kind.as_str()) != (exchange.status, exchange.content_type.as_str()) {
            match accepted(&exchange.uri, "answer") {
                Some(entry) => _ = used.insert(entry),
                None => wrong.entry(format!("{} recorded, {code} {kind} ours: {ours}", exchange.status)).or_default().push(told),
            }
            continue;
        }
        let recorded: Value = serde_json::from_str(&uids.put(&exchange.response.to_string())).unwrap();
        for difference in compare(&recorded, &ours) {
            if let Some(entry) = accepted(&exchange.uri, &difference.path) {
                used.insert(entry);
                continue;
            }
            let (path, a, b) = (without_names(&difference.path), &difference.recorded, &difference.ours);
            wrong.entry(format!("{path}: {a:?} recorded, {b:?} ours")).or_default().push(told.clone());
        }
    }
    for (uri, path, why) in ACCEPTED.iter().enumerate().filter(|(i, _)| !used.contains(i)).map(|(_, entry)| entry) {
        wrong.entry(format!("nothing differs any more at {uri} {path} ({why})")).or_default().push("ACCEPTED".into());
    }
    let report: Vec<String> =
        wrong.iter().map(|(what, where_)| format!("{what}\n    {} times, first: {}", where_.len(), where_[0])).collect();
    assert!(report.is_empty(), "{} differences:\n{}", report.len(), report.join("\n"));
}
