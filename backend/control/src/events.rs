//! Tells people what happened: events, in the background, and forgotten after a while.
use crate::Context;
use futures::StreamExt;
use logic::events::{Correlator, Entry, Happening, Source, body, namespace};
use registry::Registry;
use registry::caller::Caller;
use registry::options::{DeleteOptions, WriteOptions};
use shared::kinds::EVENT;
use shared::meta::ObjectReference;
use shared::objects::event::Event;
use shared::status::Status;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Happenings that wait to be told; more are not heard of.
const WAITING_MAX: usize = 4096;
/// Events written together: the store commits them as one group.
const TOGETHER_MAX: usize = 64;
/// How long an event is kept after it last happened. The era kept two hours.
const TTL_SECONDS: i64 = 2 * 3600;
const EXPIRY_EVERY: Duration = Duration::from_secs(60);

/// Where the control plane says what happened. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder(mpsc::Sender<Happening>);

impl Recorder {
    /// Starts the task that writes the events, until `stop`.
    pub(crate) fn start(registry: Registry, caller: Caller, stop: CancellationToken) -> Recorder {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = write_all(&registry, &caller, receiver) => {}
                () = stop.cancelled() => {}
            }
        });
        Recorder(sender)
    }

    /// Never waits and never fails: an event that cannot be written is only logged.
    pub(crate) fn say(&self, about: ObjectReference, warning: bool, reason: &str, message: String) {
        if self.0.try_send(Happening { about, warning, reason: reason.into(), message }).is_err() {
            tracing::debug!(reason, "too many events wait; one is not written");
        }
    }
}

async fn write_all(registry: &Registry, caller: &Caller, mut receiver: mpsc::Receiver<Happening>) {
    let mut correlator = Correlator::default();
    let mut heard = Vec::with_capacity(TOGETHER_MAX);
    while receiver.recv_many(&mut heard, TOGETHER_MAX).await > 0 {
        let entries = correlator.hear_all(heard.drain(..), registry::clock::now().as_second(), registry::clock::number);
        let writes = entries.into_iter().map(|(what, entry)| async move {
            let written = write(registry, caller, &what, &entry).await;
            (entry.key, written)
        });
        for (key, written) in futures::stream::iter(writes).buffered(TOGETHER_MAX).collect::<Vec<_>>().await {
            if let Err(status) = written {
                tracing::debug!(error = %status, "event not written");
                correlator.forget(&key);
            }
        }
    }
}

async fn write(registry: &Registry, caller: &Caller, what: &Happening, entry: &Entry) -> Result<(), Status> {
    let (namespace, options) = (Some(namespace(&what.about)), WriteOptions::default());
    let now = now_text();
    let first = jiff::Timestamp::from_second(entry.first).map_or_else(|_| now.clone(), text);
    let source = Source { component: source_of(&what.about.kind), host: "" };
    let body = body(what, entry, source, &first, &now);
    if entry.count > 1 && registry.update(caller, &EVENT, namespace, &entry.name, "", body.clone(), &options).await.is_ok() {
        return Ok(());
    }
    registry.create(caller, &EVENT, namespace, body, &options).await.map(|_| ())
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
    text(registry::clock::now())
}

fn text(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
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
