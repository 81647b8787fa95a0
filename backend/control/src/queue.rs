//! Keys that are due: one entry each, the earliest time wins, failures wait longer each time.
use crate::cache::Key;
use crate::metrics::Controller;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

#[derive(Default)]
struct State {
    by_time: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    /// Being worked on; a key that becomes due meanwhile waits for the end.
    active: HashSet<Key>,
    failures: HashMap<Key, u32>,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    pub(crate) controller: Controller,
}

impl Queue {
    pub(crate) fn of(controller: Controller) -> Queue {
        Queue { state: Mutex::default(), changed: Notify::new(), controller }
    }

    pub(crate) fn add(&self, key: Key) {
        self.add_after(key, Duration::ZERO);
    }

    /// How many keys are due at this moment.
    pub(crate) fn depth(&self) -> usize {
        let (state, now) = (self.state.lock(), Instant::now());
        state.by_time.iter().take_while(|(at, _)| *at <= now).count()
    }

    pub(crate) fn add_after(&self, key: Key, delay: Duration) {
        let at = Instant::now() + delay;
        let mut state = self.state.lock();
        match state.due.get(&key).copied() {
            Some(earlier) if earlier <= at => return,
            Some(later) => {
                state.by_time.remove(&(later, key.clone()));
            }
            None => {}
        }
        state.due.insert(key.clone(), at);
        self.controller.numbers().adds.inc();
        if !state.active.contains(&key) {
            state.by_time.insert((at, key));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The next key that is due; it stays marked as active until `done` or `failed`.
    pub(crate) async fn next(&self) -> Key {
        loop {
            let wait = {
                let mut state = self.state.lock();
                let first = state.by_time.first().cloned();
                match first {
                    Some((at, key)) if at <= Instant::now() => {
                        state.by_time.remove(&(at, key.clone()));
                        state.due.remove(&key);
                        state.active.insert(key.clone());
                        self.controller.numbers().waited.took(at.elapsed());
                        return key;
                    }
                    Some((at, _)) => Some(at),
                    None => None,
                }
            };
            match wait {
                Some(at) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    pub(crate) fn done(&self, key: &Key) {
        let mut state = self.state.lock();
        state.failures.remove(key);
        release(&mut state, key);
        drop(state);
        self.changed.notify_one();
    }

    /// Work on the key failed: again later, each time later.
    pub(crate) fn failed(&self, key: &Key) {
        self.controller.numbers().retries.inc();
        let delay = {
            let mut state = self.state.lock();
            let count = state.failures.entry(key.clone()).or_default();
            *count += 1;
            let delay = BACKOFF_FIRST.saturating_mul(1 << (*count).min(12)).min(BACKOFF_MAX);
            release(&mut state, key);
            delay
        };
        // What became due meanwhile is due before the delay, and whoever waits does not know of it yet.
        self.changed.notify_one();
        self.add_after(key.clone(), delay);
    }
}

fn release(state: &mut State, key: &Key) {
    state.active.remove(key);
    if let Some(at) = state.due.get(key).copied() {
        state.by_time.insert((at, key.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: &str) -> Key {
        (String::new(), n.into())
    }

    #[tokio::test]
    async fn one_entry_per_key_and_the_earliest_time_wins() {
        let q = Queue::of(Controller::Quota);
        q.add_after(key("a"), Duration::from_secs(3600));
        q.add_after(key("b"), Duration::from_millis(50));
        q.add(key("a"));
        q.add(key("a"));
        let began = Instant::now();
        assert_eq!(q.next().await, key("a"));
        q.done(&key("a"));
        assert_eq!(q.next().await, key("b"), "the second entry of a is gone");
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn a_key_is_never_worked_on_twice_at_once_and_comes_again_if_it_changed_meanwhile() {
        let q = Queue::of(Controller::Quota);
        q.add(key("a"));
        assert_eq!(q.next().await, key("a"));
        q.add(key("a"));
        assert!(tokio::time::timeout(Duration::from_millis(20), q.next()).await.is_err());
        q.done(&key("a"));
        assert_eq!(q.next().await, key("a"));
    }

    #[tokio::test]
    async fn a_key_that_changed_while_work_on_it_failed_comes_at_once_to_one_who_waits() {
        let q = std::sync::Arc::new(Queue::of(Controller::Quota));
        q.add(key("a"));
        assert_eq!(q.next().await, key("a"));
        q.add(key("a"));
        let waiting = {
            let q = q.clone();
            tokio::spawn(async move { q.next().await })
        };
        // The waiter sees nothing that is due, and sleeps.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        q.failed(&key("a"));
        let found = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("it is not forgotten");
        assert_eq!(found.unwrap(), key("a"));
    }

    #[tokio::test]
    async fn failures_wait_longer_each_time() {
        let q = Queue::of(Controller::Quota);
        q.add(key("a"));
        let mut waits = Vec::new();
        for _ in 0..3 {
            let before = Instant::now();
            q.next().await;
            waits.push(Instant::now() - before);
            q.failed(&key("a"));
        }
        assert!(waits[1] >= BACKOFF_FIRST && waits[2] >= waits[1], "{waits:?}");
    }
}
