//! Counts what is held for clients, in all and per flow, and gives it back when its holder is dropped.
use logic::fairness::queue::Flow;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub all: u64,
    pub flow: u64,
}

#[derive(Default)]
struct Counts {
    all: u64,
    flows: HashMap<Flow, u64>,
}

pub struct Held {
    bounds: Bounds,
    counts: Mutex<Counts>,
}

/// A part of what is held.
pub struct Part {
    held: Arc<Held>,
    flow: Flow,
    amount: u64,
}

impl Held {
    pub fn new(bounds: Bounds) -> Held {
        Held { bounds, counts: Mutex::default() }
    }

    /// Room for this much, or `None`.
    pub fn take(self: &Arc<Held>, flow: Flow, amount: u64) -> Option<Part> {
        let mut part = Part { held: self.clone(), flow, amount: 0 };
        part.grow(amount).then_some(part)
    }

    /// As `take`, but a flow that holds nothing may pass the bounds with one: else what is larger could never be had.
    pub fn take_one_at_least(self: &Arc<Held>, flow: Flow, amount: u64) -> Option<Part> {
        let mut counts = self.counts.lock();
        if counts.flows.contains_key(&flow) || counts.all >= self.bounds.all {
            drop(counts);
            return self.take(flow, amount);
        }
        counts.all += amount;
        if amount > 0 {
            counts.flows.insert(flow, amount);
        }
        Some(Part { held: self.clone(), flow, amount })
    }

    /// How much is held in all.
    pub fn all(&self) -> u64 {
        self.counts.lock().all
    }
}

impl Part {
    /// Takes more; `false` (and nothing more taken) when there is no room.
    pub fn grow(&mut self, amount: u64) -> bool {
        let mut counts = self.held.counts.lock();
        let of_flow = counts.flows.get(&self.flow).copied().unwrap_or(0);
        if counts.all + amount > self.held.bounds.all || of_flow + amount > self.held.bounds.flow {
            return false;
        }
        counts.all += amount;
        if amount > 0 {
            counts.flows.insert(self.flow, of_flow + amount);
        }
        self.amount += amount;
        true
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        let mut counts = self.held.counts.lock();
        counts.all -= self.amount;
        if let Some(of_flow) = counts.flows.get_mut(&self.flow) {
            *of_flow -= self.amount;
            if *of_flow == 0 {
                counts.flows.remove(&self.flow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_large_can_be_had_once() {
        let held = Arc::new(Held::new(Bounds { all: 10, flow: 6 }));
        let large = held.take_one_at_least(1, 100).unwrap();
        assert!(held.take_one_at_least(1, 1).is_none() && held.take_one_at_least(2, 1).is_none());
        drop(large);
        assert!(held.take_one_at_least(2, 1).is_some());
    }

    #[test]
    fn one_flow_leaves_room_for_others_and_all_comes_back() {
        let held = Arc::new(Held::new(Bounds { all: 10, flow: 6 }));
        let mut a = held.take(1, 4).unwrap();
        assert!(a.grow(2) && !a.grow(1));
        assert!(held.take(1, 1).is_none());
        let b = held.take(2, 4).unwrap();
        assert!(held.take(3, 1).is_none());
        assert_eq!(held.all(), 10);
        drop((a, b));
        assert_eq!(held.all(), 0);
        assert!(held.counts.lock().flows.is_empty());
    }
}
