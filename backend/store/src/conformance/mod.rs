//! Every promise of the trait `Store` as a check that any implementation must pass; a broken promise panics.
mod concurrency;
mod history;
mod writes;

use crate::history::Bounds;
use crate::memory::{BYTES_MAX, VALUE_BYTES_MAX};
use crate::{Change, Error, Event, Expect, Op, Record, Revision, Store, Watch};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What the store under test is to be limited to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bounds: Bounds,
    pub max_value: usize,
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bounds: Bounds::default(), max_value: VALUE_BYTES_MAX, bytes_max: BYTES_MAX }
    }
}

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs every check, each on an empty store made by `make`.
pub fn run(make: impl Fn(Limits) -> Arc<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on(all(make));
}

async fn all(make: impl Fn(Limits) -> Arc<dyn Store>) {
    let limits = Limits::default();
    writes::a_new_store_is_empty(&*make(limits)).await;
    writes::a_write_is_read_back(&*make(limits)).await;
    writes::expectations_guard(&*make(limits)).await;
    writes::all_or_nothing(&*make(limits)).await;
    writes::nothing_changed_takes_no_revision(&*make(limits)).await;
    writes::malformed_commits_change_nothing(&*make(Limits { max_value: 100, ..limits })).await;
    writes::what_is_kept_is_bounded(&*make(Limits { bytes_max: 8_000, ..limits })).await;
    writes::a_closed_store_still_reads(&*make(limits)).await;
    history::lists_are_cut_in_order(&*make(limits)).await;
    history::lists_at_older_revisions_are_exact(&*make(limits)).await;
    history::watches_tell_everything_once(&*make(limits)).await;
    history::watches_wait_and_can_be_cancelled(&*make(limits)).await;
    history::watches_end_with_the_store(&*make(limits)).await;
    history::compaction_forgets_the_past_only(&*make(limits)).await;
    let few = Bounds { events_max: 10, ..limits.bounds };
    history::the_number_of_events_is_bounded(&*make(Limits { bounds: few, ..limits })).await;
    let small = Bounds { bytes_max: 20_000, ..limits.bounds };
    history::the_size_of_history_is_bounded(&*make(Limits { bounds: small, ..limits })).await;
    concurrency::counters_lose_nothing(make(limits)).await;
    concurrency::pairs_are_seen_together(make(limits)).await;
    concurrency::whoever_was_answered_reads_its_write(make(limits)).await;
    concurrency::only_one_creates(make(limits)).await;
}

fn op(key: &str, expect: Expect, change: Change) -> Op {
    Op { key: key.into(), expect, change }
}

fn put(value: &str) -> Change {
    Change::Put { value: Bytes::copy_from_slice(value.as_bytes()), revision_at: None }
}

/// Stores whatever was there before, and returns the commit's revision.
async fn set(store: &dyn Store, key: &str, value: &str) -> Revision {
    store.commit(vec![op(key, Expect::Any, put(value))]).await.expect("an unguarded put succeeds")
}

async fn delete(store: &dyn Store, key: &str) -> Revision {
    store.commit(vec![op(key, Expect::Any, Change::Delete)]).await.expect("an unguarded delete succeeds")
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(&record.value).expect("the suite writes text")
}

/// A watcher's next group, within the suite's patience.
async fn next(watch: &mut dyn Watch) -> Result<Vec<Event>, Error> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch answers in time")
}

/// Follows a watch until it has delivered `upto`, and checks order, wholeness and chaining on the way.
async fn follow(watch: &mut dyn Watch, upto: Revision) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    while watch.revision() < upto {
        let group = next(watch).await.expect("the watch goes on");
        if let (Some(last), Some(first)) = (events.last(), group.first()) {
            assert!(first.revision > last.revision, "a commit's events come in one group, and groups in order");
        }
        assert!(group.windows(2).all(|pair| pair[0].revision <= pair[1].revision), "a group is in order");
        if let Some(last) = group.last() {
            assert!(last.revision <= watch.revision(), "an event beyond the watch's revision");
        }
        events.extend(group);
    }
    let mut newest: std::collections::BTreeMap<&str, Option<Revision>> = std::collections::BTreeMap::new();
    for event in &events {
        let previous = event.previous.as_ref().map(|record| record.revision);
        if let Some(known) = newest.get(&*event.key) {
            assert_eq!(previous, *known, "each event of {} begins where the one before it ended", event.key);
        }
        assert!(event.current.as_ref().is_none_or(|record| record.revision == event.revision && record.key == event.key));
        assert!(event.current.is_some() || event.previous.is_some(), "an event changes something");
        newest.insert(&event.key, event.current.as_ref().map(|record| record.revision));
    }
    events
}

/// An event in short: revision, key, value before, value after.
fn line(event: &Event) -> String {
    let side = |record: &Option<Arc<Record>>| record.as_deref().map_or("-", text).to_owned();
    format!("{} {} {}>{}", event.revision, event.key, side(&event.previous), side(&event.current))
}
