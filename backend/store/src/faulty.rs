//! Wraps any store and fails or delays chosen commits: for tests of everything above.
use crate::{Error, Event, Op, Range, Record, Revision, Snapshot, Space, Store, Watch};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused before anything is written.
    Refuse,
    /// Written, but the answer is lost: the caller must not conclude that it failed.
    LoseAnswer,
    Delay(Duration),
}

/// Decides by the commit's number, the first being 1.
pub type Plan = Box<dyn Fn(u64) -> Option<Fault> + Send + Sync>;

pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Plan,
    commits: AtomicU64,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>, plan: Plan) -> FaultyStore {
        FaultyStore { inner, plan, commits: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn revision(&self) -> Revision {
        self.inner.revision()
    }
    fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.inner.get(key)
    }
    fn list(&self, range: &Range) -> Result<Snapshot, Error> {
        self.inner.list(range)
    }
    async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        let injected = || Error::Unavailable(format!("injected fault at commit {number}"));
        match (self.plan)(number) {
            None => self.inner.commit(ops).await,
            Some(Fault::Refuse) => Err(injected()),
            Some(Fault::LoseAnswer) => {
                self.inner.commit(ops).await?;
                Err(injected())
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.inner.commit(ops).await
            }
        }
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn watch(&self, from: Revision) -> Result<Box<dyn Watch>, Error> {
        self.inner.watch(from)
    }
    fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
        self.inner.history(after, upto)
    }
    async fn compact(&self, upto: Revision) -> Result<(), Error> {
        self.inner.compact(upto).await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;
    use crate::{Change, Expect};

    #[test]
    fn without_faults_it_is_the_store_it_wraps() {
        crate::conformance::run(|limits| {
            let inner = MemoryStore::with_limits(limits.bounds, limits.max_value, limits.bytes_max);
            Arc::new(FaultyStore::new(Arc::new(inner), Box::new(|_| None)))
        });
    }

    #[tokio::test]
    async fn a_refused_commit_leaves_no_trace_and_a_lost_answer_leaves_the_write() {
        let plan = |n| [None, Some(Fault::Refuse), Some(Fault::LoseAnswer)].get(n as usize).copied().flatten();
        let store = FaultyStore::new(Arc::new(MemoryStore::new()), Box::new(plan));
        let put =
            |key: &str| vec![Op { key: key.into(), expect: Expect::Absent, change: Change::Put { value: "v".into(), revision_at: None } }];
        assert!(store.commit(put("/a")).await.is_err());
        assert!(store.get("/a").is_none());
        assert!(store.commit(put("/b")).await.is_err());
        assert!(store.get("/b").is_some());
        assert!(store.commit(put("/c")).await.is_ok());
    }
}
