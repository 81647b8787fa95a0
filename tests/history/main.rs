//! Histories of random clients of the real store and the real server, through crashes, checked against every promise; and
//! seventeen planted bugs, each of which the same check must find.
mod check;
mod clients;
mod mutants;
mod over_http;
mod record;

use async_trait::async_trait;
use check::check;
use clients::Subject;
use mutants::{ALL, Buggy};
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::redb::{Options, RedbStore};

/// The server of `over_http`; not a test by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_process() {
    e2e::process::serve_if_asked().await;
}

const LIVES: u64 = 3;
const CALLS: usize = 60;

/// A run in its own time: the same seed gives the same history.
fn simulated(subject: &Buggy, seed: u64) -> record::History {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(clients::run(Arc::new(subject.clone()), seed, LIVES, CALLS, Duration::from_millis(2)))
}

fn seeds(usual: u64) -> u64 {
    std::env::var("HISTORY_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_store_in_memory_keeps_every_promise() {
    for seed in 0..seeds(60) {
        let history = simulated(&Buggy::new(None), seed);
        assert!(history.truth.len() > 100 && history.watches.len() > 10, "the history is long enough to mean anything");
        if let Err(broken) = check(&history) {
            panic!("seed {seed}: {broken}");
        }
    }
}

#[test]
fn every_planted_bug_is_found() {
    let mut survived = Vec::new();
    println!("{:<38} {:<34} found by", "planted bug", "etcd");
    for (mutant, issue) in ALL {
        let found = (0..20).find_map(|seed| check(&simulated(&Buggy::new(Some(mutant)), seed)).err().map(|broken| (seed, broken)));
        match found {
            Some((seed, broken)) => println!("{:<38} {issue:<34} {:?}, seed {seed}", format!("{mutant:?}"), broken.promise),
            None => survived.push(mutant),
        }
    }
    assert!(survived.is_empty(), "not found: {survived:?}");
}

/// The store on disk; its crash closes the files in the middle of work and opens them again.
struct OnDisk {
    store: RwLock<Arc<RedbStore>>,
    dir: tempfile::TempDir,
}

impl OnDisk {
    fn open(dir: &tempfile::TempDir) -> Arc<RedbStore> {
        // Small segments, so that checkpoints come often.
        let options = Options { segment_bytes: 16 << 10, log_bytes_max: 64 << 10, ..Options::default() };
        Arc::new(RedbStore::open(&dir.path().join("store"), options).expect("the store opens"))
    }
}

#[async_trait]
impl Subject for OnDisk {
    fn store(&self) -> Arc<dyn Store> {
        self.store.read().clone()
    }

    async fn crash(&self) {
        self.store().close().await;
        *self.store.write() = OnDisk::open(&self.dir);
    }
}

#[test]
fn the_store_on_disk_keeps_every_promise() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    for seed in 0..seeds(60) / 20 {
        let dir = tempfile::tempdir().expect("a directory");
        let store = RwLock::new(OnDisk::open(&dir));
        let history = runtime.block_on(clients::run(Arc::new(OnDisk { store, dir }), seed, LIVES, CALLS, Duration::from_millis(1)));
        if let Err(broken) = check(&history) {
            panic!("seed {seed}: {broken}");
        }
    }
}
