//! Tells people what happened: events, counted instead of repeated, and forgotten after a while.
use crate::Context;
use parking_lot::Mutex;
use registry::Registry;
use registry::caller::Caller;
use registry::options::{DeleteOptions, Patch, WriteOptions};
use serde_json::json;
use shared::kinds::EVENT;
use shared::meta::ObjectReference;
use shared::objects::event::Event;
use std::collections::HashMap;
use std::time::Duration;

/// Remembered events, so that the same one is counted; the oldest half is dropped when there are more.
const REMEMBERED_MAX: usize = 4096;
/// How long an event is kept after it last happened. The era kept two hours.
const TTL_SECONDS: i64 = 2 * 3600;
const EXPIRY_EVERY: Duration = Duration::from_secs(60);

/// Writes the events of the control plane.
pub(crate) struct Recorder {
    registry: Registry,
    caller: Caller,
    /// What was said of whom → (name of the event, count).
    remembered: Mutex<HashMap<(String, String, String), (String, i64)>>,
}

impl Recorder {
    pub(crate) fn new(registry: Registry, caller: Caller) -> Recorder {
        Recorder { registry, caller, remembered: Mutex::default() }
    }

    /// Never fails the caller: an event that cannot be written is only logged.
    pub(crate) async fn record(&self, about: ObjectReference, warning: bool, reason: &str, message: String) {
        let key = (about.uid.clone(), reason.to_string(), message.clone());
        let namespace = if about.namespace.is_empty() { "default".to_string() } else { about.namespace.clone() };
        let known = {
            let mut remembered = self.remembered.lock();
            if remembered.len() > REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.get_mut(&key).map(|(name, count)| {
                *count += 1;
                (name.clone(), *count)
            })
        };
        let now = now_text();
        if let Some((name, count)) = known {
            let patch = Patch::Merge(json!({"count": count, "lastTimestamp": now}));
            let outcome = self.registry.patch(&self.caller, &EVENT, Some(&namespace), &name, "", patch, &WriteOptions::default()).await;
            if outcome.is_ok() {
                return;
            }
        }
        let component = source_of(&about.kind);
        let name = format!("{}.{:016x}", about.name, registry::clock::number());
        let body = json!({
            "metadata": {"name": name, "namespace": namespace}, "involvedObject": about, "reason": reason, "message": message,
            "type": if warning { "Warning" } else { "Normal" }, "source": {"component": component}, "reportingComponent": component,
            "reportingInstance": "", "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        });
        match self.registry.create(&self.caller, &EVENT, Some(&namespace), body, &WriteOptions::default()).await {
            Ok(_) => {
                self.remembered.lock().insert(key, (name, 1));
            }
            Err(status) => tracing::debug!(error = %status, reason, "event not written"),
        }
    }
}

/// The component that Kubernetes names as the source of events about a kind.
fn source_of(kind: &str) -> &'static str {
    match kind {
        "ReplicationController" => "replication-controller",
        "Pod" => "default-scheduler",
        "Node" => "node-controller",
        _ => "controllermanager",
    }
}

pub(crate) fn now_text() -> String {
    registry::clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn seconds_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|t| t.as_second())
}

/// Removes events that are older than they are kept.
pub(crate) fn start_expiry(context: &Context) {
    let context = context.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep(EXPIRY_EVERY) => {}
                () = context.stop.cancelled() => return,
            }
            let oldest = registry::clock::now().as_second() - TTL_SECONDS;
            for object in context.registry.all(&EVENT, None).1 {
                let event: Event = object.view();
                let last = [&event.last_timestamp, &event.event_time, &event.metadata.creation_timestamp]
                    .into_iter()
                    .flatten()
                    .find_map(|t| seconds_of(t));
                if last.is_some_and(|l| l < oldest) {
                    let _ = context
                        .registry
                        .delete(&context.caller, &EVENT, Some(object.namespace()), object.name(), &DeleteOptions::default())
                        .await;
                }
            }
        }
    });
}
