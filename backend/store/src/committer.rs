//! The one ordered pipeline of writes: check, assign a revision, make durable as a group, publish, acknowledge.
use crate::history::{Bounds, History};
use crate::{Change, Error, Event, Expect, Op, Range, Record, Revision, Snapshot, Watch};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use imbl::OrdMap;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};

/// Commits that wait for the disk; more callers than this wait in front of the queue.
const QUEUE_MAX: usize = 8192;
/// Commits in one group. Large enough for any load here, small enough that no caller waits for a huge transaction.
const GROUP_MAX: usize = 2048;
/// Largest value; the API's own limit on bodies is below it.
pub(crate) const VALUE_BYTES_MAX: usize = 4 << 20;
/// Events that a watch hands out at once.
const WATCH_GROUP_MAX: usize = 1024;

/// Where commits become durable.
pub(crate) trait Disk: Send {
    /// Makes all events durable before it returns. After an error nothing more is written: what a failed sync left
    /// behind cannot be known.
    fn write(&mut self, events: &[Event]) -> Result<(), String>;
}

/// Nothing survives.
pub(crate) struct NoDisk;

impl Disk for NoDisk {
    fn write(&mut self, _: &[Event]) -> Result<(), String> {
        Ok(())
    }
}

/// One published state.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) map: OrdMap<Arc<str>, Arc<Record>>,
}

enum Request {
    Commit(Vec<Op>, oneshot::Sender<Result<Revision, Error>>),
    Close(oneshot::Sender<()>),
}

/// The in-memory truth in front of a disk; both stores are this.
pub(crate) struct Core {
    state: Arc<ArcSwap<State>>,
    history: Arc<Mutex<History>>,
    published: watch::Receiver<Revision>,
    requests: mpsc::Sender<Request>,
}

impl Core {
    pub(crate) fn start(state: State, disk: Box<dyn Disk>, bounds: Bounds) -> Core {
        let (requests, receiver) = mpsc::channel(QUEUE_MAX);
        let (publish, published) = watch::channel(state.revision);
        let history = Arc::new(Mutex::new(History::new(bounds, state.revision)));
        let shared = Arc::new(ArcSwap::from_pointee(state.clone()));
        let mut committer = Committer { state, shared: shared.clone(), history: history.clone(), publish, disk, failed: None };
        std::thread::Builder::new().name("committer".into()).spawn(move || committer.run(receiver)).expect("a thread can be started");
        Core { state: shared, history, published, requests }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.state.load().revision
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.state.load().map.get(key).cloned()
    }

    pub(crate) fn list(&self, range: &Range) -> Result<Snapshot, Error> {
        let state = self.state.load_full();
        let at = range.at.unwrap_or(state.revision);
        if at > state.revision {
            return Err(Error::Future { asked: at, current: state.revision });
        }
        if at == state.revision {
            return Ok(slice(&state.map, at, range));
        }
        // Undone backwards from now: exact, and nothing old has to be kept twice.
        let mut map = state.map.clone();
        for event in self.history.lock().range(at, state.revision, usize::MAX)?.into_iter().rev() {
            match event.previous {
                Some(record) => map.insert(event.key, record),
                None => map.remove(&event.key),
            };
        }
        Ok(slice(&map, at, range))
    }

    pub(crate) async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        let (reply, answer) = oneshot::channel();
        let closed = || Error::Unavailable("it is closed".into());
        self.requests.send(Request::Commit(ops, reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    pub(crate) fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
        self.history.lock().range(after, upto, usize::MAX)
    }

    pub(crate) fn watch(&self, from: Revision) -> Result<Box<dyn Watch>, Error> {
        let current = self.revision();
        if from > current {
            return Err(Error::Future { asked: from, current });
        }
        self.history.lock().range(from, from, 0)?;
        Ok(Box::new(CoreWatch { position: from, history: self.history.clone(), published: self.published.clone() }))
    }

    pub(crate) fn compact(&self, upto: Revision) {
        self.history.lock().forget(upto.min(self.revision()));
    }

    pub(crate) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Close(reply)).await.is_ok() {
            let _ = answer.await;
        }
    }
}

fn slice(map: &OrdMap<Arc<str>, Arc<Record>>, revision: Revision, range: &Range) -> Snapshot {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let start: Arc<str> = range.after.as_deref().unwrap_or(&range.prefix).into();
    let from = if range.after.is_some() { Excluded(start) } else { Included(start) };
    let (mut records, mut more) = (Vec::new(), false);
    for (key, record) in map.range::<_, Arc<str>>((from, Unbounded)) {
        if !key.starts_with(&range.prefix) {
            break;
        }
        if range.limit > 0 && records.len() == range.limit {
            more = true;
            break;
        }
        records.push(record.clone());
    }
    Snapshot { revision, records, more }
}

struct CoreWatch {
    position: Revision,
    history: Arc<Mutex<History>>,
    published: watch::Receiver<Revision>,
}

#[async_trait]
impl Watch for CoreWatch {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let upto = *self.published.borrow_and_update();
            if upto > self.position {
                let events = self.history.lock().range(self.position, upto, WATCH_GROUP_MAX)?;
                self.position = events.last().map_or(upto, |e| e.revision);
                return Ok(events);
            }
            self.published.changed().await.map_err(|_| Error::Unavailable("it is closed".into()))?;
        }
    }

    fn revision(&self) -> Revision {
        self.position
    }
}

struct Committer {
    /// What the next commit is checked against: published state plus the group that is being made.
    state: State,
    shared: Arc<ArcSwap<State>>,
    history: Arc<Mutex<History>>,
    publish: watch::Sender<Revision>,
    disk: Box<dyn Disk>,
    failed: Option<String>,
}

type Waiting = (Revision, oneshot::Sender<Result<Revision, Error>>);

impl Committer {
    fn run(&mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let (mut events, mut waiting) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            let mut closing = None;
            while let Some(request) = next.take() {
                match request {
                    Request::Commit(ops, reply) => self.take(ops, reply, &mut events, &mut waiting),
                    Request::Close(reply) => closing = Some(reply),
                }
                if closing.is_none() && waiting.len() < GROUP_MAX {
                    next = requests.try_recv().ok();
                }
            }
            self.finish(events, waiting);
            if let Some(reply) = closing {
                requests.close();
                // Closes the file before the answer, so that whoever waited may open it again.
                self.disk = Box::new(NoDisk);
                self.failed = Some("it is closed".into());
                let _ = reply.send(());
                return;
            }
        }
    }

    /// Checks one commit and, if it holds, adds it to the group.
    fn take(&mut self, ops: Vec<Op>, reply: oneshot::Sender<Result<Revision, Error>>, events: &mut Vec<Event>, waiting: &mut Vec<Waiting>) {
        if let Some(why) = &self.failed {
            let _ = reply.send(Err(Error::Unavailable(why.clone())));
            return;
        }
        if let Err(error) = self.check(&ops) {
            let _ = reply.send(Err(error));
            return;
        }
        if ops
            .iter()
            .all(|op| matches!(op.change, Change::Check) || matches!(op.change, Change::Delete) && !self.state.map.contains_key(&op.key))
        {
            // Nothing to write; but the answer may rest on commits of this group, so it waits with them.
            waiting.push((self.state.revision, reply));
            return;
        }
        let revision = self.state.revision + 1;
        self.state.revision = revision;
        for op in ops {
            if let Some(event) = self.apply(op, revision) {
                events.push(event);
            }
        }
        waiting.push((revision, reply));
    }

    fn check(&self, ops: &[Op]) -> Result<(), Error> {
        for op in ops {
            let actual = self.state.map.get(&op.key).map(|r| r.revision);
            let holds = match op.expect {
                Expect::Any => true,
                Expect::Absent => actual.is_none(),
                Expect::Revision(r) => actual == Some(r),
            };
            if !holds {
                return Err(Error::Conflict { key: op.key.to_string(), actual });
            }
            if let Change::Put { value, .. } = &op.change
                && value.len() > VALUE_BYTES_MAX
            {
                return Err(Error::TooLarge { key: op.key.to_string(), bytes: value.len(), max: VALUE_BYTES_MAX });
            }
        }
        Ok(())
    }

    fn apply(&mut self, op: Op, revision: Revision) -> Option<Event> {
        match op.change {
            Change::Check => None,
            Change::Delete => {
                let previous = self.state.map.remove(&op.key)?;
                Some(Event { revision, key: op.key, current: None, previous: Some(previous) })
            }
            Change::Put { value, revision_at } => {
                let previous = self.state.map.get(&op.key).cloned();
                let created = previous.as_ref().map_or(revision, |p| p.created);
                let value = match revision_at {
                    Some(at) => splice(&value, at, revision),
                    None => value,
                };
                let record = Arc::new(Record { key: op.key.clone(), revision, created, value, view: OnceLock::new() });
                self.state.map.insert(op.key.clone(), record.clone());
                Some(Event { revision, key: op.key, current: Some(record), previous })
            }
        }
    }

    /// Durable first, then visible, then acknowledged.
    fn finish(&mut self, events: Vec<Event>, waiting: Vec<Waiting>) {
        if !events.is_empty() {
            if let Err(why) = self.disk.write(&events) {
                tracing::error!(error = %why, "the store cannot write and will accept nothing more");
                self.failed = Some(why.clone());
                self.state = State::clone(&self.shared.load());
                for (_, reply) in waiting {
                    let _ = reply.send(Err(Error::Unavailable(why.clone())));
                }
                return;
            }
            let now = Instant::now();
            {
                let mut history = self.history.lock();
                for event in events {
                    history.push(now, event);
                }
                history.trim(now);
            }
            self.shared.store(Arc::new(self.state.clone()));
            self.publish.send_replace(self.state.revision);
        }
        for (revision, reply) in waiting {
            // A caller that went away has its write all the same.
            let _ = reply.send(Ok(revision));
        }
    }
}

fn splice(value: &Bytes, at: usize, revision: Revision) -> Bytes {
    let digits = revision.to_string();
    let mut out = BytesMut::with_capacity(value.len() + digits.len());
    out.put_slice(&value[..at]);
    out.put_slice(digits.as_bytes());
    out.put_slice(&value[at..]);
    out.freeze()
}
