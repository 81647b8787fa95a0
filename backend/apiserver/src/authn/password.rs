//! The one door for names and passwords: guesses are slowed here, whichever way they come in and whichever provider answers.
use super::anypassword;
use crate::app::{App, Peer};
use registry::caller::Identity;
use shared::status::{Reason, Status};

/// Checks a name and password. Refusals are the same whether or not the name exists, also when there were too many.
pub async fn check(app: &App, peer: &Peer, name: &str, password: &str) -> Result<Identity, Status> {
    let address = peer.remote.ip().to_canonical();
    let now = u64::try_from(app.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let allowed = app.guesses.lock().attempt(name, address, now);
    if let Err(wait) = allowed {
        tracing::warn!(remote = %peer.remote, "too many wrong passwords");
        let seconds = i64::try_from(wait.div_ceil(1000)).unwrap_or(i64::MAX).max(1);
        return Err(
            Status::failure(429, Reason::TooManyRequests, "Too many wrong passwords, please try again later.").with_retry_after(seconds)
        );
    }
    let outcome = anypassword::check(app, peer, name, password).await;
    match &outcome {
        Ok(_) => app.guesses.lock().right(name, address),
        // Our own fault is nobody's guess.
        Err(status) if status.code != 401 => app.guesses.lock().give_back(name, address),
        Err(_) => {}
    }
    outcome
}
