//! What the osc of 2015 sends and reads, over real TLS.
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
    for path in ["/api/v1beta1/pods?namespace=default", "/api/v1beta1/nonsense", "/osapi/v1beta1/users/~", "/osapi/v1beta1/builds"] {
        let refused = c.nobody.get(c.url(path)).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 403);
        assert!(refused.text().await.unwrap().starts_with(&format!("Forbidden: \"{path}\"")));
    }
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

#[tokio::test]
async fn pods_are_placed_by_the_bindings_of_each_version() {
    let c = Cluster::start().await;
    let flat = |version: &str| json!({"kind": "Binding", "apiVersion": version, "podID": "v", "host": "n1"});
    let of_pod = json!({"kind": "Binding", "apiVersion": "v1beta3", "metadata": {"name": "v"}, "target": {"kind": "Minion", "name": "n1"}});
    for (path, binding) in [
        ("/api/v1beta1/bindings?namespace=default", flat("v1beta1")),
        ("/api/v1beta2/bindings?namespace=default", flat("v1beta2")),
        ("/api/v1beta3/namespaces/default/bindings", of_pod.clone()),
        ("/api/v1beta3/namespaces/default/pods/v/binding", of_pod),
    ] {
        let pod = json!({"kind": "Pod", "apiVersion": "v1beta1", "id": "v", "desiredState": {"manifest": {"containers": [{"name": "c", "image": "i"}]}}});
        assert_eq!(c.post("/api/v1beta1/pods?namespace=default", pod).await.0, 201);
        let (code, bound) = c.post(path, binding).await;
        assert_eq!((code, &bound["kind"], &bound["status"]), (201, &json!("Status"), &json!("Success")), "{path} {bound}");
        assert_eq!(c.get("/api/v1beta1/pods/v?namespace=default").await.1["currentState"]["host"], "n1", "{path}");
        answer(c.admin.delete(c.url("/api/v1beta1/pods/v?namespace=default"))).await;
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

/// Go stopped reading an object at the first member of another type than it expected.
fn decodes(member: &str, value: &Value, whole: &Value) {
    let texts = ["id", "uid", "selfLink", "namespace", "name", "image", "imagePullPolicy", "protocol", "portalIP", "sessionAffinity"];
    let more_texts = ["dnsPolicy", "terminationMessagePath", "key", "value", "mountPath", "path", "kind", "apiVersion", "version", "type"];
    let numbers = ["hostPort", "restartCount", "replicas", "initialDelaySeconds", "timeoutSeconds"];
    let lists = ["containers", "volumes", "env", "volumeMounts", "ports", "endpoints", "command", "add", "drop"];
    let fits = match member {
        _ if value.is_null() => true,
        _ if texts.contains(&member) || more_texts.contains(&member) => value.is_string(),
        // Amounts, and ports that may be named, were numbers or texts.
        "cpu" | "memory" | "containerPort" => value.is_i64() || value.is_u64() || value.is_string(),
        _ if numbers.contains(&member) => value.is_i64() || value.is_u64(),
        _ if lists.contains(&member) => value.is_array(),
        "labels" | "annotations" | "selector" | "replicaSelector" | "nodeSelector" | "data" => {
            value.as_object().is_some_and(|m| m.values().all(Value::is_string))
        }
        _ => true,
    };
    assert!(fits, "{member} in {whole}");
    match value {
        Value::Object(map) => map.iter().for_each(|(name, v)| decodes(name, v, whole)),
        Value::Array(list) => list.iter().for_each(|v| decodes("", v, whole)),
        _ => {}
    }
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
            decodes("", &old, &old);
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
