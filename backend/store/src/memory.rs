//! A store that forgets everything when it is dropped: for tests, simulations and benchmarks.
use crate::committer::{Core, NoDisk, State};
use crate::history::Bounds;
use crate::{Error, Event, Op, Range, Record, Revision, Snapshot, Store, Watch};
use async_trait::async_trait;
use std::sync::Arc;

pub struct MemoryStore {
    core: Core,
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore::with_bounds(Bounds::default())
    }

    pub fn with_bounds(bounds: Bounds) -> MemoryStore {
        MemoryStore { core: Core::start(State::default(), Box::new(NoDisk), bounds) }
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

macro_rules! delegate_to_core {
    ($store:ty) => {
        #[async_trait]
        impl Store for $store {
            fn revision(&self) -> Revision {
                self.core.revision()
            }
            fn get(&self, key: &str) -> Option<Arc<Record>> {
                self.core.get(key)
            }
            fn list(&self, range: &Range) -> Result<Snapshot, Error> {
                self.core.list(range)
            }
            async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error> {
                self.core.commit(ops).await
            }
            fn watch(&self, from: Revision) -> Result<Box<dyn Watch>, Error> {
                self.core.watch(from)
            }
            fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
                self.core.history(after, upto)
            }
            async fn compact(&self, upto: Revision) -> Result<(), Error> {
                self.core.compact(upto);
                Ok(())
            }
            async fn close(&self) {
                self.core.close().await;
            }
        }
    };
}
pub(crate) use delegate_to_core;
delegate_to_core!(MemoryStore);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_promise() {
        crate::conformance::run(|| Arc::new(MemoryStore::new()));
    }
}
