//! Turns of a lane: a bounded number at once, and when they are all taken each flow gets its next one in rotation.
use std::collections::{HashMap, VecDeque};

/// What a lane may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seats taken at once; a request takes one or more of them.
    pub seats: u32,
    /// Of which one flow may take this many.
    pub seats_per_flow: u32,
    /// Requests of one flow that may wait.
    pub waiting_per_flow: usize,
    /// Requests that may wait in all.
    pub waiting: usize,
}

/// Whose request it is: equal numbers share what one gets.
pub type Flow = u64;

/// What becomes of a request that asks for its turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    Go,
    Wait,
    /// Too many wait already.
    Full,
}

#[derive(Debug)]
struct Waiting<T> {
    width: u32,
    ticket: T,
}

#[derive(Debug)]
struct State<T> {
    busy: u32,
    waiting: VecDeque<Waiting<T>>,
}

/// `T` is how a waiting request is told of its turn.
#[derive(Debug)]
pub struct FairQueue<T> {
    limits: Limits,
    busy: u32,
    waiting: usize,
    flows: HashMap<Flow, State<T>>,
    /// Flows with waiting requests, the next one first.
    rotation: VecDeque<Flow>,
}

impl<T> FairQueue<T> {
    pub fn new(limits: Limits) -> FairQueue<T> {
        FairQueue { limits, busy: 0, waiting: 0, flows: HashMap::new(), rotation: VecDeque::new() }
    }

    /// Seats taken, requests waiting.
    pub fn load(&self) -> (u32, usize) {
        (self.busy, self.waiting)
    }

    /// No request is so wide that it could never go.
    fn width(&self, width: u32) -> u32 {
        width.clamp(1, self.limits.seats_per_flow.min(self.limits.seats))
    }

    /// Asks for a turn. `ticket` is made only for a request that must wait.
    pub fn enter(&mut self, flow: Flow, width: u32, ticket: impl FnOnce() -> T) -> Entry {
        let width = self.width(width);
        let state = self.flows.entry(flow).or_insert_with(|| State { busy: 0, waiting: VecDeque::new() });
        let room = state.waiting.is_empty() && state.busy + width <= self.limits.seats_per_flow;
        // Whoever waits was there before; only flows that are at their own limit may be passed.
        let passed = self.rotation.is_empty() || self.waiting_are_held_back();
        let state = self.flows.get_mut(&flow).expect("entered above");
        if room && passed && self.busy + width <= self.limits.seats {
            state.busy += width;
            self.busy += width;
            return Entry::Go;
        }
        if self.waiting >= self.limits.waiting || state.waiting.len() >= self.limits.waiting_per_flow {
            self.forget_idle(flow);
            return Entry::Full;
        }
        if state.waiting.is_empty() {
            self.rotation.push_back(flow);
        }
        state.waiting.push_back(Waiting { width, ticket: ticket() });
        self.waiting += 1;
        Entry::Wait
    }

    /// Whether none of those who wait could go now.
    fn waiting_are_held_back(&self) -> bool {
        self.rotation.iter().all(|flow| !self.may_go(*flow))
    }

    fn may_go(&self, flow: Flow) -> bool {
        let Some(state) = self.flows.get(&flow) else { return false };
        state
            .waiting
            .front()
            .is_some_and(|w| state.busy + w.width <= self.limits.seats_per_flow && self.busy + w.width <= self.limits.seats)
    }

    /// Gives a turn back; returns the tickets of those whose turn it is now.
    pub fn leave(&mut self, flow: Flow, width: u32) -> Vec<T> {
        let width = self.width(width);
        if let Some(state) = self.flows.get_mut(&flow) {
            state.busy = state.busy.saturating_sub(width);
            self.busy = self.busy.saturating_sub(width);
        }
        let mut next = Vec::new();
        while let Some(at) = self.next_in_rotation() {
            let flow = self.rotation.remove(at).expect("found above");
            let state = self.flows.get_mut(&flow).expect("in rotation");
            let first = state.waiting.pop_front().expect("in rotation because something waits");
            state.busy += first.width;
            self.busy += first.width;
            self.waiting -= 1;
            if !state.waiting.is_empty() {
                self.rotation.push_back(flow);
            }
            next.push(first.ticket);
        }
        self.forget_idle(flow);
        next
    }

    /// The first flow in rotation that is not at its own limit. One that only lacks free seats keeps its place in front, so
    /// that a wide request is not passed for ever.
    fn next_in_rotation(&self) -> Option<usize> {
        let at = self.rotation.iter().position(|flow| {
            let Some(state) = self.flows.get(flow) else { return false };
            state.waiting.front().is_some_and(|w| state.busy + w.width <= self.limits.seats_per_flow)
        })?;
        self.may_go(self.rotation[at]).then_some(at)
    }

    fn forget_idle(&mut self, flow: Flow) {
        if self.flows.get(&flow).is_some_and(|s| s.busy == 0 && s.waiting.is_empty()) {
            self.flows.remove(&flow);
        }
    }

    /// Takes requests out that nobody waits for any more.
    pub fn prune(&mut self, gone: impl Fn(&T) -> bool) {
        for state in self.flows.values_mut() {
            state.waiting.retain(|w| !gone(&w.ticket));
        }
        let flows = &self.flows;
        self.rotation.retain(|flow| flows.get(flow).is_some_and(|s| !s.waiting.is_empty()));
        self.waiting = self.flows.values().map(|s| s.waiting.len()).sum();
        self.flows.retain(|_, s| s.busy > 0 || !s.waiting.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { seats: 4, seats_per_flow: 3, waiting_per_flow: 20, waiting: 50 };

    #[test]
    fn a_lone_request_goes_before_the_rest_of_a_flood() {
        let mut queue = FairQueue::new(LIMITS);
        for n in 0..20 {
            queue.enter(1, 1, || n);
        }
        assert_eq!(queue.load(), (3, 17), "one seat is left for others");
        assert_eq!(queue.enter(2, 1, || 100), Entry::Go);
        assert_eq!(queue.enter(2, 1, || 101), Entry::Wait);
        assert_eq!(queue.leave(1, 1), [3], "one that was there before");
        assert_eq!(queue.leave(1, 1), [101], "then the other flow's first");
        assert_eq!(queue.leave(1, 1), [4]);
    }

    #[test]
    fn what_waits_is_bounded_per_flow_and_in_all() {
        let mut queue = FairQueue::new(LIMITS);
        let full = (0..100).filter(|n| queue.enter(1, 1, || *n) == Entry::Full).count();
        assert_eq!(full, 100 - 3 - 20);
        let full = (0..100).filter(|n| queue.enter(*n, 1, || *n) == Entry::Full).count();
        assert_eq!((full > 0, queue.load().1), (true, 50));
        queue.prune(|_| true);
        assert_eq!(queue.load(), (4, 0));
    }

    #[test]
    fn a_wide_request_gets_its_turn_among_narrow_ones() {
        let mut queue = FairQueue::new(LIMITS);
        for flow in 1..5 {
            assert_eq!(queue.enter(flow, 1, || flow), Entry::Go);
        }
        assert_eq!(queue.enter(9, 3, || 9), Entry::Wait);
        for flow in 1..5 {
            assert_eq!(queue.enter(flow, 1, || flow), Entry::Wait);
        }
        let mut order = Vec::new();
        for flow in 1..5 {
            order.extend(queue.leave(flow, 1));
        }
        assert_eq!(order, [9, 1], "nobody passes it although single seats come free before");
    }

    proptest! {
        /// Whatever is asked and given back: bounds hold, nothing is lost, and flows that always wait get equal turns.
        #[test]
        fn turns_are_bounded_complete_and_fair(steps in proptest::collection::vec((0u64..4, 1u32..5, any::<bool>()), 1..400)) {
            let mut queue = FairQueue::new(LIMITS);
            let mut running: Vec<(Flow, u32)> = Vec::new();
            let (mut asked, mut went, mut full) = (0, 0, 0);
            for (flow, width, enter) in steps {
                if enter {
                    asked += 1;
                    match queue.enter(flow, width, || (flow, width)) {
                        Entry::Go => { went += 1; running.push((flow, width)); }
                        Entry::Wait => {}
                        Entry::Full => full += 1,
                    }
                } else if !running.is_empty() {
                    let (flow, width) = running.remove(0);
                    let next = queue.leave(flow, width);
                    went += next.len();
                    running.extend(next);
                }
                let (busy, waiting) = queue.load();
                prop_assert!(busy <= LIMITS.seats && waiting <= LIMITS.waiting);
                prop_assert_eq!(asked, went + full + waiting);
                prop_assert!(waiting == 0 || busy > 0, "somebody waits for nothing");
            }
            while !running.is_empty() {
                let (flow, width) = running.remove(0);
                running.extend(queue.leave(flow, width));
            }
            prop_assert_eq!(queue.load(), (0, 0));
            prop_assert!(queue.flows.is_empty());
        }

        /// However much more one flow asks for, those who wait with it get as many turns.
        #[test]
        fn equal_turns_for_unequal_floods(sizes in proptest::collection::vec(8usize..20, 2..4)) {
            let limits = Limits { seats: 1, seats_per_flow: 1, waiting_per_flow: 20, waiting: 100 };
            let mut queue = FairQueue::new(limits);
            prop_assert_eq!(queue.enter(99, 1, || 99), Entry::Go);
            for (flow, size) in sizes.iter().enumerate() {
                for _ in 0..*size {
                    queue.enter(flow as u64, 1, || flow as u64);
                }
            }
            let mut turns = vec![0i64; sizes.len()];
            let mut current = 99;
            for _ in 0..8 * sizes.len() {
                let next = queue.leave(current, 1);
                prop_assert_eq!(next.len(), 1);
                current = next[0];
                turns[current as usize] += 1;
                prop_assert!(turns.iter().max().unwrap() - turns.iter().min().unwrap() <= 1, "{:?}", turns);
            }
        }
    }
}
