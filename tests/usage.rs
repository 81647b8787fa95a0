//! The resource metrics API over the wire: who uses what, for `kubectl top` and the console.
use e2e::{Cluster, eventually};
use reqwest::Method;
use serde_json::json;

const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const PODS: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/team/pods";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_measured_for_those_who_may_look() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.namespace("team").await;
    let binding = json!({"metadata": {"name": "vera"}, "subjects": [{"kind": "User", "name": "anypassword:vera"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}});
    admin.create("/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings", &binding).await;
    for name in ["a", "b"] {
        let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "x", "imagePullPolicy": "IfNotPresent"}]}});
        admin.create("/api/v1/namespaces/team/pods", &pod).await;
    }
    eventually("both pods being measured", async || {
        let list = admin.get(PODS).await.1;
        (list["items"].as_array()?.len() == 2).then_some(())
    })
    .await;
    let one = admin.get(&format!("{PODS}/a")).await.1;
    assert_eq!((one["kind"].as_str(), one["metadata"]["namespace"].as_str()), (Some("PodMetrics"), Some("team")));
    assert!(one["containers"][0]["usage"]["cpu"].as_str().is_some_and(|c| c.ends_with('n')), "{one}");
    assert!(one["containers"][0]["usage"]["memory"].as_str().is_some_and(|m| m.ends_with("Ki")), "{one}");
    let chosen = admin.get(&format!("{PODS}?labelSelector=app%3Db")).await.1;
    assert_eq!(chosen["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(chosen["items"][0]["metadata"]["labels"]["app"], "b");
    let nodes = admin.get(NODES).await.1;
    assert_eq!(nodes["kind"], "NodeMetricsList");
    assert_ne!(nodes["items"][0]["usage"]["memory"], "0Ki");
    let groups = admin.get("/apis/metrics.k8s.io/v1beta1").await.1;
    assert_eq!(groups["resources"].as_array().map(Vec::len), Some(2));

    let (viewer, stranger) = (cluster.user("vera"), cluster.user("sven"));
    for (caller, path, wanted) in [
        (&viewer, PODS, 200),
        (&viewer, NODES, 403),
        (&stranger, PODS, 403),
        (&admin, "/apis/metrics.k8s.io/v1beta1/pods", 200),
        (&admin, "/apis/metrics.k8s.io/v1beta1/namespaces/team/pods/none", 404),
    ] {
        assert_eq!(caller.status(Method::GET, path, "", "").await, wanted, "{path}");
    }
    assert_eq!(admin.status(Method::POST, PODS, "application/json", "{}").await, 405);
    cluster.stop().await;
}
