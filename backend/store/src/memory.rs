//! A store without a disk, for tests and simulations: no threads, no clock that matters, every commit at once.
use crate::board::{self, Board};
use crate::history::Bounds;
use crate::{Error, Event, Op, Range, Record, Revision, Snapshot, Space, Store, Watch, stage};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;

/// The largest value that a store keeps unless told otherwise; Kubernetes' own limit is half of it.
pub const VALUE_BYTES_MAX: usize = 3 << 20;
/// What a store keeps in all unless told otherwise; etcd's own limit.
pub const BYTES_MAX: usize = 2 << 30;

/// See the file's head.
pub struct MemoryStore {
    board: Arc<Board>,
    max_value: usize,
    bytes_max: usize,
    /// Held while a commit is checked, applied and published; never across an await.
    committing: Mutex<()>,
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore::with_bounds(Bounds::default())
    }

    pub fn with_bounds(bounds: Bounds) -> MemoryStore {
        MemoryStore::with_limits(bounds, VALUE_BYTES_MAX, BYTES_MAX)
    }

    /// A store that keeps this much history, values up to this many bytes, and this much in all.
    pub fn with_limits(bounds: Bounds, max_value: usize, bytes_max: usize) -> MemoryStore {
        MemoryStore { board: Arc::new(Board::empty(bounds)), max_value, bytes_max, committing: Mutex::new(()) }
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
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
        stage::precheck(&ops, self.max_value)?;
        let _committing = self.committing.lock();
        if self.board.is_closed() {
            return Err(Error::Unavailable("the store was closed".to_owned()));
        }
        let mut state = (*self.board.state()).clone();
        stage::check(&state, &ops)?;
        stage::fits(&state, &ops, self.space())?;
        let staged = stage::apply(&mut state, ops);
        let revision = staged.revision;
        if !staged.events.is_empty() {
            self.board.publish(state, &[staged], board::now());
        }
        Ok(revision)
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
        self.board.forget(upto)
    }

    async fn close(&self) {
        let _committing = self.committing.lock();
        self.board.close();
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.board.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn keeps_every_promise() {
        conformance::run(|limits| Arc::new(MemoryStore::with_limits(limits.bounds, limits.max_value, limits.bytes_max)));
    }
}
