//! The registry's part of `/metrics`: the steps of the write path, the cache by kind, watchers and how far they are behind.
use crate::registry_impl::Registry;
use meter::{CALLS, Counter, Histogram, Kind as Of, Page};
use shared::kinds::{KINDS, Kind, Storage};
use shared::status::Status;
use std::collections::BTreeMap;
use std::time::Instant;

/// What a write goes through before it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Authorise,
    Admit,
    Default,
    Validate,
    Quota,
}

struct Taken {
    name: &'static str,
    seconds: Histogram,
    refused: Counter,
}

impl Taken {
    const fn new(name: &'static str) -> Taken {
        Taken { name, seconds: Histogram::seconds(CALLS), refused: Counter::new() }
    }
}

/// In the order of [`Step`].
static STEPS: [Taken; 5] =
    [Taken::new("authorise"), Taken::new("admit"), Taken::new("default"), Taken::new("validate"), Taken::new("quota")];
pub(crate) static SLOW_WATCHERS: Counter = Counter::new();
pub(crate) static WATCH_EVENTS: Counter = Counter::new();

/// Takes a step and notes how long it took.
pub(crate) fn step<T>(step: Step, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = work();
    STEPS[step as usize].seconds.since(began);
    outcome
}

/// The same for a step that may refuse.
pub(crate) fn check<T>(which: Step, work: impl FnOnce() -> Result<T, Status>) -> Result<T, Status> {
    step(which, work).inspect_err(|_| STEPS[which as usize].refused.inc())
}

/// The same for a step that waits.
pub(crate) async fn wait<T>(which: Step, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let began = Instant::now();
    let outcome = work.await;
    STEPS[which as usize].seconds.since(began);
    outcome.inspect_err(|_| STEPS[which as usize].refused.inc())
}

/// Objects and bytes.
type Sizes = BTreeMap<(&'static str, &'static str), (u64, u64)>;

impl Registry {
    /// Writes the registry's families.
    pub fn write_metrics(&self, page: &mut Page) {
        let mut family = page.family("openshift_write_step_duration_seconds", Of::Histogram, "Time of each step that a write goes through");
        STEPS.iter().for_each(|taken| family.histogram(&[("step", taken.name)], &taken.seconds));
        let mut family = page.family("openshift_write_refused_total", Of::Counter, "Writes that a step refused");
        STEPS.iter().for_each(|taken| family.value(&[("step", taken.name)], taken.refused.get()));
        self.write_cache(page);
        self.write_watches(page);
    }

    /// Looked at now: one walk over the cache, which is what a list of everything costs without its bytes.
    fn write_cache(&self, page: &mut Page) {
        let mut sizes = Sizes::new();
        for record in self.everything().1 {
            let Some(kind) = store::key::parse(&record.key).and_then(|(resource, ..)| crate::fanout::kind_of(resource)) else { continue };
            let size = sizes.entry((kind.group, kind.plural)).or_default();
            *size = (size.0 + 1, size.1 + record.value.len() as u64);
        }
        let stored = || KINDS.iter().filter(|kind| kind.storage == Storage::Stored);
        let of = |kind: &Kind| sizes.get(&(kind.group, kind.plural)).copied().unwrap_or_default();
        let mut family = page.family("apiserver_storage_objects", Of::Gauge, "Objects that are kept, by resource");
        stored().for_each(|kind| family.value(&[("group", kind.group), ("resource", kind.plural)], of(kind).0));
        let mut family =
            page.family("apiserver_resource_size_estimate_bytes", Of::Gauge, "Bytes of the objects that are kept, by resource");
        stored().for_each(|kind| family.value(&[("group", kind.group), ("resource", kind.plural)], of(kind).1));
    }

    fn write_watches(&self, page: &mut Page) {
        let seen = self.0.fanout.look();
        let mut family = page.family("openshift_watchers", Of::Gauge, "Watchers in this process, by resource");
        for kind in KINDS.iter().filter(|kind| kind.storage == Storage::Stored) {
            let watchers = seen.watchers.get(&crate::fanout::resource(kind)).copied().unwrap_or(0);
            family.value(&[("group", kind.group), ("resource", kind.plural)], watchers);
        }
        page.counter("openshift_watch_events_total", "Events handed to watchers", &WATCH_EVENTS);
        page.counter(
            "apiserver_terminated_watchers_total",
            "Watchers that were told to begin again because they were too slow",
            &SLOW_WATCHERS,
        );
        page.number("openshift_watch_lag_revisions", "Commits that were not handed out yet", self.revision().saturating_sub(seen.position));
        page.number("openshift_watch_queue_events_max", "Events that wait for the slowest watcher", seen.longest_queue);
    }
}
