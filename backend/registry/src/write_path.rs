//! The write path of the cluster: authorise → admit → default → validate → commit. Nothing is stored by any other way.
use crate::body::{fields, object_of, place, same_object};
use crate::caller::Caller;
use crate::clock;
use crate::encode::encode;
use crate::error::{FULL, from_store, full};
use crate::metrics::{self, Step};
use crate::object::Object;
use crate::options::{Patch, WriteOptions};
use crate::registry_impl::{Registry, Written};
use crate::service_address::Reserved;
use crate::{certificates, node_access, ownership, patching, strategy, views};
use logic::admission::defaults;
use logic::authz::node::node_of;
use serde_json::{Map, Value, json};
use shared::kinds::{Kind, NAMESPACE, POD, PROJECT, ROLE_BINDING, SERVICE, Storage};
use shared::objects::rbac::{PolicyRule, RoleBinding};
use shared::status::Status;
use shared::validate;
use std::sync::{Arc, OnceLock};
use store::{Change, Expect, Op, Record};

/// How often a write that met a concurrent one is computed again before the caller hears of the conflict.
pub(crate) const CONFLICT_RETRIES_MAX: usize = 16;
/// How many generated names are tried.
const NAME_TRIES_MAX: usize = 8;
/// A generated name keeps this much of its base, so that base and suffix fit into a label.
const GENERATE_NAME_BASE_MAX: usize = 58;

impl Registry {
    pub async fn create(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_string();
        self.allow(caller, "create", kind, namespace, &name, "")?;
        let body = object_of(kind, body)?;
        if let Storage::ViewOf(_) = kind.storage {
            return self.create_through_view(caller, kind, namespace, body, options).await;
        }
        self.create_stored(caller, kind, namespace, body, options).await
    }

    async fn create_through_view(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        body: Map<String, Value>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let base = views::to_base(kind, body);
        let written = self.create_stored(caller, views::base(kind), namespace, base, options).await.map_err(|s| renamed(s, kind))?;
        if *kind == PROJECT && !options.dry_run {
            self.give_to_its_maker(caller, written.object.name()).await?;
        }
        Ok(Written { object: views::show(kind, &written.object), warnings: written.warnings })
    }

    /// Whoever makes a project and could do nothing in it becomes its admin; cluster administrators need no binding.
    async fn give_to_its_maker(&self, caller: &Caller, project: &str) -> Result<(), Status> {
        if self.allow(caller, "create", &ROLE_BINDING, Some(project), "", "").is_ok() {
            return Ok(());
        }
        let group = ROLE_BINDING.group;
        let body = json!({"kind": ROLE_BINDING.kind, "apiVersion": ROLE_BINDING.api_version(), "metadata": {"name": "admin"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": caller.0.name}]});
        let body = object_of(&ROLE_BINDING, body)?;
        let maker = Caller::system("project-maker");
        self.create_stored(&maker, &ROLE_BINDING, Some(project), body, &WriteOptions::default()).await.map(|_| ())
    }

    async fn create_stored(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        mut body: Map<String, Value>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let warnings = fields(kind, &mut body, options)?;
        place(kind, namespace, None, &mut body)?;
        let base = body["metadata"].get("generateName").and_then(Value::as_str).unwrap_or_default().to_string();
        let generate = body["metadata"].get("name").and_then(Value::as_str).unwrap_or_default().is_empty() && !base.is_empty();
        for _ in 0..NAME_TRIES_MAX {
            let mut object = body.clone();
            if generate {
                object["metadata"]["name"] = json!(generated_name(&base));
            }
            match self.create_named(caller, kind, namespace, object, options).await {
                Err(status) if generate && status.reason == shared::status::Reason::AlreadyExists => {}
                // The namespace or a quota changed between check and commit: look again.
                Err(status) if status.is_conflict() => {}
                other => return other.map(|w| Written { warnings, ..w }),
            }
        }
        Err(Status::failure(500, shared::status::Reason::ServerTimeout, format!("no free name was found for {base}; try again")))
    }

    async fn create_named(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        mut object: Map<String, Value>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let name = object["metadata"].get("name").and_then(Value::as_str).unwrap_or_default().to_string();
        let mut ops = Vec::new();
        if let Some(ns) = namespace.filter(|_| kind.namespaced()) {
            ops.push(self.namespace_is_open(kind, ns, &name)?);
        }
        strategy::prepare_create(kind, &mut object, clock::new_uid(), clock::now_text());
        let mut value = Value::Object(object);
        strategy::drop_nulls(&mut value);
        metrics::check(Step::Admit, || self.admit(caller, kind, namespace, &name, &mut value))?;
        metrics::step(Step::Default, || defaults::apply(kind, &mut value));
        metrics::check(Step::Validate, || check(kind, &name, validate::create(kind, &value)))?;
        self.may_grant(caller, kind, namespace, &value)?;
        ownership::note(kind, None, &mut value, "", options);
        let key = store::key::object(kind, namespace, &name);
        if self.0.store.get(&key).is_some() {
            return Err(Status::already_exists(kind, &name));
        }
        if *kind != SERVICE {
            return self.commit_new(kind, namespace, key, value, ops, options).await;
        }
        let (registry, namespace, options) = (self.clone(), namespace.map(str::to_string), options.clone());
        to_the_end(async move {
            let reserved = registry.0.addresses.assign(&mut value).map_err(|e| Status::invalid(kind, &name, &e))?;
            let outcome = registry.commit_new(kind, namespace.as_deref(), key, value, ops, &options).await;
            registry.settle_addresses(reserved, None, &outcome, &options);
            outcome
        })
        .await
    }

    /// After a service's write: either what it took or what its predecessor held is free again.
    fn settle_addresses(&self, taken: Reserved, old: Option<&Value>, outcome: &Result<Written, Status>, options: &WriteOptions) {
        match outcome {
            Ok(_) if !options.dry_run => old.iter().for_each(|old| self.0.addresses.release(old)),
            // Perhaps it was stored all the same: to keep an address too long harms less than to give it away twice.
            Err(status) if status.code >= 500 && status.code != FULL => {}
            _ => self.0.addresses.give_back(taken),
        }
    }

    async fn commit_new(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        key: Arc<str>,
        value: Value,
        mut ops: Vec<Op>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_string();
        let (_guard, quota_ops) = match namespace.filter(|_| kind.namespaced()) {
            Some(ns) => self.charge_quota(kind, ns, None, Some(&value)).await?,
            None => (None, Vec::new()),
        };
        let Value::Object(map) = value else { return Err(Status::internal("an object stopped being one")) };
        let (bytes, at) = encode(&map);
        if options.dry_run {
            return Ok(Written { object: unstored(kind, key, bytes), warnings: Vec::new() });
        }
        self.has_room(bytes.len())?;
        ops.push(Op { key: key.clone(), expect: Expect::Absent, change: Change::Put { value: bytes, revision_at: Some(at) } });
        ops.extend(quota_ops);
        match self.0.store.commit(ops).await {
            Ok(revision) => self.written(kind, &key, revision),
            Err(store::Error::Conflict { key: at, .. }) if *at == *key => Err(Status::already_exists(kind, &name)),
            Err(error) => Err(from_store(error, kind, &name)),
        }
    }

    /// Whether objects may grow by this much. The last part of the store is kept for what must go on when it is full.
    fn has_room(&self, bytes: usize) -> Result<(), Status> {
        let space = self.0.store.space();
        if space.used.saturating_add(bytes) <= space.max { Ok(()) } else { Err(full(space.used, space.max)) }
    }

    /// The object as this very commit left it.
    fn written(&self, kind: &'static Kind, key: &str, revision: u64) -> Result<Written, Status> {
        let record = match self.0.store.get(key).filter(|r| r.revision == revision) {
            Some(record) => Some(record),
            // Somebody wrote again already: the version that this caller made is in history.
            None => {
                self.0.store.history(revision - 1, revision).ok().and_then(|events| events.into_iter().find(|e| &*e.key == key)?.current)
            }
        };
        let record = record.ok_or_else(|| Status::internal("the object was changed and its history is gone"))?;
        Ok(Written { object: Object { kind, record }, warnings: Vec::new() })
    }

    /// Changes an object before its defaults and checks: limits, service account, owner of the namespace.
    fn admit(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, name: &str, value: &mut Value) -> Result<(), Status> {
        node_access::admit(caller, kind, value, &Value::Null)?;
        certificates::stamp(caller, kind, value);
        if *kind == POD {
            if value["spec"].is_object() {
                self.apply_service_account(namespace.unwrap_or_default(), name, &mut value["spec"])?;
                default_tolerations(&mut value["spec"]);
            }
            self.apply_limits(namespace.unwrap_or_default(), name, value)?;
        }
        Ok(())
    }

    /// Nobody makes a role or binding that gives more than he has himself.
    fn may_grant(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, value: &Value) -> Result<(), Status> {
        let role = matches!(kind.kind, "Role" | "ClusterRole");
        let binding = matches!(kind.kind, "RoleBinding" | "ClusterRoleBinding");
        if !(role || binding) || caller.is_master() {
            return Ok(());
        }
        let policy = self.0.policy.now(&*self.0.store);
        let ns = namespace.unwrap_or_default();
        let rules: Vec<PolicyRule> = if role {
            serde_json::from_value(value["rules"].clone()).unwrap_or_default()
        } else {
            let view: RoleBinding = serde_json::from_value(value.clone()).unwrap_or_default();
            policy.rules_of(&view.role_ref.kind, ns, &view.role_ref.name)
        };
        let verb = if role { "escalate" } else { "bind" };
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        if policy.may_grant(&caller.0.name, &caller.0.groups, ns, &rules) || self.allow(caller, verb, kind, namespace, name, "").is_ok() {
            return Ok(());
        }
        let why = format!("user \"{}\" is attempting to grant RBAC permissions not currently held", caller.0.name);
        Err(Status::forbidden(kind, name, &why))
    }

    /// Replaces an object, or one part of it: `subresource` is "", "status", "scale", "finalize" or "ephemeralcontainers".
    /// A body without resourceVersion is accepted unconditionally.
    pub async fn update(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        self.allow(caller, "update", kind, namespace, name, subresource)?;
        let body = object_of(kind, body)?;
        let asked = body.get("metadata").and_then(|m| m.get("resourceVersion")).and_then(Value::as_str).unwrap_or_default().to_string();
        let change = |_: &Value| Ok(Value::Object(body.clone()));
        self.change(caller, kind, namespace, name, subresource, &asked, &change, options).await
    }

    /// Patches and retries on conflict, unless the patch itself names a resourceVersion.
    pub async fn patch(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        self.allow(caller, "patch", kind, namespace, name, subresource)?;
        let asked = match &patch {
            Patch::Merge(v) | Patch::Strategic(v) | Patch::Apply(v) => {
                v.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default()
            }
            Patch::Json(_) => "",
        };
        let change = |current: &Value| patching::apply(kind, current, &patch, subresource, options);
        // An apply notes its owner itself.
        let applied = WriteOptions { field_manager: None, ..options.clone() };
        let noted = if matches!(patch, Patch::Apply(_)) { &applied } else { options };
        let outcome = self.change(caller, kind, namespace, name, subresource, asked, &change, noted).await;
        match (&patch, outcome) {
            (Patch::Apply(body), Err(status)) if status.is_not_found() && subresource.is_empty() => {
                let mut body = ownership::apply(kind, None, body, subresource, options)?;
                body["metadata"]["name"] = json!(name);
                self.create(caller, kind, namespace, body, noted).await
            }
            (_, outcome) => outcome,
        }
    }

    /// Reads, computes, commits if nothing came between, else again.
    async fn change(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        asked: &str,
        change: &(dyn Fn(&Value) -> Result<Value, Status> + Sync),
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let stored_kind = if matches!(kind.storage, Storage::ViewOf(_)) { views::base(kind) } else { kind };
        for _ in 0..CONFLICT_RETRIES_MAX {
            let current = self.load(stored_kind, namespace, name).ok_or_else(|| Status::not_found(kind, name))?;
            if !asked.is_empty() && asked != "0" && asked != current.revision().to_string() {
                return Err(Status::modified(kind, name));
            }
            let seen = if stored_kind == kind { current.clone() } else { views::show(kind, &current) };
            let before = seen.value();
            let mut new = object_of(kind, change(&before)?)?;
            if let Some(before) = before.as_object() {
                // Not a matter of having come too late: no second attempt could succeed.
                same_object(kind, &new, before, name)?;
            }
            if stored_kind != kind {
                new = views::to_base(kind, new);
            }
            let warnings = fields(stored_kind, &mut new, options)?;
            match self.commit_change(caller, stored_kind, namespace, subresource, &current, new, options).await {
                Err(status) if status.is_conflict() && asked.is_empty() => tokio::task::yield_now().await,
                Ok(written) if stored_kind != kind => return Ok(Written { object: views::show(kind, &written.object), warnings }),
                other => return other.map(|w| Written { warnings, ..w }).map_err(|s| renamed(s, kind)),
            }
        }
        Err(Status::modified(kind, name))
    }

    async fn commit_change(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        subresource: &str,
        current: &Object,
        mut new: Map<String, Value>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let name = current.name().to_string();
        let Value::Object(old) = current.value() else { return Err(Status::internal("the stored object is none")) };
        same_object(kind, &new, &old, &name)?;
        place(kind, namespace, Some(&name), &mut new)?;
        certificates::may_approve(self, caller, kind, subresource, &old)?;
        let new = match subresource {
            "" => {
                strategy::prepare_update(kind, &mut new, &old);
                new
            }
            "finalize" => {
                let mut result = old.clone();
                result.insert("spec".into(), new.get("spec").cloned().unwrap_or_default());
                result
            }
            _ => certificates::prepare_part(kind, subresource, strategy::prepare_status(new, &old), &old),
        };
        let mut value = Value::Object(new);
        strategy::drop_nulls(&mut value);
        if subresource != "finalize" {
            // Not here: it would put the finalizer back that is being taken away.
            metrics::step(Step::Default, || defaults::apply(kind, &mut value));
        }
        let old = Value::Object(old);
        if subresource.is_empty() {
            node_access::admit(caller, kind, &mut value, &old)?;
            strategy::count_generation(kind, &mut value, &old);
        }
        ownership::note(kind, Some(&old), &mut value, subresource, options);
        if without_revision(&value) == without_revision(&old) {
            return Ok(Written { object: current.clone(), warnings: Vec::new() });
        }
        if subresource.is_empty() {
            metrics::check(Step::Validate, || check(kind, &name, validate::update(kind, &value, &old)))?;
            self.may_grant(caller, kind, namespace, &value)?;
        }
        if finished_deletion(kind, &value) {
            return self.remove_finished(kind, namespace, current, value, options).await;
        }
        // Reports of status and the cluster's own parts (endpoints, nodes) go on in a full store. Nothing else that grows
        // does: what is left is theirs.
        let vital = subresource == "status" || caller.is_master() || node_of(&caller.0.name, &caller.0.groups).is_some();
        if *kind != SERVICE {
            return self.commit_replacement(kind, namespace, current, &old, &value, vital, options).await;
        }
        let (registry, namespace, current, options) = (self.clone(), namespace.map(str::to_string), current.clone(), options.clone());
        to_the_end(async move {
            let reserved = registry.0.addresses.assign(&mut value).map_err(|e| Status::invalid(kind, &name, &e))?;
            let outcome = registry.commit_replacement(kind, namespace.as_deref(), &current, &old, &value, vital, &options).await;
            registry.settle_addresses(reserved, Some(&old), &outcome, &options);
            outcome
        })
        .await
    }

    async fn commit_replacement(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        current: &Object,
        old: &Value,
        value: &Value,
        vital: bool,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let (_guard, quota_ops) = match namespace.filter(|_| kind.namespaced()) {
            Some(ns) => self.charge_quota(kind, ns, Some(old), Some(value)).await?,
            None => (None, Vec::new()),
        };
        let Value::Object(map) = value else { return Err(Status::internal("an object stopped being one")) };
        let key = current.record.key.clone();
        if options.dry_run {
            // As nothing is stored, the revision stays the stored object's.
            let mut map = map.clone();
            map["metadata"]["resourceVersion"] = json!(current.revision().to_string());
            let bytes = serde_json::to_vec(&map).map_err(|e| Status::internal(e.to_string()))?.into();
            return Ok(Written { object: unstored(kind, key, bytes), warnings: Vec::new() });
        }
        let (bytes, at) = encode(map);
        let grows = bytes.len().saturating_sub(current.record.value.len());
        if grows > 0 && !vital {
            self.has_room(grows)?;
        }
        let mut ops = vec![Op {
            key: key.clone(),
            expect: Expect::Revision(current.revision()),
            change: Change::Put { value: bytes, revision_at: Some(at) },
        }];
        ops.extend(quota_ops);
        let revision = self.0.store.commit(ops).await.map_err(|e| from_store(e, kind, current.name()))?;
        self.written(kind, &key, revision)
    }

    /// The update that removes the last finalizer of an object under deletion is its end.
    async fn remove_finished(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        current: &Object,
        value: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let Value::Object(map) = &value else { return Err(Status::internal("an object stopped being one")) };
        let (bytes, _) = encode(map);
        if !options.dry_run {
            self.remove(kind, namespace, current).await?;
        }
        Ok(Written { object: unstored(kind, current.record.key.clone(), bytes), warnings: Vec::new() })
    }
}

/// Runs a write to its end even when its caller goes away in the middle, so that it settles what it took.
pub(crate) async fn to_the_end<T: Send + 'static>(write: impl Future<Output = Result<T, Status>> + Send + 'static) -> Result<T, Status> {
    tokio::spawn(write).await.unwrap_or_else(|e| Err(Status::internal(format!("the write did not end: {e}"))))
}

/// Deleted, and nobody holds it any more.
fn finished_deletion(kind: &Kind, value: &Value) -> bool {
    let meta = &value["metadata"];
    let held = meta["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    let held_namespace = *kind == NAMESPACE && value["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    // A pod that is stopping waits for its node, finalizers or not.
    let stopping = *kind == POD && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    meta.get("deletionTimestamp").is_some() && !held && !held_namespace && !stopping
}

fn check(kind: &Kind, name: &str, errors: Vec<shared::status::FieldError>) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind, name, &errors)) }
}

fn without_revision(value: &Value) -> Value {
    let mut value = value.clone();
    value["metadata"].as_object_mut().map(|m| m.remove("resourceVersion"));
    value
}

/// An object that was not stored: a dry run's result.
pub(crate) fn unstored(kind: &'static Kind, key: Arc<str>, value: bytes::Bytes) -> Object {
    Object { kind, record: Arc::new(Record { key, revision: 0, created: 0, value, view: OnceLock::new() }) }
}

fn generated_name(base: &str) -> String {
    let cut: String = base.chars().take(GENERATE_NAME_BASE_MAX).collect();
    format!("{cut}{}", clock::name_suffix())
}

/// What Kubernetes adds so that a pod outlives a short absence of its node.
fn default_tolerations(spec: &mut Value) {
    use logic::controllers::node_health::{NOT_READY, UNREACHABLE};
    let mut tolerations: Vec<Value> = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in [NOT_READY, UNREACHABLE] {
        let covered = tolerations.iter().any(|t| {
            (t["key"] == key || t["key"].as_str().unwrap_or_default().is_empty())
                && matches!(t["effect"].as_str(), None | Some("" | "NoExecute"))
        });
        if !covered {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    spec["tolerations"] = tolerations.into();
}

/// A fault of the stored kind, in the name of the view that was asked.
fn renamed(mut status: Status, kind: &Kind) -> Status {
    if let (Storage::ViewOf(_), Some(details)) = (kind.storage, status.details.as_mut()) {
        let base = views::base(kind);
        status.message = status.message.replacen(&format!("{} \"", base.qualified()), &format!("{} \"", kind.qualified()), 1);
        details.kind = kind.plural.into();
        details.group = kind.group.into();
    }
    status
}
