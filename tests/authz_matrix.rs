//! Who may do what: every kind and subresource that the API serves, tried by every sort of caller over the wire.
//!
//! A kind or subresource that the tables below do not name fails the test: new routes must say whom they are for.
use e2e::{Caller, Cluster};
use reqwest::Method;
use serde_json::json;
use shared::kinds::{KINDS, Kind, Storage};

/// The least role that a request needs; each may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Least {
    /// Authenticated, bound nowhere.
    Stranger,
    Viewer,
    Editor,
    Admin,
    ClusterAdmin,
}
use Least::{Admin, ClusterAdmin, Editor, Stranger, Viewer};

/// Reading (get, list, watch) and writing (create, update, patch, delete, deletecollection) in a project.
fn in_project(kind: &Kind) -> Option<(Least, Least)> {
    Some(match (kind.group, kind.plural) {
        ("", "pods" | "replicationcontrollers" | "services" | "endpoints" | "configmaps" | "serviceaccounts" | "events") => {
            (Viewer, Editor)
        }
        ("", "secrets") | ("coordination.k8s.io", "leases") => (Editor, Editor),
        ("", "resourcequotas" | "limitranges") | ("discovery.k8s.io", "endpointslices") | ("events.k8s.io", "events") => {
            (Viewer, ClusterAdmin)
        }
        ("rbac.authorization.k8s.io", "roles" | "rolebindings") => (Admin, Admin),
        _ => return None,
    })
}

/// Reading one, listing all, and writing what belongs to no project.
fn in_cluster(kind: &Kind) -> Option<[Least; 3]> {
    Some(match (kind.group, kind.plural) {
        ("", "nodes") | ("rbac.authorization.k8s.io", "clusterroles" | "clusterrolebindings") => [ClusterAdmin; 3],
        ("user.openshift.io", "users" | "identities") | ("certificates.k8s.io", "certificatesigningrequests") => [ClusterAdmin; 3],
        _ => return None,
    })
}

/// Method and least role for each subresource.
fn subresource(kind: &Kind, name: &str) -> Option<Vec<(Method, Least)>> {
    let write = |least| vec![(Method::PUT, least), (Method::PATCH, least)];
    let read_write = |read, least| {
        let mut all = write(least);
        all.push((Method::GET, read));
        all
    };
    Some(match (kind.plural, name) {
        ("pods", "status") | ("replicationcontrollers" | "services" | "resourcequotas", "status") => write(ClusterAdmin),
        ("nodes" | "namespaces", "status") => write(ClusterAdmin),
        ("certificatesigningrequests", "status" | "approval") => read_write(ClusterAdmin, ClusterAdmin),
        ("pods", "binding") => vec![(Method::POST, ClusterAdmin)],
        ("pods", "eviction") => vec![(Method::POST, Editor)],
        ("pods", "log") => vec![(Method::GET, Viewer)],
        ("pods", "exec" | "attach" | "portforward") => vec![(Method::GET, Editor), (Method::POST, Editor)],
        ("pods" | "services", "proxy") => vec![(Method::GET, Editor), (Method::POST, Editor)],
        ("pods", "ephemeralcontainers") => write(ClusterAdmin),
        ("replicationcontrollers", "scale") => read_write(Viewer, Editor),
        ("serviceaccounts", "token") => vec![(Method::POST, Editor)],
        ("namespaces", "finalize") => vec![(Method::PUT, ClusterAdmin)],
        ("nodes", "proxy") => vec![(Method::GET, ClusterAdmin)],
        _ => return None,
    })
}

struct People {
    cluster: Cluster,
    callers: Vec<(Least, Caller)>,
    wrong: Vec<String>,
    tried: usize,
}

impl People {
    async fn gather() -> People {
        let cluster = Cluster::start().await;
        let admin = cluster.admin();
        admin.namespace("team").await;
        for (user, role) in [("vera", "view"), ("eddy", "edit"), ("anna", "admin")] {
            let binding = json!({"metadata": {"name": user}, "subjects": [{"kind": "User", "name": format!("anypassword:{user}")}],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}});
            admin.create("/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings", &binding).await;
        }
        let callers = vec![
            (Stranger, cluster.user("sven")),
            (Viewer, cluster.user("vera")),
            (Editor, cluster.user("eddy")),
            (Admin, cluster.user("anna")),
            (ClusterAdmin, admin),
        ];
        People { cluster, callers, wrong: Vec::new(), tried: 0 }
    }

    /// Everybody tries; nothing is kept, and objects are named that do not exist.
    async fn try_all(&mut self, method: Method, path: &str, least: Least) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = if method == Method::GET { path.to_string() } else { format!("{path}{separator}dryRun=All") };
        let content = match method {
            Method::GET => "",
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        for (role, caller) in &self.callers {
            let status = caller.status(method.clone(), &url, content, "{}").await;
            let refused = matches!(status, 401 | 403);
            if refused == (*role >= least) || status >= 500 {
                self.wrong.push(format!("{method} {path}: {role:?} was answered {status}, least is {least:?}"));
            }
            self.tried += 1;
        }
        let status = self.cluster.nobody().status(method.clone(), &url, content, "{}").await;
        if !matches!(status, 401 | 403) {
            self.wrong.push(format!("{method} {path}: nobody was answered {status}"));
        }
    }

    async fn objects(&mut self, collection: &str, read: Least, list: Least, write: Least) {
        let one = format!("{collection}/nothing-of-that-name");
        self.try_all(Method::GET, &one, read).await;
        self.try_all(Method::GET, collection, list).await;
        self.try_all(Method::GET, &format!("{collection}?watch=true&timeoutSeconds=1"), list).await;
        for (method, path) in
            [(Method::POST, collection), (Method::PUT, &one), (Method::PATCH, &one), (Method::DELETE, &one), (Method::DELETE, collection)]
        {
            self.try_all(method, path, write).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_may_do_what_his_role_says_and_nothing_else() {
    let mut people = People::gather().await;
    for kind in KINDS.iter().filter(|k| k.storage != Storage::Virtual) {
        let of_a_namespace = matches!(kind.plural, "namespaces" | "projects");
        if kind.namespaced() {
            let (read, write) = in_project(kind).unwrap_or_else(|| panic!("who may read and write {kind}? Say so in this test"));
            people.objects(&kind.collection_path(Some("team")), read, read, write).await;
            people.try_all(Method::GET, &kind.collection_path(None), ClusterAdmin).await;
            people.try_all(Method::GET, &kind.collection_path(Some("default")), ClusterAdmin).await;
        } else if !of_a_namespace {
            let [read, list, write] = in_cluster(kind).unwrap_or_else(|| panic!("who may read and write {kind}? Say so in this test"));
            people.objects(&kind.collection_path(None), read, list, write).await;
        }
        for name in kind.subresources {
            let rules = subresource(kind, name).unwrap_or_else(|| panic!("who may use {kind}/{name}? Say so in this test"));
            let object = if kind.plural == "namespaces" { "other" } else { "nothing-of-that-name" };
            for (method, least) in rules {
                let path = format!("{}/{name}", kind.object_path(Some("team"), object));
                people.try_all(method, &path, least).await;
            }
        }
    }
    assert!(people.wrong.is_empty(), "{} of {} wrong:\n{}", people.wrong.len(), people.tried, people.wrong.join("\n"));
    people.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_is_seen_by_its_members_and_changed_by_its_admin() {
    let mut people = People::gather().await;
    let (namespace, project) = ("/api/v1/namespaces/team", "/apis/project.openshift.io/v1/projects/team");
    people.try_all(Method::GET, namespace, Viewer).await;
    people.try_all(Method::GET, project, Viewer).await;
    // As in OpenShift: the project is its admin's, the namespace below it the cluster's.
    for method in [Method::PATCH, Method::DELETE] {
        people.try_all(method.clone(), project, Admin).await;
        people.try_all(method, namespace, ClusterAdmin).await;
    }
    people.try_all(Method::GET, "/api/v1/namespaces", ClusterAdmin).await;
    people.try_all(Method::POST, "/api/v1/namespaces", ClusterAdmin).await;
    people.try_all(Method::GET, "/api/v1/namespaces/default", ClusterAdmin).await;
    // Everybody lists projects, and sees his own.
    people.try_all(Method::GET, "/apis/project.openshift.io/v1/projects", Stranger).await;
    assert!(people.wrong.is_empty(), "{}", people.wrong.join("\n"));
    for (role, caller) in &people.callers {
        let (_, list) = caller.get("/apis/project.openshift.io/v1/projects").await;
        let names: Vec<&str> = list["items"].as_array().into_iter().flatten().filter_map(|p| p["metadata"]["name"].as_str()).collect();
        match role {
            Stranger => assert!(names.is_empty(), "{names:?}"),
            ClusterAdmin => assert!(names.contains(&"team") && names.contains(&"default"), "{names:?}"),
            _ => assert_eq!(names, ["team"]),
        }
    }
    people.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_or_takes_more_than_he_has() {
    let people = People::gather().await;
    let by = |least: Least| people.callers.iter().find(|(role, _)| *role == least).map(|(_, c)| c.clone()).expect("a caller of each role");
    let (editor, admin) = (by(Editor), by(Admin));
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/team";
    let binding = |name: &str, kind: &str, role: &str| {
        json!({"metadata": {"name": name}, "subjects": [{"kind": "User", "name": "anypassword:eddy"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}})
    };
    let (status, _) = admin.post(&format!("{rbac}/rolebindings"), &binding("up", "ClusterRole", "cluster-admin")).await;
    assert_eq!(status, 403, "a project's admin may not hand out cluster-admin");
    let (status, _) = admin.post(&format!("{rbac}/rolebindings"), &binding("same", "ClusterRole", "edit")).await;
    assert_eq!(status, 201, "but any role within his own");
    let role = |rules: serde_json::Value| json!({"metadata": {"name": "r"}, "rules": rules});
    let quota = json!([{"verbs": ["update"], "apiGroups": [""], "resources": ["resourcequotas"]}]);
    let (status, _) = admin.post(&format!("{rbac}/roles"), &role(quota)).await;
    assert_eq!(status, 403, "nor a role that changes quotas, which he cannot");
    let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
    assert_eq!(admin.post(&format!("{rbac}/roles"), &role(all)).await.0, 403);
    let pods = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    assert_eq!(admin.post(&format!("{rbac}/roles"), &role(pods.clone())).await.0, 201);
    assert_eq!(editor.post(&format!("{rbac}/roles"), &role(pods)).await.0, 403);
    // Nobody but the cluster's administrator acts in another's name.
    let request = editor.client.request(Method::GET, "/api/v1/nodes").header("impersonate-user", "system:admin");
    assert_eq!(editor.client.send(request).await.expect("an answer").status(), 403);
    people.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_accounts_token_speaks_for_it_and_dies_with_it() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.namespace("team").await;
    admin.create("/api/v1/namespaces/team/serviceaccounts", &json!({"metadata": {"name": "robot"}})).await;
    let answer = admin.create("/api/v1/namespaces/team/serviceaccounts/robot/token", &json!({"spec": {}})).await;
    let robot = cluster.bearer(answer["status"]["token"].as_str().expect("a token"));
    assert_eq!(robot.get("/api/v1/namespaces/team/pods").await.0, 403);
    let binding = json!({"metadata": {"name": "robot"}, "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "team"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}});
    admin.create("/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings", &binding).await;
    assert_eq!(robot.get("/api/v1/namespaces/team/pods").await.0, 200);
    assert_eq!(robot.get("/api/v1/namespaces/default/pods").await.0, 403);
    admin.send(Method::DELETE, "/api/v1/namespaces/team/serviceaccounts/robot", "", "").await;
    assert_eq!(robot.get("/api/v1/namespaces/team/pods").await.0, 401);
    assert_eq!(cluster.bearer("not.a.token").get("/api").await.0, 401);
    cluster.stop().await;
}
