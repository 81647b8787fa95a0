//! OpenShift's own kinds of `/osapi`: projects, users, and role bindings as mappings of today's RBAC.
use super::{Object, copy, take};
use serde_json::{Value, json};

const DISPLAY_NAME: &str = "openshift.io/display-name";
const DESCRIPTION: &str = "openshift.io/description";

pub(super) fn to_v1(object: &mut Object, kind: &str, out: &mut Value) {
    match kind {
        "Project" => {
            out["apiVersion"] = json!("project.openshift.io/v1");
            let annotations = &mut out["metadata"]["annotations"];
            for (old, new) in [("displayname", DISPLAY_NAME), ("description", DESCRIPTION)] {
                if let Some(text) = annotations.as_object_mut().and_then(|a| a.remove(old)) {
                    annotations[new] = text;
                }
            }
            if let Some(name) = take(object, "displayName").filter(|n| n != "") {
                annotations[DISPLAY_NAME] = name;
            }
            if annotations.is_null() {
                out["metadata"].as_object_mut().map(|m| m.remove("annotations"));
            }
        }
        "RoleBinding" => {
            out["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
            let group = "rbac.authorization.k8s.io";
            let names = |object: &mut Object, m: &str| take(object, m).and_then(|n| n.as_array().cloned()).unwrap_or_default();
            let users = names(object, "userNames").into_iter().map(|n| json!({"kind": "User", "apiGroup": group, "name": n}));
            let users: Vec<Value> = users.collect();
            let groups = names(object, "groupNames").into_iter().map(|n| json!({"kind": "Group", "apiGroup": group, "name": n}));
            out["subjects"] = users.into_iter().chain(groups).collect::<Vec<_>>().into();
            let role = take(object, "roleRef").unwrap_or_default();
            // The era's global roles lived in namespace `master`; today they are cluster roles.
            let kind = if role["namespace"].as_str().is_none_or(|n| n == "master" || n.is_empty()) { "ClusterRole" } else { "Role" };
            out["roleRef"] = json!({"apiGroup": group, "kind": kind, "name": role["name"]});
        }
        _ => {
            out["apiVersion"] = json!("user.openshift.io/v1");
            for (name, value) in
                std::mem::take(object).into_iter().filter(|(k, v)| !matches!(k.as_str(), "kind" | "apiVersion") && !v.is_null())
            {
                out[name] = value;
            }
        }
    }
}

pub(super) fn from_v1(value: &Value, kind: &str, out: &mut Object) {
    match kind {
        "Project" => {
            let display = value["metadata"]["annotations"][DISPLAY_NAME].as_str();
            out.insert("displayName".into(), json!(display.unwrap_or_default()));
        }
        "RoleBinding" => {
            let names = |kind: &str| -> Vec<Value> {
                value["subjects"].as_array().into_iter().flatten().filter(|s| s["kind"] == kind).map(|s| s["name"].clone()).collect()
            };
            out.insert("userNames".into(), names("User").into());
            out.insert("groupNames".into(), names("Group").into());
            let namespace = if value["roleRef"]["kind"] == "Role" { value["metadata"]["namespace"].clone() } else { json!("master") };
            out.insert("roleRef".into(), json!({"namespace": namespace, "name": value["roleRef"]["name"]}));
        }
        _ => copy(value, &["fullName", "identities", "groups", "providerName", "providerUserName", "user", "extra"], out),
    }
}

/// The annotations of 2015 beside today's, so that old readers find the description.
pub(super) fn old_annotations(annotations: &mut Object) {
    for (old, new) in [("displayname", DISPLAY_NAME), ("description", DESCRIPTION)] {
        if let Some(text) = annotations.remove(new) {
            annotations.insert(old.into(), text);
        }
    }
}
