//! The loops' part of `/metrics`: queues and reconciles by controller, and what the scheduler does.
use crate::queue::Queue;
use meter::{CALLS, Counter, Gauge, Histogram, Kind, Page};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Who works on keys that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    Replication,
    Endpoints,
    Namespace,
    Garbage,
    ServiceAccount,
    Quota,
    Certificate,
}

impl Controller {
    pub(crate) fn numbers(self) -> &'static Numbers {
        &NUMBERS[self as usize]
    }
}

/// What one controller has done.
pub(crate) struct Numbers {
    pub(crate) name: &'static str,
    pub(crate) adds: Counter,
    pub(crate) retries: Counter,
    /// From being due to being worked on.
    pub(crate) waited: Histogram,
    pub(crate) worked: Histogram,
    pub(crate) succeeded: Counter,
    pub(crate) failed: Counter,
    pub(crate) panicked: Counter,
}

impl Numbers {
    const fn new(name: &'static str) -> Numbers {
        Numbers {
            name,
            adds: Counter::new(),
            retries: Counter::new(),
            waited: Histogram::seconds(CALLS),
            worked: Histogram::seconds(CALLS),
            succeeded: Counter::new(),
            failed: Counter::new(),
            panicked: Counter::new(),
        }
    }
}

/// In the order of [`Controller`].
static NUMBERS: [Numbers; 7] = [
    Numbers::new("replication"),
    Numbers::new("endpoints"),
    Numbers::new("namespace"),
    Numbers::new("garbage"),
    Numbers::new("service-account"),
    Numbers::new("quota"),
    Numbers::new("certificate"),
];

/// The queues that are worked on; those that ended are forgotten.
static RUNNING: Mutex<Vec<Weak<Queue>>> = Mutex::new(Vec::new());

pub(crate) fn runs(queue: &Arc<Queue>) {
    let mut running = RUNNING.lock();
    running.retain(|queue| queue.strong_count() > 0);
    running.push(Arc::downgrade(queue));
}

pub(crate) static SCHEDULED: Counter = Counter::new();
pub(crate) static UNSCHEDULABLE: Counter = Counter::new();
pub(crate) static REFUSED: Counter = Counter::new();
/// Choosing a node.
pub(crate) static CHOOSING: Histogram = Histogram::seconds(CALLS);
/// Choosing, and the binding being durable.
pub(crate) static PLACING: Histogram = Histogram::seconds(CALLS);
pub(crate) static PENDING: Gauge = Gauge::new();
pub(crate) static UNFIT: Gauge = Gauge::new();

/// Writes the families of controllers and scheduler.
pub fn write(page: &mut Page) {
    let running: Vec<Arc<Queue>> = RUNNING.lock().iter().filter_map(Weak::upgrade).collect();
    let mut counters = |name: &'static str, help: &str, of: fn(&Numbers) -> &Counter| {
        let mut family = page.family(name, Kind::Counter, help);
        NUMBERS.iter().for_each(|n| family.value(&[("name", n.name)], of(n).get()));
    };
    counters("workqueue_adds_total", "Objects that a controller was told to look at", |n| &n.adds);
    counters("workqueue_retries_total", "Objects that are looked at again because that failed", |n| &n.retries);
    let mut family = page.family("workqueue_depth", Kind::Gauge, "Objects that are due and wait for a controller");
    for n in &NUMBERS {
        let depth: usize = running.iter().filter(|queue| queue.controller.numbers().name == n.name).map(|queue| queue.depth()).sum();
        family.value(&[("name", n.name)], depth);
    }
    let mut histograms = |name: &'static str, help: &str, of: fn(&Numbers) -> &Histogram| {
        let mut family = page.family(name, Kind::Histogram, help);
        NUMBERS.iter().for_each(|n| family.histogram(&[("name", n.name)], of(n)));
    };
    histograms("workqueue_queue_duration_seconds", "From being due to being worked on", |n| &n.waited);
    histograms("workqueue_work_duration_seconds", "Time of one reconcile", |n| &n.worked);
    let mut family = page.family("controller_runtime_reconcile_total", Kind::Counter, "Reconciles by outcome");
    for n in &NUMBERS {
        for (result, count) in [("success", &n.succeeded), ("error", &n.failed), ("panic", &n.panicked)] {
            family.value(&[("controller", n.name), ("result", result)], count.get());
        }
    }
    scheduler(page);
}

fn scheduler(page: &mut Page) {
    let mut family = page.family("scheduler_schedule_attempts_total", Kind::Counter, "Attempts to place a pod, by result");
    for (result, count) in [("scheduled", &SCHEDULED), ("unschedulable", &UNSCHEDULABLE), ("error", &REFUSED)] {
        family.value(&[("result", result), ("profile", "default-scheduler")], count.get());
    }
    page.histogram("scheduler_scheduling_algorithm_duration_seconds", "Time to choose a node", &CHOOSING);
    page.histogram("scheduler_scheduling_attempt_duration_seconds", "From looking at a pod to its binding being durable", &PLACING);
    let mut family =
        page.family("scheduler_pending_pods", Kind::Gauge, "Pods that wait for a node: to be tried, or for something to change");
    family.value(&[("queue", "active")], PENDING.get());
    family.value(&[("queue", "unschedulable")], UNFIT.get());
}
