//! The roles and bindings that every cluster begins with.
//!
//! cluster-admin, admin, edit and view as OpenShift and Kubernetes have them; a project's admin may read its quotas and
//! limits but not change them.
use crate::bootstrap_token;
use serde_json::{Value, json};

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Core resources that a project's members work with; secrets stand apart, since viewers must not read them.
const WORK: [&str; 15] = [
    "pods",
    "pods/attach",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "pods/eviction",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "services",
    "services/proxy",
    "endpoints",
    "configmaps",
    "serviceaccounts",
    "events",
    "persistentvolumeclaims",
];
const VIEW: [&str; 18] = [
    "pods",
    "pods/log",
    "pods/status",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "replicationcontrollers/status",
    "services",
    "services/status",
    "endpoints",
    "configmaps",
    "serviceaccounts",
    "events",
    "limitranges",
    "resourcequotas",
    "resourcequotas/status",
    "bindings",
    "namespaces",
    "persistentvolumeclaims",
];
const RBAC: &str = "rbac.authorization.k8s.io";

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": groups, "resources": resources})
}

fn view_rules() -> Vec<Value> {
    vec![
        rule(&READ, &[""], &VIEW),
        rule(&READ, &["discovery.k8s.io"], &["endpointslices"]),
        rule(&READ, &["events.k8s.io"], &["events"]),
        rule(&READ, &["metrics.k8s.io"], &["pods"]),
        rule(&["get"], &["project.openshift.io"], &["projects"]),
    ]
}

fn edit_rules() -> Vec<Value> {
    let all: Vec<&str> = READ.into_iter().chain(WRITE).collect();
    let mut rules = view_rules();
    rules.push(rule(&all, &[""], &WORK));
    rules.push(rule(&all, &[""], &["secrets"]));
    rules.push(rule(&["create"], &[""], &["serviceaccounts/token"]));
    rules.push(rule(&all, &["coordination.k8s.io"], &["leases"]));
    rules
}

fn admin_rules() -> Vec<Value> {
    let all: Vec<&str> = READ.into_iter().chain(WRITE).collect();
    let mut rules = edit_rules();
    rules.push(rule(&all, &[RBAC], &["roles", "rolebindings"]));
    rules.push(rule(&["create"], &["authorization.k8s.io"], &["localsubjectaccessreviews"]));
    rules.push(rule(&["get", "update", "patch", "delete"], &["project.openshift.io"], &["projects"]));
    rules
}

fn role(name: &str, rules: Vec<Value>) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": rules})
}

fn aggregating(name: &str, rules: Vec<Value>) -> Value {
    let mut role = role(name, rules);
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    role
}

/// All default cluster roles.
pub fn cluster_roles() -> Vec<Value> {
    let paths = |urls: &[&str]| json!({"verbs": ["get"], "nonResourceURLs": urls});
    vec![
        role(
            "cluster-admin",
            vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}), json!({"verbs": ["*"], "nonResourceURLs": ["*"]})],
        ),
        aggregating("admin", admin_rules()),
        aggregating("edit", edit_rules()),
        aggregating("view", view_rules()),
        role(
            "basic-user",
            vec![
                json!({"verbs": ["get"], "apiGroups": ["user.openshift.io"], "resources": ["users"], "resourceNames": ["~"]}),
                rule(&["list"], &["project.openshift.io"], &["projects"]),
                rule(&["create"], &["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                rule(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]),
            ],
        ),
        role(
            "system:discovery",
            vec![paths(&["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/osapi", "/osapi/*", "/oapi", "/swaggerapi/*"])],
        ),
        role(
            "cluster-status",
            vec![paths(&["/healthz", "/livez", "/readyz", "/version", "/version/", "/healthz/*", "/livez/*", "/readyz/*"])],
        ),
        role("cluster-reader", vec![rule(&READ, &["*"], &["*"]), paths(&["*"])]),
        role("system:node-bootstrapper", vec![rule(&["create", "get"], &["certificates.k8s.io"], &["certificatesigningrequests"])]),
        role("self-provisioner", vec![rule(&["create"], &["project.openshift.io"], &["projects"])]),
    ]
}

/// All default cluster role bindings.
pub fn cluster_role_bindings() -> Vec<Value> {
    let bind = |name: &str, role: &str, groups: &[&str]| {
        let subjects: Vec<Value> = groups.iter().map(|g| json!({"kind": "Group", "apiGroup": RBAC, "name": g})).collect();
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "subjects": subjects, "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}})
    };
    vec![
        bind("cluster-admin", "cluster-admin", &["system:masters", "system:cluster-admins"]),
        bind("system:node-bootstrapper", "system:node-bootstrapper", &[bootstrap_token::GROUP]),
        bind("basic-user", "basic-user", &["system:authenticated"]),
        bind("self-provisioner", "self-provisioner", &["system:authenticated"]),
        bind("system:discovery", "system:discovery", &["system:authenticated"]),
        bind("cluster-status", "cluster-status", &["system:authenticated", "system:unauthenticated"]),
    ]
}
