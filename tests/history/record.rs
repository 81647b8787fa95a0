//! What clients asked and were told, and what watchers saw, with the order in time of everything.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

pub type Revision = u64;

/// A clock that only tells what was before what.
#[derive(Default)]
pub struct Order(AtomicU64);

impl Order {
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// One key of a write. No two writes of a history put the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub key: String,
    /// `None` deletes.
    pub value: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Asked {
    Write(Vec<Put>),
    Get(String),
    List { at: Option<Revision> },
    Compact(Revision),
}

/// A version of a key: its revision and value.
pub type Version = (Revision, String);

#[derive(Clone, Debug)]
pub enum Told {
    Written(Revision),
    /// The write did not happen because this key was at this revision; not every server tells which.
    Refused {
        key: String,
        actual: Option<Option<Revision>>,
    },
    /// It may have happened or not.
    Unknown,
    Value(Option<Version>),
    Listed {
        revision: Revision,
        state: BTreeMap<String, Version>,
    },
    Compacted {
        oldest: Revision,
    },
    Done,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Call {
    pub start: u64,
    pub end: u64,
    pub asked: Asked,
    pub told: Told,
}

/// One change as a watcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub revision: Revision,
    pub key: String,
    pub value: Option<String>,
}

/// What came in one delivery, and how far it said that the watch is then.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub at: u64,
    pub changes: Vec<Change>,
    pub upto: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was still good when the history ended, or its server went away.
    Open,
    Compacted {
        oldest: Revision,
    },
    /// It did not come as far as the history did.
    Starved,
}

#[derive(Clone, Debug)]
pub struct Watched {
    pub start: u64,
    pub from: Revision,
    pub deliveries: Vec<Delivery>,
    pub ending: Ending,
    pub end: u64,
}

/// A watch that was refused because it began in the future; `accepted` when it was not.
#[derive(Clone, Debug)]
pub struct FutureWatch {
    pub from: Revision,
    pub accepted: bool,
}

/// Everything of one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The state and revision before the first call.
    pub before: BTreeMap<String, Version>,
    pub base: Revision,
    pub calls: Vec<Call>,
    pub watches: Vec<Watched>,
    pub futures: Vec<FutureWatch>,
    /// The state and revision after the last call.
    pub after: BTreeMap<String, Version>,
    pub last: Revision,
    /// What somebody saw who watched from the first to the last revision.
    pub truth: Vec<Change>,
    /// Whether every revision is a change of these keys.
    pub gapless: bool,
}
