//! The shape of every controller: take a key that is due, look, decide, apply; panics and errors come again later.
use crate::cache::Key;
use crate::queue::Queue;
use crate::{Context, metrics};
use futures::FutureExt;
use shared::status::Status;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Keys of one controller worked on at the same time.
const CONCURRENCY_MAX: usize = 16;

/// Runs `reconcile` for every key that becomes due, until the context stops.
pub(crate) fn run<F>(context: &Context, queue: Arc<Queue>, reconcile: impl Fn(Context, Key) -> F + Send + Sync + 'static)
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    metrics::runs(&queue);
    let numbers = queue.controller.numbers();
    let name = numbers.name;
    let context = context.clone();
    let reconcile = Arc::new(reconcile);
    tokio::spawn(async move {
        let permits = Arc::new(Semaphore::new(CONCURRENCY_MAX));
        loop {
            let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            let key = tokio::select! {
                biased;
                key = queue.next() => key,
                () = context.stop.cancelled() => return,
            };
            let (context, queue, reconcile) = (context.clone(), queue.clone(), reconcile.clone());
            tokio::spawn(async move {
                let _permit = permit;
                let began = Instant::now();
                let outcome = AssertUnwindSafe(reconcile(context, key.clone())).catch_unwind().await;
                numbers.worked.since(began);
                match outcome {
                    Ok(Ok(())) => {
                        numbers.succeeded.inc();
                        queue.done(&key);
                    }
                    Ok(Err(status)) => {
                        tracing::debug!(controller = name, namespace = key.0, name = key.1, error = %status, "reconcile failed; trying again");
                        numbers.failed.inc();
                        queue.failed(&key);
                    }
                    Err(_) => {
                        tracing::error!(controller = name, namespace = key.0, name = key.1, "reconcile panicked; trying again");
                        numbers.panicked.inc();
                        queue.failed(&key);
                    }
                }
            });
        }
    });
}
