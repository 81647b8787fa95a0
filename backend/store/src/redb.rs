//! The store on disk: one redb file, one transaction with one fsync for each group of commits.
use crate::board::Board;
use crate::committer::{Committer, Failure, Journal};
use crate::history::{Bounds, History};
use crate::memory::VALUE_BYTES_MAX;
use crate::stage::Staged;
use crate::state::State;
use crate::{Error, Event, Op, Range, Record, Revision, Snapshot, Store, Watch};
use async_trait::async_trait;
use bytes::Bytes;
use imbl::OrdMap;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Key → revision (8 bytes), created (8 bytes), value.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// `format` and `revision`.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// The layout written here. A file with a newer number is refused, never guessed at.
const FORMAT: u64 = 1;
const HEADER_BYTES: usize = 16;
/// redb's own page cache: reads come from our memory, so only the pages of running commits matter.
const CACHE_BYTES: usize = 4 << 20;

/// Why a data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the data file {path}: {why}")]
    File { path: String, why: String },
    #[error("the data file {path} has format {found}, this program writes format {FORMAT}; start the program that wrote it")]
    Format { path: String, found: u64 },
}

/// How a store on disk behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub history: Bounds,
    /// The largest value kept.
    pub value_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { history: Bounds::default(), value_bytes_max: VALUE_BYTES_MAX }
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
    committer: Committer,
}

impl RedbStore {
    /// Opens or creates the file and loads everything into memory.
    pub fn open(path: &Path, options: impl Into<Options>) -> Result<RedbStore, OpenError> {
        let options = options.into();
        let shown = path.display().to_string();
        let fail = |why: String| OpenError::File { path: shown.clone(), why };
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(|e| fail(e.to_string()))?;
        let state = load(&database).map_err(|e| fail(e.to_string()))?;
        let state = match state {
            Ok(state) => state,
            Err(found) => return Err(OpenError::Format { path: shown, found }),
        };
        let history = History::new(state.revision, options.history);
        let board = Arc::new(Board::new(state, history));
        let committer = Committer::start(board.clone(), Box::new(RedbDisk { database }), options.value_bytes_max)
            .map_err(|e| fail(e.to_string()))?;
        Ok(RedbStore { board, committer })
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
    }
}

/// `Ok(Err(format))` when the file is of another format.
fn load(database: &Database) -> Result<Result<State, u64>, redb::Error> {
    let fresh = database.begin_read()?.list_tables()?.next().is_none();
    if fresh {
        let txn = database.begin_write()?;
        txn.open_table(META)?.insert("format", FORMAT)?;
        txn.open_table(OBJECTS)?;
        txn.commit()?;
    }
    let txn = database.begin_read()?;
    let meta = txn.open_table(META)?;
    let format = meta.get("format")?.map_or(0, |v| v.value());
    if format != FORMAT {
        return Ok(Err(format));
    }
    let revision = meta.get("revision")?.map_or(0, |v| v.value());
    let mut records = OrdMap::new();
    for entry in txn.open_table(OBJECTS)?.iter()? {
        let (key, value) = entry?;
        let key: Arc<str> = key.value().into();
        let raw = value.value();
        let number = |at: usize| u64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes"));
        let (revision, created) = (number(0), number(8));
        let value = Bytes::copy_from_slice(&raw[HEADER_BYTES..]);
        records.insert(key.clone(), Arc::new(Record { key, revision, created, value, view: OnceLock::new() }));
    }
    Ok(Ok(State { revision, records }))
}

struct RedbDisk {
    database: Database,
}

impl Journal for RedbDisk {
    fn append(&mut self, commits: &[Staged], _: u64) -> Result<(), Failure> {
        self.write_all(commits).map_err(|e| Failure::Broken(e.to_string()))
    }

    fn forget(&mut self, _: Revision, _: u64) -> Result<(), Failure> {
        // History is not in the file.
        Ok(())
    }
}

impl RedbDisk {
    fn write_all(&mut self, commits: &[Staged]) -> Result<(), redb::Error> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        {
            let mut objects = txn.open_table(OBJECTS)?;
            let mut raw = Vec::new();
            for event in commits.iter().flat_map(|commit| &commit.events) {
                match &event.current {
                    Some(record) => {
                        raw.clear();
                        raw.extend_from_slice(&record.revision.to_le_bytes());
                        raw.extend_from_slice(&record.created.to_le_bytes());
                        raw.extend_from_slice(&record.value);
                        objects.insert(&*event.key, raw.as_slice())?;
                    }
                    None => {
                        objects.remove(&*event.key)?;
                    }
                }
            }
            if let Some(last) = commits.last() {
                txn.open_table(META)?.insert("revision", last.revision)?;
            }
        }
        txn.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Expect};

    fn put(key: &str, value: &str) -> Op {
        Op { key: key.into(), expect: Expect::Any, change: Change::Put { value: value.to_string().into(), revision_at: None } }
    }

    #[test]
    fn keeps_every_promise() {
        let dir = tempfile::tempdir().unwrap();
        let count = std::sync::atomic::AtomicUsize::new(0);
        crate::conformance::run(|limits| {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let options = Options { history: limits.bounds, value_bytes_max: limits.max_value };
            Arc::new(RedbStore::open(&dir.path().join(format!("{n}.redb")), options).unwrap())
        });
    }

    #[tokio::test]
    async fn everything_is_there_after_reopening_and_revisions_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.redb");
        let store = RedbStore::open(&path, Bounds::default()).unwrap();
        store.commit(vec![put("/a", "1"), put("/b", "2")]).await.unwrap();
        let last =
            store.commit(vec![put("/a", "3"), Op { key: "/b".into(), expect: Expect::Revision(1), change: Change::Delete }]).await.unwrap();
        store.close().await;
        drop(store);
        let store = RedbStore::open(&path, Bounds::default()).unwrap();
        let a = store.get("/a").unwrap();
        assert_eq!((&a.value[..], a.revision, a.created), (&b"3"[..], 2, 1));
        assert!(store.get("/b").is_none());
        assert_eq!(store.revision(), last);
        assert_eq!(store.commit(vec![put("/c", "4")]).await.unwrap(), last + 1);
        assert!(matches!(store.watch(1), Err(Error::Compacted { .. })));
    }

    #[test]
    fn a_newer_format_is_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.redb");
        let database = Database::create(&path).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("format", 99).unwrap();
        txn.commit().unwrap();
        drop(database);
        let error = RedbStore::open(&path, Bounds::default()).err().unwrap().to_string();
        assert!(error.contains("format 99"), "{error}");
    }
}
