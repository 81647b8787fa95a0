//! Empties namespaces that are being deleted.
use crate::cache::{Cache, Key};
use crate::metrics::Controller;
use crate::queue::Queue;
use crate::{Context, apply, runner};
use logic::controllers::namespace::{Content, reconcile};
use shared::kinds::{KINDS, NAMESPACE, Storage};
use shared::status::Status;
use std::sync::Arc;
use std::time::Duration;

/// While something is still stopping, the namespace is looked at again this soon.
const AGAIN: Duration = Duration::from_millis(200);

pub(crate) fn start(context: &Context) {
    let namespaces: Cache<bool> = Cache::start(&context.registry, &NAMESPACE, |o| o.index().meta.is_deleting(), &context.stop);
    let queue = Arc::new(Queue::of(Controller::Namespace));
    let q = queue.clone();
    namespaces.on_change(move |change| {
        if change.new.as_deref() == Some(&true) {
            q.add(change.key.clone());
        }
    });
    let again = queue.clone();
    runner::run(context, queue, move |context, key| run(context, again.clone(), key));
}

async fn run(context: Context, queue: Arc<Queue>, key: Key) -> Result<(), Status> {
    let Ok(namespace) = context.registry.get(&context.caller, &NAMESPACE, None, &key.1) else { return Ok(()) };
    let mut contents = Vec::new();
    for kind in KINDS.iter().copied().filter(|k| k.namespaced() && k.storage == Storage::Stored) {
        for object in context.registry.all(kind, Some(&key.1)).1 {
            let index = object.index();
            contents.push(Content { kind, name: index.meta.name.clone(), uid: index.meta.uid.clone(), deleting: index.meta.is_deleting() });
        }
    }
    let left = !contents.is_empty();
    apply::all(&context, reconcile(&namespace.value(), &contents), &NAMESPACE).await?;
    if left {
        queue.add_after(key, AGAIN);
    }
    Ok(())
}
