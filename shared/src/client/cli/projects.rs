//! Projects and who may do what in them.
use super::args::NewProjectArgs;
use super::print;
use crate::client::http::Client;
use crate::client::output::rows;
use crate::client::{ClientError, Result, resources};
use crate::kinds::{PROJECT, ROLE_BINDING};
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Silent when it succeeds.
pub(super) async fn new_project(client: &Client, args: NewProjectArgs) -> Result<()> {
    let mut annotations = json!({});
    for (name, value) in [("openshift.io/display-name", &args.display_name), ("openshift.io/description", &args.description)] {
        if !value.is_empty() {
            annotations[name] = json!(value);
        }
    }
    let body = json!({"kind": "Project", "apiVersion": PROJECT.api_version(), "metadata": {"name": args.name, "annotations": annotations}});
    match client.post(&resources::path(&PROJECT, "", ""), &body).await {
        Err(error) if error.code() == 409 => return Err(ClientError::usage(format!("project \"{}\" already exists", args.name))),
        other => other?,
    };
    if let Some(admin) = args.admin {
        bind(client, &args.name, &args.admin_role, "User", std::slice::from_ref(&admin)).await.map_err(|e| {
            ClientError::usage(format!(
                "the project was created, but {admin} could not be made its {}: {e}; try openshift ex policy add-user {} {admin} -n {}",
                args.admin_role, args.admin_role, args.name
            ))
        })?;
    }
    Ok(())
}

fn subject(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "apiGroup": RBAC, "name": name})
}

/// Adds the names to the namespace's binding of the role, making it if there is none.
pub(super) async fn bind(client: &Client, namespace: &str, role: &str, kind: &str, names: &[String]) -> Result<()> {
    let list = client.get(&resources::path(&ROLE_BINDING, namespace, "")).await?;
    let of_role = |b: &&Value| b["roleRef"]["name"] == role && b["roleRef"]["kind"] == "ClusterRole";
    let wanted: Vec<Value> = names.iter().map(|n| subject(kind, n)).collect();
    let Some(mut binding) = list["items"].as_array().into_iter().flatten().find(of_role).cloned() else {
        let body = json!({"kind": "RoleBinding", "apiVersion": ROLE_BINDING.api_version(), "metadata": {"name": role}, "subjects": wanted,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}});
        return client.post(&resources::path(&ROLE_BINDING, namespace, ""), &body).await.map(|_| ());
    };
    let mut subjects: Vec<Value> = binding["subjects"].as_array().cloned().unwrap_or_default();
    subjects.extend(wanted.into_iter().filter(|w| !binding["subjects"].as_array().is_some_and(|s| s.contains(w))));
    put(client, namespace, &mut binding, subjects).await
}

async fn put(client: &Client, namespace: &str, binding: &mut Value, subjects: Vec<Value>) -> Result<()> {
    binding["subjects"] = subjects.into();
    binding["kind"] = json!("RoleBinding");
    binding["apiVersion"] = json!(ROLE_BINDING.api_version());
    let name = binding["metadata"]["name"].as_str().unwrap_or_default().to_string();
    client.put(&resources::path(&ROLE_BINDING, namespace, &name), binding).await.map(|_| ())
}

/// Takes the names out of every binding of the role, or of all roles, in the namespace.
pub(super) async fn unbind(client: &Client, namespace: &str, role: Option<&str>, kind: &str, names: &[String]) -> Result<()> {
    let list = client.get(&resources::path(&ROLE_BINDING, namespace, "")).await?;
    for binding in list["items"].as_array().into_iter().flatten().filter(|b| role.is_none_or(|r| b["roleRef"]["name"] == r)) {
        let all: Vec<Value> = binding["subjects"].as_array().cloned().unwrap_or_default();
        let gone = |s: &Value| s["kind"] == kind && names.iter().any(|n| s["name"] == n.as_str());
        let left: Vec<Value> = all.iter().filter(|s| !gone(s)).cloned().collect();
        if left.len() != all.len() {
            put(client, namespace, &mut binding.clone(), left).await?;
        }
    }
    Ok(())
}

pub(super) async fn list(client: &Client) -> Result<()> {
    let list = client.get(&resources::path(&PROJECT, "", "")).await?;
    let objects = list["items"].as_array().cloned().unwrap_or_default();
    print(&rows::table(&PROJECT, &objects, rows::TableOptions::default(), jiff::Timestamp::now()))
}

/// The name that the server knows the caller by.
pub(super) async fn who(client: &Client) -> Result<String> {
    let review = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let answer = match client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await {
        Err(error) if error.code() == 403 => return Err(ClientError::usage("you are not logged in to the server: osc login")),
        other => other?,
    };
    Ok(answer["status"]["userInfo"]["username"].as_str().unwrap_or("system:anonymous").to_string())
}

/// Prints the caller's name, or with `-t` and `-c` the token or the context in use.
pub(super) async fn whoami(client: &Client, token: bool) -> Result<()> {
    if token {
        let token = client.target.token.as_ref().ok_or_else(|| ClientError::usage("you are not logged in with a token"))?;
        return print(&format!("{token}\n"));
    }
    print(&format!("{}\n", who(client).await?))
}
