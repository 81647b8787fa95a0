//! Tells systemd, where it supervises us, that we are ready, that we are well, and that we stop.
use sd_notify::NotifyState;
use shared::client::http::Client;
use std::time::Duration;

/// What must answer for us to count as well: our own API, through its own door.
const ALIVE: &str = "/livez";

/// The cluster serves.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The end begins.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping; containers keep running")]);
}

fn tell(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell, which is no error.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// Says that we are well as often as the unit's WatchdogSec asks, as long as the API answers in time.
pub async fn watchdog(client: Client) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    // Twice in each period, as systemd advises; an answer may take as long as a pause.
    let pause = (limit / 2).max(Duration::from_millis(1));
    let client = client.with_deadline(Some(pause));
    loop {
        match client.get_text(ALIVE).await {
            Ok(_) => tell(&[NotifyState::Watchdog]),
            Err(error) => tracing::warn!(%error, "our own API does not answer; systemd will restart us if that lasts"),
        }
        tokio::time::sleep(pause).await;
    }
}
