//! Seventeen bugs planted into a store that is otherwise right: those of etcd's own list of correctness bugs, and three of
//! their classes. They are wrapped around the store here; no program that is shipped has them.
use crate::clients::Subject;
use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::memory::MemoryStore;
use store::{Change, Error, Event, Expect, Op, Range, Record, Revision, Snapshot, Store, Watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    RepeatsLastCommitAfterCrash,
    LosesLastCommitOnCrash,
    AppliesWhatItRefused,
    LosesDataButKeepsRevision,
    TellsProgressBeforeEvents,
    WatchGoesBackInTime,
    EventTwiceInCommit,
    SlowWatcherLosesEvents,
    RevisionFallsAfterCompaction,
    LaggingWatchSurvivesCompaction,
    ReadsWhatIsCompacted,
    FirstDeleteAfterCompactionIsMissing,
    WatchesTheFuture,
    ReadsOldState,
    TearsCommits,
    AnswersTooEarly,
    SkipsOneOnResume,
}

/// Each with the issue of etcd that it stands for; a class where it stands for several.
pub const ALL: [(Mutant, &str); 17] = [
    (Mutant::RepeatsLastCommitAfterCrash, "#13766"),
    (Mutant::LosesLastCommitOnCrash, "#14370"),
    (Mutant::AppliesWhatItRefused, "#14571"),
    (Mutant::LosesDataButKeepsRevision, "#14685"),
    (Mutant::TellsProgressBeforeEvents, "#15220"),
    (Mutant::WatchGoesBackInTime, "#15271"),
    (Mutant::EventTwiceInCommit, "#17247"),
    (Mutant::SlowWatcherLosesEvents, "#17529"),
    (Mutant::RevisionFallsAfterCompaction, "#17780"),
    (Mutant::LaggingWatchSurvivesCompaction, "#18089"),
    (Mutant::ReadsWhatIsCompacted, "#18667"),
    (Mutant::FirstDeleteAfterCompactionIsMissing, "#19179"),
    (Mutant::WatchesTheFuture, "#20221"),
    (Mutant::ReadsOldState, "#20418"),
    (Mutant::TearsCommits, "class: crash inside a commit"),
    (Mutant::AnswersTooEarly, "class: answered before durable"),
    (Mutant::SkipsOneOnResume, "class: gap when a watch resumes"),
];

/// A right store with one wrong thing; `None`: nothing is wrong.
#[derive(Clone)]
pub struct Buggy(Arc<Inner>);

struct Inner {
    mutant: Option<Mutant>,
    memory: RwLock<Arc<MemoryStore>>,
    /// Every commit, so that a crash can leave out or repeat some.
    log: Mutex<Vec<Vec<Op>>>,
    compacted: AtomicU64,
    calls: AtomicU64,
}

impl Buggy {
    pub fn new(mutant: Option<Mutant>) -> Buggy {
        let memory = RwLock::new(Arc::new(MemoryStore::new()));
        Buggy(Arc::new(Inner { mutant, memory, log: Mutex::default(), compacted: AtomicU64::new(0), calls: AtomicU64::new(0) }))
    }

    fn memory(&self) -> Arc<MemoryStore> {
        self.0.memory.read().clone()
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.0.mutant == Some(mutant)
    }

    /// Every so many calls.
    fn now_and_then(&self, every: u64) -> bool {
        self.0.calls.fetch_add(1, Ordering::Relaxed) % every == every - 1
    }

    async fn apply(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        let memory = self.memory();
        let before = memory.revision();
        let unguarded = ops.iter().map(|op| Op { expect: Expect::Any, ..op.clone() }).collect();
        // A commit in memory is done at once: nobody comes between it and its line in the log.
        let revision = memory.commit(ops).now_or_never().expect("memory does not wait")?;
        if revision > before {
            self.0.log.lock().push(unguarded);
        }
        Ok(revision)
    }
}

fn replay(log: &[Vec<Op>], compacted: Revision) -> MemoryStore {
    let memory = MemoryStore::new();
    for ops in log {
        memory.commit(ops.clone()).now_or_never().expect("memory does not wait").expect("it was committed before");
    }
    let _ = memory.compact(compacted.min(memory.revision())).now_or_never();
    memory
}

#[async_trait]
impl Subject for Buggy {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    async fn crash(&self) {
        let mut log = self.0.log.lock();
        let compacted = self.0.compacted.load(Ordering::SeqCst);
        let Some(last) = log.last().cloned() else { return };
        match self.0.mutant {
            Some(Mutant::RepeatsLastCommitAfterCrash) => log.push(last),
            Some(Mutant::LosesLastCommitOnCrash) => drop(log.pop()),
            Some(Mutant::RevisionFallsAfterCompaction) if compacted > 0 => {
                let keep = log.len().saturating_sub(2);
                log.truncate(keep);
            }
            Some(Mutant::LosesDataButKeepsRevision) => {
                let value = "nobody looks here".into();
                *log.last_mut().expect("there is one") =
                    vec![Op { key: "/elsewhere".into(), expect: Expect::Any, change: Change::Put { value, revision_at: None } }];
            }
            _ => {}
        }
        *self.0.memory.write() = Arc::new(replay(&log, compacted));
    }
}

#[async_trait]
impl Store for Buggy {
    fn space(&self) -> store::Space {
        self.memory().space()
    }
    fn revision(&self) -> Revision {
        self.memory().revision()
    }

    fn get(&self, key: &str) -> Option<Arc<Record>> {
        let memory = self.memory();
        if self.is(Mutant::ReadsOldState) && self.now_and_then(10) {
            let at = Some(memory.revision().saturating_sub(8));
            let old = memory.list(&Range { prefix: key.into(), at, ..Range::default() }).ok();
            return old.and_then(|list| list.records.into_iter().next());
        }
        memory.get(key)
    }

    fn list(&self, range: &Range) -> Result<Snapshot, Error> {
        match self.memory().list(range) {
            Err(Error::Compacted { asked, .. }) if self.is(Mutant::ReadsWhatIsCompacted) => {
                let now = self.memory().list(&Range { at: None, ..range.clone() })?;
                Ok(Snapshot { revision: asked, ..now })
            }
            other => other,
        }
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        if self.is(Mutant::TearsCommits) && ops.len() > 1 {
            self.apply(ops[..1].to_vec()).await?;
            tokio::time::sleep(Duration::from_micros(100)).await;
            return self.apply(ops[1..].to_vec()).await;
        }
        if self.is(Mutant::AnswersTooEarly) {
            let (later, revision) = (self.clone(), self.revision() + 1);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                later.apply(ops).await
            });
            return Ok(revision);
        }
        let outcome = self.apply(ops.clone()).await;
        if outcome.is_err() && self.is(Mutant::AppliesWhatItRefused) && self.now_and_then(3) {
            self.apply(ops.into_iter().map(|op| Op { expect: Expect::Any, ..op }).collect()).await?;
        }
        outcome
    }

    fn watch(&self, from: Revision) -> Result<Box<dyn Watch>, Error> {
        let memory = self.memory();
        let compacted = self.0.compacted.load(Ordering::SeqCst);
        let begin = match self.0.mutant {
            Some(Mutant::WatchesTheFuture) if from > memory.revision() => memory.revision(),
            Some(Mutant::SkipsOneOnResume) if from > 0 && from < memory.revision() => from + 1,
            _ => from,
        };
        let skip_delete = self.is(Mutant::FirstDeleteAfterCompactionIsMissing) && from == compacted;
        let inner = memory.watch(begin)?;
        Ok(Box::new(BuggyWatch { store: self.clone(), inner, held: VecDeque::new(), last: Vec::new(), count: 0, skip_delete }))
    }

    fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
        self.memory().history(after, upto)
    }

    async fn compact(&self, upto: Revision) -> Result<(), Error> {
        self.memory().compact(upto).await?;
        self.0.compacted.fetch_max(upto, Ordering::SeqCst);
        Ok(())
    }

    async fn close(&self) {}
}

struct BuggyWatch {
    store: Buggy,
    inner: Box<dyn Watch>,
    held: VecDeque<Vec<Event>>,
    last: Vec<Event>,
    count: u64,
    skip_delete: bool,
}

#[async_trait]
impl Watch for BuggyWatch {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        if let Some(held) = self.held.pop_front() {
            return Ok(held);
        }
        self.count += 1;
        let mut events = match self.inner.next().await {
            Err(Error::Compacted { oldest, .. }) if self.store.is(Mutant::LaggingWatchSurvivesCompaction) => {
                self.inner = self.store.memory().watch(oldest)?;
                self.inner.next().await?
            }
            other => other?,
        };
        match self.store.0.mutant {
            Some(Mutant::TellsProgressBeforeEvents) if self.count.is_multiple_of(3) => {
                self.held.push_back(events);
                return Ok(Vec::new());
            }
            Some(Mutant::WatchGoesBackInTime) if self.count == 5 => return Ok(self.last.clone()),
            Some(Mutant::EventTwiceInCommit) if events.len() > 1 && self.count.is_multiple_of(3) => events.extend(events.last().cloned()),
            Some(Mutant::SlowWatcherLosesEvents) if events.len() > 8 => drop(events.remove(4)),
            _ => {}
        }
        if std::mem::take(&mut self.skip_delete) && events.first().is_some_and(|e| e.current.is_none()) {
            events.remove(0);
        }
        self.last.clone_from(&events);
        Ok(events)
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }
}
