//! Feeds the endpoints controller: every change of a pod or service is in the Endpoints within milliseconds.
use crate::apply;
use crate::cache::{Cache, Change, Key};
use crate::metrics::Controller;
use crate::queue::Queue;
use crate::{Context, runner};
use logic::controllers::endpoints::{Observed, reconcile};
use logic::facts::PodFacts;
use registry::options::ListOptions;
use serde_json::Value;
use shared::kinds::{ENDPOINT_SLICE, ENDPOINTS, SERVICE};
use shared::objects::service::Service;
use shared::selector::LabelSelector;
use shared::status::Status;
use std::sync::Arc;

pub(crate) fn start(context: &Context) {
    let services: Cache<Service> = Cache::start(&context.registry, &SERVICE, |o| o.view(), &context.stop);
    let queue = Arc::new(Queue::of(Controller::Endpoints));
    let (q, s) = (queue.clone(), services.clone());
    context.pods.on_change(move |change| concerned(change, &s).into_iter().for_each(|key| q.add(key)));
    let q = queue.clone();
    services.on_change(move |change| q.add(change.key.clone()));
    // Services may have gone while no server ran: what they left is looked at once.
    for left in context.registry.all(&ENDPOINTS, None).1 {
        queue.add((left.namespace().to_string(), left.name().to_string()));
    }
    runner::run(context, queue, move |context, key| run(context, services.clone(), key));
}

/// Services whose selector matches the pod, as it was or as it is.
fn concerned(change: &Change<PodFacts>, services: &Cache<Service>) -> Vec<Key> {
    let in_namespace = services.in_namespace(&change.key.0);
    let matches = |service: &&Arc<Service>| {
        let Some(selector) = service.spec.selector.as_ref().filter(|s| !s.is_empty()) else { return false };
        let selector = LabelSelector::from_map(selector);
        [&change.old, &change.new].into_iter().flatten().any(|pod| selector.matches(&pod.labels))
    };
    in_namespace.iter().filter(matches).map(|s| (s.metadata.namespace.clone(), s.metadata.name.clone())).collect()
}

async fn run(context: Context, services: Cache<Service>, key: Key) -> Result<(), Status> {
    let Some(service) = services.get(&key) else { return removed(&context, &key).await };
    let pods = context.pods.in_namespace(&key.0);
    let pods: Vec<&PodFacts> = pods.iter().map(Arc::as_ref).collect();
    // Read from the registry itself, which always shows our own last write.
    let stored = context.registry.get(&context.caller, &ENDPOINTS, Some(&key.0), &key.1).ok().map(|o| o.value());
    let labels = format!("kubernetes.io/service-name={},endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io", key.1);
    let options = ListOptions { labels: LabelSelector::parse(&labels).unwrap_or_default(), ..ListOptions::default() };
    let slices = context.registry.list(&context.caller, &ENDPOINT_SLICE, Some(&key.0), &options)?;
    let slices: Vec<Value> = slices.items.iter().map(registry::object::Object::value).collect();
    let slices: Vec<&Value> = slices.iter().collect();
    let writes = reconcile(&Observed { service: &service, pods: &pods, endpoints: stored.as_ref(), slices: &slices });
    apply::all(&context, writes, &ENDPOINTS).await.map(|_| ())
}

/// The Endpoints of a service that is gone go too, if they were ours. Slices have the service as their owner.
async fn removed(context: &Context, key: &Key) -> Result<(), Status> {
    let Ok(stored) = context.registry.get(&context.caller, &ENDPOINTS, Some(&key.0), &key.1) else { return Ok(()) };
    let ours = stored.index().meta.labels.contains_key("endpoints.kubernetes.io/managed-by");
    if ours {
        let options = registry::options::DeleteOptions::default();
        let outcome = context.registry.delete(&context.caller, &ENDPOINTS, Some(&key.0), &key.1, &options).await;
        return outcome.map(|_| ()).or_else(|status| if status.is_not_found() { Ok(()) } else { Err(status) });
    }
    Ok(())
}
