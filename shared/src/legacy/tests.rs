//! Old forms come back as they went in; what v1 adds is not shown to old readers.
use super::*;
use proptest::prelude::*;

fn hello_service() -> Value {
    json!({"kind": "Service", "apiVersion": "v1beta1", "id": "hello-openshift", "port": 27017, "selector": {"name": "hello-openshift"}})
}

#[test]
fn the_tutorials_files_become_v1() {
    let pod = json!({"kind":"Pod","apiVersion":"v1beta1","id":"hello-openshift","labels":{"name":"hello-openshift"},
        "desiredState":{"manifest":{"version":"v1beta1","id":"hello-openshift","containers":[
        {"name":"hello-openshift","image":"openshift/hello-openshift","ports":[{"containerPort":8080,"hostPort":6061}]}]}}});
    assert_eq!(
        to_v1(pod).unwrap(),
        json!({"kind":"Pod","apiVersion":"v1","metadata":{"name":"hello-openshift","labels":{"name":"hello-openshift"}},
        "spec":{"containers":[{"name":"hello-openshift","image":"openshift/hello-openshift","ports":[{"containerPort":8080,"hostPort":6061}]}]}})
    );
    let service = to_v1(hello_service()).unwrap();
    assert_eq!(service["spec"], json!({"ports": [{"port": 27017}], "selector": {"name": "hello-openshift"}}));
    assert_eq!(service["metadata"]["annotations"][IMPLICIT_TARGET], "true");
    let rc = json!({"kind":"ReplicationController","apiVersion":"v1beta1","id":"hello-controller",
        "desiredState":{"replicas":1,"replicaSelector":{"name":"hello-openshift"},"podTemplate":{"labels":{"name":"hello-openshift"},
        "desiredState":{"manifest":{"version":"v1beta1","id":"x","containers":[{"name":"c","image":"i"}]}}}}});
    let rc = to_v1(rc).unwrap();
    assert_eq!(rc["spec"]["selector"], json!({"name":"hello-openshift"}));
    assert_eq!(
        rc["spec"]["template"],
        json!({"metadata":{"labels":{"name":"hello-openshift"}},"spec":{"containers":[{"name":"c","image":"i"}]}})
    );
}

#[test]
fn old_readers_find_what_they_look_for() {
    let service = json!({"kind":"Service","apiVersion":"v1","metadata":{"name":"a","namespace":"n","resourceVersion":"7","annotations":{IMPLICIT_TARGET:"true"}},
        "spec":{"clusterIP":"172.30.0.5","ports":[{"port":27017,"protocol":"TCP"}],"selector":{"x":"y"},"sessionAffinity":"None","type":"ClusterIP"}});
    let old = from_v1(&service, Version::V1Beta1);
    assert_eq!(
        old,
        json!({"kind":"Service","apiVersion":"v1beta1","id":"a","namespace":"n","resourceVersion":7,"port":27017,"protocol":"TCP","selector":{"x":"y"},"containerPort":0,"portalIP":"172.30.0.5","sessionAffinity":"None"})
    );
    let node = json!({"kind":"Node","apiVersion":"v1","metadata":{"name":"master"},"status":{"capacity":{"cpu":"1","memory":"3Gi","pods":"110"},
        "addresses":[{"type":"InternalIP","address":"127.0.0.1"}],"conditions":[{"type":"Ready","status":"True"},{"type":"DiskPressure","status":"False"}]}});
    let old = from_v1(&node, Version::V1Beta1);
    assert_eq!(old["kind"], "Minion");
    assert_eq!(old["resources"]["capacity"], json!({"cpu":"1","memory":3221225472i64}));
    assert_eq!(old["status"]["conditions"], json!([{"kind":"Ready","status":"Full"}]));
    let list = from_v1(&json!({"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[node]}), Version::V1Beta1);
    assert_eq!((list["kind"].as_str(), list["resourceVersion"].as_u64()), (Some("MinionList"), Some(9)));
    assert_eq!(list["minions"], list["items"]);
}

#[test]
fn what_is_v1_passes_and_unknown_kinds_are_named() {
    let pod = json!({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}});
    assert_eq!(to_v1(pod.clone()).unwrap(), pod);
    assert!(to_v1(json!({"kind":"Build","apiVersion":"v1beta1"})).unwrap_err().to_string().contains("Build"));
    assert!(to_v1(json!([])).is_err());
}

#[test]
fn recorded_objects_round_trip() {
    // What the original sent, where its recordings lie beside the project; elsewhere the fixtures above stand alone.
    let Ok(text) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/facts/golden/objects.jsonl")) else { return };
    let mut checked = 0;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        for exchange in record["http"].as_array().into_iter().flatten() {
            let Ok(object) = serde_json::from_str::<Value>(exchange["resp_body"].as_str().unwrap_or_default()) else { continue };
            let Some(version) = object["apiVersion"].as_str().and_then(Version::parse) else { continue };
            if !matches!(
                object["kind"].as_str(),
                Some("Pod" | "Service" | "ReplicationController" | "Endpoints" | "Secret" | "Event" | "Project")
            ) {
                continue;
            }
            let there = to_v1(object.clone()).unwrap_or_else(|e| panic!("{e}: {object}"));
            let again = to_v1(from_v1(&there, version)).unwrap();
            assert_eq!(again, there, "{object}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} recorded objects");
}

#[test]
fn roles_and_bindings_of_namespace_master_are_the_clusters() {
    let binding = json!({"kind":"RoleBinding","apiVersion":"v1beta1","metadata":{"name":"viewers","namespace":"master"},
        "userNames":["anypassword:joe"],"groupNames":["team"],"roleRef":{"namespace":"master","name":"view"}});
    let today = to_v1(binding.clone()).unwrap();
    assert_eq!((&today["kind"], &today["roleRef"]["kind"]), (&json!("ClusterRoleBinding"), &json!("ClusterRole")));
    assert_eq!(from_v1(&today, Version::Osapi), binding);
    let role = json!({"kind":"Role","apiVersion":"v1beta1","metadata":{"name":"r","namespace":"n"},
        "rules":[{"verbs":["get"],"resources":["resourcegroup:granter","replicationControllers"]}]});
    let today = to_v1(role).unwrap();
    let rule =
        json!({"verbs":["get"],"apiGroups":["","rbac.authorization.k8s.io"],"resources":["replicationcontrollers","rolebindings","roles"]});
    assert_eq!((&today["kind"], &today["rules"][0]), (&json!("Role"), &rule));
}

/// One of every kind, in v1beta1 unless it says otherwise.
fn one_of_each() -> Vec<Value> {
    let containers = json!([{"name": "c", "image": "i", "cpu": 1, "memory": 2, "command": ["a"], "env": [{"key": "a", "value": "b"}],
        "ports": [{"containerPort": 1}], "volumeMounts": [{"path": "/a", "name": "v"}], "resources": {"limits": {"cpu": 1}},
        "livenessProbe": {"httpGet": {"port": 1}}, "capabilities": {"add": ["A"]}, "imagePullPolicy": "PullAlways", "lifecycle": {"preStop": {"exec": {}}}}]);
    let volumes = json!([{"name": "v", "source": {"hostDir": {"path": "/"}, "secret": {"target": {"name": "s"}}}}]);
    let manifest = json!({"version": "v1beta1", "containers": containers, "volumes": volumes, "restartPolicy": {"never": {}}});
    let desired = json!({"manifest": manifest, "host": "h"});
    let template = json!({"labels": {"a": "b"}, "desiredState": desired, "nodeSelector": {"a": "b"}});
    let rule = json!({"verbs": ["get"], "resources": ["pods"], "resourceNames": ["a"]});
    let bodies = json!([
        {"kind": "Pod", "labels": {"a": "b"}, "annotations": {"a": "b"}, "desiredState": desired, "nodeSelector": {"a": "b"}},
        {"kind": "ReplicationController", "desiredState": {"replicas": 1, "replicaSelector": {"a": "b"}, "podTemplate": template}},
        {"kind": "Service", "port": 1, "selector": {"a": "b"}, "ports": [{"port": 1}], "publicIPs": ["1.2.3.4"]},
        {"kind": "Endpoints", "endpoints": ["1.2.3.4:5"], "protocol": "TCP"},
        {"kind": "Minion", "resources": {"capacity": {"cpu": 1}}, "hostIP": "1.2.3.4", "labels": {"a": "b"}},
        {"kind": "Event", "source": "s", "involvedObject": {"kind": "Pod"}, "timestamp": null},
        {"kind": "LimitRange", "spec": {"limits": [{"type": "Pod", "max": {"cpu": 1}}]}},
        {"kind": "ResourceQuota", "spec": {"hard": {"cpu": 1}}},
        {"kind": "Secret", "data": {"a": "Yg=="}},
        {"kind": "Namespace", "spec": {}, "status": {}},
        {"kind": "Binding", "podID": "p", "host": "h"},
        {"kind": "Project", "metadata": {"annotations": {"description": "d"}}, "displayName": "d"},
        {"kind": "User", "metadata": {"name": "u"}, "identities": ["a"]},
        {"kind": "Role", "metadata": {"name": "r"}, "rules": [rule]},
        {"kind": "RoleBinding", "metadata": {"name": "r"}, "userNames": ["u"], "groupNames": ["g"], "roleRef": {"name": "view", "namespace": "master"}},
        {"kind": "List", "items": [{"kind": "Pod", "id": "a"}, {"kind": "Service", "id": "b"}]},
        {"kind": "MinionList", "minions": [{"id": "a"}]},
    ]);
    let bodies = bodies.as_array().unwrap().iter();
    let versions = ["v1beta1", "v1beta2", "v1beta3"];
    let of = |version: &str, body: &Value| {
        let mut body = body.clone();
        body["apiVersion"] = json!(version);
        body["id"] = json!("x");
        if version == "v1beta3" {
            body["spec"] = body["desiredState"].get("manifest").cloned().unwrap_or(body.clone());
        }
        body
    };
    bodies.flat_map(|body| versions.map(|version| of(version, body))).collect()
}

/// Every place in a value, as a JSON pointer.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.into());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, v)| places(v, &format!("{at}/{name}"), out)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

#[test]
fn nothing_that_a_client_sends_makes_the_conversion_panic() {
    let wrong =
        [json!(null), json!(true), json!(-1), json!(1.5), json!("text"), json!([]), json!(["a", 1]), json!({}), json!({"a": {"b": 1}})];
    for object in one_of_each() {
        let mut all = Vec::new();
        places(&object, "", &mut all);
        for place in all {
            for value in &wrong {
                let mut broken = object.clone();
                *broken.pointer_mut(&place).unwrap() = value.clone();
                let Ok(today) = to_v1(broken) else { continue };
                for version in [Version::V1Beta1, Version::V1Beta3, Version::Osapi] {
                    let _ = to_v1(from_v1(&today, version));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn services_survive_the_way_there_and_back(port in 1u16.., target in proptest::option::of(1u16..), name in "[a-z]{1,8}", affinity in any::<bool>()) {
        let mut old = json!({"kind":"Service","apiVersion":"v1beta1","id":name,"port":port,"protocol":"TCP","selector":{"a":"b"},"sessionAffinity": if affinity {"ClientIP"} else {"None"}});
        old["containerPort"] = json!(target.unwrap_or_default());
        prop_assert_eq!(from_v1(&to_v1(old.clone()).unwrap(), Version::V1Beta1), old);
    }
}
