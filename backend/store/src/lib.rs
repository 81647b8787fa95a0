//! Versioned keys and values: one revision counter, atomic commits, ordered watches. Nothing about pods.
//!
//! Truth is in memory and every acknowledged commit is durable first: a commit is checked, written and synced as part
//! of a group, then published to readers and watchers in revision order, then acknowledged.
mod board;
mod committer;
pub mod conformance;
pub mod faulty;
pub mod history;
pub mod key;
pub mod memory;
pub mod metrics;
pub mod redb;
mod stage;
mod state;
mod watch;

use async_trait::async_trait;
use bytes::Bytes;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// The number of a commit; the first is 1. It is the `resourceVersion` of everything that the commit wrote.
pub type Revision = u64;

/// One version of one value. Shared by readers, watchers and history: never copied.
pub struct Record {
    /// `/PLURAL[.GROUP]/[NAMESPACE/]NAME`; see `key.rs`.
    pub key: Arc<str>,
    /// The commit that wrote this version.
    pub revision: Revision,
    /// The commit that created the key; kept over updates.
    pub created: Revision,
    pub value: Bytes,
    /// A decoded index that a reader may attach once per version, so that no second reader decodes again.
    pub view: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// What must be true of a key before the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    /// The key's record has exactly this revision.
    Revision(Revision),
}

/// What to do with a key.
#[derive(Clone, Debug)]
pub enum Change {
    /// Store the value. `revision_at` is the offset at which the decimal digits of the commit's revision are inserted,
    /// so that an object can carry its own resourceVersion without being encoded twice.
    Put {
        value: Bytes,
        revision_at: Option<usize>,
    },
    Delete,
    /// Only check the expectation.
    Check,
}

/// One guarded change; all operations of a commit happen or none. Every expectation speaks of the state before the
/// commit, and no key may occur twice in one commit.
#[derive(Clone, Debug)]
pub struct Op {
    pub key: Arc<str>,
    pub expect: Expect,
    pub change: Change,
}

/// One change of one key, as watchers see it.
#[derive(Clone)]
pub struct Event {
    pub revision: Revision,
    pub key: Arc<str>,
    /// `None`: the key was deleted.
    pub current: Option<Arc<Record>>,
    /// `None`: the key was created.
    pub previous: Option<Arc<Record>>,
}

/// Why a store refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("key {key:?} is at revision {actual:?}, not as expected")]
    Conflict { key: String, actual: Option<Revision> },
    #[error("revision {asked} is older than the history kept, which begins after {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    #[error("revision {asked} is in the future; the store is at {current}")]
    Future { asked: Revision, current: Revision },
    #[error("the store cannot write: {0}")]
    Unavailable(String),
    #[error("the value of key {key:?} has {bytes} bytes; at most {max} are kept")]
    TooLarge { key: String, bytes: usize, max: usize },
    #[error("the store is full: {used} of {max} bytes are used")]
    Full { used: usize, max: usize },
    #[error("the commit is malformed: {0}")]
    Invalid(String),
}

/// Something wrong with what is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Fault {
    /// The file and offset, or the object's key.
    pub place: String,
    pub what: String,
}

/// How much is kept, and how much may be, in bytes of objects with their keys and overhead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub used: usize,
    pub max: usize,
}

impl Space {
    /// What is kept beyond `max` for changes that must go on in a full store: marks of deletion, reports of nodes. The
    /// store itself refuses only what grows beyond this; whoever commits decides what must go on.
    pub fn hard_max(self) -> usize {
        self.max.saturating_add(self.max / 8)
    }
}

/// Records in key order at one revision.
#[derive(Clone)]
pub struct Snapshot {
    pub revision: Revision,
    pub records: Vec<Arc<Record>>,
    /// More records follow the last one (only when a limit was given).
    pub more: bool,
}

/// Where a list begins and ends.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// Keys that start with this.
    pub prefix: String,
    /// Keys after this one only.
    pub after: Option<String>,
    /// At most this many; 0 means all.
    pub limit: usize,
    /// State at this revision instead of now.
    pub at: Option<Revision>,
}

/// An ordered, gap-free, duplicate-free stream of events. Dropping it ends the watch.
#[async_trait]
pub trait Watch: Send {
    /// The next group of events, all of one or more whole commits, in revision order. An empty group is a progress
    /// mark: everything up to `Watch::revision` has been delivered. `Err(Compacted)` when the watcher fell behind history,
    /// `Err(Unavailable)` when the store was closed and all its events have been delivered. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Vec<Event>, Error>;
    /// Everything up to here has been delivered.
    fn revision(&self) -> Revision;
}

/// The only place where state lives. Held as `Arc<dyn Store>`; every implementation passes `conformance`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The revision of the last published commit.
    fn revision(&self) -> Revision;
    /// The newest published version of a key. Never touches the disk.
    fn get(&self, key: &str) -> Option<Arc<Record>>;
    /// A consistent list, at now or at a revision still in history. Never touches the disk.
    fn list(&self, range: &Range) -> Result<Snapshot, Error>;
    /// Applies all operations or none. Returns the commit's revision after it is durable and published: whoever was
    /// answered reads its own write, and every watcher gets it. A commit that changes nothing (only `Check`s, or a
    /// `Delete` of what is absent) takes no revision and returns the current one. Dropping the future does not take the
    /// commit back.
    async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error>;
    /// How full it is.
    fn space(&self) -> Space;
    /// Events after `from` (0: from the beginning of history), first those in history, then live.
    fn watch(&self, from: Revision) -> Result<Box<dyn Watch>, Error>;
    /// Events after `after` up to and including `upto`, at once. For readers that join a stream at a known position.
    fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error>;
    /// Forgets history up to and including `upto`. Current values are kept.
    async fn compact(&self, upto: Revision) -> Result<(), Error>;
    /// Finishes what is queued and closes files. Commits after it fail with `Unavailable`.
    async fn close(&self);
}
