//! OpenShift's own kinds of `/osapi`: projects, users and identities.
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
            if let Some(name) = value["metadata"]["annotations"][DISPLAY_NAME].as_str().filter(|n| !n.is_empty()) {
                out.insert("displayName".into(), json!(name));
            }
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
