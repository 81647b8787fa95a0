//! Tells people what the node did for a pod, in the background. Best effort: an event that cannot be written is only logged.
use crate::api::NodeApi;
use futures::StreamExt;
use logic::events::{Correlator, Entry, Happening, Source, body, namespace};
use shared::kinds::EVENT;
use shared::meta::ObjectReference;
use shared::objects::pod::Pod;
use shared::status::Status;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Happenings that wait to be told; more are not heard of.
const WAITING_MAX: usize = 1024;
/// Events written at once.
const TOGETHER_MAX: usize = 16;

/// Where the node says what happened.
pub(crate) struct Events(mpsc::Sender<Happening>);

impl Events {
    /// Starts the task that writes the events, until `stop`.
    pub(crate) fn start(api: Arc<dyn NodeApi>, node: &str, stop: CancellationToken) -> Events {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let node = node.to_string();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = write_all(&*api, &node, receiver) => {}
            }
        });
        Events(sender)
    }

    /// Never waits: when too many wait already, it is not told.
    pub(crate) fn say(&self, pod: &Pod, container: Option<&str>, warning: bool, reason: &str, message: String) {
        let about = ObjectReference {
            kind: "Pod".into(),
            api_version: "v1".into(),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: container.map(|name| format!("spec.containers{{{name}}}")).unwrap_or_default(),
        };
        if self.0.try_send(Happening { about, warning, reason: reason.into(), message }).is_err() {
            tracing::debug!(reason, "too many events wait; one is not written");
        }
    }
}

async fn write_all(api: &dyn NodeApi, node: &str, mut receiver: mpsc::Receiver<Happening>) {
    let mut correlator = Correlator::default();
    let mut heard = Vec::with_capacity(TOGETHER_MAX);
    while receiver.recv_many(&mut heard, TOGETHER_MAX).await > 0 {
        let entries = correlator.hear_all(heard.drain(..), crate::clock::now().as_second(), crate::clock::random::<u64>);
        let writes = entries.into_iter().map(|(what, entry)| async move {
            let written = write(api, node, &what, &entry).await;
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

async fn write(api: &dyn NodeApi, node: &str, what: &Happening, entry: &Entry) -> Result<(), Status> {
    let namespace = Some(namespace(&what.about));
    let now = crate::worker::now_text();
    let first = jiff::Timestamp::from_second(entry.first).map_or_else(|_| now.clone(), crate::worker::text);
    let body = body(what, entry, Source { component: "kubelet", host: node }, &first, &now);
    if entry.count > 1 && api.update(&EVENT, namespace, &entry.name, body.clone()).await.is_ok() {
        return Ok(());
    }
    api.create(&EVENT, namespace, body).await.map(|_| ())
}
