//! What a node may do over the wire: itself and its pods, and nothing else.
use crate::joined;
use e2e::{Caller, Cluster};
use reqwest::Method;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/team/pods";
const SECRETS: &str = "/api/v1/namespaces/team/secrets";

/// A pod on a node that uses the secret, the config map and the account of the node's name.
async fn pod(admin: &Caller, name: &str, node: &str) -> Value {
    for (collection, kind) in
        [(SECRETS, "secret"), ("/api/v1/namespaces/team/configmaps", "map"), ("/api/v1/namespaces/team/serviceaccounts", "account")]
    {
        admin.create(collection, &json!({"metadata": {"name": format!("{kind}-{node}")}})).await;
    }
    let env = json!([{"secretRef": {"name": format!("secret-{node}")}}, {"configMapRef": {"name": format!("map-{node}")}}]);
    let container = json!({"name": "c", "image": "x", "imagePullPolicy": "IfNotPresent", "envFrom": env});
    let spec = json!({"nodeName": node, "serviceAccountName": format!("account-{node}"), "containers": [container]});
    admin.create(PODS, &json!({"metadata": {"name": name}, "spec": spec})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_reaches_its_own_and_nothing_else() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.namespace("team").await;
    let (machine, node) = joined(&cluster, "n1").await;
    let (_other, _other_node) = joined(&cluster, "n2").await;
    let mine = pod(&admin, "mine", "n1").await;
    let theirs = pod(&admin, "theirs", "n2").await;
    // The agent would report and renew in between.
    drop(node);
    let n1 = machine.caller();
    let get = |path: &'static str| (Method::GET, path.to_string(), String::new());
    let status = r#"{"status":{"phase":"Failed"}}"#.to_string();
    let labels = |name: &str| format!(r#"{{"metadata":{{"labels":{{"{name}":"x"}}}}}}"#);
    let lease = r#"{"spec":{"holderIdentity":"x"}}"#.to_string();
    let patch = |path: &str, body: &str| (Method::PATCH, path.to_string(), body.to_string());
    let allowed = [
        get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1"),
        get("/api/v1/namespaces/team/pods/mine"),
        get("/api/v1/namespaces/team/secrets/secret-n1"),
        get("/api/v1/namespaces/team/configmaps/map-n1"),
        get("/api/v1/nodes"),
        get("/api/v1/services"),
        get("/api/v1/endpoints"),
        patch("/api/v1/nodes/n1", &labels("example.com/a")),
        patch("/api/v1/nodes/n1/status", r#"{"status":{}}"#),
        patch("/api/v1/namespaces/team/pods/mine/status", &status),
        patch("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", &lease),
    ];
    let refused = [
        get("/api/v1/pods"),
        get("/api/v1/namespaces/team/pods"),
        get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2"),
        get("/api/v1/pods?watch=true&fieldSelector=spec.nodeName!%3Dn1"),
        get("/api/v1/namespaces/team/pods/theirs"),
        get("/api/v1/namespaces/team/secrets"),
        get("/api/v1/namespaces/team/secrets/secret-n2"),
        get("/api/v1/namespaces/team/configmaps/map-n2"),
        get("/api/v1/namespaces/team/serviceaccounts/account-n2"),
        get("/api/v1/namespaces/kube-system/secrets"),
        get("/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        get("/metrics"),
        get("/backup"),
        patch("/api/v1/nodes/n2", &labels("example.com/a")),
        patch("/api/v1/nodes/n2/status", r#"{"status":{}}"#),
        patch("/api/v1/nodes/n1", &labels("node-restriction.kubernetes.io/a")),
        patch("/api/v1/nodes/n1", &labels("node-role.kubernetes.io/master")),
        patch("/api/v1/nodes/n1", r#"{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}"#),
        patch("/api/v1/nodes/n1", r#"{"spec":{"podCIDR":"10.0.0.0/8"}}"#),
        patch("/api/v1/nodes/n1", r#"{"metadata":{"annotations":{"node.openshift.io/machine-key":"x"}}}"#),
        patch("/api/v1/namespaces/team/pods/theirs/status", &status),
        patch("/api/v1/namespaces/team/pods/mine", &labels("a")),
        patch("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2", &lease),
        (Method::DELETE, "/api/v1/nodes/n1".into(), String::new()),
        (Method::DELETE, "/api/v1/nodes/n2".into(), String::new()),
        (Method::DELETE, format!("{PODS}/theirs"), String::new()),
        (Method::DELETE, PODS.into(), String::new()),
        (
            Method::POST,
            PODS.into(),
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}]}}).to_string(),
        ),
        (Method::POST, "/api/v1/nodes".into(), json!({"metadata": {"name": "n3"}}).to_string()),
        (Method::POST, "/apis/project.openshift.io/v1/projects".into(), json!({"metadata": {"name": "p"}}).to_string()),
        (Method::POST, format!("{PODS}/mine/exec?command=ls&stdout=true"), String::new()),
    ];
    let mut wrong = Vec::new();
    for (requests, wanted) in [(allowed.as_slice(), false), (refused.as_slice(), true)] {
        for (method, path, body) in requests {
            let content = match *method {
                Method::PATCH => "application/merge-patch+json",
                Method::POST => "application/json",
                _ => "",
            };
            let status = n1.status(method.clone(), path, content, body).await;
            if (status == 403) != wanted || (!wanted && status != 200) {
                wrong.push(format!("{method} {path} {body}: {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let ask = |account: &str, pod: &Value| {
        let spec = if pod.is_null() {
            json!({})
        } else {
            json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}})
        };
        (format!("/api/v1/namespaces/team/serviceaccounts/{account}/token"), json!({ "spec": spec }))
    };
    for (account, pod, wanted) in
        [("account-n1", &mine, 201), ("account-n1", &Value::Null, 400), ("account-n2", &theirs, 403), ("account-n1", &theirs, 422)]
    {
        let (path, body) = ask(account, pod);
        assert_eq!(n1.post(&path, &body).await.0, wanted, "{account} for {}", pod["metadata"]["name"]);
    }
    assert_eq!(n1.status(Method::DELETE, &format!("{PODS}/mine"), "", "").await, 200, "its own pod it may end");
    assert_eq!(n1.get(&format!("{SECRETS}/secret-n1")).await.0, if admin.get(&format!("{PODS}/mine")).await.0 == 404 { 403 } else { 200 });
    cluster.stop().await;
}
