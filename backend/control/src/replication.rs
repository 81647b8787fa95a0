//! Feeds the replication controller: which controllers a changed pod concerns, and what they observe.
use crate::apply;
use crate::cache::{Cache, Change, Key};
use crate::metrics::Controller;
use crate::queue::Queue;
use crate::{Context, runner};
use logic::controllers::Write;
use logic::controllers::replication::{Observed, event, reconcile};
use logic::facts::PodFacts;
use shared::kinds::{POD, REPLICATION_CONTROLLER};
use shared::objects::replication_controller::ReplicationController;
use shared::selector::LabelSelector;
use shared::status::Status;
use std::sync::Arc;

pub(crate) fn start(context: &Context) {
    let controllers: Cache<ReplicationController> = Cache::start(&context.registry, &REPLICATION_CONTROLLER, |o| o.view(), &context.stop);
    let queue = Arc::new(Queue::of(Controller::Replication));
    let (q, c) = (queue.clone(), controllers.clone());
    context.pods.on_change(move |change| concerned(change, &c).into_iter().for_each(|key| q.add(key)));
    let q = queue.clone();
    controllers.on_change(move |change| q.add(change.key.clone()));
    runner::run(context, queue, move |context, key| run(context, controllers.clone(), key));
}

/// Controllers that own the pod, or would.
fn concerned(change: &Change<PodFacts>, controllers: &Cache<ReplicationController>) -> Vec<Key> {
    let mut keys = Vec::new();
    for pod in [&change.old, &change.new].into_iter().flatten() {
        match &pod.owner {
            Some(owner) if owner.kind == "ReplicationController" => keys.push((pod.namespace.clone(), owner.name.clone())),
            Some(_) => {}
            None => {
                let matching = controllers.in_namespace(&pod.namespace);
                let matching = matching.iter().filter(|rc| LabelSelector::from_map(&rc.spec.selector).matches(&pod.labels));
                keys.extend(matching.map(|rc| (rc.metadata.namespace.clone(), rc.metadata.name.clone())));
            }
        }
    }
    keys.dedup();
    keys
}

async fn run(context: Context, controllers: Cache<ReplicationController>, key: Key) -> Result<(), Status> {
    let Some(rc) = controllers.get(&key) else { return Ok(()) };
    let pods = context.pods.in_namespace(&key.0);
    let refs: Vec<&PodFacts> = pods.iter().map(Arc::as_ref).collect();
    let writes = reconcile(&Observed { controller: &rc, pods: &refs });
    if writes.is_empty() {
        return Ok(());
    }
    let outcome = apply::all(&context, writes, &POD).await;
    match outcome {
        Ok(applied) => {
            context.pods.has_seen(applied.newest).await;
            Ok(())
        }
        Err(status) => {
            let said = event(&rc, true, "FailedCreate", format!("Error creating: {}", status.message));
            if let Write::Event { about, warning, reason, message } = said {
                context.events.record(about, warning, reason, message).await;
            }
            Err(status)
        }
    }
}
