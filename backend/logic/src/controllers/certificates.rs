//! Which requests for certificates are granted, and what happens to them afterwards.
//!
//! Granted without a person: a node's first certificate, to whoever shows a bootstrap token, if no other machine has the
//! node's name; and the next one, to the machine that has it. All others wait for `kubectl certificate approve`.
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>
use super::Write;
use crate::authz::node::{self, MACHINE_KEY, PREFIX};
use crate::bootstrap_token;
use serde_json::{Value, json};
use shared::kinds::{CERTIFICATE_SIGNING_REQUEST, NODE};

pub const KUBELET_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// A node asks for the next certificate when a third of this is left.
pub const SECONDS_MAX: i64 = 365 * 86_400;
/// Requests that are done with, and such that nobody decided on, are removed after this.
const KEPT_SECONDS: i64 = 3600;
const WAITING_SECONDS: i64 = 86_400;

/// What a certificate request (PKCS#10) asks for; its signature has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    pub common_name: String,
    pub organizations: Vec<String>,
    /// It names hosts, addresses or anything else beside its subject.
    pub more_names: bool,
    /// SHA-256 (hex) of the public key.
    pub key: String,
}

/// A request and what else is to be known of it.
pub struct Observed<'a> {
    pub request: &'a Value,
    /// What its PKCS#10 says, or what is wrong with that.
    pub asks: Result<&'a Requested, &'a str>,
    /// The Node of the name that is asked for, as JSON.
    pub node: Option<&'a Value>,
    /// Unix seconds.
    pub now: i64,
    /// RFC 3339 of `now`.
    pub now_text: &'a str,
    /// Unix seconds.
    pub created: i64,
}

/// What is due next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Nothing,
    Write(Box<Write>),
    /// Sign for so many seconds, and write the certificate into the status.
    Sign(i64),
}

/// One step at a time: the name is taken before the request is granted, so that of two machines one gets it.
pub fn reconcile(o: &Observed<'_>) -> Step {
    let has = |wanted: &str| o.request["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == wanted);
    let issued = o.request["status"]["certificate"].as_str().is_some_and(|c| !c.is_empty());
    let decided = has("Denied") || has("Failed") || issued;
    let age = o.now - o.created;
    if decided && age > KEPT_SECONDS || age > WAITING_SECONDS {
        return remove(o);
    }
    let signer = o.request["spec"]["signerName"].as_str().unwrap_or_default();
    if decided || ![KUBELET_SIGNER, CLIENT_SIGNER].contains(&signer) {
        return Step::Nothing;
    }
    let fault = match &o.asks {
        Err(why) => Some(format!("the certificate request cannot be read: {why}")),
        Ok(asks) => fault(signer, asks, &o.request["spec"]["usages"]),
    };
    if has("Approved") {
        return match fault {
            Some(why) => condition(o, "status", "Failed", "SignerValidationFailure", &why),
            None => Step::Sign(seconds(o)),
        };
    }
    match (o.asks, fault) {
        (Ok(asks), None) if signer == KUBELET_SIGNER => node_certificate(o, asks),
        // What the automatic rules know nothing of waits for a person.
        _ => Step::Nothing,
    }
}

/// Half a minute more is no promise: what is asked for is what is signed, up to the signer's own bound.
fn seconds(o: &Observed<'_>) -> i64 {
    o.request["spec"]["expirationSeconds"].as_i64().unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}

/// Why the signer never signs this.
fn fault(signer: &str, asks: &Requested, usages: &Value) -> Option<String> {
    let allowed = ["digital signature", "key encipherment", "client auth"];
    let usages: Vec<&str> = usages.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !usages.contains(&"client auth") || usages.iter().any(|u| !allowed.contains(u)) {
        return Some(format!("usages must be \"client auth\", and beside it only {allowed:?}"));
    }
    if asks.organizations.iter().any(|o| o.split(',').any(|group| group == "system:masters")) {
        return Some("nobody gets a certificate for system:masters".into());
    }
    if signer != KUBELET_SIGNER {
        return None;
    }
    if asks.organizations != [node::GROUP] {
        return Some(format!("the organization must be {}", node::GROUP));
    }
    if asks.more_names {
        return Some("a node's client certificate names nothing but its subject".into());
    }
    let name = asks.common_name.strip_prefix(PREFIX).unwrap_or_default();
    (name.is_empty() || name != name.to_lowercase()).then(|| format!("the common name must be {PREFIX} and a node's name"))
}

fn node_certificate(o: &Observed<'_>, asks: &Requested) -> Step {
    let name = asks.common_name.strip_prefix(PREFIX).unwrap_or_default();
    let spec = &o.request["spec"];
    let by_token = spec["groups"].as_array().is_some_and(|g| g.iter().any(|g| g == bootstrap_token::GROUP));
    let by_itself = spec["username"] == asks.common_name.as_str();
    if !by_token && !by_itself {
        return Step::Nothing;
    }
    let owner = o.node.map(|n| n["metadata"]["annotations"][MACHINE_KEY].as_str().unwrap_or_default());
    match owner {
        Some(key) if key == asks.key => condition(o, "approval", "Approved", "AutoApproved", "the machine that has this node's name asks"),
        // Its own name, which was deleted: as for a new node.
        None => take_name(name, &asks.key),
        Some(_) => {
            let why = format!("node \"{name}\" is another machine; if that one is gone, remove it first: osc delete nodes {name}");
            condition(o, "approval", "Denied", "NameTaken", &why)
        }
    }
}

/// The node, before its machine has said anything of itself.
fn take_name(name: &str, key: &str) -> Step {
    let body = json!({"metadata": {"name": name, "annotations": {MACHINE_KEY: key}}, "spec": {}});
    Step::Write(Box::new(Write::Create { kind: &NODE, namespace: String::new(), body, creator: None }))
}

fn remove(o: &Observed<'_>) -> Step {
    let (name, uid) = named(o);
    Step::Write(Box::new(Write::Delete { kind: &CERTIFICATE_SIGNING_REQUEST, namespace: String::new(), name, uid, grace_seconds: None }))
}

fn condition(o: &Observed<'_>, subresource: &'static str, what: &str, reason: &str, message: &str) -> Step {
    let mut conditions: Vec<Value> = o.request["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.push(json!({"type": what, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": o.now_text, "lastTransitionTime": o.now_text}));
    let (name, uid) = named(o);
    let patch = json!({"status": {"conditions": conditions}});
    Step::Write(Box::new(Write::Merge { kind: &CERTIFICATE_SIGNING_REQUEST, namespace: String::new(), name, subresource, uid, patch }))
}

fn named(o: &Observed<'_>) -> (String, String) {
    let text = |member: &str| o.request["metadata"][member].as_str().unwrap_or_default().to_string();
    (text("name"), text("uid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(who: &str, groups: &[&str], conditions: Value) -> Value {
        json!({"metadata": {"name": "csr-1", "uid": "u"}, "status": {"conditions": conditions},
            "spec": {"signerName": KUBELET_SIGNER, "username": who, "groups": groups, "usages": ["client auth", "digital signature"]}})
    }

    fn asks(name: &str) -> Requested {
        Requested { common_name: format!("{PREFIX}{name}"), organizations: vec![node::GROUP.into()], more_names: false, key: "mine".into() }
    }

    fn step(request: &Value, asks: &Requested, node: Option<Value>, age: i64) -> Step {
        reconcile(&Observed { request, asks: Ok(asks), node: node.as_ref(), now: age, now_text: "now", created: 0 })
    }

    fn written(step: Step) -> (&'static str, String) {
        let Step::Write(write) = step else { panic!("{step:?} writes nothing") };
        match *write {
            Write::Create { body, .. } => ("create", body["metadata"]["annotations"][MACHINE_KEY].as_str().unwrap().into()),
            Write::Merge { patch, subresource, .. } => (
                subresource,
                patch.pointer("/status/conditions").unwrap().as_array().unwrap().last().unwrap()["type"].as_str().unwrap().into(),
            ),
            Write::Delete { .. } => ("delete", String::new()),
            other => panic!("{other:?}"),
        }
    }

    fn of(key: &str) -> Option<Value> {
        Some(json!({"metadata": {"name": "n1", "annotations": {MACHINE_KEY: key}}}))
    }

    const TOKEN: [&str; 1] = [bootstrap_token::GROUP];

    #[test]
    fn a_machine_with_a_token_takes_a_free_name_and_then_gets_its_certificate() {
        let waiting = request("system:bootstrap:abcdef", &TOKEN, json!([]));
        assert_eq!(written(step(&waiting, &asks("n1"), None, 0)), ("create", "mine".into()));
        assert_eq!(written(step(&waiting, &asks("n1"), of("mine"), 0)), ("approval", "Approved".into()));
        let approved = request("system:bootstrap:abcdef", &TOKEN, json!([{"type": "Approved"}]));
        assert_eq!(step(&approved, &asks("n1"), of("mine"), 0), Step::Sign(SECONDS_MAX));
    }

    #[test]
    fn a_name_that_another_machine_has_is_refused() {
        let waiting = request("system:bootstrap:abcdef", &TOKEN, json!([]));
        assert_eq!(written(step(&waiting, &asks("n1"), of("other"), 0)), ("approval", "Denied".into()));
        let of_the_server = Some(json!({"metadata": {"name": "master"}}));
        assert_eq!(written(step(&waiting, &asks("master"), of_the_server, 0)), ("approval", "Denied".into()));
    }

    #[test]
    fn a_node_renews_for_itself_and_for_nobody_else() {
        let itself = request("system:node:n1", &["system:nodes"], json!([]));
        assert_eq!(written(step(&itself, &asks("n1"), of("mine"), 0)), ("approval", "Approved".into()));
        assert_eq!(step(&itself, &asks("n2"), None, 0), Step::Nothing);
        let somebody = request("joe", &["system:authenticated"], json!([]));
        assert_eq!(step(&somebody, &asks("n1"), None, 0), Step::Nothing, "waits for a person");
    }

    #[test]
    fn what_the_signer_never_signs_fails_even_when_approved() {
        let approved = request("system:bootstrap:abcdef", &TOKEN, json!([{"type": "Approved"}]));
        for bad in [
            Requested { organizations: vec!["system:masters".into()], ..asks("n1") },
            Requested { organizations: vec![node::GROUP.into(), "system:masters".into()], ..asks("n1") },
            Requested { organizations: vec![format!("{},system:masters", node::GROUP)], ..asks("n1") },
            Requested { more_names: true, ..asks("n1") },
            Requested { common_name: "joe".into(), ..asks("n1") },
            Requested { common_name: PREFIX.into(), ..asks("n1") },
        ] {
            assert_eq!(written(step(&approved, &bad, None, 0)), ("status", "Failed".into()), "{bad:?}");
            let waiting = request("system:bootstrap:abcdef", &TOKEN, json!([]));
            assert_eq!(step(&waiting, &bad, None, 0), Step::Nothing, "{bad:?}");
        }
        let mut serving = approved.clone();
        serving["spec"]["usages"] = json!(["server auth"]);
        assert_eq!(written(step(&serving, &asks("n1"), None, 0)), ("status", "Failed".into()));
    }

    #[test]
    fn requests_do_not_stay_for_ever() {
        let denied = request("x", &[], json!([{"type": "Denied"}]));
        assert_eq!(step(&denied, &asks("n1"), None, KEPT_SECONDS), Step::Nothing);
        assert_eq!(written(step(&denied, &asks("n1"), None, KEPT_SECONDS + 1)).0, "delete");
        let waiting = request("joe", &[], json!([]));
        assert_eq!(written(step(&waiting, &asks("n1"), None, WAITING_SECONDS + 1)).0, "delete");
    }
}
