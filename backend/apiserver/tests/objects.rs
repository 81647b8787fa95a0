//! What clients send to objects and what they get back, over real TLS.
mod harness;
use harness::{Cluster, answer};
use serde_json::{Value, json};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[tokio::test]
async fn an_object_lives_through_every_verb() {
    let c = Cluster::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let (code, made) = c.post(path, json!({"metadata": {"name": "m"}, "data": {"a": "1"}})).await;
    assert_eq!((code, &made["kind"], &made["data"]["a"]), (201, &json!("ConfigMap"), &json!("1")), "{made}");
    let (code, again) = c.post(path, json!({"metadata": {"name": "m"}})).await;
    assert_eq!((code, &again["reason"]), (409, &json!("AlreadyExists")));
    let one = format!("{path}/m");
    assert_eq!(c.get(&one).await, (200, made.clone()));
    let patch = c.admin.patch(c.url(&one)).header("content-type", "application/merge-patch+json").body(r#"{"data":{"b":"2"}}"#);
    let (code, patched) = answer(patch).await;
    assert_eq!((code, &patched["data"]), (200, &json!({"a": "1", "b": "2"})), "{patched}");
    let (code, stale) = answer(c.admin.put(c.url(&one)).json(&made)).await;
    assert_eq!((code, &stale["reason"]), (409, &json!("Conflict")));
    let yaml = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: m}\ndata: {c: '3'}\n";
    let (code, put) = answer(c.admin.put(c.url(&one)).header("content-type", "application/yaml").body(yaml)).await;
    assert_eq!((code, &put["data"]), (200, &json!({"c": "3"})), "{put}");
    let (code, list) = c.get(path).await;
    assert_eq!((code, &list["kind"], list["items"].as_array().unwrap().len()), (200, &json!("ConfigMapList"), 1));
    let (code, gone) = answer(c.admin.delete(c.url(&one))).await;
    assert_eq!((code, &gone["status"]), (200, &json!("Success")), "{gone}");
    let (code, missing) = c.get(&one).await;
    assert_eq!((code, &missing["message"]), (404, &json!("configmaps \"m\" not found")));
}

#[tokio::test]
async fn lists_page_select_and_become_tables() {
    let c = Cluster::start().await;
    for name in ["a", "b", "c"] {
        c.pod(name).await;
    }
    let path = "/api/v1/namespaces/default/pods";
    let (_, page) = c.get(&format!("{path}?limit=2")).await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["metadata"]["remainingItemCount"]), (2, &json!(1)));
    let (_, rest) = c.get(&format!("{path}?limit=2&continue={}", page["metadata"]["continue"].as_str().unwrap())).await;
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    let (_, chosen) = c.get(&format!("{path}?labelSelector=app%3Db&fieldSelector=spec.nodeName%3Dn1")).await;
    assert_eq!(chosen["items"].as_array().unwrap().len(), 1);
    let (code, bad) = c.get(&format!("{path}?fieldSelector=spec.nonsense%3D1")).await;
    assert_eq!(code, 400, "{bad}");
    let (_, table) = answer(c.admin.get(c.url(path)).header("accept", TABLE)).await;
    assert_eq!((&table["kind"], &table["columnDefinitions"][0]["name"]), (&json!("Table"), &json!("Name")));
    assert_eq!((&table["rows"][0]["cells"][2], &table["rows"][0]["object"]["kind"]), (&json!("Pending"), &json!("PartialObjectMetadata")));
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let (_, list) = answer(c.admin.get(c.url(path)).header("accept", partial)).await;
    assert_eq!((&list["kind"], &list["items"][0]["spec"]), (&json!("PartialObjectMetadataList"), &Value::Null));
    let (code, removed) = answer(c.admin.delete(c.url(&format!("{path}?labelSelector=app%3Da&gracePeriodSeconds=0")))).await;
    assert_eq!((code, removed["items"].as_array().unwrap().len()), (200, 1), "{removed}");
}

#[tokio::test]
async fn bad_requests_get_their_status() {
    let c = Cluster::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let post = |body: String, kind: &'static str| answer(c.admin.post(c.url(pods)).header("content-type", kind).body(body));
    assert_eq!(post("{".into(), "application/json").await.0, 400);
    assert_eq!(post("{}".into(), "text/csv").await.0, 415);
    assert_eq!(post(format!("{{\"a\":{}", "[".repeat(100_000)), "application/json").await.0, 400);
    assert_eq!(post("x".repeat(4 << 20), "application/json").await.0, 413);
    assert_eq!(post(r#"{"kind":"Service","apiVersion":"v1"}"#.into(), "application/json").await.0, 400);
    let (code, status) =
        post(r#"{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i","imagge":"j"}]}}"#.into(), "application/json").await;
    assert_eq!(code, 201, "{status}");
    let strict = c
        .admin
        .post(c.url(&format!("{pods}?fieldValidation=Strict")))
        .body(r#"{"metadata":{"name":"y"},"spec":{"nonsense":1,"containers":[]}}"#);
    let (code, status) = answer(strict).await;
    assert_eq!(code, 400, "{status}");
    assert!(status["message"].as_str().unwrap().contains("unknown field \"spec.nonsense\""), "{status}");
    let (code, status) = c.get("/api/v1/nonsense").await;
    assert_eq!((code, &status["message"]), (404, &json!("the server could not find the requested resource")));
    let (code, status) = answer(c.admin.get(c.url(pods)).header("accept", "text/csv")).await;
    assert_eq!((code, &status["reason"]), (406, &json!("NotAcceptable")));
    let table_only = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(answer(c.admin.post(c.url(review)).header("accept", table_only).json(&json!({}))).await.0, 406);
    assert_eq!(answer(c.admin.patch(c.url(&format!("{pods}/x"))).header("content-type", "application/json").body("{}")).await.0, 415);
    assert_eq!(answer(c.admin.post(c.url("/version"))).await.0, 405);
    let (code, status) = c.get(&format!("{pods}?resourceVersion=99999999")).await;
    assert_eq!((code, &status["details"]["causes"][0]["reason"]), (504, &json!("ResourceVersionTooLarge")));
}

#[tokio::test]
async fn watches_deliver_lines_bookmarks_and_tables() {
    let c = Cluster::start().await;
    c.pod("first").await;
    let pods = "/api/v1/namespaces/default/pods";
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut response = c.admin.get(c.url(&format!("{pods}?{query}"))).send().await.unwrap();
    let mut lines = Lines::default();
    assert_eq!(lines.next(&mut response).await["object"]["metadata"]["name"], "first");
    let mark = lines.next(&mut response).await;
    assert_eq!(
        (&mark["type"], &mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"]),
        (&json!("BOOKMARK"), &json!("true"))
    );
    c.pod("second").await;
    let added = lines.next(&mut response).await;
    assert_eq!((&added["type"], &added["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("second")));

    let request = c.admin.get(c.url(&format!("{pods}?watch=true&resourceVersion=0"))).header("accept", TABLE);
    let mut response = request.send().await.unwrap();
    let mut lines = Lines::default();
    let (one, two) = (lines.next(&mut response).await, lines.next(&mut response).await);
    assert_eq!((&one["object"]["kind"], one["object"]["columnDefinitions"].is_array()), (&json!("Table"), true));
    assert_eq!((two["object"]["columnDefinitions"].is_null(), &two["object"]["rows"][0]["cells"][0]), (true, &json!("second")));

    let started = std::time::Instant::now();
    let ended = c.admin.get(c.url(&format!("{pods}?watch=true&timeoutSeconds=1"))).send().await.unwrap().bytes().await.unwrap();
    assert!(!ended.is_empty() && started.elapsed().as_secs_f32() > 0.8);
    c.handle.shutdown().await;
}

#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    async fn next(&mut self, response: &mut reqwest::Response) -> Value {
        loop {
            if let Some(end) = self.0.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.0.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            let chunk = tokio::time::timeout(std::time::Duration::from_secs(10), response.chunk()).await.expect("an event in time");
            self.0.extend_from_slice(&chunk.unwrap().expect("the watch goes on"));
        }
    }
}

#[tokio::test]
async fn scale_bind_evict_and_status_are_parts_of_their_own() {
    let c = Cluster::start().await;
    let rcs = "/api/v1/namespaces/default/replicationcontrollers";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (code, rc) =
        c.post(rcs, json!({"metadata": {"name": "r"}, "spec": {"replicas": 1, "selector": {"a": "b"}, "template": template}})).await;
    assert_eq!(code, 201, "{rc}");
    let path = c.url(&format!("{rcs}/r/scale"));
    let patch = c.admin.patch(&path).header("content-type", "application/merge-patch+json").body(r#"{"spec":{"replicas":4}}"#);
    let (code, scale) = answer(patch).await;
    assert_eq!(
        (code, &scale["kind"], &scale["spec"]["replicas"], &scale["status"]["selector"]),
        (200, &json!("Scale"), &json!(4), &json!("a=b")),
        "{scale}"
    );
    assert_eq!(c.get(&format!("{rcs}/r")).await.1["spec"]["replicas"], 4);
    let mut put = scale.clone();
    put["spec"]["replicas"] = json!(2);
    assert_eq!(answer(c.admin.put(&path).json(&put)).await.0, 200);
    assert_eq!(answer(c.admin.put(&path).json(&put)).await.0, 409, "a stale Scale is refused");

    let pods = "/api/v1/namespaces/default/pods";
    let (code, pod) = c.post(pods, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})).await;
    assert_eq!(code, 201, "{pod}");
    let (code, bound) = c.post(&format!("{pods}/p/binding"), json!({"target": {"kind": "Node", "name": "n1"}})).await;
    assert_eq!(code, 201, "{bound}");
    assert_eq!(c.get(&format!("{pods}/p")).await.1["spec"]["nodeName"], "n1");
    let (code, evicted) =
        c.post(&format!("{pods}/p/eviction"), json!({"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0}})).await;
    assert_eq!(code, 201, "{evicted}");
    assert_eq!(c.get(&format!("{pods}/p")).await.0, 404);
}

#[tokio::test]
async fn discovery_speaks_old_and_new() {
    let c = Cluster::start().await;
    // Clients of today prefer the first version, and find no resources in the others.
    assert_eq!(c.get("/api").await.1["versions"], json!(["v1", "v1beta3", "v1beta2", "v1beta1"]));
    assert_eq!(c.get("/api/v1beta3").await.1["resources"], json!([]));
    let core = c.get("/api/v1").await.1;
    let names: Vec<&str> = core["resources"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert!(names.contains(&"pods") && names.contains(&"pods/eviction") && names.contains(&"replicationcontrollers/scale"));
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let response = c.admin.get(c.url("/apis")).header("accept", accept).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let etag = response.headers()["etag"].clone();
    let again = c.admin.get(c.url("/apis")).header("accept", accept).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(c.get("/apis/rbac.authorization.k8s.io").await.1["kind"], "APIGroup");
    assert_eq!(c.get("/apis/nonsense.example").await.0, 404);
    assert_eq!(c.get("/version").await.1["major"], "1");
    let index = c.get("/openapi/v3").await.1;
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().to_string();
    assert!(c.get(&url).await.1["components"]["schemas"].is_object());
    let v2 = c.admin.get(c.url("/openapi/v2")).header("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
    let v2 = v2.send().await.unwrap();
    assert_eq!((v2.status().as_u16(), v2.bytes().await.unwrap().len()), (200, 0));
    let ready = c.nobody.get(c.url("/readyz?verbose")).send().await.unwrap().text().await.unwrap();
    assert!(ready.contains("[+]node ok") && ready.contains("readyz check passed"), "{ready}");
    assert_eq!(c.nobody.get(c.url("/healthz")).send().await.unwrap().text().await.unwrap(), "ok");
    assert_eq!(answer(c.nobody.get(c.url("/metrics"))).await.0, 403);
    let metrics = c.admin.get(c.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("apiserver_request_total"), "{metrics}");
}

#[tokio::test]
async fn a_pods_web_server_is_reached_through_the_api() {
    let c = Cluster::start().await;
    c.pod("web").await;
    let url = c.url("/api/v1/namespaces/default/pods/web:8080/proxy/a%2Fb/c/?x=1");
    let answer = c.admin.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("set-cookie").is_none() && answer.headers().contains_key("content-security-policy"));
    assert_eq!(answer.text().await.unwrap(), "GET /a%2Fb/c/?x=1 HTTP/1.1 secret=false");
    let (code, refused) = harness::answer(c.nobody.get(c.url("/api/v1/namespaces/default/pods/web:8080/proxy/"))).await;
    assert_eq!(code, 403, "{refused}");
    assert_eq!(c.get("/api/v1/namespaces/default/pods/web:1/proxy/").await.0, 503);
}
