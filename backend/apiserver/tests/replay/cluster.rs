//! Plays scheduler, kubelets and controllers: brings our cluster to where the original's was when it answered.
use super::super::harness::{Cluster, answer};
use super::Exchange;
use serde_json::{Value, json};
use shared::legacy;
use shared::quantity::Quantity;
use std::collections::BTreeMap;

/// What was recorded under one uid is ours under another.
#[derive(Default)]
pub struct Uids(BTreeMap<String, String>);

impl Uids {
    /// Learns from two answers about the same object.
    pub fn learn(&mut self, recorded: &Value, ours: &Value) {
        if let (Some(a), Some(b)) = (recorded["uid"].as_str(), ours["uid"].as_str()) {
            self.0.insert(a.into(), b.into());
        }
        for item in recorded["items"].as_array().into_iter().flatten() {
            if let Some(same) = ours["items"].as_array().into_iter().flatten().find(|i| i["id"] == item["id"]) {
                self.learn(item, same);
            }
        }
    }

    /// A recorded text with our uids.
    pub fn put(&self, text: &str) -> String {
        self.0.iter().fold(text.to_string(), |text, (theirs, ours)| text.replace(theirs.as_str(), ours))
    }
}

/// Everything that the answer to `exchange` shows and that no client did.
pub async fn play(c: &Cluster, exchange: &Exchange, uids: &Uids) {
    // What the client turned into v1beta3 itself had been asked for in v1beta1 just before.
    if exchange.method != "GET" || exchange.status != 200 || exchange.uri.starts_with("/api/v1beta3/") {
        return;
    }
    let path = exchange.uri.split('?').next().unwrap();
    let answer = &exchange.response;
    let one = [answer.clone()];
    let items = answer["items"].as_array().map_or(&one[..], Vec::as_slice);
    let word = path.split('/').nth(3).unwrap_or_default();
    for item in items {
        match word {
            "pods" => pod(c, item).await,
            "minions" | "nodes" => node(c, item).await,
            "endpoints" => endpoints(c, item).await,
            "replicationControllers" => {
                status(c, "replicationcontrollers", item, json!({"replicas": item["currentState"]["replicas"]})).await
            }
            "events" => event(c, item, uids).await,
            "resourceQuotas" => {
                let amounts_of =
                    |v: &Value| v.as_object().map(|m| m.iter().map(|(k, v)| (k.clone(), amount(k, v))).collect::<BTreeMap<_, _>>());
                let amounts = json!({"hard": amounts_of(&item["status"]["hard"]), "used": amounts_of(&item["status"]["used"])});
                status(c, "resourcequotas", item, amounts).await;
            }
            _ => {}
        }
    }
}

fn amount(name: &str, v: &Value) -> String {
    match v.as_i64() {
        Some(bytes) if name == "memory" => Quantity::from_bytes(bytes).to_string(),
        _ => v.as_str().map_or_else(|| v.to_string(), str::to_string),
    }
}

fn at(plural: &str, item: &Value) -> String {
    let namespace = item["namespace"].as_str().unwrap_or_default();
    let scope = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
    format!("/api/v1/{scope}{plural}")
}

/// The recorded object in today's form, as far as the conversion under test knows it.
fn today(kind: &str, item: &Value) -> Value {
    let mut item = item.clone();
    item["kind"] = json!(kind);
    item["apiVersion"] = json!("v1beta1");
    let mut value = legacy::to_v1(item).unwrap();
    for member in ["uid", "resourceVersion", "creationTimestamp"] {
        value["metadata"].as_object_mut().unwrap().remove(member);
    }
    value
}

/// Makes it if it is not there.
async fn ensure(c: &Cluster, plural: &str, item: &Value, value: Value) {
    let collection = at(plural, item);
    let name = item["id"].as_str().unwrap();
    if c.get(&format!("{collection}/{name}")).await.0 == 404 {
        let (code, made) = c.post(&collection, value).await;
        assert_eq!(code, 201, "{made}");
    }
}

async fn status(c: &Cluster, plural: &str, item: &Value, status: Value) {
    let path = format!("{}/{}/status", at(plural, item), item["id"].as_str().unwrap());
    merge(c, &path, json!({ "status": status })).await;
}

async fn merge(c: &Cluster, path: &str, patch: Value) {
    let request = c.admin.patch(c.url(path)).header("content-type", "application/merge-patch+json");
    let (code, put) = answer(request.body(patch.to_string())).await;
    assert_eq!(code, 200, "{put}");
}

async fn node(c: &Cluster, item: &Value) {
    ensure(c, "nodes", item, today("Minion", item)).await;
    let conditions: Vec<Value> = item["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let status = if c["status"] == "Full" { "True" } else { "False" };
            json!({"type": c["kind"], "status": status, "reason": c["reason"], "lastHeartbeatTime": c["lastProbeTime"], "lastTransitionTime": c["lastTransitionTime"]})
        })
        .collect();
    status(c, "nodes", item, json!({ "conditions": conditions })).await;
}

async fn event(c: &Cluster, item: &Value, uids: &Uids) {
    let ours: Value = serde_json::from_str(&uids.put(&item.to_string())).unwrap();
    ensure(c, "events", item, today("Event", &ours)).await;
    let again = json!({"count": item["count"], "lastTimestamp": item["lastTimestamp"]});
    merge(c, &format!("{}/{}", at("events", item), item["id"].as_str().unwrap()), again).await;
}

async fn endpoints(c: &Cluster, item: &Value) {
    let mut value = today("Endpoints", item);
    ensure(c, "endpoints", item, value.clone()).await;
    let url = c.url(&format!("{}/{}", at("endpoints", item), item["id"].as_str().unwrap()));
    let (_, stored) = answer(c.admin.get(&url)).await;
    value["metadata"] = stored["metadata"].clone();
    assert_eq!(answer(c.admin.put(&url).json(&value)).await.0, 200);
}

async fn pod(c: &Cluster, item: &Value) {
    let mut value = today("Pod", item);
    if let Some(spec) = value["spec"].as_object_mut() {
        spec.remove("nodeName");
    }
    ensure(c, "pods", item, value).await;
    let state = &item["currentState"];
    let path = format!("{}/{}", at("pods", item), item["id"].as_str().unwrap());
    if let Some(host) = state["host"].as_str()
        && c.get(&path).await.1["spec"]["nodeName"].is_null()
    {
        let target = json!({"metadata": {"name": item["id"]}, "target": {"kind": "Node", "name": host}});
        let (code, bound) = c.post(&format!("{path}/binding"), target).await;
        assert_eq!(code, 201, "{bound}");
    }
    status(c, "pods", item, pod_status(state)).await;
}

/// What a kubelet would have reported.
fn pod_status(state: &Value) -> Value {
    let phase = match state["status"].as_str().unwrap_or_default() {
        "Waiting" => "Pending",
        "Terminated" => "Failed",
        other => other,
    };
    let conditions: Vec<Value> = state["Condition"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| json!({"type": c["kind"], "status": if c["status"] == "Full" { "True" } else { "False" }}))
        .collect();
    let info = state["info"].as_object().cloned().unwrap_or_default();
    let start = info.get("POD").map(|p| p["state"]["running"]["startedAt"].clone());
    let containers: Vec<Value> = info
        .into_iter()
        .filter(|(name, _)| name != "POD")
        .map(|(name, mut c)| {
            c["name"] = json!(name);
            if let Some(end) = c["state"].as_object_mut().and_then(|s| s.remove("termination")) {
                c["state"]["terminated"] = end;
            }
            c
        })
        .collect();
    let mut status = json!({"phase": phase, "conditions": conditions, "containerStatuses": containers});
    if let Some(start) = start {
        status["startTime"] = start;
    }
    for member in ["hostIP", "podIP", "message"] {
        if let Some(v) = state.get(member) {
            status[member] = v.clone();
        }
    }
    status
}
