//! A store that users filled: what grows is refused, what mends it and what the cluster lives by goes on.
use e2e::{Cluster, eventually};
use reqwest::Method;
use serde_json::json;

const MAPS: &str = "/api/v1/namespaces/team/configmaps";
const STORE_MAX: usize = 4 << 20;
const MAP_BYTES: usize = 200 << 10;

fn map(name: &str, bytes: usize) -> serde_json::Value {
    json!({"metadata": {"name": name}, "data": {"x": "y".repeat(bytes)}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_creates_are_refused_and_deletions_make_room() {
    let mut cluster = Cluster::start_with(|start| start.store_max = STORE_MAX).await;
    let admin = cluster.admin();
    admin.namespace("team").await;
    let binding = json!({"metadata": {"name": "vera"}, "subjects": [{"kind": "User", "name": "anypassword:vera"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}});
    admin.create("/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings", &binding).await;
    let pod =
        json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "x", "imagePullPolicy": "IfNotPresent"}]}});
    admin.create("/api/v1/namespaces/team/pods", &pod).await;
    let vera = cluster.user("vera");
    vera.create(MAPS, &map("small", 10)).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/held"]}});
    vera.create(MAPS, &held).await;
    assert_eq!(vera.status(Method::DELETE, &format!("{MAPS}/held"), "", "").await, 200);

    let mut made = 0;
    let refusal = loop {
        match vera.post(MAPS, &map(&format!("m{made}"), MAP_BYTES)).await {
            (201, _) => made += 1,
            refusal => break refusal,
        }
        assert!(made <= STORE_MAX / MAP_BYTES, "there is an end");
    };
    assert_eq!(
        (refusal.0, refusal.1["code"].as_u64(), refusal.1["reason"].as_str()),
        (507, Some(507), Some("InternalError")),
        "{refusal:?}"
    );
    let why = refusal.1["message"].as_str().unwrap_or_default();
    assert!(why.starts_with("database space exceeded") && why.contains("--store-max"), "{why}");
    assert!(made > STORE_MAX / MAP_BYTES / 2, "only {made} were kept");
    assert_eq!(admin.post(MAPS, &map("admin", MAP_BYTES)).await.0, 507, "nobody makes new objects");
    let larger = map("small", MAP_BYTES).to_string();
    assert_eq!(vera.status(Method::PUT, &format!("{MAPS}/small"), "application/json", &larger).await, 507, "users' objects do not grow");
    let grown = json!({"data": {"x": "y".repeat(MAP_BYTES)}}).to_string();
    let merge = "application/merge-patch+json";
    assert_eq!(vera.status(Method::PATCH, &format!("{MAPS}/held"), merge, &grown).await, 507, "nor while they wait for their end");
    let let_go = r#"{"metadata": {"finalizers": null}}"#;
    assert_eq!(vera.status(Method::PATCH, &format!("{MAPS}/held"), merge, let_go).await, 200);
    let smaller = map("m0", 10).to_string();
    let labels = r#"{"metadata": {"labels": {"a": "b"}}}"#;

    // The cluster lives on: reports of nodes and pods, reads, deletions with a grace period.
    let status = r#"{"status": {"conditions": [{"type": "Mine", "status": "True", "reason": "Test", "message": "reported"}]}}"#;
    let patch = "application/strategic-merge-patch+json";
    assert_eq!(admin.status(Method::PATCH, "/api/v1/nodes/master/status", patch, status).await, 200);
    assert_eq!(vera.status(Method::GET, &format!("{MAPS}/m1"), "", "").await, 200);
    assert_eq!(vera.status(Method::DELETE, "/api/v1/namespaces/team/pods/web", "", "").await, 200);
    eventually("the pod being gone", async || (admin.get("/api/v1/namespaces/team/pods/web").await.0 == 404).then_some(())).await;

    // A start changes nothing of that.
    cluster.restart().await;
    let vera = cluster.user("vera");
    assert_eq!(vera.post(MAPS, &map("again", MAP_BYTES)).await.0, 507);
    assert_eq!(vera.status(Method::PUT, &format!("{MAPS}/m0"), "application/json", &smaller).await, 200, "smaller is always welcome");
    assert_eq!(vera.post(MAPS, &map("again", MAP_BYTES / 2)).await.0, 201, "and makes room");
    assert_eq!(vera.status(Method::DELETE, &format!("{MAPS}/m1"), "", "").await, 200);
    vera.create(MAPS, &map("more", MAP_BYTES)).await;
    assert_eq!(vera.status(Method::PATCH, &format!("{MAPS}/small"), merge, labels).await, 200);
    let page = cluster.admin().client;
    let page = page.send(page.request(Method::GET, "/metrics")).await.expect("an answer").text().await.expect("text");
    assert!(
        page.lines().any(|l| l.starts_with("apiserver_request_total{") && l.contains("code=\"507\"")),
        "refusals are counted by their code"
    );
    cluster.stop().await;
}
