//! What every `NodeApi` promises: tried in process and over TLS.
use crate::{Machine, joined};
use backend::node_api::LocalApi;
use backend::remote_api::RemoteApi;
use e2e::Cluster;
use node::api::NodeApi;
use serde_json::json;
use shared::kinds::{EVENT, LEASE, NODE, POD, SERVICE};
use shared::watch::EventType;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

async fn conforms(api: &dyn NodeApi, node: &str, cluster: &Cluster) {
    let admin = cluster.admin();
    let fields = format!("spec.nodeName={node}");
    let (_, revision) = api.list(&POD, &fields).await.expect("a list");
    let mut watch = api.watch(&POD, &fields, revision).await.expect("a watch");
    let container = json!({"name": "c", "image": "x"});
    let path = "/api/v1/namespaces/default/pods";
    admin.create(path, &json!({"metadata": {"name": "elsewhere"}, "spec": {"nodeName": "none", "containers": [container]}})).await;
    let name = format!("here-{node}");
    let pod = admin.create(path, &json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [container]}})).await;
    let event = tokio::time::timeout(PATIENCE, watch.next()).await.expect("in time").expect("an event");
    assert_eq!((event.event_type, &event.object["metadata"]["name"]), (EventType::Added, &json!(name)), "its own pod, and no other");
    let patch = json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"phase": "Running"}});
    let patched = api.patch_status(&POD, Some("default"), &name, patch).await.expect("a patch");
    assert_eq!(patched["status"]["phase"], "Running");
    let event = tokio::time::timeout(PATIENCE, watch.next()).await.expect("in time").expect("an event");
    assert_eq!((event.event_type, &event.object["status"]["phase"]), (EventType::Modified, &json!("Running")));
    let (pods, later) = api.list(&POD, &fields).await.expect("a list");
    assert!(pods.len() == 1 && later > revision);

    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    let token = api.service_account_token("default", "default", &name, uid, "", 3600).await.expect("a token");
    assert_eq!(token.split('.').count(), 3);
    let known = cluster.bearer(&token).post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await.1;
    assert_eq!(known["status"]["userInfo"]["username"], "system:serviceaccount:default:default", "{known}");

    let absent = api.get(&NODE, None, "none").await.expect_err("it is not there");
    assert!(absent.is_not_found(), "{absent:?}");
    let (services, _) = api.list(&SERVICE, "").await.expect("services");
    assert!(services.iter().any(|s| s["metadata"]["name"] == "kubernetes"));
    let body = json!({"metadata": {"name": format!("e-{node}"), "namespace": "default"}, "involvedObject": {"namespace": "default"}, "reason": "a"});
    api.create(&EVENT, Some("default"), body.clone()).await.expect("an event is created");
    let again = api.create(&EVENT, Some("default"), body).await.expect_err("it is there");
    assert_eq!(again.code, 409);
    let mut lease = api.get(&LEASE, Some("kube-node-lease"), node).await.expect("its lease");
    lease["spec"]["leaseDurationSeconds"] = json!(41);
    if let Some(metadata) = lease["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let updated = api.update(&LEASE, Some("kube-node-lease"), node, lease).await.expect("an update");
    assert_eq!(updated["spec"]["leaseDurationSeconds"], 41);

    let other = api.delete_pod("default", &name, "another-uid").await.expect_err("a successor is not taken for it");
    assert!(other.is_conflict(), "{other:?}");
    api.delete_pod("default", &name, uid).await.expect("it is gone");
    let gone = async {
        loop {
            if watch.next().await.expect("an event").event_type == EventType::Deleted {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the watch says so");
    assert!(api.delete_pod("default", &name, uid).await.expect_err("twice").is_not_found());
    admin.send(reqwest::Method::DELETE, &format!("{path}/elsewhere?gracePeriodSeconds=0"), "", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_the_api_keeps_its_promises() {
    let cluster = Cluster::start().await;
    // Nodes whose agents are stopped, so that nobody acts on their pods but this test.
    let (machine, node): (Machine, _) = joined(&cluster, "remote").await;
    drop(node);
    conforms(&RemoteApi::new(&machine.target()).expect("a client"), "remote", &cluster).await;
    let running = cluster.running();
    let agent = running.add_simulated_node("local", machine.dir.path()).await;
    crate::until_ready(&cluster, "local").await;
    drop(agent);
    conforms(&LocalApi::new(running.registry.clone(), running.server.app.clone(), "local"), "local", &cluster).await;
    cluster.stop().await;
}
