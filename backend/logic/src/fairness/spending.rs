//! What each flow has cost lately: a flow that spends more than its share waits while others want something too.
use super::queue::Flow;
use std::collections::HashMap;

/// Microseconds of work that a flow may be ahead of its share: whoever asks now and then never waits.
const AHEAD_MAX: f64 = 100_000.0;
/// A flow that asked for nothing this long (milliseconds) does not count among those who share.
const ACTIVE_MS: u64 = 1000;
/// A request that would have to wait longer (milliseconds) is refused instead.
pub const WAIT_MS_MAX: u64 = 5000;
/// Flows that are remembered; beyond this the ones that are idle are forgotten.
const FLOWS_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Account {
    /// Microseconds spent beyond the share.
    ahead: f64,
    /// The running mean of what one request costs.
    usual: f64,
    /// Milliseconds, when `ahead` was true and the flow last asked.
    at: u64,
}

/// The books of one lane.
#[derive(Debug)]
pub struct Spending {
    /// Microseconds of work that can be done in a second.
    capacity: f64,
    flows: HashMap<Flow, Account>,
    active: usize,
    counted_at: u64,
}

impl Spending {
    pub fn new(capacity: f64) -> Spending {
        Spending { capacity, flows: HashMap::new(), active: 0, counted_at: 0 }
    }

    /// A flow asks at `now` (milliseconds); how long it must wait. `others`: whether somebody outside this lane is active.
    /// The request's usual cost is charged at once, so that many that ask together are told to come one after another.
    pub fn ask(&mut self, flow: Flow, now: u64, others: bool) -> u64 {
        self.count(now);
        let known = self.flows.get(&flow).copied();
        let new = known.is_none_or(|a| now.saturating_sub(a.at) > ACTIVE_MS);
        self.active += usize::from(new);
        let sharing = (self.active + usize::from(others)).max(1);
        let rate = self.capacity / sharing as f64 / 1000.0;
        let mut account = known.unwrap_or(Account { ahead: 0.0, usual: 50.0, at: now });
        account.ahead = (account.ahead - rate * now.saturating_sub(account.at) as f64).max(0.0);
        account.at = now.max(account.at);
        // Whoever is alone takes all there is, and owes nothing for it later.
        if sharing == 1 {
            account.ahead = account.ahead.min(AHEAD_MAX);
        }
        let wait = ((account.ahead - AHEAD_MAX).max(0.0) / rate) as u64;
        if wait <= WAIT_MS_MAX {
            account.ahead += account.usual;
        }
        self.flows.insert(flow, account);
        if sharing == 1 { 0 } else { wait }
    }

    /// What the request really cost, in microseconds.
    pub fn charge(&mut self, flow: Flow, cost: f64) {
        if let Some(account) = self.flows.get_mut(&flow) {
            // Nobody waits longer for the past than a request may wait.
            account.ahead = (account.ahead + cost - account.usual).clamp(0.0, AHEAD_MAX + self.capacity * WAIT_MS_MAX as f64 / 1000.0);
            account.usual += (cost - account.usual) / 8.0;
        }
    }

    fn count(&mut self, now: u64) {
        if now.saturating_sub(self.counted_at) < ACTIVE_MS / 10 && self.flows.len() <= FLOWS_MAX {
            return;
        }
        self.counted_at = now;
        self.active = self.flows.values().filter(|a| now.saturating_sub(a.at) <= ACTIVE_MS).count();
        if self.flows.len() > FLOWS_MAX {
            self.flows.retain(|_, a| now.saturating_sub(a.at) <= ACTIVE_MS);
        }
        // More flows than that at once: names are made up. They begin with clean books, but the turns stay bounded.
        if self.flows.len() > FLOWS_MAX {
            self.flows.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs flows that ask again as soon as they may, `per_flow` requests at once, on one processor: who got how much.
    fn race(flows: &[(usize, f64)], seconds: u64) -> Vec<f64> {
        let mut books = Spending::new(1_000_000.0);
        let mut got = vec![0.0; flows.len()];
        // When each request may run next, in milliseconds.
        let mut ready: Vec<(usize, u64)> = flows.iter().enumerate().flat_map(|(f, (n, _))| vec![(f, 0); *n]).collect();
        for now in 0..seconds * 1000 {
            let mut left: f64 = 1000.0;
            ready.sort_by_key(|(_, at)| *at);
            for slot in &mut ready {
                if slot.1 > now || left <= 0.0 {
                    continue;
                }
                let cost = flows[slot.0].1;
                left -= cost;
                got[slot.0] += cost;
                books.charge(slot.0 as u64, cost);
                slot.1 = now + 1 + books.ask(slot.0 as u64, now, false).min(WAIT_MS_MAX);
            }
        }
        got
    }

    #[test]
    fn a_flow_with_many_requests_gets_no_more_than_one_with_few() {
        let got = race(&[(200, 100.0), (10, 100.0)], 10);
        assert!(got[0] / got[1] < 1.5 && got[1] / got[0] < 1.5, "{got:?}");
    }

    #[test]
    fn dear_requests_come_out_as_cheap_ones() {
        let got = race(&[(20, 5000.0), (20, 50.0)], 10);
        assert!(got[0] / got[1] < 1.7 && got[1] / got[0] < 1.7, "{got:?}");
    }

    #[test]
    fn whoever_is_alone_is_never_slowed_and_whoever_asks_seldom_never_waits() {
        let mut books = Spending::new(1_000_000.0);
        for now in 0..10_000 {
            assert_eq!(books.ask(1, now, false), 0);
            books.charge(1, 5000.0);
        }
        for now in (10_000..20_000).step_by(100) {
            assert_eq!(books.ask(2, now, false), 0, "a new one among others");
            books.charge(2, 1000.0);
            let _ = books.ask(1, now, false);
            books.charge(1, 1_000_000.0);
        }
        assert!(books.ask(1, 20_000, false) > WAIT_MS_MAX / 5, "the other is far ahead");
        assert_eq!(books.ask(1, 25_000, false), 0, "and alone again");
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_nothing_overflows(asks in proptest::collection::vec((any::<u64>(), 0u64..100_000, 0f64..1e7), 1..500)) {
            let mut books = Spending::new(1_000_000.0);
            for (flow, now, cost) in asks {
                let _ = books.ask(flow, now, true);
                books.charge(flow, cost);
                prop_assert!(books.flows.len() <= FLOWS_MAX + 1);
            }
        }
    }
}
