//! What is published: the state that readers see, the history that watchers follow, and the bell that wakes them.
use crate::history::{Bounds, History};
use crate::metrics;
use crate::stage::Staged;
use crate::state::{self, State};
use crate::watch::Watcher;
use crate::{Error, Event, Range, Record, Revision, Snapshot, Watch};
use arc_swap::ArcSwap;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The most events in one group, unless a single commit has more.
const GROUP_EVENTS: usize = 1024;

/// How far publication has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    pub revision: Revision,
    /// Nothing will be published any more.
    pub closed: bool,
}

/// Shared by a store, its readers and its watchers. Only the store's one committer publishes.
pub(crate) struct Board {
    state: ArcSwap<State>,
    history: RwLock<History>,
    newest: watch::Sender<Newest>,
}

impl Board {
    pub fn new(state: State, history: History) -> Board {
        let newest = watch::Sender::new(Newest { revision: state.revision, closed: false });
        measure(&state, &history);
        Board { state: ArcSwap::from_pointee(state), history: RwLock::new(history), newest }
    }

    /// A board without records and without a past.
    pub fn empty(bounds: Bounds) -> Board {
        Board::new(State::default(), History::new(0, bounds))
    }

    /// The published state; a reference that may be kept.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub fn revision(&self) -> Revision {
        self.state.load().revision
    }

    /// What the records take.
    pub fn bytes(&self) -> usize {
        self.state.load().bytes
    }

    pub fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.state.load().records.get(key).cloned()
    }

    pub fn list(&self, range: &Range) -> Result<Snapshot, Error> {
        let state = self.state();
        let at = range.at.unwrap_or(state.revision);
        state.page(range, || state::undo(&self.history.read(), range, at, state.revision))
    }

    pub fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
        let upto = upto.min(self.revision());
        Ok(self.history.read().between(after, upto)?.cloned().collect())
    }

    pub fn watch(self: &Arc<Self>, from: Revision) -> Result<Box<dyn Watch>, Error> {
        let newest = self.newest.subscribe();
        let current = self.revision();
        let oldest = self.history.read().floor();
        match from {
            0 => Ok(Box::new(Watcher::new(self.clone(), newest, oldest))),
            asked if asked > current => Err(Error::Future { asked, current }),
            asked if asked < oldest => Err(Error::Compacted { asked, oldest }),
            asked => Ok(Box::new(Watcher::new(self.clone(), newest, asked))),
        }
    }

    /// Shows durable commits: first to those who look back, then to readers, last the bell.
    pub fn publish(&self, state: State, commits: &[Staged], now: u64) {
        let revision = state.revision;
        {
            let mut history = self.history.write();
            for commit in commits {
                history.push(&commit.events, now);
            }
            history.trim(now);
            measure(&state, &history);
        }
        self.state.store(Arc::new(state));
        self.newest.send_modify(|newest| newest.revision = revision);
    }

    /// Forgets history; a revision that is not published yet cannot be forgotten.
    pub fn forget(&self, upto: Revision) -> Result<(), Error> {
        let current = self.revision();
        if upto > current {
            return Err(Error::Future { asked: upto, current });
        }
        self.history.write().forget(upto);
        Ok(())
    }

    /// Tells watchers that nothing follows.
    pub fn close(&self) {
        self.newest.send_modify(|newest| newest.closed = true);
    }

    pub fn is_closed(&self) -> bool {
        self.newest.borrow().closed
    }

    /// The next group of events after `after`: whole commits, published ones only.
    pub fn group(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
        let history = self.history.read();
        let mut group: Vec<Event> = Vec::new();
        for event in history.between(after, upto)? {
            if group.len() >= GROUP_EVENTS && group.last().is_some_and(|last| last.revision != event.revision) {
                break;
            }
            group.push(event.clone());
        }
        Ok(group)
    }
}

fn measure(state: &State, history: &History) {
    let (events, bytes) = history.size();
    metrics::HISTORY_EVENTS.set(events);
    metrics::HISTORY_BYTES.set(bytes);
    metrics::OBJECTS.set(state.records.len());
    metrics::OBJECT_BYTES.set(state.bytes);
    metrics::REVISION.set(usize::try_from(state.revision).unwrap_or(usize::MAX));
}

/// Milliseconds since 1970, for the age of history only.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(0)
}
