//! Feeds the replication controller: which controllers a changed pod concerns, and what they observe.
use crate::apply;
use crate::cache::{Cache, Change, Key};
use crate::metrics::Controller;
use crate::owned::Owned;
use crate::queue::Queue;
use crate::{Context, runner};
use logic::controllers::Write;
use logic::controllers::replication::{Observed, event, reconcile};
use logic::facts::PodFacts;
use parking_lot::Mutex;
use shared::kinds::{POD, REPLICATION_CONTROLLER};
use shared::objects::replication_controller::ReplicationController;
use shared::selector::LabelSelector;
use shared::status::Status;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// While pods come and go, a controller's counts are written no more often than this; the last ones always are.
const REPORT_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn start(context: &Context) {
    let controllers: Cache<ReplicationController> = Cache::start(&context.registry, &REPLICATION_CONTROLLER, |o| o.view(), &context.stop);
    let queue = Arc::new(Queue::of(Controller::Replication));
    let (q, c, owned) = (queue.clone(), controllers.clone(), Arc::new(Owned::default()));
    let pods = owned.clone();
    context.pods.on_change(move |change| {
        pods.note(change);
        concerned(change, &c).into_iter().for_each(|key| q.add(key));
    });
    let q = queue.clone();
    controllers.on_change(move |change| q.add(change.key.clone()));
    let loops = Arc::new(Replication { controllers, owned, queue: queue.clone(), reported: Mutex::default() });
    runner::run(context, queue, move |context, key| loops.clone().run(context, key));
}

struct Replication {
    controllers: Cache<ReplicationController>,
    owned: Arc<Owned>,
    queue: Arc<Queue>,
    /// When a controller's status was written last.
    reported: Mutex<HashMap<Key, Instant>>,
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

impl Replication {
    async fn run(self: Arc<Self>, context: Context, key: Key) -> Result<(), Status> {
        let Some(rc) = self.controllers.get(&key) else {
            self.reported.lock().remove(&key);
            return Ok(());
        };
        let pods = self.owned.of(&rc.metadata.uid, &key.0);
        let refs: Vec<&PodFacts> = pods.iter().map(Arc::as_ref).collect();
        let writes = reconcile(&Observed { controller: &rc, pods: &refs });
        if writes.is_empty() {
            return Ok(());
        }
        if writes.iter().all(is_report) {
            if let Some(wait) = self.too_soon(&key) {
                self.queue.add_after(key, wait);
                return Ok(());
            }
            self.reported.lock().insert(key, Instant::now());
        }
        match apply::all(&context, writes, &POD).await {
            Ok(applied) => {
                context.pods.has_seen(applied.newest).await;
                Ok(())
            }
            Err(status) => {
                let said = event(&rc, true, "FailedCreate", format!("Error creating: {}", status.message));
                if let Write::Event { about, warning, reason, message } = said {
                    context.events.say(about, warning, reason, message);
                }
                Err(status)
            }
        }
    }

    /// How long to wait before a controller's status may be written again.
    fn too_soon(&self, key: &Key) -> Option<Duration> {
        let last = self.reported.lock().get(key).copied()?;
        (last + REPORT_EVERY).checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }
}

/// A write that only says how many pods there are.
fn is_report(write: &Write) -> bool {
    matches!(write, Write::Merge { kind, subresource: "status", .. } if **kind == REPLICATION_CONTROLLER)
}
