//! What the `osc` of 2015 sends and reads, over real TLS.
mod harness;
use harness::{Cluster, answer};
use serde_json::{Value, json};

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

/// What somebody gets who may only look at pods.
async fn as_joe(c: &Cluster, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = c.admin.request(method, c.url(path)).header("impersonate-user", "anypassword:joe");
    request = request.header("impersonate-group", "system:authenticated");
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn let_joe_look_at_pods(c: &Cluster) {
    let rules = json!([{"verbs": ["get", "list", "watch"], "resources": ["pods"]}]);
    let role = json!({"kind": "Role", "apiVersion": "v1beta1", "metadata": {"name": "look"}, "rules": rules});
    assert_eq!(c.post("/osapi/v1beta1/roles?namespace=default", role).await.0, 201);
    let of = json!({"namespace": "default", "name": "look"});
    let binding = json!({"kind": "RoleBinding", "apiVersion": "v1beta1", "metadata": {"name": "look"}, "userNames": ["anypassword:joe"], "groupNames": [], "roleRef": of});
    let (code, made) = c.post("/osapi/v1beta1/roleBindings?namespace=default", binding).await;
    assert_eq!((code, &made["roleRef"]), (201, &of), "{made}");
}

#[tokio::test]
async fn the_old_api_lets_nobody_do_more_than_his_roles() {
    let c = Cluster::start().await;
    c.pod("p").await;
    let_joe_look_at_pods(&c).await;
    for path in ["/api/v1beta1/pods?namespace=default", "/api/v1beta2/pods/p", "/api/v1beta3/namespaces/default/pods/p"] {
        let (code, text) = as_joe(&c, "GET", path, None).await;
        assert_eq!(code, 200, "{path}: {text}");
    }
    let pod = json!({"kind": "Pod", "apiVersion": "v1beta1", "id": "p", "desiredState": {"manifest": {"containers": [{"name": "c", "image": "evil"}]}}});
    let rc = json!({"kind": "ReplicationController", "apiVersion": "v1beta1", "id": "rc", "desiredState": {"replicas": 1}});
    let bound = json!({"kind": "Binding", "apiVersion": "v1beta1", "podID": "p", "host": "n2"});
    let rise = json!({"kind": "RoleBinding", "apiVersion": "v1beta1", "metadata": {"name": "rise"}, "userNames": ["anypassword:joe"], "roleRef": {"namespace": "master", "name": "cluster-admin"}});
    let refused = [
        ("POST", "/api/v1beta1/pods?namespace=default", Some(&pod)),
        ("PUT", "/api/v1beta1/pods/p?namespace=default", Some(&pod)),
        ("PUT", "/api/v1beta1/replicationControllers/rc?namespace=default", Some(&rc)),
        ("DELETE", "/api/v1beta1/pods/p?namespace=default", None),
        ("POST", "/api/v1beta1/bindings?namespace=default", Some(&bound)),
        ("POST", "/api/v1beta3/namespaces/default/pods/p/binding", Some(&bound)),
        ("POST", "/osapi/v1beta1/roleBindings?namespace=default", Some(&rise)),
        ("POST", "/osapi/v1beta1/roleBindings?namespace=master", Some(&rise)),
        ("PUT", "/osapi/v1beta1/roleBindings/look?namespace=default", Some(&rise)),
        ("GET", "/osapi/v1beta1/policyBindings?namespace=default", None),
        ("GET", "/osapi/v1beta1/policies?namespace=master", None),
        ("GET", "/api/v1beta1/secrets?namespace=default", None),
        ("GET", "/api/v1beta1/watch/secrets", None),
        ("GET", "/api/v1beta1/pods", None),
        ("GET", "/api/v1beta1/pods?namespace=kube-system", None),
        ("GET", "/api/v1beta1/namespaces/default", None),
        ("GET", "/api/v1beta1/proxy/minions/n1/containerLogs/default/p/c", None),
        ("POST", "/api/v1beta1/proxy/minions/n1/exec/default/p/c?command=id", None),
        ("POST", "/api/v1beta1/proxy/minions/n1/portForward/default/p", None),
        ("GET", "/api/v1beta1/proxy/pods/p:8080/x?namespace=default", None),
        ("GET", "/api/v1beta1/redirect/services/s?namespace=default", None),
        ("POST", "/osapi/v1beta1/resourceAccessReviews?namespace=default", Some(&json!({"verb": "get", "resource": "pods"}))),
    ];
    for (method, path, body) in refused {
        let (code, text) = as_joe(&c, method, path, body.cloned()).await;
        assert_eq!(code, 403, "{method} {path}: {text}");
        assert!(text.starts_with("Forbidden: "), "{method} {path}: {text}");
    }
    let (code, text) = as_joe(&c, "PATCH", "/api/v1beta1/pods/p", Some(json!({"labels": {"a": "b"}}))).await;
    assert_eq!(code, 405, "{text}");
    let (code, text) =
        as_joe(&c, "POST", "/osapi/v1beta1/subjectAccessReviews?namespace=default", Some(json!({"verb": "get", "resource": "pods"}))).await;
    assert!(code == 201 && text.contains("\"allowed\": true"), "{text}");
}

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

/// Objects with much that the era had no words for.
fn of_today() -> Vec<(&'static str, &'static str, Value)> {
    let probe = json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTPS"}, "periodSeconds": 3, "failureThreshold": 7});
    let container = json!({
        "name": "c", "image": "i:1", "command": ["a"], "args": ["b"], "livenessProbe": probe,
        "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "250m", "memory": "64Mi"}},
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "securityContext": {"runAsUser": 7, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "s"}, {"name": "w", "mountPath": "/w"}],
    });
    let spec = json!({
        "containers": [container], "initContainers": [{"name": "first", "image": "i:1"}], "terminationGracePeriodSeconds": 5,
        "tolerations": [{"key": "k", "operator": "Exists"}], "securityContext": {"fsGroup": 3}, "nodeSelector": {"disk": "ssd"},
        "volumes": [{"name": "v", "configMap": {"name": "m"}}, {"name": "w", "emptyDir": {"sizeLimit": "1Mi"}}],
    });
    let ports = json!([{"name": "a", "port": 80, "targetPort": "web", "nodePort": 30123}, {"name": "b", "port": 81, "protocol": "UDP"}]);
    vec![
        ("pods", "pods", json!({"metadata": {"finalizers": ["x.io/keep"]}, "spec": spec})),
        (
            "replicationControllers",
            "replicationcontrollers",
            json!({"spec": {"replicas": 2, "minReadySeconds": 4, "selector": {"a": "b"},
            "template": {"metadata": {"labels": {"a": "b"}, "annotations": {"n": "o"}}, "spec": spec}}}),
        ),
        (
            "services",
            "services",
            json!({"spec": {"type": "NodePort", "ports": ports, "selector": {"a": "b"}, "sessionAffinity": "ClientIP"}}),
        ),
        ("services", "services", json!({"spec": {"clusterIP": "None", "ports": [{"port": 5}], "selector": {"a": "b"}}})),
        ("secrets", "secrets", json!({"type": "Opaque", "immutable": true, "data": {"a": "Yg=="}})),
        (
            "limitRanges",
            "limitranges",
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1500m"}, "default": {"cpu": "1"}}]}}),
        ),
        (
            "resourceQuotas",
            "resourcequotas",
            json!({"spec": {"hard": {"requests.cpu": "1500m", "pods": "4"}, "scopes": ["NotTerminating"]}}),
        ),
        (
            "endpoints",
            "endpoints",
            json!({"subsets": [{"addresses": [{"ip": "10.1.2.3", "hostname": "h"}], "ports": [{"name": "a", "port": 80}]}]}),
        ),
        ("namespaces", "namespaces", json!({"metadata": {"annotations": {"openshift.io/description": "d"}}})),
        (
            "minions",
            "nodes",
            json!({"metadata": {"labels": {"kubernetes.io/os": "linux"}}, "spec": {"podCIDR": "10.2.0.0/24", "taints": [{"key": "k", "effect": "NoSchedule"}]}}),
        ),
    ]
}

#[tokio::test]
async fn what_the_old_forms_cannot_say_survives_a_get_and_a_put() {
    let c = Cluster::start().await;
    for (number, (word, plural, body)) in of_today().into_iter().enumerate() {
        for (version, at) in [("v1beta1", 1), ("v1beta2", 2), ("v1beta3", 3)] {
            let mut body = body.clone();
            let name = format!("o{number}-{at}");
            body["metadata"]["name"] = json!(name);
            let cluster = matches!(plural, "namespaces" | "nodes");
            let home = if cluster { "/api/v1".to_string() } else { "/api/v1/namespaces/default".into() };
            if body["spec"]["ports"][0]["nodePort"].is_u64() {
                body["spec"]["ports"][0]["nodePort"] = json!(30100 + at);
            }
            let (code, before) = c.post(&format!("{home}/{plural}"), body).await;
            assert_eq!(code, 201, "{before}");
            let word = if version == "v1beta3" { plural } else { word };
            let url = match (version, cluster) {
                ("v1beta3", false) => format!("/api/v1beta3/namespaces/default/{word}/{name}"),
                (_, true) => format!("/api/{version}/{word}/{name}"),
                _ => format!("/api/{version}/{word}/{name}?namespace=default"),
            };
            let (_, mut old) = c.get(&url).await;
            // The client of 2015 knows one port.
            old.as_object_mut().unwrap().remove("ports");
            old["spec"].as_object_mut().map(|s| s.remove("ports"));
            let labels = if version == "v1beta3" { &mut old["metadata"]["labels"] } else { &mut old["labels"] };
            labels["new"] = json!("label");
            let (code, put) = answer(c.admin.put(c.url(&url)).body(old.to_string())).await;
            assert_eq!(code, 200, "{url} {put}");
            let (_, mut after) = c.get(&format!("{home}/{plural}/{name}")).await;
            let after_labels = after["metadata"]["labels"].as_object_mut().unwrap();
            assert_eq!(after_labels.remove("new"), Some(json!("label")));
            let kept = before["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            // A controller's labels were its template's, until it got its own.
            assert!(plural == "replicationcontrollers" || *after_labels == kept, "{url} {after}");
            let mut before = before;
            for side in [&mut before, &mut after] {
                for member in ["labels", "resourceVersion", "managedFields", "generation"] {
                    side["metadata"].as_object_mut().unwrap().remove(member);
                }
            }
            assert_eq!(before, after, "{url}");
            if plural == "resourcequotas" {
                answer(c.admin.delete(c.url(&format!("{home}/{plural}/{name}")))).await;
            }
        }
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

#[tokio::test]
async fn a_quota_of_2015_counts_what_is_named_and_says_what_it_is_limited_to() {
    let c = Cluster::start().await;
    let hard = json!({"cpu": "0.2", "memory": 1073741824, "pods": 1, "services": "1"});
    let quota = json!({"kind": "ResourceQuota", "apiVersion": "v1beta1", "id": "q", "spec": {"hard": hard}});
    let (code, made) = c.post("/api/v1beta1/resourceQuotas?namespace=default", quota).await;
    assert_eq!((code, &made["spec"]["hard"]), (201, &json!({"cpu": "0.2", "memory": 1073741824, "pods": 1, "services": 1})), "{made}");
    let pod = |id: &str, cpu: u64| json!({"kind": "Pod", "apiVersion": "v1beta1", "id": id, "desiredState": {"manifest": {"containers": [{"name": "c", "image": "i", "cpu": cpu}]}}});
    let (code, full) = c.post("/api/v1beta1/pods?namespace=default", pod("greedy", 500)).await;
    assert_eq!((code, full["message"].as_str()), (403, Some("pods \"greedy\" is forbidden: Limited to 200m CPU")), "{full}");
    // Who names no amount uses none.
    assert_eq!(c.post("/api/v1beta1/pods?namespace=default", pod("first", 0)).await.0, 201);
    let (code, full) = c.post("/api/v1beta1/pods?namespace=default", pod("second", 0)).await;
    let wanted = json!({"kind": "Status", "creationTimestamp": null, "apiVersion": "v1beta1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "pods \"second\" is forbidden: Limited to 1 pods", "details": {"id": "second", "kind": "pods"}});
    assert_eq!((code, full), (403, wanted));
}

#[tokio::test]
async fn bodies_of_the_wrong_shape_are_refused() {
    let c = Cluster::start().await;
    let service = json!({"kind": "Service", "apiVersion": "v1beta1", "id": "s", "port": 1});
    assert_eq!(c.post("/api/v1beta1/services?namespace=default", service).await.0, 201);
    let bodies = [
        json!("text"),
        json!([1]),
        json!({"kind": "Service", "apiVersion": "v1", "metadata": "s", "spec": 1}),
        json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s"}, "spec": "text"}),
        json!({"kind": "Service", "apiVersion": "v1beta3", "metadata": {"name": "s"}, "spec": {"ports": ["text"]}}),
        json!({"kind": "Service", "apiVersion": "v1beta1", "id": {"a": 1}, "port": "many"}),
        json!({"kind": "Service", "apiVersion": "v1beta1", "id": "s", "port": 1, "labels": "text"}),
        json!({"kind": "Service", "apiVersion": "v1beta9", "id": "s", "port": 1}),
    ];
    for body in bodies {
        let put = answer(c.admin.put(c.url("/api/v1beta1/services/s?namespace=default")).body(body.to_string())).await;
        let post = answer(c.admin.post(c.url("/api/v1beta1/services?namespace=default")).body(body.to_string())).await;
        for (code, told) in [put, post] {
            assert!((400..500).contains(&code), "{body}: {code} {told}");
            assert_eq!((&told["kind"], &told["apiVersion"]), (&json!("Status"), &json!("v1beta1")), "{body}: {told}");
        }
    }
}

#[tokio::test]
async fn commands_run_by_way_of_their_node() {
    use futures::StreamExt;
    use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
    let c = Cluster::start().await;
    c.pod("p").await;
    let path = "/api/v1beta1/proxy/minions/n1/exec/default/p/c?input=0&output=1&error=1&command=echo&command=hello%20there";
    // Connections are upgraded in HTTP/1.1 only.
    let admin = c.handle.authority.client("admin", "system:admin", &[]).unwrap();
    let ca = reqwest::Certificate::from_pem(c.handle.authority.ca_pem().as_bytes()).unwrap();
    let identity = reqwest::Identity::from_pem(format!("{}{}", admin.certificate, admin.key).as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).identity(identity).http1_only().build().unwrap();
    let request = client.get(c.url(path)).header("connection", "Upgrade").header("upgrade", "websocket");
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let response = request.header("sec-websocket-protocol", "v4.channel.k8s.io").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 101);
    let mut socket = WebSocketStream::from_raw_socket(response.upgrade().await.unwrap(), Role::Client, None).await;
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
