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
/// After a controller was looked at, it is left alone for so long for each of its pods: however fast they change, looking
/// takes a small part of the time, and a controller of a few pods is never kept waiting.
const LOOK_PER_POD: Duration = Duration::from_micros(10);

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
    let loops = Arc::new(Replication { controllers, owned, queue: queue.clone(), pace: Mutex::default() });
    runner::run(context, queue, move |context, key| loops.clone().run(context, key));
}

struct Replication {
    controllers: Cache<ReplicationController>,
    owned: Arc<Owned>,
    queue: Arc<Queue>,
    pace: Mutex<HashMap<Key, Pace>>,
}

/// When a controller may be worked on again.
#[derive(Clone, Copy)]
struct Pace {
    look: Instant,
    report: Instant,
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
            self.pace.lock().remove(&key);
            return Ok(());
        };
        let now = Instant::now();
        let mut pace = self.pace.lock().get(&key).copied().unwrap_or(Pace { look: now, report: now });
        if pace.look > now {
            self.queue.add_after(key, pace.look - now);
            return Ok(());
        }
        let pods = self.owned.of(&rc.metadata.uid, &key.0);
        let refs: Vec<&PodFacts> = pods.iter().map(Arc::as_ref).collect();
        let writes = reconcile(&Observed { controller: &rc, pods: &refs });
        pace.look = now + LOOK_PER_POD * u32::try_from(pods.len()).unwrap_or(u32::MAX);
        let report_only = !writes.is_empty() && writes.iter().all(is_report);
        let early = report_only && pace.report > now;
        if report_only && !early {
            pace.report = now + REPORT_EVERY;
        }
        self.pace.lock().insert(key.clone(), pace);
        if early {
            self.queue.add_after(key, pace.report - now);
            return Ok(());
        }
        if writes.is_empty() {
            return Ok(());
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
}

/// A write that only says how many pods there are.
fn is_report(write: &Write) -> bool {
    matches!(write, Write::Merge { kind, subresource: "status", .. } if **kind == REPLICATION_CONTROLLER)
}
