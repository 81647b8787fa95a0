//! The RBAC objects of the store as one decoded policy, read again only when one of them changed.
use crate::caller::{Caller, GROUP_AUTHENTICATED};
use crate::node_access::{self, Verdict};
use crate::registry_impl::AccessRequest;
use logic::authz::node::node_of;
use logic::authz::{Attributes, Policy};
use parking_lot::Mutex;
use serde_json::Value;
use shared::kinds::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, KINDS, ROLE, ROLE_BINDING};
use shared::status::Status;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Range, Revision, Store};

#[derive(Default)]
pub(crate) struct PolicyCache {
    cached: Mutex<Option<(Revision, Arc<Policy>)>>,
}

impl PolicyCache {
    /// The policy now. Decoded again only if a role or binding has changed since.
    pub(crate) fn now(&self, store: &dyn Store) -> Arc<Policy> {
        let mut cached = self.cached.lock();
        let current = store.revision();
        if let Some((read_at, policy)) = cached.as_mut()
            && (*read_at == current || !rbac_changed(store, *read_at, current))
        {
            *read_at = current;
            return policy.clone();
        }
        let policy = Arc::new(read(store));
        *cached = Some((current, policy.clone()));
        policy
    }

    pub(crate) fn authorise(&self, store: &dyn Store, caller: &Caller, request: &AccessRequest) -> Result<(), Status> {
        if caller.is_master() {
            return Ok(());
        }
        let why = match node_access::judge(store, caller, request) {
            Verdict::Allowed => return Ok(()),
            Verdict::Refused(why) => why,
            Verdict::NoOpinion if self.bound_to(store, caller, request) => return Ok(()),
            Verdict::NoOpinion => "",
        };
        Err(refusal(caller, request, why))
    }

    fn bound_to(&self, store: &dyn Store, caller: &Caller, request: &AccessRequest) -> bool {
        let attributes = attributes(caller, request);
        if node_of(&caller.0.name, &caller.0.groups).is_none() || !request.path.is_empty() {
            return self.now(store).decide(&attributes);
        }
        // What everybody who is known may do, such as making projects, is meant for people and programs.
        let groups: Vec<String> = caller.0.groups.iter().filter(|g| *g != GROUP_AUTHENTICATED).cloned().collect();
        self.now(store).decide(&Attributes { groups: &groups, ..attributes })
    }

    pub(crate) fn namespaces_of(&self, store: &dyn Store, caller: &Caller) -> BTreeSet<String> {
        self.now(store).namespaces_of(&caller.0.name, &caller.0.groups)
    }

    pub(crate) fn rules_for(&self, store: &dyn Store, caller: &Caller, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        self.now(store).rules_for(&caller.0.name, &caller.0.groups, namespace)
    }
}

pub(crate) fn attributes<'a>(caller: &'a Caller, r: &'a AccessRequest) -> Attributes<'a> {
    Attributes {
        user: &caller.0.name,
        groups: &caller.0.groups,
        verb: &r.verb,
        group: &r.group,
        resource: &r.resource,
        subresource: &r.subresource,
        namespace: &r.namespace,
        name: &r.name,
        path: &r.path,
    }
}

fn rbac_changed(store: &dyn Store, after: Revision, upto: Revision) -> bool {
    let prefixes = [&ROLE, &ROLE_BINDING, &CLUSTER_ROLE, &CLUSTER_ROLE_BINDING].map(|k| store::key::collection(k, None));
    store.history(after, upto).map_or(true, |events| events.iter().any(|e| prefixes.iter().any(|p| e.key.starts_with(p))))
}

fn read(store: &dyn Store) -> Policy {
    let all = |kind| -> Vec<Value> {
        let range = Range { prefix: store::key::collection(kind, None), ..Range::default() };
        let records = store.list(&range).map(|s| s.records).unwrap_or_default();
        records.iter().filter_map(|r| serde_json::from_slice(&r.value).ok()).collect()
    };
    Policy::new(all(&CLUSTER_ROLE), all(&ROLE), all(&CLUSTER_ROLE_BINDING), all(&ROLE_BINDING))
}

fn refusal(caller: &Caller, r: &AccessRequest, rule: &str) -> Status {
    let user = &caller.0.name;
    if !r.path.is_empty() {
        return Status::failure(
            403,
            shared::status::Reason::Forbidden,
            format!("forbidden: User \"{user}\" cannot {} path \"{}\"", r.verb, r.path),
        );
    }
    let resource = if r.subresource.is_empty() { r.resource.clone() } else { format!("{}/{}", r.resource, r.subresource) };
    let place = if r.namespace.is_empty() { "at the cluster scope".to_string() } else { format!("in the namespace \"{}\"", r.namespace) };
    let why = format!("User \"{user}\" cannot {} resource \"{resource}\" in API group \"{}\" {place}", r.verb, r.group);
    let why = if rule.is_empty() { why } else { format!("{why}: {rule}") };
    match KINDS.iter().find(|k| k.group == r.group && k.plural == r.resource) {
        Some(kind) => Status::forbidden(kind, &r.name, &why),
        None => Status::failure(403, shared::status::Reason::Forbidden, format!("{resource} is forbidden: {why}")),
    }
}
