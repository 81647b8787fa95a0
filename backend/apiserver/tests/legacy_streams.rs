//! What the clients of 2015 watch, and what they reach through the API: pods, services, commands; over real TLS.
mod harness;
use futures::StreamExt;
use harness::{Cluster, answer};
use serde_json::{Value, json};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

/// The next line of a watch as its type and object.
async fn next(response: &mut reqwest::Response, rest: &mut Vec<u8>) -> (String, Value) {
    let deadline = std::time::Duration::from_secs(10);
    loop {
        if let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).unwrap();
            return (event["type"].as_str().unwrap().into(), event["object"].clone());
        }
        let chunk = tokio::time::timeout(deadline, response.chunk()).await.expect("an event in time").unwrap();
        rest.extend_from_slice(&chunk.expect("the watch goes on"));
    }
}

#[tokio::test]
async fn watches_tell_changes_in_the_form_of_their_version() {
    let c = Cluster::start().await;
    c.pod("p").await;
    let from = c.get("/api/v1beta1/pods?namespace=default").await.1["resourceVersion"].clone();
    assert!(from.is_u64(), "{from}");
    let open = |path: String| {
        let request = c.admin.get(c.url(&path));
        async move { (request.send().await.unwrap(), Vec::new()) }
    };
    let (mut all, mut all_rest) = open("/api/v1beta1/watch/pods?namespace=default".into()).await;
    let (mut later, mut later_rest) =
        open(format!("/api/v1beta2/watch/pods?namespace=default&resourceVersion={from}&labels=app%3Dq")).await;
    let (mut one, mut one_rest) = open(format!("/api/v1beta3/watch/namespaces/default/pods/q?resourceVersion={from}")).await;
    let (mut placed, mut placed_rest) = open("/api/v1beta1/watch/pods?namespace=default&fields=DesiredState.Host%3Dn1".into()).await;
    assert_eq!(all.headers()["content-type"], "application/json");
    let (kind, old) = next(&mut all, &mut all_rest).await;
    assert_eq!((kind.as_str(), &old["id"], &old["kind"]), ("ADDED", &json!("p"), &json!("Pod")));
    assert_eq!(next(&mut placed, &mut placed_rest).await.1["id"], "p");
    c.pod("q").await;
    for (watch, rest) in [(&mut all, &mut all_rest), (&mut later, &mut later_rest), (&mut placed, &mut placed_rest)] {
        let (kind, object) = next(watch, rest).await;
        assert_eq!((kind.as_str(), &object["id"], &object["selfLink"].is_string()), ("ADDED", &json!("q"), &true), "{object}");
    }
    let (kind, object) = next(&mut one, &mut one_rest).await;
    let link = json!("/api/v1beta3/namespaces/default/pods/q");
    assert_eq!((kind.as_str(), &object["metadata"]["selfLink"], &object["apiVersion"]), ("ADDED", &link, &json!("v1beta3")), "{object}");
    answer(c.admin.delete(c.url("/api/v1beta1/pods/q?namespace=default"))).await;
    loop {
        let (kind, object) = next(&mut later, &mut later_rest).await;
        if kind == "DELETED" {
            break assert_eq!((&object["id"], &object["apiVersion"]), (&json!("q"), &json!("v1beta2")));
        }
        assert_eq!(kind, "MODIFIED");
    }
}

#[tokio::test]
async fn requests_reach_pods_and_services_through_the_old_paths() {
    let c = Cluster::start().await;
    let body = json!({"metadata": {"name": "w"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 8080}]}]}});
    assert_eq!(c.post("/api/v1/namespaces/default/pods", body).await.0, 201);
    let text = |path: &'static str| {
        let request = c.admin.get(c.url(path));
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    assert!(text("/api/v1beta1/proxy/pods/w/a%2Fb?namespace=default").await.starts_with("GET /a%2Fb?namespace=default HTTP/1.1"));
    assert!(text("/api/v1beta3/proxy/namespaces/default/pods/w:8080/x").await.starts_with("GET /x HTTP/1.1"));
    assert_eq!(text("/api/v1beta1/proxy/minions/n1/containerLogs/default/w/c?follow=false").await, "one\ntwo\nthree\n");
    let service = json!({"kind": "Service", "apiVersion": "v1beta1", "id": "s", "port": 81, "selector": {"name": "w"}});
    let (_, made) = c.post("/api/v1beta1/services?namespace=default", service).await;
    let told = c.admin.get(c.url("/api/v1beta1/redirect/services/s?namespace=default")).send().await.unwrap();
    let wanted = format!("http://{}:81", made["portalIP"].as_str().unwrap());
    assert_eq!((told.status().as_u16(), told.headers()["location"].to_str().unwrap()), (307, wanted.as_str()));
}

/// Connections are upgraded in HTTP/1.1 only.
async fn web_socket(c: &Cluster, path: &str, protocol: &str) -> WebSocketStream<reqwest::Upgraded> {
    let admin = c.handle.authority.client("admin", "system:admin", &[]).unwrap();
    let ca = reqwest::Certificate::from_pem(c.handle.authority.ca_pem().as_bytes()).unwrap();
    let identity = reqwest::Identity::from_pem(format!("{}{}", admin.certificate, admin.key).as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).identity(identity).http1_only().build().unwrap();
    let request = client.get(c.url(path)).header("connection", "Upgrade").header("upgrade", "websocket");
    let mut request = request.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    if !protocol.is_empty() {
        request = request.header("sec-websocket-protocol", protocol);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 101);
    WebSocketStream::from_raw_socket(response.upgrade().await.unwrap(), Role::Client, None).await
}

/// As the console of 2015 watched.
#[tokio::test]
async fn watches_speak_web_sockets() {
    let c = Cluster::start().await;
    let mut socket = web_socket(&c, "/api/v1beta3/watch/namespaces/default/pods?resourceVersion=0", "").await;
    c.pod("p").await;
    let deadline = std::time::Duration::from_secs(10);
    let message = tokio::time::timeout(deadline, socket.next()).await.expect("an event in time").unwrap().unwrap();
    let event: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("p")), "{event}");
    assert_eq!(event["object"]["apiVersion"], "v1beta3");
}

#[tokio::test]
async fn commands_run_by_way_of_their_node() {
    let c = Cluster::start().await;
    c.pod("p").await;
    let path = "/api/v1beta1/proxy/minions/n1/exec/default/p/c?input=0&output=1&error=1&command=echo&command=hello%20there";
    let mut socket = web_socket(&c, path, "v4.channel.k8s.io").await;
    let mut stdout = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let [1, bytes @ ..] = message.into_data().as_ref() {
            stdout.extend_from_slice(bytes);
        }
    }
    assert_eq!(String::from_utf8_lossy(&stdout), "hello there\n");
}

#[tokio::test]
async fn a_template_is_made_into_what_it_stands_for() {
    let c = Cluster::start().await;
    let item = json!({"kind": "Service", "apiVersion": "v1beta1", "id": "svc-${A}", "port": 1});
    let body = json!({"kind": "Template", "apiVersion": "v1beta1", "items": [item], "parameters": [{"name": "A", "value": "x"}]});
    let (code, config) = c.post("/osapi/v1beta1/templateConfigs?namespace=default", body).await;
    assert_eq!((code, &config["kind"], &config["items"][0]["id"]), (201, &json!("Config"), &json!("svc-x")), "{config}");
    assert_eq!(c.post("/api/v1beta1/services?namespace=default", config["items"][0].clone()).await.0, 201);
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_arrives() {
    let c = Cluster::start().await;
    let body = "x".repeat(200_000);
    for path in ["/api/v1beta1/nonsense", "/osapi/v1beta1/builds", "/api/v1/nonsense"] {
        for _ in 0..10 {
            let response = c.admin.post(c.url(path)).body(body.clone()).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.version()), (404, http::Version::HTTP_2), "{path}");
            response.bytes().await.unwrap();
        }
    }
}
