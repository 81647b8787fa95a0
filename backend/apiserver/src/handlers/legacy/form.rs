//! Writes today's objects, lists and errors in the form in which an old URL answers.
use super::words;
use crate::respond::{self, Response};
use http::StatusCode;
use serde_json::{Value, json};
use shared::kinds;
use shared::legacy::{self, Version};
use shared::status::Status;

/// The form that an old URL asks for; travels in the request's extensions of a watch.
#[derive(Clone, Copy)]
pub struct OldForm {
    pub version: Version,
    /// The word of the URL, which `selfLink` repeats.
    pub word: &'static str,
}

impl OldForm {
    /// JSON of today in the old form.
    pub fn translate(self, bytes: &[u8]) -> Result<Vec<u8>, Status> {
        let value: Value = serde_json::from_slice(bytes).map_err(|e| Status::internal(e.to_string()))?;
        Ok(self.value(&value, None).to_string().into_bytes())
    }

    /// A list says where it was asked for: in which namespace, if in one.
    pub fn value(self, value: &Value, namespace: Option<&str>) -> Value {
        if value["kind"] == "Status" {
            return status(value, self.version);
        }
        let mut old = legacy::from_v1(value, self.version);
        if old["items"].is_array() {
            self.link(&mut old, "", namespace.unwrap_or_default());
        }
        for list in ["items", "minions"] {
            for item in old.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                self.link_object(item);
            }
        }
        self.link_object(&mut old);
        old
    }

    fn flat(self) -> bool {
        matches!(self.version, Version::V1Beta1 | Version::V1Beta2)
    }

    fn link_object(self, old: &mut Value) {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        let meta = if self.flat() { &*old } else { &old["metadata"] };
        let (name, namespace) = (text(&meta[if self.flat() { "id" } else { "name" }]), text(&meta["namespace"]));
        if !name.is_empty() {
            self.link(old, &format!("/{name}"), &namespace);
        }
    }

    /// Old clients refer to objects by `selfLink`.
    fn link(self, old: &mut Value, name: &str, namespace: &str) {
        let word = self.word;
        let query = if namespace.is_empty() { String::new() } else { format!("?namespace={namespace}") };
        match self.version {
            Version::V1Beta3 if namespace.is_empty() => old["metadata"]["selfLink"] = json!(format!("/api/v1beta3/{word}{name}")),
            Version::V1Beta3 => old["metadata"]["selfLink"] = json!(format!("/api/v1beta3/namespaces/{namespace}/{word}{name}")),
            Version::Osapi => old["metadata"]["selfLink"] = json!(format!("/osapi/v1beta1/{word}{name}{query}")),
            flat => old["selfLink"] = json!(format!("/api/{}/{word}{name}{query}", flat.name())),
        }
    }
}

/// A Status in the old form; `/osapi` wrote it as v1beta1 did.
pub fn status(value: &Value, version: Version) -> Value {
    legacy::from_v1(value, if version == Version::Osapi { Version::V1Beta1 } else { version })
}

/// The original indented by two.
pub fn pretty(code: StatusCode, value: &Value) -> Response {
    respond::json(code, serde_json::to_vec_pretty(value).expect("a Value is JSON").into())
}

/// An error in the old form: what policy forbids is told in plain text.
pub fn failure(error: &Status, version: Version, uri: &str) -> Response {
    if error.code == 403 && error.message.contains("User \"") && error.message.contains(" cannot ") {
        return respond::text(StatusCode::FORBIDDEN, format!("Forbidden: \"{uri}\" {}", error.message));
    }
    if error.code == 405 {
        return respond::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    }
    let mut response = respond::failure(error);
    let mut value = serde_json::to_value(error).expect("a Status is JSON");
    reword(&mut value);
    let text = serde_json::to_vec_pretty(&status(&value, version)).expect("a Value is JSON");
    *response.body_mut() = text.into();
    response
}

/// `services "x" not found` was `service "x" not found`.
fn reword(value: &mut Value) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let (plural, group, message) = (text(&value["details"]["kind"]), text(&value["details"]["group"]), text(&value["message"]));
    let Some(kind) = kinds::by_resource(&group, "v1", &plural) else { return };
    let word = words::in_messages(kind);
    value["details"]["kind"] = json!(word);
    let named = format!("{} \"", kind.qualified());
    let conflict = message.strip_prefix("Operation cannot be fulfilled on ").and_then(|m| m.strip_prefix(&named)?.split_once("\": "));
    let message = match (conflict, message.strip_prefix(&named)) {
        (Some((name, why)), _) => format!("{word} \"{name}\" cannot be updated: {why}"),
        (None, Some(rest)) => format!("{word} \"{}", quota(rest)),
        (None, None) => message,
    };
    value["message"] = json!(message);
}

/// `exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4` was `Limited to 4 pods`.
fn quota(message: &str) -> String {
    let Some((before, after)) = message.split_once("exceeded quota: ") else { return message.into() };
    let limit = after.split_once("limited: ").and_then(|(_, l)| l.split(',').next()?.split_once('='));
    let Some((resource, amount)) = limit else { return message.into() };
    let resource = match resource.trim_start_matches("limits.").trim_start_matches("requests.") {
        "cpu" => "CPU",
        other => other,
    };
    format!("{before}Limited to {amount} {resource}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: Status) -> (String, String) {
        let mut value = serde_json::to_value(error).unwrap();
        reword(&mut value);
        (value["message"].as_str().unwrap().into(), value["details"]["kind"].as_str().unwrap().into())
    }

    #[test]
    fn errors_use_the_words_of_the_era() {
        let missing = told(Status::not_found(&kinds::SERVICE, "x"));
        assert_eq!(missing, ("service \"x\" not found".into(), "service".into()));
        assert_eq!(told(Status::not_found(&kinds::PROJECT, "p")), ("namespaces \"p\" not found".into(), "namespaces".into()));
        let stale = told(Status::modified(&kinds::REPLICATION_CONTROLLER, "rc"));
        assert!(stale.0.starts_with("replicationController \"rc\" cannot be updated: "), "{}", stale.0);
        let full = Status::forbidden(&kinds::POD, "x", "exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4");
        assert_eq!(told(full).0, "pods \"x\" is forbidden: Limited to 4 pods");
    }
}
