//! The store's part of `/metrics`: commits, groups, syncs, the log, history, the checkpoint.
use crate::Error;
use meter::{CALLS, COUNTS, Counter, Gauge, Histogram, Kind, Page};

pub(crate) static COMMIT_SECONDS: Histogram = Histogram::seconds(CALLS);
pub(crate) static GROUP_COMMITS: Histogram = Histogram::numbers(COUNTS);
pub(crate) static SYNC_SECONDS: Histogram = Histogram::seconds(CALLS);
pub(crate) static LOG_BYTES: Counter = Counter::new();
pub(crate) static SEGMENTS: Gauge = Gauge::new();
pub(crate) static CHECKPOINT_SECONDS: Histogram = Histogram::seconds(CALLS);
pub(crate) static FAILURES: Counter = Counter::new();
pub(crate) static REVISION: Gauge = Gauge::new();
pub(crate) static OBJECTS: Gauge = Gauge::new();
pub(crate) static OBJECT_BYTES: Gauge = Gauge::new();
pub(crate) static BYTES_MAX: Gauge = Gauge::new();
pub(crate) static HISTORY_EVENTS: Gauge = Gauge::new();
pub(crate) static HISTORY_BYTES: Gauge = Gauge::new();

static REFUSED: [(&str, Counter); 5] = [
    ("full", Counter::new()),
    ("conflict", Counter::new()),
    ("too_large", Counter::new()),
    ("unavailable", Counter::new()),
    ("invalid", Counter::new()),
];

/// Counts a commit that was refused.
pub(crate) fn refused(error: &Error) {
    let at = match error {
        Error::Full { .. } => 0,
        Error::Conflict { .. } => 1,
        Error::TooLarge { .. } => 2,
        Error::Unavailable(_) => 3,
        Error::Compacted { .. } | Error::Future { .. } | Error::Invalid(_) => 4,
    };
    REFUSED[at].1.inc();
}

/// Writes the store's families.
pub fn write(page: &mut Page) {
    page.histogram("openshift_store_commit_duration_seconds", "From asking for a commit to its answer", &COMMIT_SECONDS);
    page.histogram("openshift_store_group_commits", "Commits that became durable by one sync", &GROUP_COMMITS);
    page.histogram("openshift_store_sync_duration_seconds", "Time that the disk took to make a group durable", &SYNC_SECONDS);
    let mut family = page.family("openshift_store_refused_commits_total", Kind::Counter, "Commits that were refused, by reason");
    for (reason, count) in &REFUSED {
        family.value(&[("reason", reason)], count.get());
    }
    page.counter("openshift_store_write_failures_total", "Groups that could not be written", &FAILURES);
    page.counter("openshift_store_log_written_bytes_total", "Bytes written to the log", &LOG_BYTES);
    page.gauge("openshift_store_log_segments", "Full segments of the log that wait for the checkpoint", &SEGMENTS);
    page.histogram("openshift_store_checkpoint_duration_seconds", "Time of one move of log into the checkpoint", &CHECKPOINT_SECONDS);
    page.gauge("openshift_store_revision", "Number of the last commit", &REVISION);
    page.gauge("openshift_store_objects", "Objects that are kept", &OBJECTS);
    page.gauge("apiserver_storage_size_bytes", "Bytes of the objects that are kept, keys and overhead included", &OBJECT_BYTES);
    page.gauge("openshift_store_size_max_bytes", "How much may be kept", &BYTES_MAX);
    page.gauge("openshift_store_history_events", "Changes that a watch can still begin before", &HISTORY_EVENTS);
    page.gauge("openshift_store_history_bytes", "Bytes that history alone keeps", &HISTORY_BYTES);
}
