//! What is sent wrong is refused with words that help, keeps nothing, and costs little memory.
use e2e::{Caller, Cluster};
use reqwest::Method;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";
const JSON: &str = "application/json";

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "i"}]}})
}

fn service(name: &str, ports: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"a": "b"}, "ports": ports}})
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in the object")) = value;
    object
}

/// The refusal is a Status of this code whose message has all the words; without a server's fault.
fn refused(what: &str, answer: &(u16, Value), code: u16, words: &[&str]) {
    let (status, body) = answer;
    assert_eq!(*status, code, "{what}: {body}");
    assert_eq!((body["kind"].as_str(), body["status"].as_str()), (Some("Status"), Some("Failure")), "{what}: {body}");
    assert_eq!(body["code"], code, "{what}");
    let message = body["message"].as_str().unwrap_or_default();
    for word in words {
        assert!(message.contains(word), "{what}: {word:?} is not in {message:?}");
    }
}

async fn kept(admin: &Caller) -> Vec<usize> {
    let mut counts = Vec::new();
    for path in [PODS, SERVICES, CONTROLLERS, "/api/v1/namespaces/default/configmaps"] {
        let items = admin.get(path).await.1["items"].as_array().cloned().unwrap_or_default();
        // A controller brings this one to every namespace, whenever it gets to it.
        counts.push(items.iter().filter(|i| i["metadata"]["name"] != "kube-root-ca.crt").count());
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_no_objects_are_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let before = kept(&admin).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!(r#"{{"metadata":{{"name":"x","annotations":{}}}}}"#, r#"{"a":"#.repeat(5000) + "1" + &"}".repeat(5000));
    let cases: [(&str, &str, Vec<u8>, u16); 13] = [
        ("nothing", JSON, Vec::new(), 400),
        ("truncated JSON", JSON, br#"{"metadata":{"name":"x""#.to_vec(), 400),
        ("a list", JSON, b"[]".to_vec(), 400),
        ("a number", JSON, b"17".to_vec(), 400),
        ("null", JSON, b"null".to_vec(), 400),
        ("deeply nested arrays", JSON, deep.into_bytes(), 400),
        ("deeply nested objects", JSON, nested.into_bytes(), 400),
        ("not UTF-8", JSON, b"{\"metadata\":{\"name\":\"\xff\xfe\"}}".to_vec(), 400),
        ("broken YAML", "application/yaml", b"metadata: {name: [".to_vec(), 400),
        ("YAML that grows", "application/yaml", yaml_bomb(), 400),
        ("broken protobuf", "application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff\xff\xff\xff\xff".to_vec(), 400),
        ("protobuf without its magic", "application/vnd.kubernetes.protobuf", b"hello".to_vec(), 400),
        ("a type that nobody speaks", "application/x-pickle", b"x".to_vec(), 415),
    ];
    for (what, content_type, body, code) in cases {
        refused(what, &admin.send(Method::POST, PODS, content_type, body).await, code, &[]);
    }
    assert_eq!(kept(&admin).await, before);
    cluster.stop().await;
}

/// Each alias doubles what the last one holds.
fn yaml_bomb() -> Vec<u8> {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_string();
    for level in 1..12 {
        let of = vec![format!("*a{}", level - 1); 9].join(",");
        text.push_str(&format!("a{level}: &a{level} [{of}]\n"));
    }
    text.into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_hundred_megabytes_is_refused_in_bounded_memory() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let before = resident_mib();
    for _ in 0..3 {
        // Sent in pieces: this process, which is also the server, does not hold it either.
        let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
        let pieces = futures::stream::iter((0..100).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
        let request = admin.client.request(Method::POST, PODS).header("content-type", JSON).body(reqwest::Body::wrap_stream(pieces));
        // The server may close before it has read all of it; if an answer arrives, it says 413.
        if let Ok(response) = admin.client.send(request).await {
            assert_eq!(response.status(), 413);
        }
    }
    let (status, body) = admin.send(Method::POST, PODS, JSON, vec![b' '; 8 << 20]).await;
    refused("eight megabytes", &(status, body), 413, &["too large"]);
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 64, "{grown} MiB more than before");
    assert_eq!(admin.get("/readyz").await.0, 200);
    cluster.stop().await;
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.expect("the resident size") / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_are_wrong_are_told_which_field_and_why() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let before = kept(&admin).await;
    let controller = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"}, "spec": {"replicas": 1,
        "selector": {"app": "one"}, "template": {"metadata": {"labels": {"app": "two"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}}});
    let ports = json!([{"name": "a", "port": 80}, {"name": "a", "port": 80}]);
    let twice = json!([{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]);
    let cases: Vec<(&str, &str, Value, u16, Vec<&str>)> = vec![
        ("another kind", PODS, with(pod("x"), "/kind", json!("Service")), 400, vec!["Service"]),
        ("an unknown version", PODS, with(pod("x"), "/apiVersion", json!("v9")), 400, vec!["v9"]),
        ("a name with capitals", PODS, pod("Xy_z"), 422, vec!["metadata.name", "Xy_z", "lower case"]),
        ("no name", PODS, with(pod("x"), "/metadata", json!({})), 422, vec!["name", "required"]),
        ("a name of 300 letters", PODS, pod(&"x".repeat(300)), 422, vec!["metadata.name"]),
        ("another namespace", PODS, with(pod("x"), "/metadata", json!({"name": "x", "namespace": "other"})), 400, vec!["namespace"]),
        ("no containers", PODS, with(pod("x"), "/spec/containers", json!([])), 422, vec!["spec.containers"]),
        ("two containers of a name", PODS, with(pod("x"), "/spec/containers", twice), 422, vec!["spec.containers[1].name", "Duplicate"]),
        (
            "a port out of range",
            PODS,
            with(pod("x"), "/spec/containers/0", json!({"name": "a", "image": "i", "ports": [{"containerPort": 70000}]})),
            422,
            vec!["containerPort", "65535"],
        ),
        (
            "a huge label",
            PODS,
            with(pod("x"), "/metadata", json!({"name": "x", "labels": {"a": "x".repeat(1000)}})),
            422,
            vec!["metadata.labels", "63"],
        ),
        ("text for a number", CONTROLLERS, with(controller.clone(), "/spec/replicas", json!("many")), 400, vec!["replicas"]),
        ("a negative number of replicas", CONTROLLERS, with(controller.clone(), "/spec/replicas", json!(-1)), 422, vec!["spec.replicas"]),
        ("a selector for other pods", CONTROLLERS, controller, 422, vec!["template.metadata.labels", "selector"]),
        ("ports twice", SERVICES, service("s", ports), 422, vec!["spec.ports[1]", "Duplicate"]),
        ("no ports", SERVICES, service("s", json!([])), 422, vec!["spec.ports"]),
        ("port zero", SERVICES, service("s", json!([{"port": 0}])), 422, vec!["spec.ports[0].port", "1"]),
    ];
    for (what, path, body, code, words) in cases {
        refused(what, &admin.post(path, &body).await, code, &words);
    }
    let mut occupied = service("taken", json!([{"port": 80}]));
    occupied["spec"]["clusterIP"] = json!("172.30.0.2");
    refused("an occupied portal IP", &admin.post(SERVICES, &occupied).await, 422, &["spec.clusterIP", "172.30.0.2", "allocated"]);
    occupied["spec"]["clusterIP"] = json!("10.1.1.1");
    refused("a portal IP of another net", &admin.post(SERVICES, &occupied).await, 422, &["spec.clusterIP", "172.30.0.0/16"]);
    assert_eq!(kept(&admin).await, before);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_double_fields_are_refused_where_strictness_is_asked() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let path = "/api/v1/namespaces/default/configmaps";
    let unknown = json!({"metadata": {"name": "x"}, "datum": {"a": "b"}});
    let strict = format!("{path}?fieldValidation=Strict");
    refused("an unknown field", &admin.post(&strict, &unknown).await, 400, &["strict decoding error", "unknown field \"datum\""]);
    let double = r#"{"metadata":{"name":"x"},"data":{"a":"1"},"data":{"a":"2"}}"#;
    refused("a field twice", &admin.send(Method::POST, &strict, JSON, double).await, 400, &["duplicate field \"data\""]);
    refused(
        "another strictness",
        &admin.post(&format!("{path}?fieldValidation=Severe"), &unknown).await,
        422,
        &["fieldValidation", "Severe"],
    );
    let (status, body) = admin.post(path, &unknown).await;
    assert_eq!((status, body.get("datum")), (201, None), "without it the field is dropped");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_patches_and_queries_say_what_is_wrong() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let path = "/api/v1/namespaces/default/configmaps";
    admin.create(path, &json!({"metadata": {"name": "x"}, "data": {"a": "b"}})).await;
    let one = format!("{path}/x");
    let patch = |kind: &'static str, body: &'static str| admin.send(Method::PATCH, &one, kind, body);
    refused("a patch that is no JSON", &patch("application/merge-patch+json", "{").await, 400, &[]);
    refused("a JSON patch that is no list", &patch("application/json-patch+json", "{}").await, 400, &[]);
    let missing = r#"[{"op":"remove","path":"/data/nothing"}]"#;
    refused("a path that is not there", &patch("application/json-patch+json", missing).await, 422, &["/data/nothing"]);
    let failed = r#"[{"op":"test","path":"/data/a","value":"z"}]"#;
    refused("a test that fails", &patch("application/json-patch+json", failed).await, 422, &[]);
    refused("a sort of patch that nobody knows", &patch("application/magic-patch", "{}").await, 415, &["merge-patch+json"]);
    refused("an immutable field", &patch("application/merge-patch+json", r#"{"metadata":{"uid":"other"}}"#).await, 409, &["UID"]);
    for (query, word) in [
        ("labelSelector=a%3D%3D%3Db", "labelSelector"),
        ("fieldSelector=spec.nothing%3Dx", "spec.nothing"),
        ("limit=many", "limit"),
        ("resourceVersion=later", "resourceVersion"),
        ("continue=xyz", "continue"),
    ] {
        let answer = admin.get(&format!("{path}?{query}")).await;
        assert!((400..500).contains(&answer.0), "{query}: {}", answer.0);
        refused(query, &answer, answer.0, &[word]);
    }
    refused("a resource that is not served", &admin.get("/api/v1/namespaces/default/wishes").await, 404, &[]);
    refused("a verb that is not served", &admin.send(Method::PUT, path, JSON, "{}").await, 405, &[]);
    assert_eq!(admin.get(&one).await.1["data"], json!({"a": "b"}));
    cluster.stop().await;
}
