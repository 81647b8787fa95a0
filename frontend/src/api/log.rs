//! A container's log, followed through broken connections and restarts: no line twice, none lost.
use super::{ApiError, fetch};
use crate::api::watch::sleep;
use crate::model::merged_log::{later, split};
use std::time::Duration;
use web_sys::AbortSignal;

/// Waits before asking again: the first and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Which log.
#[derive(Clone, PartialEq)]
pub struct Log {
    /// `…/pods/NAME/log?container=NAME`
    pub url: String,
    pub tail_lines: usize,
    /// The container's run before this one; it is not followed.
    pub previous: bool,
}

/// Hands over pairs of time and text until `signal` aborts it or the pod is gone; says what is wrong meanwhile, or that
/// nothing is.
pub async fn follow(log: Log, signal: AbortSignal, mut take: impl FnMut(Vec<(String, String)>), say: impl Fn(Option<ApiError>)) {
    let mut last = String::new();
    let mut wait = WAIT_FIRST;
    while !signal.aborted() {
        let from = if last.is_empty() { format!("tailLines={}", log.tail_lines) } else { format!("sinceTime={last}") };
        let mode = if log.previous { "previous=true" } else { "follow=true" };
        let url = format!("{}&timestamps=true&{mode}&{from}", log.url);
        let outcome = fetch::lines(&url, &signal, |lines| {
            wait = WAIT_FIRST;
            let mut new: Vec<(String, String)> = lines.iter().map(|l| split(l)).collect();
            // Asked from a second on, the server repeats what that second had.
            new.retain(|(at, _)| at.is_empty() || later(at, &last));
            if let Some((at, _)) = new.last().filter(|(at, _)| !at.is_empty()) {
                last.clone_from(at);
            }
            if !signal.aborted() && !new.is_empty() {
                say(None);
                take(new);
            }
        })
        .await;
        match outcome {
            Err(ApiError::Aborted) => return,
            Err(error) if error.code() == 404 || log.previous => return say(Some(error)),
            Ok(()) if log.previous => return,
            Err(error) => say(Some(error)),
            // The container has ended; perhaps it is started again.
            Ok(()) => {}
        }
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}
