//! Kubernetes' v1 defaults: clients rely on finding these members in what they get back.
use crate::controllers::endpoints::IMPLICIT_TARGET;
use serde_json::{Map, Value, json};
use shared::kinds::Kind;

/// Fills in what the client left out.
pub fn apply(kind: &Kind, object: &mut Value) {
    match kind.kind {
        "Pod" => pod_spec(member(object, "spec")),
        "ReplicationController" => replication_controller(object),
        "Service" => service(object),
        "Namespace" => namespace(object),
        "Secret" => default(object, "type", json!("Opaque")),
        "Endpoints" => each(&mut object["subsets"], |s| each(&mut s["ports"], |p| default(p, "protocol", json!("TCP")))),
        "EndpointSlice" => each(&mut object["ports"], |p| {
            default(p, "protocol", json!("TCP"));
            default(p, "name", json!(""));
        }),
        "LimitRange" => each(&mut object["spec"]["limits"], limit_range_item),
        "RoleBinding" | "ClusterRoleBinding" => binding(object),
        _ => {}
    }
}

fn member<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    if object.get(name).is_none_or(Value::is_null) {
        object[name] = json!({});
    }
    &mut object[name]
}

/// Sets a member that is absent or null.
fn default(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(map) = object
        && map.get(name).is_none_or(Value::is_null)
    {
        map.insert(name.into(), value);
    }
}

fn each(list: &mut Value, mut change: impl FnMut(&mut Value)) {
    list.as_array_mut().into_iter().flatten().for_each(&mut change);
}

/// A pod's spec, also inside templates.
pub fn pod_spec(spec: &mut Value) {
    for (name, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
        ("enableServiceLinks", json!(true)),
    ] {
        default(spec, name, value);
    }
    if let Some(account) = spec.get("serviceAccountName").cloned().filter(|v| v.as_str().is_some_and(|s| !s.is_empty())) {
        default(spec, "serviceAccount", account);
    } else if let Some(account) = spec.get("serviceAccount").cloned().filter(|v| !v.is_null()) {
        spec["serviceAccountName"] = account;
    }
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        each(&mut spec[list], |c| container(c, host_network));
        if spec[list].is_null() {
            spec.as_object_mut().map(|s| s.remove(list));
        }
    }
    each(&mut spec["volumes"], volume);
    if spec["volumes"].is_null() {
        spec.as_object_mut().map(|s| s.remove("volumes"));
    }
}

fn container(c: &mut Value, host_network: bool) {
    let image = c.get("image").and_then(Value::as_str).unwrap_or_default();
    // Kubernetes also pulls always when no tag is given. An image without a tag may be one that only this host has
    // (the tutorial's own, or one just built), and the era's rule was IfNotPresent: that rule is kept.
    let policy = if image.ends_with(":latest") { "Always" } else { "IfNotPresent" };
    default(c, "imagePullPolicy", json!(policy));
    default(c, "terminationMessagePath", json!("/dev/termination-log"));
    default(c, "terminationMessagePolicy", json!("File"));
    default(c, "resources", json!({}));
    if let Some(limits) = c["resources"].get("limits").and_then(Value::as_object).cloned() {
        for (name, amount) in limits {
            default(member(&mut c["resources"], "requests"), &name, amount);
        }
    }
    if c.get("ports").is_some() {
        each(&mut c["ports"], |p| {
            default(p, "protocol", json!("TCP"));
            if host_network {
                let number = p["containerPort"].clone();
                default(p, "hostPort", number);
            }
        });
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if c.get(name).is_some_and(Value::is_object) {
            probe(&mut c[name]);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(get) = c.pointer_mut(&format!("/lifecycle/{hook}/httpGet")) {
            http_get(get);
        }
    }
    if c.get("env").is_some() {
        each(&mut c["env"], |e| {
            if let Some(field) = e.pointer_mut("/valueFrom/fieldRef") {
                default(field, "apiVersion", json!("v1"));
            }
        });
    }
}

fn probe(p: &mut Value) {
    for (name, n) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
        default(p, name, json!(n));
    }
    if let Some(get) = p.get_mut("httpGet").filter(|g| g.is_object()) {
        http_get(get);
    }
    if let Some(grpc) = p.get_mut("grpc").filter(|g| g.is_object()) {
        default(grpc, "service", json!(""));
    }
}

fn http_get(get: &mut Value) {
    default(get, "path", json!("/"));
    default(get, "scheme", json!("HTTP"));
}

fn volume(v: &mut Value) {
    let Value::Object(map) = v else { return };
    let sources = map.iter().filter(|(k, v)| *k != "name" && !v.is_null()).count();
    if sources == 0 {
        map.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(s) = map.get_mut(source).filter(|s| s.is_object()) {
            default(s, "defaultMode", json!(420));
        }
    }
    if let Some(path) = map.get_mut("hostPath").filter(|s| s.is_object()) {
        default(path, "type", json!(""));
    }
    let field_ref = |i: &mut Value| {
        if let Some(field) = i.get_mut("fieldRef").filter(|f| f.is_object()) {
            default(field, "apiVersion", json!("v1"));
        }
    };
    if let Some(items) = map.get_mut("downwardAPI").and_then(|d| d.get_mut("items")) {
        each(items, field_ref);
    }
    if let Some(sources) = map.get_mut("projected").and_then(|p| p.get_mut("sources")) {
        each(sources, |s| {
            if let Some(token) = s.get_mut("serviceAccountToken").filter(|t| t.is_object()) {
                default(token, "expirationSeconds", json!(3600));
            }
            if let Some(items) = s.get_mut("downwardAPI").and_then(|d| d.get_mut("items")) {
                each(items, field_ref);
            }
        });
    }
}

fn replication_controller(rc: &mut Value) {
    let spec = member(rc, "spec");
    default(spec, "replicas", json!(1));
    let labels = spec.pointer("/template/metadata/labels").cloned().filter(|l| l.as_object().is_some_and(|m| !m.is_empty()));
    if let Some(labels) = &labels
        && spec.get("selector").is_none_or(|s| s.as_object().is_none_or(Map::is_empty))
    {
        spec["selector"] = labels.clone();
    }
    if let Some(template) = spec.get_mut("template").and_then(|t| t.get_mut("spec")).filter(|s| s.is_object()) {
        pod_spec(template);
    }
    if let Some(labels) = labels
        && rc["metadata"].get("labels").is_none_or(|l| l.as_object().is_none_or(Map::is_empty))
    {
        rc["metadata"]["labels"] = labels;
    }
}

fn service(service: &mut Value) {
    let implicit = service.pointer("/metadata/annotations").is_some_and(|a| a.get(IMPLICIT_TARGET).is_some());
    let spec = member(service, "spec");
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    let kind = spec["type"].as_str().unwrap_or_default().to_string();
    if kind != "ExternalName" {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
        default(spec, "ipFamilyPolicy", json!("SingleStack"));
        default(spec, "ipFamilies", json!(["IPv4"]));
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if spec["sessionAffinity"] == "ClientIP" && spec.pointer("/sessionAffinityConfig/clientIP/timeoutSeconds").is_none() {
        spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 10800}});
    }
    if spec.get("ports").is_some_and(Value::is_array) {
        each(&mut spec["ports"], |p| {
            default(p, "protocol", json!("TCP"));
            if !implicit && p.get("targetPort").is_none_or(|t| t.is_null() || *t == json!(0) || *t == json!("")) {
                p["targetPort"] = p["port"].clone();
            }
        });
    }
}

fn namespace(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    if !name.is_null() {
        let labels = member(&mut namespace["metadata"], "labels");
        labels["kubernetes.io/metadata.name"] = name;
    }
    default(member(namespace, "spec"), "finalizers", json!(["kubernetes"]));
    default(member(namespace, "status"), "phase", json!("Active"));
}

fn limit_range_item(item: &mut Value) {
    if item["type"] != "Container" {
        return;
    }
    let copy = |item: &mut Value, from: &str, to: &str| {
        if let Some(amounts) = item.get(from).and_then(Value::as_object).cloned() {
            for (name, amount) in amounts {
                default(member(item, to), &name, amount);
            }
        }
    };
    copy(item, "max", "default");
    copy(item, "default", "defaultRequest");
    copy(item, "min", "defaultRequest");
}

fn binding(binding: &mut Value) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    default(&mut binding["roleRef"], "apiGroup", json!(RBAC));
    if binding.get("subjects").is_some_and(Value::is_array) {
        each(&mut binding["subjects"], |s| {
            if s["kind"] != "ServiceAccount" {
                default(s, "apiGroup", json!(RBAC));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::kinds::{POD, REPLICATION_CONTROLLER, SERVICE};

    #[test]
    fn defaults_are_stable_and_keep_what_was_given() {
        let mut pod = json!({"metadata": {"name": "a"}, "spec": {"restartPolicy": "Never", "futureField": 1, "containers": [
            {"name": "c", "image": "i:latest", "resources": {"limits": {"cpu": "1"}}, "livenessProbe": {"httpGet": {"port": 80}}}]}});
        apply(&POD, &mut pod);
        let once = pod.clone();
        apply(&POD, &mut pod);
        assert_eq!(pod, once, "a second application changes nothing");
        assert_eq!(pod["spec"]["restartPolicy"], "Never");
        assert_eq!(pod["spec"]["futureField"], 1);
        let c = &pod["spec"]["containers"][0];
        assert_eq!((c["imagePullPolicy"].as_str(), c["resources"]["requests"]["cpu"].as_str()), (Some("Always"), Some("1")));
        assert_eq!(c["livenessProbe"]["httpGet"]["path"], "/");
        assert!(pod["spec"].get("volumes").is_none());
    }

    #[test]
    fn the_target_port_stays_unset_only_for_the_old_api() {
        let mut service = json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
        apply(&SERVICE, &mut service);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], 80);
        let mut old = json!({"metadata": {"name": "a", "annotations": {IMPLICIT_TARGET: "true"}}, "spec": {"ports": [{"port": 80}]}});
        apply(&SERVICE, &mut old);
        assert!(old["spec"]["ports"][0].get("targetPort").is_none());
    }

    #[test]
    fn a_controller_takes_selector_and_labels_from_its_template() {
        let mut rc =
            json!({"metadata": {"name": "a"}, "spec": {"template": {"metadata": {"labels": {"x": "y"}}, "spec": {"containers": []}}}});
        apply(&REPLICATION_CONTROLLER, &mut rc);
        assert_eq!(rc["spec"]["selector"], json!({"x": "y"}));
        assert_eq!(rc["metadata"]["labels"], json!({"x": "y"}));
        assert_eq!(rc["spec"]["template"]["spec"]["restartPolicy"], "Always");
    }
}
