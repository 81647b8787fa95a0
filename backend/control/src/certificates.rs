//! Grants and signs requests for certificates, and removes them and the bootstrap tokens that have ended.
use crate::cache::{Cache, Key};
use crate::events::{now_text, seconds_of};
use crate::metrics::Controller;
use crate::queue::Queue;
use crate::{Context, apply, runner};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use logic::authz::node::PREFIX;
use logic::bootstrap_token;
use logic::controllers::Write;
use logic::controllers::certificates::{Observed, Requested, Step, reconcile};
use registry::options::{Patch, WriteOptions};
use serde_json::{Value, json};
use shared::kinds::{CERTIFICATE_SIGNING_REQUEST, NODE, SECRET};
use shared::status::Status;
use std::sync::Arc;
use std::time::Duration;

/// Everything is looked at again this often: requests and tokens grow old without anybody's doing.
const EVERY: Duration = Duration::from_secs(60);

/// Whoever has the cluster's CA. Requests are PEM; errors are for people.
pub trait Signer: Send + Sync {
    fn read(&self, request: &str) -> Result<Requested, String>;
    /// A certificate (PEM) for what the request asks, good for so many seconds.
    fn sign(&self, request: &str, seconds: i64) -> Result<String, String>;
}

pub(crate) fn start(context: &Context, signer: Arc<dyn Signer>) {
    let requests: Cache<()> = Cache::start(&context.registry, &CERTIFICATE_SIGNING_REQUEST, |_| (), &context.stop);
    let queue = Arc::new(Queue::of(Controller::Certificate));
    let q = queue.clone();
    requests.on_change(move |change| q.add(change.key.clone()));
    let again = queue.clone();
    runner::run(context, queue, move |context, key: Key| {
        let (signer, again) = (signer.clone(), again.clone());
        async move {
            if let Some(after) = step(&context, &*signer, &key.1).await? {
                again.add_after(key, after);
            }
            Ok(())
        }
    });
    let context = context.clone();
    tokio::spawn(async move {
        loop {
            remove_ended_tokens(&context).await;
            tokio::select! {
                biased;
                () = context.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}

/// Does what is due; when to look again, if the request is still there.
async fn step(context: &Context, signer: &dyn Signer, name: &str) -> Result<Option<Duration>, Status> {
    let Ok(found) = context.registry.get(&context.caller, &CERTIFICATE_SIGNING_REQUEST, None, name) else { return Ok(None) };
    let request = found.value();
    let pem = STANDARD.decode(request["spec"]["request"].as_str().unwrap_or_default()).unwrap_or_default();
    let pem = String::from_utf8(pem).unwrap_or_default();
    let asks = signer.read(&pem);
    let node_name = asks.as_ref().ok().and_then(|a| a.common_name.strip_prefix(PREFIX)).unwrap_or_default();
    let node = context.registry.get(&context.caller, &NODE, None, node_name).ok().map(|n| n.value());
    let created = request["metadata"]["creationTimestamp"].as_str().and_then(seconds_of).unwrap_or(0);
    let (now, text) = (registry::clock::now().as_second(), now_text());
    let asks = asks.as_ref().map_err(String::as_str);
    match reconcile(&Observed { request: &request, asks, node: node.as_ref(), now, now_text: &text, created }) {
        Step::Nothing => {}
        Step::Write(write) => {
            let takes_name = matches!(*write, Write::Create { .. });
            match apply::all(context, vec![*write], &CERTIFICATE_SIGNING_REQUEST).await {
                // Another machine was faster, or this one has the name now: look again.
                Err(status) if takes_name && status.reason == shared::status::Reason::AlreadyExists => {}
                other => other.map(|_| ())?,
            }
            if takes_name {
                return Ok(Some(Duration::ZERO));
            }
        }
        Step::Sign(seconds) => {
            let certificate = signer.sign(&pem, seconds).map_err(Status::internal)?;
            let patch = json!({"metadata": {"uid": request["metadata"]["uid"]}, "status": {"certificate": STANDARD.encode(certificate)}});
            let options = WriteOptions::default();
            context
                .registry
                .patch(&context.caller, &CERTIFICATE_SIGNING_REQUEST, None, name, "status", Patch::Merge(patch), &options)
                .await?;
        }
    }
    Ok(Some(EVERY))
}

async fn remove_ended_tokens(context: &Context) {
    let now = registry::clock::now().as_second();
    let secrets = context.registry.all(&SECRET, Some(bootstrap_token::NAMESPACE)).1;
    let ended = secrets
        .iter()
        .map(|s| s.value())
        .filter(|s| s["type"] == bootstrap_token::SECRET_TYPE && bootstrap_token::expires(s).is_some_and(|end| end <= now));
    let text = |s: &Value, member: &str| s["metadata"][member].as_str().unwrap_or_default().to_string();
    let writes = ended
        .map(|s| Write::Delete {
            kind: &SECRET,
            namespace: bootstrap_token::NAMESPACE.into(),
            name: text(&s, "name"),
            uid: text(&s, "uid"),
            grace_seconds: None,
        })
        .collect();
    if let Err(error) = apply::all(context, writes, &SECRET).await {
        tracing::debug!(%error, "tokens that have ended are not removed yet");
    }
}
