//! Feeds `logic::admission` with what it needs from the store: namespaces, limits, quotas and what is used.
use crate::clock;
use crate::encode::encode;
use crate::metrics::{self, Step};
use crate::object::Object;
use crate::registry_impl::{Inner, Registry};
use logic::admission::{limits, quota, service_account};
use serde_json::{Value, json};
use shared::kinds::{Kind, LIMIT_RANGE, NAMESPACE, POD, RESOURCE_QUOTA, SERVICE_ACCOUNT};
use shared::objects::quota::{LimitRange, ResourceQuota};
use shared::quantity::Quantity;
use shared::status::{Cause, Status};
use std::sync::Arc;
use store::{Change, Expect, Op};

/// Held from counting to commit by whoever writes into a namespace with quotas.
pub(crate) type QuotaGuard = tokio::sync::OwnedMutexGuard<()>;

impl Registry {
    /// The namespace must exist, and not be on its way out when something is created in it. Returns the check that the
    /// commit repeats, so that nothing slips in while the namespace goes.
    pub(crate) fn namespace_is_open(&self, kind: &'static Kind, namespace: &str, name: &str) -> Result<Op, Status> {
        let Some(found) = self.load(&NAMESPACE, None, namespace) else { return Err(Status::not_found(&NAMESPACE, namespace)) };
        if found.index().meta.is_deleting() {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            let cause = Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".into(),
            };
            return Err(Status::forbidden(kind, name, &why).with_causes(vec![cause]));
        }
        Ok(Op { key: found.record.key.clone(), expect: Expect::Revision(found.revision()), change: Change::Check })
    }

    /// What the pod's service account brings along. A namespace so new that its default account is still being made gives
    /// the same as one with it.
    pub(crate) fn apply_service_account(&self, namespace: &str, name: &str, spec: &mut Value) -> Result<(), Status> {
        let account = service_account::name(spec);
        let found = match self.load(&SERVICE_ACCOUNT, Some(namespace), &account) {
            Some(found) => found.value(),
            None if account == service_account::DEFAULT_ACCOUNT => json!({}),
            None => {
                let why = format!("error looking up service account {namespace}/{account}: serviceaccount \"{account}\" not found");
                return Err(Status::forbidden(&POD, name, &why));
            }
        };
        service_account::apply(spec, &found, &clock::name_suffix());
        Ok(())
    }

    /// Fills and checks limits of a pod.
    pub(crate) fn apply_limits(&self, namespace: &str, name: &str, pod: &mut Value) -> Result<(), Status> {
        let ranges: Vec<LimitRange> = self.all(&LIMIT_RANGE, Some(namespace)).1.iter().map(Object::view).collect();
        if ranges.is_empty() {
            return Ok(());
        }
        limits::fill(pod, &ranges);
        let errors = limits::check(pod, &ranges);
        if errors.is_empty() {
            return Ok(());
        }
        let text = if errors.len() == 1 { errors[0].clone() } else { format!("[{}]", errors.join(", ")) };
        Err(Status::forbidden(&POD, name, &text))
    }

    /// Counts what the namespace uses and refuses what would pass a quota. The returned operations write the new
    /// `status.used` in the same commit; the guard must be held until then.
    pub(crate) async fn charge_quota(
        &self,
        kind: &'static Kind,
        namespace: &str,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(Option<QuotaGuard>, Vec<Op>), Status> {
        metrics::wait(Step::Quota, self.charge(kind, namespace, old, new)).await
    }

    async fn charge(
        &self,
        kind: &'static Kind,
        namespace: &str,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(Option<QuotaGuard>, Vec<Op>), Status> {
        if *kind == RESOURCE_QUOTA || self.all(&RESOURCE_QUOTA, Some(namespace)).1.is_empty() {
            return Ok((None, Vec::new()));
        }
        let before = old.map(|o| quota::usage_of(kind, o)).unwrap_or_default();
        let after = new.map(|n| quota::usage_of(kind, n)).unwrap_or_default();
        if before == after {
            return Ok((None, Vec::new()));
        }
        let guard = self.0.quota_lock(namespace).lock_owned().await;
        // Read again under the lock: what was written while this request waited counts.
        let quotas = self.all(&RESOURCE_QUOTA, Some(namespace)).1;
        let mut ops = Vec::new();
        for object in &quotas {
            let view: ResourceQuota = object.view();
            let subject = new.or(old).expect("a change has an old or a new side");
            if !quota::in_scope(&view, kind, subject) {
                continue;
            }
            let name = subject["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(new) = new.filter(|_| *kind == POD && old.is_none()) {
                let unnamed = quota::unnamed(&view, new);
                if !unnamed.is_empty() {
                    let why = format!("failed quota: {}: must specify {}", view.metadata.name, unnamed.join("; "));
                    return Err(Status::forbidden(kind, name, &why));
                }
            }
            let used = self.used(&view, namespace);
            let delta = difference(&before, &after);
            if new.is_some() {
                quota::check(&view, &used, &delta).map_err(|why| Status::forbidden(kind, name, &why))?;
            }
            let now = quota::total(&view, [used, delta].into_iter());
            ops.extend(status_op(object, &view, &now));
        }
        Ok((Some(guard), ops))
    }

    /// What all objects of a namespace use of a quota, counted from the objects themselves.
    pub(crate) fn used(&self, quota: &ResourceQuota, namespace: &str) -> quota::Usage {
        let counted = |k: &&&'static Kind| k.namespaced() && k.storage == shared::kinds::Storage::Stored && names_kind(quota, k);
        let usages = shared::kinds::KINDS.iter().filter(counted).flat_map(|kind| {
            let objects = self.all(kind, Some(namespace)).1;
            objects.into_iter().filter_map(move |o| {
                let value = o.value();
                quota::in_scope(quota, kind, &value).then(|| quota::usage_of(kind, &value))
            })
        });
        quota::total(quota, usages)
    }

    /// Brings `status` of a quota up to date with what is used, for the quota controller.
    pub async fn recount_quota(&self, namespace: &str, name: &str) -> Result<(), Status> {
        let _guard = self.0.quota_lock(namespace).lock_owned().await;
        let Some(object) = self.load(&RESOURCE_QUOTA, Some(namespace), name) else { return Ok(()) };
        let view: ResourceQuota = object.view();
        let used = self.used(&view, namespace);
        let ops: Vec<Op> = status_op(&object, &view, &used).into_iter().collect();
        if !ops.is_empty() {
            self.0.store.commit(ops).await.map_err(|e| crate::error::from_store(e, &RESOURCE_QUOTA, name))?;
        }
        Ok(())
    }
}

impl Inner {
    fn quota_lock(&self, namespace: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.quota_locks.lock().entry(namespace.to_string()).or_default().clone()
    }
}

/// Does any limited resource of the quota count this kind?
fn names_kind(quota: &ResourceQuota, kind: &Kind) -> bool {
    let count = format!("count/{}", kind.qualified());
    quota.spec.hard.keys().any(|key| {
        *key == count
            || match kind.kind {
                "Pod" => matches!(key.as_str(), "pods" | "cpu" | "memory") || key.starts_with("requests.") || key.starts_with("limits."),
                "Service" => key == "services" || key.starts_with("services."),
                _ => key == kind.plural,
            }
    })
}

fn difference(before: &quota::Usage, after: &quota::Usage) -> quota::Usage {
    let mut delta = after.clone();
    for (name, amount) in before {
        let now = delta.get(name).copied().unwrap_or(Quantity::ZERO);
        delta.insert(name.clone(), now.minus(*amount));
    }
    delta
}

fn status_op(object: &Object, view: &ResourceQuota, used: &quota::Usage) -> Option<Op> {
    let used: serde_json::Map<String, Value> = used.iter().map(|(k, v)| (k.clone(), json!(v.to_string()))).collect();
    let status = json!({"hard": view.spec.hard, "used": used});
    let Value::Object(mut value) = object.value() else { return None };
    if value.get("status") == Some(&status) {
        return None;
    }
    value.insert("status".into(), status);
    let (bytes, at) = encode(&value);
    // Unconditional but for its existence: under the namespace's quota lock nobody else writes the status.
    Some(Op {
        key: object.record.key.clone(),
        expect: Expect::Revision(object.revision()),
        change: Change::Put { value: bytes, revision_at: Some(at) },
    })
}
