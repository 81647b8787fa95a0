//! Who may call, and as whom.
mod harness;
use harness::{Cluster, answer};
use serde_json::{Value, json};

const ME: &str = "/apis/user.openshift.io/v1/users/~";
const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

#[tokio::test]
async fn certificates_anonymous_and_wrong_tokens() {
    let c = Cluster::start().await;
    let who = c.post(WHOAMI, json!({})).await;
    assert_eq!((who.0, &who.1["status"]["userInfo"]["username"]), (201, &json!("system:admin")), "{}", who.1);
    let (code, refused) = answer(c.nobody.get(c.url("/api/v1/pods"))).await;
    assert_eq!((code, &refused["reason"]), (403, &json!("Forbidden")));
    assert!(refused["message"].as_str().unwrap().contains("system:anonymous"));
    let (code, status) = answer(c.nobody.get(c.url("/api/v1/pods")).bearer_auth("nonsense")).await;
    assert_eq!((code, &status["reason"], &status["message"]), (401, &json!("Unauthorized"), &json!("Unauthorized")));
    assert_eq!(answer(c.nobody.get(c.url("/api/v1/pods")).header("authorization", "Nonsense")).await.0, 401);
}

#[tokio::test]
async fn any_password_logs_in_on_this_machine_and_logout_ends_it() {
    let c = Cluster::start().await;
    let login = c.nobody.post(c.url("/login")).json(&json!({"username": "test-admin", "password": "x"})).send().await.unwrap();
    assert_eq!(login.status(), 200);
    let cookie = login.headers()["set-cookie"].to_str().unwrap().to_string();
    assert!(cookie.starts_with("__Host-openshift=") && cookie.contains("HttpOnly") && cookie.contains("Secure"));
    let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_string();
    let me = |token: String| answer(c.nobody.get(c.url(ME)).bearer_auth(token));
    let (code, user) = me(token.clone()).await;
    assert_eq!((code, &user["metadata"]["name"]), (200, &json!("anypassword:test-admin")), "{user}");
    assert_eq!(c.get("/apis/user.openshift.io/v1/identities/anypassword:test-admin").await.0, 200);
    let value = cookie.split(';').next().unwrap();
    assert_eq!(answer(c.nobody.get(c.url(ME)).header("cookie", value)).await.0, 200);
    let foreign = c.nobody.post(c.url(WHOAMI)).header("cookie", value).header("origin", "https://evil.example").json(&json!({}));
    assert_eq!(answer(foreign).await.1["status"]["userInfo"]["username"], Value::Null, "another site's page gets nowhere with the cookie");
    assert_eq!(answer(c.nobody.get(c.url(&format!("{ME}?access_token={token}")))).await.0, 200);
    assert_eq!(answer(c.nobody.post(c.url("/logout")).bearer_auth(&token)).await.0, 200);
    assert_eq!(me(token).await.0, 401);
    for (name, password) in [("", "x"), ("a", ""), ("a/b", "x")] {
        assert_eq!(answer(c.nobody.post(c.url("/login")).json(&json!({"username": name, "password": password}))).await.0, 401);
    }
}

#[tokio::test]
async fn guessing_passwords_is_slowed_and_shuts_nobody_out() {
    let c = Cluster::start().await;
    let login = async |name: &str, password: &str| {
        let sent = c.nobody.post(c.url("/login")).json(&json!({"username": name, "password": password})).send().await.unwrap();
        (sent.status().as_u16(), sent.headers().get("retry-after").is_some(), sent.text().await.unwrap())
    };
    assert_eq!(login("owner", "right").await.0, 200);
    for name in ["victim", "nobody-of-that-name"] {
        let first = login(name, "").await;
        assert_eq!(first.0, 401);
        for _ in 1..10 {
            assert_eq!(login(name, "").await, first, "the same answer each time");
        }
        let (code, retry, text) = login(name, "").await;
        assert_eq!((code, retry), (429, true), "{text}");
        assert!(text.contains("TooManyRequests") && !text.contains(name), "{text}");
    }
    // By every other way too.
    let url = c.url("/oauth/authorize?client_id=openshift-challenging-client&response_type=token");
    assert_eq!(c.nobody.get(&url).basic_auth("victim", Some("")).send().await.unwrap().status(), 429);
    assert_eq!(answer(c.nobody.get(c.url(ME)).basic_auth("victim", Some(""))).await.0, 429);
    let page = c
        .nobody
        .post(c.url("/login"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("username=victim&password=")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 429);
    assert!(page.text().await.unwrap().contains("Too many wrong passwords"));
    for _ in 0..30 {
        assert_eq!(login("owner", "right").await.0, 200, "right passwords use up nothing");
    }
}

#[tokio::test]
async fn the_command_line_gets_its_token_by_challenge() {
    let c = Cluster::start().await;
    let url = c.url("/oauth/authorize?client_id=openshift-challenging-client&response_type=token");
    let challenge = c.nobody.get(&url).send().await.unwrap();
    assert_eq!(challenge.status(), 401);
    assert!(challenge.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    let granted = c.nobody.get(&url).basic_auth("joe", Some("pw")).send().await.unwrap();
    assert_eq!(granted.status(), 302);
    let location = granted.headers()["location"].to_str().unwrap().to_string();
    let token = location.split_once("#access_token=").unwrap().1.split('&').next().unwrap();
    assert_eq!(answer(c.nobody.get(c.url(ME)).bearer_auth(token)).await.1["metadata"]["name"], "anypassword:joe");
    let stolen = format!("{url}&redirect_uri=https%3A%2F%2Fevil.example%2F");
    assert_eq!(c.nobody.get(&stolen).basic_auth("joe", Some("pw")).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn service_account_tokens_speak_for_their_account_while_it_exists() {
    let c = Cluster::start().await;
    let (code, made) =
        c.post("/api/v1/namespaces/default/serviceaccounts/default/token", json!({"spec": {"expirationSeconds": 3600}})).await;
    assert_eq!(code, 201, "{made}");
    let token = made["status"]["token"].as_str().unwrap();
    let (code, who) = answer(c.nobody.post(c.url(WHOAMI)).bearer_auth(token).json(&json!({}))).await;
    assert_eq!((code, &who["status"]["userInfo"]["username"]), (201, &json!("system:serviceaccount:default:default")), "{who}");
    let review = c.post("/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": token}})).await.1;
    assert_eq!(
        (&review["status"]["authenticated"], &review["status"]["user"]["username"]),
        (&json!(true), &json!("system:serviceaccount:default:default"))
    );
    let other = c.post("/api/v1/namespaces/default/serviceaccounts/default/token", json!({"spec": {"audiences": ["vault"]}})).await.1;
    let other = other["status"]["token"].as_str().unwrap();
    assert_eq!(answer(c.nobody.get(c.url("/api/v1")).bearer_auth(other)).await.0, 401, "a token for another audience is none for us");
    assert_eq!(c.get("/openid/v1/jwks").await.1["keys"][0]["alg"], "ES256");
    assert_eq!(answer(c.admin.delete(c.url("/api/v1/namespaces/default/serviceaccounts/default"))).await.0, 200);
    assert_eq!(answer(c.nobody.get(c.url("/api/v1")).bearer_auth(token)).await.0, 401);
}

#[tokio::test]
async fn acting_as_somebody_else_needs_the_right_to() {
    let c = Cluster::start().await;
    let as_jane = c.admin.post(c.url(WHOAMI)).header("impersonate-user", "jane").header("impersonate-group", "dev").json(&json!({}));
    let (_, who) = answer(as_jane).await;
    assert_eq!(who["status"]["userInfo"]["username"], "jane");
    let token = c.nobody.post(c.url("/login")).json(&json!({"username": "joe", "password": "x"})).send().await.unwrap();
    let token = token.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_string();
    let as_admin = c
        .nobody
        .get(c.url("/api/v1/pods"))
        .bearer_auth(&token)
        .header("impersonate-user", "system:admin")
        .header("impersonate-group", "system:masters");
    assert_eq!(answer(as_admin).await.0, 403);
    let can = |user: &str| json!({"spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": {"verb": "delete", "resource": "nodes"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(c.post(path, can("joe")).await.1["status"]["allowed"], false);
    let own = json!({"spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}}});
    assert_eq!(c.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", own).await.1["status"]["allowed"], true);
    let rules = c.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json!({"spec": {"namespace": "default"}})).await;
    assert!(rules.1["status"]["resourceRules"].is_array(), "{}", rules.1);
}

#[tokio::test]
async fn who_makes_a_project_is_its_admin() {
    let c = Cluster::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = |name: &str, verb: &str, group: &str, resource: &str| {
        json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name},
            "rules": [{"verbs": [verb], "apiGroups": [group], "resources": [resource]}]})
    };
    for role in [role("self-provisioner", "create", "project.openshift.io", "projects"), role("admin", "*", "", "pods")] {
        assert_eq!(c.post(&format!("{rbac}/clusterroles"), role).await.0, 201);
    }
    let binding = json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "self-provisioner"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "self-provisioner"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}]});
    assert_eq!(c.post(&format!("{rbac}/clusterrolebindings"), binding).await.0, 201);
    let login = c.nobody.post(c.url("/login")).json(&json!({"username": "maker", "password": "x"})).send().await.unwrap();
    let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_string();
    let project = json!({"kind": "Project", "apiVersion": "project.openshift.io/v1", "metadata": {"name": "mine"}});
    let made = c.nobody.post(c.url("/apis/project.openshift.io/v1/projects")).bearer_auth(&token).json(&project);
    assert_eq!(answer(made).await.0, 201);
    let bindings = c.get(&format!("{rbac}/namespaces/mine/rolebindings/admin")).await.1;
    assert_eq!(bindings["subjects"][0]["name"], "anypassword:maker", "{bindings}");
    assert_eq!(answer(c.nobody.get(c.url("/api/v1/namespaces/mine/pods")).bearer_auth(&token)).await.0, 200);
    assert_eq!(answer(c.nobody.get(c.url("/api/v1/namespaces/default/pods")).bearer_auth(&token)).await.0, 403);
    let project = json!({"kind": "Project", "apiVersion": "project.openshift.io/v1", "metadata": {"name": "theirs"}});
    assert_eq!(c.post("/apis/project.openshift.io/v1/projects", project).await.0, 201);
    let none = c.get(&format!("{rbac}/namespaces/theirs/rolebindings")).await.1;
    assert_eq!(none["items"], json!([]), "administrators of the cluster need no binding");
}
