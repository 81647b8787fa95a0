//! What nodes may do, and above all what they may not.
use super::*;
use serde_json::json;

fn ask(verb: &str, resource: &str, namespace: &str, name: &str, selected: Option<&str>) -> Rule {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    rule("n1", &Attributes { user: "system:node:n1", groups: &[], verb, group, resource, subresource, namespace, name, path: "" }, selected)
}

#[test]
fn a_node_is_who_has_its_name_and_is_in_the_group() {
    let nodes = [GROUP.to_string()];
    assert_eq!(node_of("system:node:n1", &nodes), Some("n1"));
    assert_eq!(node_of("system:node:n1", &[]), None);
    assert_eq!(node_of("system:node:", &nodes), None);
    assert_eq!(node_of("joe", &nodes), None);
}

#[test]
fn a_node_reaches_itself_its_pods_and_what_they_refer_to() {
    use Rule::{Allowed, OwnPod};
    for (verb, resource, namespace, name, wanted) in [
        ("create", "nodes", "", "n1", Allowed),
        ("patch", "nodes/status", "", "n1", Allowed),
        ("watch", "nodes", "", "", Allowed),
        ("get", "pods", "a", "p", OwnPod),
        ("patch", "pods/status", "a", "p", OwnPod),
        ("delete", "pods", "a", "p", OwnPod),
        ("get", "secrets", "a", "s", Rule::Referred(Referred::Secret)),
        ("get", "configmaps", "a", "c", Rule::Referred(Referred::ConfigMap)),
        ("create", "serviceaccounts/token", "a", "default", Rule::Referred(Referred::ServiceAccount)),
        ("list", "services", "", "", Allowed),
        ("watch", "endpoints", "", "", Allowed),
        ("create", "events", "a", "e", Allowed),
        ("update", "leases.coordination.k8s.io", LEASE_NAMESPACE, "n1", Allowed),
        ("create", "certificatesigningrequests.certificates.k8s.io", "", "", Allowed),
    ] {
        assert_eq!(ask(verb, resource, namespace, name, None), wanted, "{verb} {resource} {namespace}/{name}");
    }
    assert_eq!(ask("list", "pods", "", "", Some("n1")), Allowed);
}

#[test]
fn a_node_reaches_nothing_else() {
    for (verb, resource, namespace, name) in [
        ("patch", "nodes", "", "n2"),
        ("patch", "nodes/status", "", "n2"),
        ("delete", "nodes", "", "n1"),
        ("create", "nodes/proxy", "", "n1"),
        ("list", "pods", "", ""),
        ("create", "pods", "a", "p"),
        ("patch", "pods", "a", "p"),
        ("create", "pods/binding", "a", "p"),
        ("create", "pods/exec", "a", "p"),
        ("deletecollection", "pods", "a", ""),
        ("list", "secrets", "a", ""),
        ("watch", "secrets", "", ""),
        ("update", "secrets", "a", "s"),
        ("list", "configmaps", "", ""),
        ("list", "serviceaccounts", "", ""),
        ("update", "leases.coordination.k8s.io", LEASE_NAMESPACE, "n2"),
        ("update", "leases.coordination.k8s.io", "kube-system", "n1"),
        ("delete", "leases.coordination.k8s.io", LEASE_NAMESPACE, "n1"),
    ] {
        assert!(matches!(ask(verb, resource, namespace, name, None), Rule::Refused(_)), "{verb} {resource} {namespace}/{name}");
    }
    assert!(matches!(ask("list", "pods", "", "", Some("n2")), Rule::Refused(_)));
    for (verb, resource) in [
        ("update", "services"),
        ("create", "endpoints"),
        ("create", "namespaces"),
        ("create", "projects.project.openshift.io"),
        ("update", "certificatesigningrequests.certificates.k8s.io/approval"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("delete", "events"),
    ] {
        assert_eq!(ask(verb, resource, "a", "x", None), Rule::NoOpinion, "{verb} {resource}: no binding gives it");
    }
}

#[test]
fn every_way_to_refer_counts_and_nothing_else_does() {
    let pod = |spec: Value| -> Pod { serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap() };
    let of = |container: Value| pod(json!({"containers": [container]}));
    for (pod, what) in [
        (of(json!({"name": "c", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]})), Referred::Secret),
        (of(json!({"name": "c", "envFrom": [{"secretRef": {"name": "x"}}]})), Referred::Secret),
        (
            of(json!({"name": "c", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]})),
            Referred::ConfigMap,
        ),
        (of(json!({"name": "c", "envFrom": [{"configMapRef": {"name": "x"}}]})), Referred::ConfigMap),
        (pod(json!({"initContainers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "x"}}]}]})), Referred::ConfigMap),
        (pod(json!({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]})), Referred::Secret),
        (pod(json!({"volumes": [{"name": "v", "configMap": {"name": "x"}}]})), Referred::ConfigMap),
        (pod(json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]})), Referred::Secret),
        (pod(json!({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "x"}}]}}]})), Referred::ConfigMap),
        (pod(json!({"imagePullSecrets": [{"name": "x"}]})), Referred::Secret),
        (pod(json!({"serviceAccountName": "x"})), Referred::ServiceAccount),
    ] {
        for other in [Referred::Secret, Referred::ConfigMap, Referred::ServiceAccount] {
            assert_eq!(refers(&pod, other, "x"), other == what, "{what:?} as {other:?}: {:?}", pod.spec);
        }
        assert!(!refers(&pod, what, "y"));
    }
}

#[test]
fn a_node_says_what_it_is_but_not_where_it_may_be_used() {
    let node = |labels: Value| json!({"metadata": {"name": "n1", "labels": labels}});
    let old = node(json!({"node-restriction.kubernetes.io/pci": "yes", "kubernetes.io/hostname": "n1"}));
    let label = |name: &str| {
        let mut new = old.clone();
        new["metadata"]["labels"][name] = "z".into();
        restricted(&new, &old)
    };
    for name in ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "kubelet.kubernetes.io/a", "example.com/a", "a"] {
        assert_eq!(label(name), None, "{name}");
    }
    for name in ["node-restriction.kubernetes.io/pci", "x.node-restriction.kubernetes.io/a", "node-role.kubernetes.io/master", "k8s.io/a"] {
        assert!(label(name).is_some(), "{name}");
    }
    assert!(restricted(&node(json!({"kubernetes.io/hostname": "n1"})), &old).is_some(), "nor take one away");
    assert!(restricted(&node(json!({"node-restriction.kubernetes.io/pci": "yes"})), &Value::Null).is_some(), "nor come with one");
    for change in [
        json!({"spec": {"taints": []}, "metadata": {}}),
        json!({"spec": {"podCIDR": "10.1.0.0/24"}, "metadata": {}}),
        json!({"spec": {"unschedulable": false}, "metadata": {}}),
        json!({"metadata": {"annotations": {MACHINE_KEY: "mine"}}}),
        json!({"metadata": {"ownerReferences": [{"name": "x"}]}}),
    ] {
        let old = json!({"metadata": {"annotations": {}}, "spec": {"unschedulable": true, "taints": [{"key": "a"}]}});
        let mut new = old.clone();
        for (member, part) in change.as_object().unwrap() {
            for (name, value) in part.as_object().unwrap() {
                new[member][name] = value.clone();
            }
        }
        assert!(restricted(&new, &old).is_some(), "{change}");
    }
}

#[test]
fn a_name_belongs_to_one_machine() {
    assert!(is_machine_of(Some("a"), Some("a")));
    assert!(!is_machine_of(Some("b"), Some("a")));
    assert!(is_machine_of(Some("a"), None) && is_machine_of(None, Some("a")));
}
