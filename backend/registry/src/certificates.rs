//! What a CertificateSigningRequest is on the way into the store: it says who asked, and only a decision changes it.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>
use crate::caller::Caller;
use crate::registry_impl::{AccessRequest, Registry};
use serde_json::{Map, Value, json};
use shared::kinds::{CERTIFICATE_SIGNING_REQUEST, Kind};
use shared::status::Status;

/// Conditions that are decisions: set at `/approval` only, and never taken back.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

/// Writes the asker's identity into a new request, whatever the asker wrote there.
pub(crate) fn stamp(caller: &Caller, kind: &Kind, value: &mut Value) {
    if *kind != CERTIFICATE_SIGNING_REQUEST || !value["spec"].is_object() {
        return;
    }
    let who = &caller.0;
    value["spec"]["username"] = json!(who.name);
    value["spec"]["uid"] = json!(who.uid);
    value["spec"]["groups"] = json!(who.groups);
    value["spec"]["extra"] = json!(who.extra);
    if who.extra.is_empty()
        && let Some(spec) = value["spec"].as_object_mut()
    {
        spec.remove("extra");
    }
}

/// Whoever decides on a request must be allowed to speak for its signer, beside being allowed to write the decision.
pub(crate) fn may_approve(
    registry: &Registry,
    caller: &Caller,
    kind: &Kind,
    subresource: &str,
    old: &Map<String, Value>,
) -> Result<(), Status> {
    if *kind != CERTIFICATE_SIGNING_REQUEST || subresource != "approval" {
        return Ok(());
    }
    let signer = old.get("spec").and_then(|s| s.get("signerName")).and_then(Value::as_str).unwrap_or_default();
    let request = AccessRequest {
        verb: "approve".into(),
        group: kind.group.into(),
        resource: "signers".into(),
        name: signer.into(),
        ..AccessRequest::default()
    };
    registry.authorise(caller, &request)
}

/// Keeps the two parts of a request's status apart: decisions come by `/approval`, all else by `/status`.
pub(crate) fn prepare_part(kind: &Kind, subresource: &str, mut new: Map<String, Value>, old: &Map<String, Value>) -> Map<String, Value> {
    if *kind != CERTIFICATE_SIGNING_REQUEST {
        return new;
    }
    let conditions = |from: &Map<String, Value>, decisions: bool| -> Vec<Value> {
        let all = from.get("status").and_then(|s| s.get("conditions")).and_then(Value::as_array);
        let is_decision = |c: &&Value| c["type"].as_str().is_some_and(|t| DECISIONS.contains(&t)) == decisions;
        all.into_iter().flatten().filter(is_decision).cloned().collect()
    };
    let mut decided = conditions(old, true);
    if subresource == "approval" {
        let more = conditions(&new, true).into_iter().filter(|c| !decided.iter().any(|d| d["type"] == c["type"])).collect::<Vec<_>>();
        decided.extend(more);
    }
    let from = if subresource == "approval" { old } else { &new };
    let mut status = from.get("status").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    decided.extend(conditions(from, false));
    // Whatever was written there: a decision by the wrong way leaves nothing behind.
    status["conditions"] = if decided.is_empty() { Value::Null } else { decided.into() };
    new.insert("status".into(), status);
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_request_says_who_asked_and_not_who_he_says_he_is() {
        let identity = crate::caller::Identity { name: "joe".into(), groups: vec!["g".into()], ..Default::default() };
        let mut value = json!({"spec": {"username": "system:admin", "groups": ["system:masters"], "extra": {"a": ["b"]}}});
        stamp(&Caller(Arc::new(identity)), &CERTIFICATE_SIGNING_REQUEST, &mut value);
        assert_eq!(value["spec"], json!({"username": "joe", "uid": "", "groups": ["g"]}));
    }

    #[test]
    fn a_decision_is_made_at_one_place_and_stays() {
        let (approved, denied) = (json!({"type": "Approved", "status": "True"}), json!({"type": "Denied", "status": "True"}));
        let part = |part: &str, new: Value, old: Value| prepare_part(&CERTIFICATE_SIGNING_REQUEST, part, map(new), &map(old));
        let bare = json!({"status": {}});
        let new = json!({"status": {"conditions": [approved], "certificate": "x"}});
        assert_eq!(part("approval", new.clone(), bare.clone())["status"], json!({"conditions": [approved]}), "no certificate by this way");
        assert_eq!(part("status", new, bare)["status"], json!({"certificate": "x", "conditions": null}), "and no decision by the other");
        let old = json!({"status": {"conditions": [denied]}});
        assert_eq!(part("approval", json!({"status": {"conditions": []}}), old)["status"], json!({"conditions": [denied]}));
    }
}
