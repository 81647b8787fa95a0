//! Waiting for one's turn in a lane: the queue that `logic` decides on, with somebody to wake.
use logic::fairness::queue::{Entry, FairQueue, Flow, Limits};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a request may wait for its turn.
const TURN_DEADLINE: Duration = Duration::from_secs(10);

struct Ticket {
    flow: Flow,
    width: u32,
    wake: oneshot::Sender<Turn>,
}

/// The turns of one lane.
#[derive(Clone)]
pub struct Turns(Arc<Mutex<FairQueue<Ticket>>>);

/// Held while a request is being answered; gives its seats on when dropped.
pub struct Turn {
    /// `None` when it was given on by other means.
    turns: Option<Turns>,
    flow: Flow,
    width: u32,
}

impl Turns {
    pub fn new(limits: Limits) -> Turns {
        Turns(Arc::new(Mutex::new(FairQueue::new(limits))))
    }

    /// Seats taken, and how many wait.
    pub fn load(&self) -> (u32, usize) {
        self.0.lock().load()
    }

    /// The request's turn, or `None` when too many wait already or it waited too long.
    pub async fn take(&self, flow: Flow, width: u32) -> Option<Turn> {
        let (wake, woken) = oneshot::channel();
        let mut ticket = Some(Ticket { flow, width, wake });
        let entry = {
            let mut queue = self.0.lock();
            let mut enter = |queue: &mut FairQueue<Ticket>| queue.enter(flow, width, || ticket.take().expect("taken once at most"));
            let mut entry = enter(&mut queue);
            if entry == Entry::Full {
                // Those whose clients went away, or that waited too long, still stand there.
                queue.prune(|t| t.wake.is_closed());
                entry = enter(&mut queue);
            }
            entry
        };
        match entry {
            Entry::Go => Some(Turn { turns: Some(self.clone()), flow, width }),
            Entry::Wait => tokio::time::timeout(TURN_DEADLINE, woken).await.ok()?.ok(),
            Entry::Full => None,
        }
    }

    /// Gives seats back and wakes whose turn it is.
    fn leave(&self, flow: Flow, width: u32) {
        let mut left = vec![(flow, width)];
        while let Some((flow, width)) = left.pop() {
            let next = self.0.lock().leave(flow, width);
            for Ticket { flow, width, wake } in next {
                let turn = Turn { turns: Some(self.clone()), flow, width };
                if let Err(mut turn) = wake.send(turn) {
                    // Nobody waits any more: on to the next, without going deeper for each.
                    turn.turns = None;
                    left.push((flow, width));
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.leave(self.flow, self.width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn whoever_gave_up_is_passed_over() {
        let turns = Turns::new(Limits { seats: 1, seats_per_flow: 1, waiting_per_flow: 3000, waiting: 3000 });
        let first = turns.take(0, 1).await.unwrap();
        for flow in 0..2999 {
            // Asked, waits, and is dropped.
            assert!(turns.take(flow, 1).now_or_never().is_none());
        }
        let mut last = Box::pin(turns.take(5000, 1));
        assert!(last.as_mut().now_or_never().is_none());
        drop(first);
        assert!(last.await.is_some());
        assert_eq!(turns.0.lock().load(), (0, 0));
    }

    #[tokio::test]
    async fn too_many_are_refused_at_once() {
        let turns = Turns::new(Limits { seats: 1, seats_per_flow: 1, waiting_per_flow: 1, waiting: 1 });
        let _first = turns.take(0, 1).await.unwrap();
        let mut second = Box::pin(turns.take(0, 1));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(turns.take(0, 1).await.is_none());
        drop(second);
        assert!(turns.take(0, 1).now_or_never().is_none(), "there is room again");
    }
}
