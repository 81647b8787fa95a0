//! Store changes → watchers: every event is decoded and filtered once, and wakes only those whom it concerns.
use crate::encode::with_revision;
use crate::error::expired;
use crate::metrics;
use crate::object::Object;
use crate::registry_impl::WatchItem;
use parking_lot::Mutex;
use shared::kinds::{KINDS, Kind, POD, Storage};
use shared::selector::{FieldSelector, LabelSelector};
use shared::status::Status;
use shared::watch::EventType;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use store::{Event, Record, Revision, Store};
use tokio::sync::mpsc;

/// Events that may wait for one watcher. One that falls further behind is told to start again (410).
const WATCHER_QUEUE_MAX: usize = 4096;

/// What a watcher wants to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// `None`: all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Filter {
    pub(crate) fn matches(&self, object: &Object) -> bool {
        if self.namespace.as_deref().is_some_and(|ns| ns != object.namespace()) {
            return false;
        }
        if self.labels.is_empty() && self.fields.is_empty() {
            return true;
        }
        let index = object.index();
        self.labels.matches(&index.meta.labels) && self.fields.matches_with(|f| index.field(object.kind, f))
    }
}

struct Subscriber {
    id: u64,
    /// Up to here the watcher knows everything from his list. The store publishes before we hand out, so that a list can be
    /// ahead of the stream that is joined behind it.
    after: Revision,
    filter: Filter,
    queue: mpsc::Sender<WatchItem>,
}

/// Subscribers of one kind. Watchers of one node's pods stand apart, so that a thousand nodes are not asked each time.
#[derive(Default)]
struct Subscribers {
    general: Vec<Subscriber>,
    by_node: HashMap<String, Vec<Subscriber>>,
}

#[derive(Default)]
struct Table {
    /// Everything up to here has been handed out.
    position: Revision,
    next_id: u64,
    by_resource: HashMap<String, Subscribers>,
}

/// What `/metrics` shows of the fan-out.
#[derive(Default)]
pub(crate) struct Look {
    /// Everything up to here has been handed out.
    pub(crate) position: Revision,
    /// By resource.
    pub(crate) watchers: HashMap<String, usize>,
    pub(crate) longest_queue: usize,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fanout {
    table: Arc<Mutex<Table>>,
    store: Arc<dyn Store>,
}

impl Fanout {
    /// Starts the task that hands events out; it ends with the store.
    pub(crate) fn start(store: Arc<dyn Store>) -> Fanout {
        let position = store.revision();
        let fanout = Fanout { table: Arc::new(Mutex::new(Table { position, ..Table::default() })), store };
        let task = fanout.clone();
        tokio::spawn(async move { task.run(position).await });
        fanout
    }

    async fn run(self, mut from: Revision) {
        loop {
            let why = match self.store.watch(from) {
                Ok(mut watch) => loop {
                    match watch.next().await {
                        Ok(events) => self.hand_out(&events, watch.revision()),
                        Err(why) => break why,
                    }
                },
                // Enough was written since we asked where to begin that history begins later by now, or the store has ended.
                Err(why) => why,
            };
            // Dropping the queues ends every watch: with the store, or because history was shorter than our delay.
            let mut table = self.table.lock();
            table.by_resource.clear();
            if !matches!(why, store::Error::Compacted { .. }) {
                return;
            }
            from = self.store.revision();
            table.position = from;
            tracing::warn!(error = %why, "the watches fell behind the store's history; all begin again");
        }
    }

    fn hand_out(&self, events: &[Event], upto: Revision) {
        let mut table = self.table.lock();
        for event in events {
            table.hand_out(event);
        }
        table.position = upto;
    }

    /// How things stand at this moment.
    pub(crate) fn look(&self) -> Look {
        let table = self.table.lock();
        let mut look = Look { position: table.position, ..Look::default() };
        for (resource, subscribers) in &table.by_resource {
            let all = || subscribers.general.iter().chain(subscribers.by_node.values().flatten());
            look.watchers.insert(resource.clone(), all().count());
            let longest = all().map(|s| s.queue.max_capacity() - s.queue.capacity()).max();
            look.longest_queue = look.longest_queue.max(longest.unwrap_or(0));
        }
        look
    }

    /// Joins the stream after `from` without a gap: what was handed out already is taken from history.
    pub(crate) fn subscribe(&self, kind: &'static Kind, filter: Filter, from: Revision) -> Result<Watch, Status> {
        let (queue, receiver) = mpsc::channel(WATCHER_QUEUE_MAX);
        let mut table = self.table.lock();
        // Asked even when nothing was handed out since: what history has lost, the stream to come may have lost too.
        let missed = self.store.history(from, table.position.max(from)).map_err(|e| match e {
            store::Error::Compacted { asked, oldest } => expired(asked, oldest),
            other => crate::error::from_store(other, kind, ""),
        })?;
        let name = resource(kind);
        let mut backlog: Vec<WatchItem> = missed.iter().filter_map(|e| item(e, &name, kind, &filter, &OnceLock::new())).collect();
        backlog.reverse();
        let id = table.next_id;
        table.next_id += 1;
        let node = (*kind == POD).then(|| filter.fields.required("spec.nodeName").map(str::to_string)).flatten().filter(|n| !n.is_empty());
        let subscribers = table.by_resource.entry(resource(kind)).or_default();
        let list = match &node {
            Some(node) => subscribers.by_node.entry(node.clone()).or_default(),
            None => &mut subscribers.general,
        };
        list.push(Subscriber { id, after: from, filter, queue });
        let guard = Guard { table: self.table.clone(), resource: resource(kind), node, id };
        Ok(Watch { backlog, receiver, after: from, _guard: Some(guard) })
    }
}

pub(crate) fn resource(kind: &Kind) -> String {
    if kind.group.is_empty() { kind.plural.to_string() } else { kind.qualified() }
}

/// The stored kind of a key's first part.
pub(crate) fn kind_of(resource: &str) -> Option<&'static Kind> {
    static BY_RESOURCE: OnceLock<HashMap<String, &'static Kind>> = OnceLock::new();
    let stored = || KINDS.iter().filter(|k| k.storage == Storage::Stored).map(|k| (k.qualified(), *k)).collect();
    BY_RESOURCE.get_or_init(stored).get(resource).copied()
}

impl Table {
    fn hand_out(&mut self, event: &Event) {
        let Some((resource, ..)) = store::key::parse(&event.key) else { return };
        let Some(kind) = kind_of(resource) else { return };
        let Some(subscribers) = self.by_resource.get_mut(resource) else { return };
        let deleted = OnceLock::new();
        offer(&mut subscribers.general, event, resource, kind, &deleted);
        if *kind == POD && !subscribers.by_node.is_empty() {
            let mut nodes: Vec<String> = [&event.previous, &event.current].into_iter().flatten().map(|r| node_of(kind, r)).collect();
            nodes.dedup();
            for node in nodes {
                if let Some(list) = subscribers.by_node.get_mut(&node) {
                    offer(list, event, resource, kind, &deleted);
                }
            }
        }
    }
}

fn node_of(kind: &'static Kind, record: &Arc<Record>) -> String {
    Object { kind, record: record.clone() }.index().field(kind, "spec.nodeName").to_string()
}

fn offer(list: &mut Vec<Subscriber>, event: &Event, resource: &str, kind: &'static Kind, deleted: &OnceLock<Arc<Record>>) {
    list.retain(|s| {
        if event.revision <= s.after {
            return true;
        }
        match item(event, resource, kind, &s.filter, deleted) {
            // Full or gone: the queue is dropped, and a watcher that is merely slow finds its end there.
            Some(item) => match s.queue.try_send(item) {
                Ok(()) => {
                    metrics::WATCH_EVENTS.inc();
                    true
                }
                Err(mpsc::error::TrySendError::Full(_)) => {
                    metrics::SLOW_WATCHERS.inc();
                    false
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            },
            None => true,
        }
    });
}

/// What the event means to one filter: an object that begins to match is ADDED, one that ceases to is DELETED.
fn item(event: &Event, resource: &str, kind: &'static Kind, filter: &Filter, deleted: &OnceLock<Arc<Record>>) -> Option<WatchItem> {
    if store::key::parse(&event.key).is_none_or(|(r, ..)| r != resource) {
        return None;
    }
    let of = |record: &Option<Arc<Record>>| record.as_ref().map(|r| Object { kind, record: r.clone() });
    let (now, before) = (of(&event.current), of(&event.previous));
    let matches_now = now.as_ref().filter(|o| filter.matches(o));
    let matched_before = before.as_ref().filter(|o| filter.matches(o));
    let (event_type, object) = match (matches_now, matched_before) {
        (Some(now), None) => (EventType::Added, now.clone()),
        (Some(now), Some(_)) => (EventType::Modified, now.clone()),
        (None, Some(before)) => {
            // The last state that the filter let through, gone or not, with the version of its end.
            let last = deleted.get_or_init(|| {
                let value = with_revision(&before.record.value, event.revision);
                let (key, created) = (event.key.clone(), before.record.created);
                Arc::new(Record { key, revision: event.revision, created, value, view: OnceLock::new() })
            });
            (EventType::Deleted, Object { kind, record: last.clone() })
        }
        (None, None) => return None,
    };
    Some(WatchItem { event_type, revision: event.revision, object: Some(object), initial_events_end: false })
}

struct Guard {
    table: Arc<Mutex<Table>>,
    resource: String,
    node: Option<String>,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        let Some(subscribers) = table.by_resource.get_mut(&self.resource) else { return };
        match &self.node {
            Some(node) => {
                if let Some(list) = subscribers.by_node.get_mut(node) {
                    list.retain(|s| s.id != self.id);
                    if list.is_empty() {
                        subscribers.by_node.remove(node);
                    }
                }
            }
            None => subscribers.general.retain(|s| s.id != self.id),
        }
    }
}

/// A filtered, ordered stream of a collection's changes.
pub struct Watch {
    /// What comes before the live events, last first.
    backlog: Vec<WatchItem>,
    receiver: mpsc::Receiver<WatchItem>,
    after: Revision,
    _guard: Option<Guard>,
}

impl Watch {
    /// Puts items in front of everything else.
    pub(crate) fn prepend(&mut self, items: Vec<WatchItem>) {
        self.backlog.extend(items.into_iter().rev());
    }

    /// The next event; `Err(410 Expired)` when the watcher fell too far behind. Never ends by itself.
    pub async fn next(&mut self) -> Result<WatchItem, Status> {
        if let Some(item) = self.backlog.pop() {
            return Ok(item);
        }
        match self.receiver.recv().await {
            Some(item) => {
                self.after = item.revision;
                Ok(item)
            }
            None => Err(Status::expired(format!("the watch fell too far behind after resource version {}; list again", self.after))),
        }
    }
}
