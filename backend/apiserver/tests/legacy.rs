//! What the `osc` of 2015 sends and reads, over real TLS.
mod harness;
use harness::{Cluster, answer};
use serde_json::json;

#[tokio::test]
async fn a_pod_of_2015_is_made_read_and_removed() {
    let c = Cluster::start().await;
    let manifest = json!({"version": "v1beta1", "id": "p", "containers": [{"name": "p", "image": "openshift/hello-openshift", "ports": [{"containerPort": 8080}]}]});
    let body = json!({"kind": "Pod", "apiVersion": "v1beta2", "id": "p", "creationTimestamp": null, "labels": {"name": "p"}, "desiredState": {"manifest": manifest}});
    // The old client sends no Content-Type.
    let (code, made) = answer(c.admin.post(c.url("/api/v1beta2/pods?namespace=default")).body(body.to_string())).await;
    assert_eq!((code, &made["id"], &made["apiVersion"]), (201, &json!("p"), &json!("v1beta2")), "{made}");
    assert!(made["resourceVersion"].is_u64(), "{made}");
    let (code, list) = c.get("/api/v1beta1/pods?namespace=default&labels=name%3Dp").await;
    assert_eq!((code, &list["kind"], &list["items"][0]["currentState"]["status"]), (200, &json!("PodList"), &json!("Waiting")), "{list}");
    assert_eq!(list["items"][0]["selfLink"], json!("/api/v1beta1/pods/p?namespace=default"));
    let (_, none) = c.get("/api/v1beta1/pods?namespace=default&labels=name%3Dother").await;
    assert_eq!(none["items"], json!([]), "{none}");
    let (code, pod) = c.get("/api/v1beta3/namespaces/default/pods/p").await;
    assert_eq!((code, &pod["metadata"]["name"]), (200, &json!("p")), "{pod}");
    let (code, gone) = answer(c.admin.delete(c.url("/api/v1beta1/pods/p?namespace=default"))).await;
    assert_eq!((code, &gone["kind"]), (200, &json!("Pod")), "{gone}");
    let (code, missing) = c.get("/api/v1beta1/pods/p?namespace=default").await;
    assert_eq!((code, &missing["details"]["id"], &missing["apiVersion"]), (404, &json!("p"), &json!("v1beta1")), "{missing}");
}

#[tokio::test]
async fn a_service_updated_without_its_address_keeps_it() {
    let c = Cluster::start().await;
    let path = "/api/v1beta1/services";
    let body = json!({"kind": "Service", "apiVersion": "v1beta1", "id": "s", "port": 27017, "selector": {"name": "p"}});
    let (code, made) = c.post(path, body.clone()).await;
    assert_eq!(code, 201, "{made}");
    assert!(made["portalIP"].as_str().is_some_and(|ip| !ip.is_empty()), "{made}");
    let mut changed = body;
    changed["port"] = json!(27018);
    let (code, put) = answer(c.admin.put(c.url("/api/v1beta1/services/s")).json(&changed)).await;
    assert_eq!((code, &put["port"], &put["portalIP"]), (200, &json!(27018), &made["portalIP"]), "{put}");
}

#[tokio::test]
async fn a_put_of_a_missing_controller_makes_it() {
    let c = Cluster::start().await;
    let template =
        json!({"labels": {"name": "p"}, "desiredState": {"manifest": {"version": "v1beta1", "containers": [{"name": "p", "image": "i"}]}}});
    let state = json!({"replicas": 1, "replicaSelector": {"name": "p"}, "podTemplate": template});
    let body = json!({"kind": "ReplicationController", "apiVersion": "v1beta1", "id": "rc", "desiredState": state});
    let (code, made) = answer(c.admin.put(c.url("/api/v1beta1/replicationControllers/rc?namespace=default")).json(&body)).await;
    assert_eq!((code, &made["desiredState"]["replicas"]), (201, &json!(1)), "{made}");
    let (code, gone) = answer(c.admin.delete(c.url("/api/v1beta1/replicationControllers/rc"))).await;
    assert_eq!((code, &gone["kind"], &gone["status"]), (200, &json!("Status"), &json!("Success")), "{gone}");
}

#[tokio::test]
async fn unknown_paths_and_strangers_get_the_old_texts() {
    let c = Cluster::start().await;
    let text = c.admin.get(c.url("/api/v1beta1/nonsense")).send().await.unwrap();
    assert_eq!((text.status().as_u16(), text.text().await.unwrap().as_str()), (404, "404: Page Not Found"));
    let refused = c.nobody.get(c.url("/api/v1beta1/pods?namespace=default")).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 403);
    assert!(refused.text().await.unwrap().starts_with("Forbidden: \"/api/v1beta1/pods?namespace=default\""));
}
