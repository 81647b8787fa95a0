//! The recent past: every event within bounds, so that watches resume and lists go back in time.
use crate::{Error, Event, Revision};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much past is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub events_max: usize,
    pub bytes_max: usize,
    pub age_max: Duration,
}

impl Default for Bounds {
    /// A day, but never more than 64 MiB or 200,000 events.
    fn default() -> Bounds {
        Bounds { events_max: 200_000, bytes_max: 64 << 20, age_max: Duration::from_secs(86_400) }
    }
}

/// Events in revision order; whole commits only.
pub(crate) struct History {
    bounds: Bounds,
    events: VecDeque<(Instant, Event)>,
    bytes: usize,
    /// Everything up to here is forgotten.
    forgotten: Revision,
}

impl History {
    pub(crate) fn new(bounds: Bounds, forgotten: Revision) -> History {
        History { bounds, events: VecDeque::new(), bytes: 0, forgotten }
    }

    pub(crate) fn push(&mut self, now: Instant, event: Event) {
        self.bytes += weight(&event);
        self.events.push_back((now, event));
    }

    /// Drops what exceeds the bounds. Commits are dropped whole, and the newest is always kept.
    pub(crate) fn trim(&mut self, now: Instant) {
        while let Some((at, event)) = self.events.front() {
            let over = self.events.len() > self.bounds.events_max
                || self.bytes > self.bounds.bytes_max
                || now.duration_since(*at) > self.bounds.age_max;
            let newest = self.events.back().map(|(_, e)| e.revision);
            if !over || newest == Some(event.revision) {
                break;
            }
            let revision = event.revision;
            self.forget(revision);
        }
    }

    pub(crate) fn forget(&mut self, upto: Revision) {
        while let Some((_, event)) = self.events.front() {
            if event.revision > upto {
                break;
            }
            self.bytes -= weight(event);
            self.events.pop_front();
        }
        self.forgotten = self.forgotten.max(upto);
    }

    /// Events in `(after, upto]`, at most `limit` of them, cut only between commits.
    pub(crate) fn range(&self, after: Revision, upto: Revision, limit: usize) -> Result<Vec<Event>, Error> {
        if after < self.forgotten {
            return Err(Error::Compacted { asked: after, oldest: self.forgotten });
        }
        let start = self.events.partition_point(|(_, e)| e.revision <= after);
        let mut found: Vec<Event> = Vec::new();
        for (_, event) in self.events.range(start..) {
            if event.revision > upto || found.len() >= limit && found.last().is_some_and(|l| l.revision != event.revision) {
                break;
            }
            found.push(event.clone());
        }
        Ok(found)
    }
}

fn weight(event: &Event) -> usize {
    // The current value is shared with the map until it is replaced; the previous one is only here.
    event.previous.as_ref().map_or(0, |r| r.value.len()) + event.key.len() + 96
}
