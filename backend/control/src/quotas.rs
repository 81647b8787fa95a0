//! Keeps the reported usage of quotas true when something changed outside of admission (a pod that finished).
use crate::cache::{Cache, Key};
use crate::metrics::Controller;
use crate::queue::Queue;
use crate::{Context, runner};
use shared::kinds::RESOURCE_QUOTA;
use std::sync::Arc;
use std::time::Duration;

/// Usage is counted again this often, whatever happened.
const RECOUNT_EVERY: Duration = Duration::from_secs(60);

pub(crate) fn start(context: &Context) {
    let quotas: Cache<()> = Cache::start(&context.registry, &RESOURCE_QUOTA, |_| (), &context.stop);
    let queue = Arc::new(Queue::of(Controller::Quota));
    let q = queue.clone();
    quotas.on_change(move |change| q.add(change.key.clone()));
    let (q, registry) = (queue.clone(), context.registry.clone());
    context.pods.on_change(move |change| {
        let finished = |p: &Option<Arc<logic::facts::PodFacts>>| p.as_ref().is_some_and(|p| p.phase.finished());
        if finished(&change.new) != finished(&change.old) {
            for quota in registry.all(&RESOURCE_QUOTA, Some(&change.key.0)).1 {
                q.add((change.key.0.clone(), quota.name().to_string()));
            }
        }
    });
    let again = queue.clone();
    runner::run(context, queue, move |context, key: Key| {
        let again = again.clone();
        async move {
            context.registry.recount_quota(&key.0, &key.1).await?;
            if context.registry.get(&context.caller, &RESOURCE_QUOTA, Some(&key.0), &key.1).is_ok() {
                again.add_after(key, RECOUNT_EVERY);
            }
            Ok(())
        }
    });
}
