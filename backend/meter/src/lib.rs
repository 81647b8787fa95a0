//! Counting: numbers that any part adds to without waiting for anybody, and the page on which Prometheus reads them.
//!
//! Each package keeps its own numbers in statics and writes them to the page: like a log, they belong to the process. To
//! record is one addition; nothing is allocated and nothing looked up. Labels come from closed sets, so that no client can
//! make the page grow.
mod page;

pub use page::{Family, Kind, Page};

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
#[derive(Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub const fn new() -> Gauge {
        Gauge(AtomicI64::new(0))
    }

    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn set(&self, value: usize) {
        self.0.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one for as long as what it returns lives.
    pub fn hold(&'static self) -> Holding {
        self.add(1);
        Holding(self)
    }
}

/// See [`Gauge::hold`].
pub struct Holding(&'static Gauge);

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Buckets that a histogram has at most, beside the one for everything above.
const BUCKETS_MAX: usize = 14;

/// What its values are, and how they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Kept in nanoseconds, shown in seconds.
    Seconds,
    Number,
}

/// How values are spread: how many lie at or below each bound.
pub struct Histogram {
    bounds: &'static [u64],
    unit: Unit,
    buckets: [AtomicU64; BUCKETS_MAX + 1],
    sum: AtomicU64,
}

const fn millis(tenths: u64) -> u64 {
    tenths * 100_000
}

/// From a tenth of a millisecond to ten seconds: calls, requests, disks.
pub const CALLS: &[u64] = &[
    millis(1),
    millis(5),
    millis(10),
    millis(25),
    millis(50),
    millis(100),
    millis(250),
    millis(500),
    millis(1_000),
    millis(2_500),
    millis(5_000),
    millis(10_000),
    millis(50_000),
    millis(100_000),
];
/// From five milliseconds to ten minutes: pods, images.
pub const LONG: &[u64] = &[
    millis(50),
    millis(250),
    millis(1_000),
    millis(2_500),
    millis(5_000),
    millis(10_000),
    millis(20_000),
    millis(50_000),
    millis(100_000),
    millis(300_000),
    millis(600_000),
    millis(1_200_000),
    millis(3_000_000),
    millis(6_000_000),
];
/// How many belong together.
pub const COUNTS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];
/// Sizes of bodies.
pub const BYTES: &[u64] = &[100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

impl Histogram {
    /// Of durations; `bounds` in nanoseconds, rising, 14 at most.
    pub const fn seconds(bounds: &'static [u64]) -> Histogram {
        Histogram::new(bounds, Unit::Seconds)
    }

    /// Of numbers.
    pub const fn numbers(bounds: &'static [u64]) -> Histogram {
        Histogram::new(bounds, Unit::Number)
    }

    const fn new(bounds: &'static [u64], unit: Unit) -> Histogram {
        assert!(bounds.len() <= BUCKETS_MAX, "there are more bounds than buckets");
        Histogram { bounds, unit, buckets: [const { AtomicU64::new(0) }; BUCKETS_MAX + 1], sum: AtomicU64::new(0) }
    }

    pub fn observe(&self, value: u64) {
        let at = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub fn took(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The time since `began`.
    pub fn since(&self, began: Instant) {
        self.took(began.elapsed());
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_can_be_read() {
        static OPEN: Gauge = Gauge::new();
        let counter = Counter::new();
        counter.inc();
        counter.add(4);
        assert_eq!(counter.get(), 5);
        let (one, two) = (OPEN.hold(), OPEN.hold());
        assert_eq!(OPEN.get(), 2);
        drop((one, two));
        assert_eq!(OPEN.get(), 0);
    }

    #[test]
    fn bounds_rise() {
        for bounds in [CALLS, LONG, COUNTS, BYTES] {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{bounds:?}");
        }
    }
}
