//! The recent events, in revision order, within bounds of number, size and age.
use crate::{Error, Event, Revision};
use std::collections::VecDeque;
use std::time::Duration;

/// What an event costs beside its values: the ring's entry, the record behind it, its share of maps.
const EVENT_OVERHEAD: usize = 256;

/// How much history is kept. Whatever is reached first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub events_max: usize,
    /// Bytes of values that history alone keeps alive.
    pub bytes_max: usize,
    pub age_max: Duration,
}

impl Default for Bounds {
    /// A day, but never more than 64 MiB or 100,000 events.
    fn default() -> Bounds {
        Bounds { events_max: 100_000, bytes_max: 64 << 20, age_max: Duration::from_secs(24 * 3600) }
    }
}

struct Entry {
    event: Event,
    /// When it was committed, in milliseconds since 1970.
    at: u64,
}

/// A ring of events; what falls off its old end raises the floor.
pub(crate) struct History {
    entries: VecDeque<Entry>,
    bytes: usize,
    floor: Revision,
    bounds: Bounds,
}

impl History {
    /// An empty history of a store that is at `floor`.
    pub fn new(floor: Revision, bounds: Bounds) -> History {
        History { entries: VecDeque::new(), bytes: 0, floor, bounds }
    }

    /// Events up to and including this revision are forgotten.
    pub fn floor(&self) -> Revision {
        self.floor
    }

    /// How many events there are, and what they alone keep alive.
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// Adds the events of one commit. Later commits have higher revisions.
    pub fn push(&mut self, events: &[Event], at: u64) {
        for event in events {
            self.bytes += weight(event);
            self.entries.push_back(Entry { event: event.clone(), at });
        }
    }

    /// Forgets what exceeds the bounds: always whole commits, and never the newest, so that whoever keeps up is not lost.
    pub fn trim(&mut self, now: u64) {
        let oldest = now.saturating_sub(u64::try_from(self.bounds.age_max.as_millis()).unwrap_or(u64::MAX));
        while let Some(entry) = self.entries.front() {
            let revision = entry.event.revision;
            let within = self.entries.len() <= self.bounds.events_max && self.bytes <= self.bounds.bytes_max && entry.at >= oldest;
            if within || self.entries.back().is_some_and(|newest| newest.event.revision == revision) {
                break;
            }
            self.forget(revision);
        }
    }

    /// Forgets everything up to and including `upto`.
    pub fn forget(&mut self, upto: Revision) {
        while self.entries.front().is_some_and(|entry| entry.event.revision <= upto) {
            if let Some(entry) = self.entries.pop_front() {
                self.bytes -= weight(&entry.event);
            }
        }
        self.floor = self.floor.max(upto);
    }

    /// The events after `after`, up to and including `upto`; an error when some of them are forgotten.
    pub fn between(&self, after: Revision, upto: Revision) -> Result<impl Iterator<Item = &Event>, Error> {
        if after < self.floor {
            return Err(Error::Compacted { asked: after, oldest: self.floor });
        }
        let start = self.entries.partition_point(|entry| entry.event.revision <= after);
        Ok(self.entries.range(start..).map(|entry| &entry.event).take_while(move |event| event.revision <= upto))
    }
}

/// Each version is `previous` of at most one event, so that the sum over events is what history alone keeps alive.
fn weight(event: &Event) -> usize {
    EVENT_OVERHEAD + event.previous.as_ref().map_or(0, |record| record.value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: Revision) -> Event {
        Event { revision, key: "/k".into(), current: None, previous: None }
    }

    #[test]
    fn age_forgets_all_but_the_newest() {
        let bounds = Bounds { age_max: Duration::from_secs(10), ..Bounds::default() };
        let mut history = History::new(0, bounds);
        for revision in 1..=5 {
            history.push(&[event(revision)], revision * 1000);
        }
        history.trim(12_500);
        assert_eq!(history.floor(), 2);
        // A clock that jumps back forgets nothing; one that jumps ahead leaves the newest.
        history.trim(0);
        assert_eq!(history.floor(), 2);
        history.trim(u64::MAX);
        assert_eq!(history.floor(), 4);
        assert_eq!(history.between(4, 9).map(Iterator::count), Ok(1));
    }
}
