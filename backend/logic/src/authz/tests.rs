//! What the default roles allow, and that nothing else is allowed.
use super::*;

fn policy(bindings: Vec<Value>) -> Policy {
    Policy::new(bootstrap::cluster_roles(), vec![], bootstrap::cluster_role_bindings(), bindings)
}

fn binding(namespace: &str, role: &str, user: &str) -> Value {
    json!({"metadata": {"name": role, "namespace": namespace}, "subjects": [{"kind": "User", "name": user}], "roleRef": {"kind": "ClusterRole", "name": role}})
}

fn may(p: &Policy, user: &str, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let groups = ["system:authenticated".to_string()];
    p.decide(&Attributes { user, groups: &groups, verb, group, resource, subresource, namespace, name: "x", path: "" })
}

#[test]
fn project_roles_reach_exactly_as_far_as_they_should() {
    let p = policy(vec![binding("hack", "admin", "ann"), binding("hack", "edit", "ed"), binding("hack", "view", "vi")]);
    for (user, verb, resource, namespace, wanted) in [
        ("ann", "create", "pods", "hack", true),
        ("ann", "create", "pods", "other", false),
        ("ann", "create", "resourcequotas", "hack", false),
        ("ann", "get", "resourcequotas", "hack", true),
        ("ann", "create", "rolebindings.rbac.authorization.k8s.io", "hack", true),
        ("ed", "create", "rolebindings.rbac.authorization.k8s.io", "hack", false),
        ("ed", "get", "secrets", "hack", true),
        ("ed", "create", "pods/exec", "hack", true),
        ("vi", "get", "secrets", "hack", false),
        ("vi", "list", "pods", "hack", true),
        ("vi", "delete", "pods", "hack", false),
        ("vi", "get", "pods/log", "hack", true),
        ("vi", "create", "pods/exec", "hack", false),
        ("nobody", "list", "pods", "hack", false),
        ("nobody", "list", "projects.project.openshift.io", "", true),
        ("ann", "list", "nodes", "", false),
    ] {
        assert_eq!(may(&p, user, verb, resource, namespace), wanted, "{user} {verb} {resource} in {namespace}");
    }
    assert_eq!(p.namespaces_of("vi", &[]), BTreeSet::from(["hack".to_string()]));
    assert!(p.namespaces_of("nobody", &[]).is_empty());
}

#[test]
fn nobody_grants_more_than_he_holds() {
    let p = policy(vec![binding("hack", "admin", "ann")]);
    let groups = ["system:authenticated".to_string()];
    assert!(p.may_grant("ann", &groups, "hack", &p.rules_of("ClusterRole", "", "edit")));
    assert!(!p.may_grant("ann", &groups, "hack", &p.rules_of("ClusterRole", "", "cluster-admin")));
    assert!(!p.may_grant("ann", &groups, "other", &p.rules_of("ClusterRole", "", "view")));
}

#[test]
fn service_accounts_and_paths() {
    let sa = json!({"metadata": {"name": "b", "namespace": "hack"}, "subjects": [{"kind": "ServiceAccount", "name": "bot"}], "roleRef": {"kind": "ClusterRole", "name": "view"}});
    let p = policy(vec![sa]);
    assert!(may(&p, "system:serviceaccount:hack:bot", "list", "pods", "hack"));
    assert!(!may(&p, "system:serviceaccount:other:bot", "list", "pods", "hack"));
    let path = |groups: &[&str], path: &str| {
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        p.decide(&Attributes {
            user: "u",
            groups: &groups,
            verb: "get",
            group: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path,
        })
    };
    assert!(path(&["system:unauthenticated"], "/healthz"));
    assert!(!path(&["system:unauthenticated"], "/metrics"));
    assert!(path(&["system:authenticated"], "/openapi/v3/api/v1"));
    assert!(path(&["system:cluster-admins"], "/metrics"));
}
