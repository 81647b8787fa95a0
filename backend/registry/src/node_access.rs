//! Looks up what the rules for nodes depend on: whose the node's name is, where a pod runs, what pods refer to.
use crate::caller::Caller;
use crate::object::Object;
use crate::registry_impl::AccessRequest;
use logic::authz::node::{EXTRA_KEY, MACHINE_KEY, Rule, is_machine_of, node_of, refers, restricted, rule};
use serde_json::{Value, json};
use shared::kinds::{Kind, NODE, POD};
use shared::objects::pod::Pod;
use shared::status::Status;
use store::{Range, Store};

/// What the rules for nodes say of a request.
pub(crate) enum Verdict {
    Allowed,
    /// With the end of the sentence that says why.
    Refused(&'static str),
    /// Roles and bindings decide.
    NoOpinion,
}

const OTHER_MACHINE: &str = "the name of this node belongs to another machine";

/// Asked for callers that are no administrators.
pub(crate) fn judge(store: &dyn Store, caller: &Caller, request: &AccessRequest) -> Verdict {
    let Some(name) = node_of(&caller.0.name, &caller.0.groups) else { return Verdict::NoOpinion };
    let kept = load(store, &NODE, None, name).and_then(|node| node.index().meta.annotations.get(MACHINE_KEY).cloned());
    if !is_machine_of(shown_key(caller), kept.as_deref()) {
        return Verdict::Refused(OTHER_MACHINE);
    }
    let bound_here = |pod: &Object| pod.index().field(&POD, "spec.nodeName") == name;
    match rule(name, &crate::policy::attributes(caller, request), request.fields.required("spec.nodeName")) {
        Rule::Allowed => Verdict::Allowed,
        Rule::Refused(why) => Verdict::Refused(why),
        Rule::NoOpinion => Verdict::NoOpinion,
        Rule::OwnPod => match load(store, &POD, Some(&request.namespace), &request.name) {
            Some(pod) if !bound_here(&pod) => Verdict::Refused("the pod is not bound to this node"),
            _ => Verdict::Allowed,
        },
        Rule::Referred(what)
            if pods_of(store, &request.namespace).any(|p| bound_here(&p) && refers(&p.view::<Pod>(), what, &request.name)) =>
        {
            Verdict::Allowed
        }
        Rule::Referred(_) => Verdict::Refused("no pod that is bound to this node refers to it"),
    }
}

fn shown_key(caller: &Caller) -> Option<&str> {
    caller.0.extra.get(EXTRA_KEY)?.first().map(String::as_str)
}

fn load(store: &dyn Store, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Option<Object> {
    store.get(&store::key::object(kind, namespace, name)).map(|record| Object { kind, record })
}

fn pods_of(store: &dyn Store, namespace: &str) -> impl Iterator<Item = Object> {
    let range = Range { prefix: store::key::collection(&POD, Some(namespace)), ..Range::default() };
    let records = store.list(&range).map(|s| s.records).unwrap_or_default();
    records.into_iter().map(|record| Object { kind: &POD, record })
}

/// A node that makes itself known is the machine's that shows this key, and comes without what is not its to say; a node
/// that changes itself leaves alone what is the administrator's. `old` is null at the creation.
pub(crate) fn admit(caller: &Caller, kind: &Kind, new: &mut Value, old: &Value) -> Result<(), Status> {
    let Some(name) = node_of(&caller.0.name, &caller.0.groups).filter(|_| *kind == NODE && !caller.is_master()) else { return Ok(()) };
    if let Some(key) = shown_key(caller).filter(|_| old.is_null()) {
        new["metadata"]["annotations"][MACHINE_KEY] = json!(key);
    }
    match restricted(new, old) {
        Some(why) => Err(Status::forbidden(kind, name, &format!("node \"{name}\" {why}"))),
        None => Ok(()),
    }
}

/// A token that a node asks for is bound to a pod of its own, which runs under the account.
pub fn token_for_own_pod(caller: &Caller, pod: Option<&Object>) -> Result<(), Status> {
    let Some(name) = node_of(&caller.0.name, &caller.0.groups).filter(|_| !caller.is_master()) else { return Ok(()) };
    match pod {
        Some(pod) if pod.index().field(&POD, "spec.nodeName") == name => Ok(()),
        Some(pod) => Err(Status::forbidden(
            &POD,
            pod.name(),
            &format!("node \"{name}\" requested a token bound to a pod scheduled on a different node"),
        )),
        None => Err(Status::bad_request(format!("node \"{name}\" requested a token not bound to a pod"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logic::authz::node::{GROUP, PREFIX};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn caller(key: &str) -> Caller {
        let extra = BTreeMap::from([(EXTRA_KEY.to_string(), vec![key.to_string()])]);
        Caller(Arc::new(crate::caller::Identity { name: format!("{PREFIX}n1"), groups: vec![GROUP.into()], extra, ..Default::default() }))
    }

    #[test]
    fn a_new_node_is_the_machines_whatever_it_says() {
        let mut body = json!({"metadata": {"name": "n1", "annotations": {MACHINE_KEY: "another"}}});
        admit(&caller("mine"), &NODE, &mut body, &Value::Null).unwrap();
        assert_eq!(body["metadata"]["annotations"][MACHINE_KEY], "mine");
        let mut bare = json!({"metadata": {"name": "n1"}});
        admit(&caller("mine"), &NODE, &mut bare, &Value::Null).unwrap();
        assert_eq!(bare["metadata"]["annotations"][MACHINE_KEY], "mine");
    }
}
