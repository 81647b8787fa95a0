//! Gives every namespace its default service account and the cluster's CA certificate.
use crate::cache::{Cache, Key};
use crate::metrics::Controller;
use crate::queue::Queue;
use crate::{Context, runner};
use registry::options::WriteOptions;
use serde_json::json;
use shared::kinds::{CONFIG_MAP, Kind, NAMESPACE, SERVICE_ACCOUNT};
use shared::status::{Reason, Status};
use std::sync::Arc;

pub(crate) fn start(context: &Context) {
    let namespaces: Cache<bool> = Cache::start(&context.registry, &NAMESPACE, |o| o.index().meta.is_deleting(), &context.stop);
    let accounts: Cache<()> = Cache::start(&context.registry, &SERVICE_ACCOUNT, |_| (), &context.stop);
    let maps: Cache<()> = Cache::start(&context.registry, &CONFIG_MAP, |_| (), &context.stop);
    let queue = Arc::new(Queue::of(Controller::ServiceAccount));
    let q = queue.clone();
    namespaces.on_change(move |change| {
        if change.new.as_deref() == Some(&false) {
            q.add(change.key.clone());
        }
    });
    // One that was deleted by hand comes back.
    for cache in [accounts, maps] {
        let q = queue.clone();
        cache.on_change(move |change| {
            if change.new.is_none() && ["default", "kube-root-ca.crt"].contains(&change.key.1.as_str()) {
                q.add((String::new(), change.key.0.clone()));
            }
        });
    }
    runner::run(context, queue, run);
}

async fn run(context: Context, key: Key) -> Result<(), Status> {
    let namespace = &key.1;
    let Ok(found) = context.registry.get(&context.caller, &NAMESPACE, None, namespace) else { return Ok(()) };
    if found.index().meta.is_deleting() {
        return Ok(());
    }
    ensure(&context, &SERVICE_ACCOUNT, namespace, json!({"metadata": {"name": "default"}})).await?;
    let ca = json!({"metadata": {"name": "kube-root-ca.crt", "annotations": {"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}},
        "data": {"ca.crt": context.config.ca_pem}});
    ensure(&context, &CONFIG_MAP, namespace, ca).await
}

async fn ensure(context: &Context, kind: &'static Kind, namespace: &str, body: serde_json::Value) -> Result<(), Status> {
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    if context.registry.get(&context.caller, kind, Some(namespace), name).is_ok() {
        return Ok(());
    }
    match context.registry.create(&context.caller, kind, Some(namespace), body, &WriteOptions::default()).await {
        Err(status) if matches!(status.reason, Reason::AlreadyExists | Reason::NotFound | Reason::Forbidden) => Ok(()),
        other => other.map(|_| ()),
    }
}
