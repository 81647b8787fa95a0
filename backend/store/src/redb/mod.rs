//! The store on disk: a log that is synced once for each group of commits, in front of a redb file as checkpoint.
//!
//! ```text
//! DIRECTORY/LOCK                      one process at a time
//!           objects.redb              every record at one revision; absent until the log is long
//!           log-00000000000000000000  every commit after that revision, in order; the last segment is written
//!           log-00000000000000001742
//! ```
//! The log is also the history that survives a restart: reading it forward from the checkpoint tells every version
//! before and after each change. There is nothing to write while nobody commits.
mod checkpoint;
mod files;
mod format;
mod group;
mod keeper;
mod log;
mod overlay;
#[cfg(test)]
mod tests;
mod verify;

pub use files::Durability;
pub use verify::{FAULTS_MAX, Findings, verify};

use crate::board::{self, Board};
use crate::committer::Committer;
use crate::history::{Bounds, History};
use crate::memory::{BYTES_MAX, VALUE_BYTES_MAX};
use crate::state::State;
use crate::{Error, Event, Op, Range, Record, Revision, Snapshot, Space, Store, Watch};
use async_trait::async_trait;
use files::{Files, RealFiles};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Sealed segments that wait for the keeper before commits wait for it too: a quarter of a gigabyte of log by default.
const SEALED_MAX: usize = 64;

/// Why a data directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the data in {path}: {why}")]
    File { path: String, why: String },
    #[error("the data in {path} has format {found}, this program knows formats up to {ours}; {mend}", ours = group::FORMAT)]
    Format { path: String, found: u64, mend: String },
    #[error("the data in {path} is in use by another process; stop that one first")]
    InUse { path: String },
}

/// How a store on disk behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much history is kept in memory.
    pub history: Bounds,
    /// The largest value kept.
    pub value_bytes_max: usize,
    /// How much is kept in all: objects with their keys and overhead.
    pub bytes_max: usize,
    /// How much log is kept before it moves into the checkpoint; at least half of it remains, as history after a restart.
    pub log_bytes_max: usize,
    /// How long a segment of the log becomes.
    pub segment_bytes: usize,
    pub durability: Durability,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            history: Bounds::default(),
            value_bytes_max: VALUE_BYTES_MAX,
            bytes_max: BYTES_MAX,
            log_bytes_max: 32 << 20,
            segment_bytes: log::SEGMENT_BYTES,
            durability: Durability::Synced,
        }
    }
}

impl From<Bounds> for Options {
    fn from(history: Bounds) -> Options {
        Options { history, ..Options::default() }
    }
}

/// See the file's head.
pub struct RedbStore {
    board: Arc<Board>,
    // Dropped before the keeper: the log's end is what ends the keeper.
    committer: Committer,
    keeper: Keeper,
    bytes_max: usize,
}

impl RedbStore {
    /// Opens the data directory, or makes it, and loads everything into memory. Dropping the store closes it.
    pub fn open(path: &Path, options: impl Into<Options>) -> Result<RedbStore, OpenError> {
        let options = options.into();
        let shown = path.display().to_string();
        let fail = |why: String| OpenError::File { path: shown.clone(), why };
        if path.is_file() {
            return Err(fail("it is a file; a directory is expected".to_owned()));
        }
        let files = RealFiles::open(path, options.durability)
            .map_err(|error| fail(error.to_string()))?
            .ok_or_else(|| OpenError::InUse { path: shown.clone() })?;
        format::upgrade(path, &files)?;
        RedbStore::open_files(Arc::new(files), shown.clone(), options)
    }

    /// Makes the data directory `path`, which must not exist, with these records as the state at `revision`. Durable when
    /// this returns. No history: whoever watched the old store is told to list anew.
    pub fn plant(path: &Path, revision: Revision, records: &mut dyn Iterator<Item = Result<Record, String>>) -> Result<(), String> {
        if path.exists() {
            return Err(format!("{} exists already", path.display()));
        }
        let files = RealFiles::open(path, Durability::Synced).map_err(|error| format!("{}: {error}", path.display()))?;
        let files = files.ok_or_else(|| format!("{} is in use by another process", path.display()))?;
        checkpoint::plant(&files, revision, records)
    }

    fn open_files(files: Arc<dyn Files>, path: String, options: Options) -> Result<RedbStore, OpenError> {
        let fail = |why: String| OpenError::File { path: path.clone(), why };
        let history = History::new(0, options.history);
        let mut loaded = Loaded { state: State::default(), history, checkpoint: 0, path: path.clone() };
        checkpoint::load(&*files, &mut loaded, &fail)?;
        loaded.history.forget(loaded.checkpoint);
        let (sealed, receiver) = std::sync::mpsc::sync_channel(SEALED_MAX);
        let (log, found) = log::open(files.clone(), &mut loaded, sealed, options.segment_bytes, &fail)?;
        loaded.history.trim(board::now());
        let board = Arc::new(Board::new(loaded.state, loaded.history));
        let threads = |error: std::io::Error| fail(format!("a thread cannot be started: {error}"));
        let committer = Committer::start(board.clone(), Box::new(log), options.value_bytes_max, options.bytes_max).map_err(threads)?;
        crate::metrics::BYTES_MAX.set(options.bytes_max);
        let keep = move || keeper::run(&files, found, &receiver, options.log_bytes_max);
        let thread = std::thread::Builder::new().name("log-keeper".to_owned()).spawn(keep).map_err(threads)?;
        Ok(RedbStore { board, committer, keeper: Keeper(Mutex::new(Some(thread))), bytes_max: options.bytes_max })
    }
}

/// What opening has found so far.
pub(crate) struct Loaded {
    state: State,
    history: History,
    /// The revision of the checkpoint, 0 without one. History before it cannot be known.
    checkpoint: Revision,
    path: String,
}

impl Loaded {
    fn accept_format(&self, found: u64) -> Result<(), OpenError> {
        if found == u64::from(group::FORMAT) {
            Ok(())
        } else {
            Err(OpenError::Format { path: self.path.clone(), found, mend: format::way_back(Path::new(&self.path)) })
        }
    }
}

/// The background thread; dropping this waits for its end.
struct Keeper(Mutex<Option<JoinHandle<()>>>);

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(thread) = self.0.lock().take() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for RedbStore {
    fn revision(&self) -> Revision {
        self.board.revision()
    }

    fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.board.get(key)
    }

    fn list(&self, range: &Range) -> Result<Snapshot, Error> {
        self.board.list(range)
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        self.committer.commit(ops).await
    }

    fn space(&self) -> Space {
        Space { used: self.board.bytes(), max: self.bytes_max }
    }

    fn watch(&self, from: Revision) -> Result<Box<dyn Watch>, Error> {
        self.board.watch(from)
    }

    fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
        self.board.history(after, upto)
    }

    async fn compact(&self, upto: Revision) -> Result<(), Error> {
        self.committer.forget(upto).await
    }

    async fn close(&self) {
        self.committer.close().await;
        let thread = self.keeper.0.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}
