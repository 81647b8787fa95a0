//! Deletion: at once, gracefully, or after finalizers; of one object or of a collection.
use crate::caller::Caller;
use crate::clock;
use crate::encode::encode;
use crate::error::from_store;
use crate::object::Object;
use crate::options::{DeleteOptions, ListOptions};
use crate::registry_impl::{Deleted, Registry};
use crate::views;
use crate::write_path::to_the_end;
use logic::controllers::garbage::{FOREGROUND, ORPHAN};
use serde_json::{Value, json};
use shared::kinds::{Kind, NAMESPACE, POD, SERVICE, Storage};
use shared::status::Status;
use store::{Change, Expect, Op};

/// How often a deletion that met a concurrent write is computed again.
const CONFLICT_RETRIES_MAX: usize = 16;

impl Registry {
    pub async fn delete(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        self.allow(caller, "delete", kind, namespace, name, "")?;
        self.delete_allowed(kind, namespace, name, options).await
    }

    async fn delete_allowed(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let stored_kind = if matches!(kind.storage, Storage::ViewOf(_)) { views::base(kind) } else { kind };
        for _ in 0..CONFLICT_RETRIES_MAX {
            let current = self.load(stored_kind, namespace, name).ok_or_else(|| Status::not_found(kind, name))?;
            preconditions(kind, &current, options)?;
            match self.delete_version(stored_kind, namespace, &current, options).await {
                Err(status) if status.is_conflict() => tokio::task::yield_now().await,
                Ok(deleted) if stored_kind != kind => return Ok(Deleted { object: views::show(kind, &deleted.object), ..deleted }),
                other => return other,
            }
        }
        Err(Status::modified(kind, name))
    }

    async fn delete_version(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        current: &Object,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let mut value = current.value();
        let grace = if *kind == POD { grace_seconds(&value, options) } else { 0 };
        add_finalizer(&mut value, options);
        let held = value["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())
            || *kind == NAMESPACE && value["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if grace == 0 && !held {
            if !options.dry_run {
                self.remove(kind, namespace, current).await?;
            }
            return Ok(Deleted { object: current.clone(), gone: true });
        }
        let already = value["metadata"].get("deletionTimestamp").is_some();
        let before = value["metadata"]["deletionGracePeriodSeconds"].as_i64();
        if already && (*kind != POD || before.is_some_and(|b| b <= grace)) {
            return Ok(Deleted { object: current.clone(), gone: false });
        }
        if let Some(generation) = value["metadata"]["generation"].as_i64().filter(|_| !already) {
            value["metadata"]["generation"] = json!(generation + 1);
        }
        value["metadata"]["deletionTimestamp"] = json!(clock::in_seconds(grace));
        value["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        if *kind == NAMESPACE {
            value["status"]["phase"] = json!("Terminating");
        }
        if options.dry_run {
            return Ok(Deleted { object: current.clone(), gone: false });
        }
        let Value::Object(map) = value else { return Err(Status::internal("the stored object is none")) };
        let (bytes, at) = encode(&map);
        let op = Op {
            key: current.record.key.clone(),
            expect: Expect::Revision(current.revision()),
            change: Change::Put { value: bytes, revision_at: Some(at) },
        };
        self.0.store.commit(vec![op]).await.map_err(|e| from_store(e, kind, current.name()))?;
        let object = self.load(kind, namespace, current.name()).unwrap_or_else(|| current.clone());
        Ok(Deleted { object, gone: false })
    }

    /// Takes the object out of the store, with what it held: addresses and quota.
    pub(crate) async fn remove(&self, kind: &'static Kind, namespace: Option<&str>, current: &Object) -> Result<(), Status> {
        if *kind != SERVICE {
            return self.commit_removal(kind, namespace, current).await;
        }
        let (registry, namespace, current) = (self.clone(), namespace.map(str::to_string), current.clone());
        to_the_end(async move {
            registry.commit_removal(kind, namespace.as_deref(), &current).await?;
            registry.0.addresses.release(&current.value());
            Ok(())
        })
        .await
    }

    async fn commit_removal(&self, kind: &'static Kind, namespace: Option<&str>, current: &Object) -> Result<(), Status> {
        let value = current.value();
        let (_guard, quota_ops) = match namespace.filter(|_| kind.namespaced()) {
            Some(ns) => self.charge_quota(kind, ns, Some(&value), None).await?,
            None => (None, Vec::new()),
        };
        let mut ops = vec![Op { key: current.record.key.clone(), expect: Expect::Revision(current.revision()), change: Change::Delete }];
        ops.extend(quota_ops);
        self.0.store.commit(ops).await.map(|_| ()).map_err(|e| from_store(e, kind, current.name()))
    }

    pub async fn delete_collection(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<Vec<Object>, Status> {
        self.allow(caller, "deletecollection", kind, namespace, "", "")?;
        crate::list::check_fields(kind, &list.fields)?;
        let stored_kind = if matches!(kind.storage, Storage::ViewOf(_)) { views::base(kind) } else { kind };
        let found = self.list_stored(stored_kind, namespace, list)?;
        let mut deleted = Vec::with_capacity(found.items.len());
        for object in found.items {
            let ns = Some(object.namespace()).filter(|n| !n.is_empty());
            match self.delete_allowed(kind, ns, object.name(), options).await {
                Ok(d) => deleted.push(d.object),
                // Gone or replaced meanwhile: not what the caller saw, and not his concern.
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status),
            }
        }
        Ok(deleted)
    }
}

fn preconditions(kind: &Kind, current: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    let meta = &current.index().meta;
    if let Some(uid) = wanted.uid.as_ref().filter(|u| **u != meta.uid) {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta.uid);
        return Err(Status::failure(
            409,
            shared::status::Reason::Conflict,
            format!("Operation cannot be fulfilled on {} \"{}\": {why}", kind.qualified(), meta.name),
        ));
    }
    if let Some(version) = wanted.resource_version.as_ref().filter(|v| **v != current.revision().to_string()) {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
            current.revision()
        );
        return Err(Status::failure(
            409,
            shared::status::Reason::Conflict,
            format!("Operation cannot be fulfilled on {} \"{}\": {why}", kind.qualified(), meta.name),
        ));
    }
    Ok(())
}

/// Seconds that a pod gets to stop: none if it never ran or has ended.
fn grace_seconds(pod: &Value, options: &DeleteOptions) -> i64 {
    let unscheduled = pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if unscheduled || finished {
        return 0;
    }
    match options.grace_period_seconds.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30) {
        n if n < 0 => 1,
        n => n,
    }
}

fn add_finalizer(value: &mut Value, options: &DeleteOptions) {
    let policy = options.propagation_policy.as_deref();
    let wanted = match (policy, options.orphan_dependents) {
        (Some("Foreground"), _) => Some(FOREGROUND),
        (Some("Orphan"), _) | (None, Some(true)) => Some(ORPHAN),
        _ => None,
    };
    let mut finalizers: Vec<Value> = value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    // Naming another policy takes an earlier one back.
    if policy.is_some() {
        finalizers.retain(|f| f != FOREGROUND && f != ORPHAN);
    }
    if let Some(finalizer) = wanted.filter(|w| !finalizers.iter().any(|f| f == w)) {
        finalizers.push(json!(finalizer));
    }
    match finalizers.is_empty() {
        true => value["metadata"].as_object_mut().and_then(|m| m.remove("finalizers")),
        false => value["metadata"].as_object_mut().and_then(|m| m.insert("finalizers".into(), finalizers.into())),
    };
}
