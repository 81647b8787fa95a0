//! Streams changes: stored bytes with a few bytes around them, one JSON document per line or per WebSocket message.
use super::table::Tables;
use super::{Call, objects};
use crate::app::App;
use crate::metrics;
use crate::negotiate::{self, Form};
use crate::query::Query;
use crate::respond::{self, Response};
use crate::router::Resource;
use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use bytes::BytesMut;
use futures::FutureExt;
use http::StatusCode;
use http::header::UPGRADE;
use rand::Rng;
use registry::WatchItem;
use serde_json::json;
use shared::kinds::Kind;
use shared::status::Status;
use shared::watch::EventType;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a watch lasts when the client does not say: a random time between one and two of these, as Kubernetes.
const DEFAULT_SECONDS: u64 = 1800;
/// Events that wait are sent together up to about this size.
const FRAME_BYTES: usize = 64 * 1024;
/// A watcher that takes nothing for this long is dropped.
const SEND_DEADLINE: Duration = Duration::from_secs(60);

/// One open watch.
struct Stream {
    app: Arc<App>,
    kind: &'static Kind,
    watch: registry::Watch,
    form: Form,
    /// Set when the watch came through a URL of 2015.
    old: Option<super::legacy::OldForm>,
    tables: Tables,
    /// Whether the client asked for bookmarks; the one that ends the initial events is always sent.
    bookmarks: bool,
    deadline: Instant,
    /// The last thing has been sent.
    over: bool,
}

/// Begins a watch of a collection, or of one object by its path.
pub async fn serve(mut call: Call, target: Resource, query: &Query) -> Result<Response, Status> {
    let form = negotiate::choose(call.accept(), negotiate::OBJECTS)?;
    let form = if matches!(form, Form::Table { .. } | Form::Metadata) { form } else { Form::Json };
    let mut options = query.watch(call.app.registry.revision())?;
    if let Some(name) = &target.name {
        let only =
            shared::selector::FieldSelector::parse(&format!("metadata.name={name}")).map_err(|e| Status::bad_request(e.to_string()))?;
        options.fields.requirements.extend(only.requirements);
    }
    if let Some(from) = options.from {
        objects::wait_for(&call, from).await?;
    }
    let lasts = match query.watch_duration()? {
        Some(duration) => duration,
        None => Duration::from_secs(rand::rng().random_range(DEFAULT_SECONDS..2 * DEFAULT_SECONDS)),
    };
    let watch = call.app.registry.watch(&call.caller, target.kind, target.namespace.as_deref(), &options)?;
    let mut stream = Stream {
        app: call.app.clone(),
        kind: target.kind,
        watch,
        tables: Tables::new(target.kind, query),
        form,
        old: call.parts.extensions.get().copied(),
        bookmarks: options.bookmarks,
        deadline: Instant::now() + lasts,
        over: false,
    };
    let counted = metrics::WATCHES.hold();
    if call.parts.headers.contains_key(UPGRADE) {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut call.parts, &())
            .await
            .map_err(|e| Status::bad_request(format!("this is no WebSocket handshake: {e}")))?;
        let room = call.app.limits.upgrade(&call.caller.0, &call.peer)?;
        return Ok(upgrade.protocols(["binary.k8s.io", "base64url.bearer.authorization.k8s.io"]).on_upgrade(move |socket| async move {
            let _counted = (counted, room);
            stream.send_to(socket).await;
        }));
    }
    let body = futures::stream::unfold((stream, counted), |(mut stream, counted)| async move {
        let bytes = stream.next().await?;
        Some((Ok::<_, Infallible>(bytes), (stream, counted)))
    });
    Ok(respond::with_type(StatusCode::OK, "application/json", Body::from_stream(body)))
}

impl Stream {
    /// The next lines; `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while out.is_empty() {
            if self.over {
                return None;
            }
            let item = tokio::select! {
                item = self.watch.next() => item,
                () = tokio::time::sleep_until(self.deadline) => return None,
                () = self.app.stop.cancelled() => return None,
            };
            self.write(item, &mut out);
            // What is there already goes out in the same frame.
            while !self.over && out.len() < FRAME_BYTES {
                let Some(item) = self.watch.next().now_or_never() else { break };
                self.write(item, &mut out);
            }
        }
        metrics::WATCH_BYTES.add(out.len() as u64);
        Some(out.freeze())
    }

    fn write(&mut self, item: Result<WatchItem, Status>, out: &mut BytesMut) {
        match item {
            Ok(item) if item.object.is_none() && !self.bookmarks && !item.initial_events_end => {}
            Ok(item) => {
                let event_type = type_name(item.event_type);
                match self.document(&item) {
                    Ok(document) => {
                        self.app.metrics.events(self.kind).inc();
                        line(event_type, &document, out);
                    }
                    Err(status) => self.fail(&status, out),
                }
            }
            Err(status) => self.fail(&status, out),
        }
    }

    fn fail(&mut self, status: &Status, out: &mut BytesMut) {
        self.over = true;
        let mut bytes = serde_json::to_vec(status).expect("a Status is JSON");
        if let Some(old) = self.old.and_then(|old| old.translate(&bytes).ok()) {
            bytes = old;
        }
        line("ERROR", &bytes, out);
    }

    fn document(&mut self, item: &WatchItem) -> Result<Bytes, Status> {
        let bytes = match &item.object {
            Some(object) => object.bytes(),
            None => bookmark(self.kind, item).into(),
        };
        if let Some(old) = self.old {
            return old.translate(&bytes).map(Into::into);
        }
        match self.form {
            Form::Table { version } => self.tables.event(version, item.object.as_ref(), &bytes),
            Form::Metadata => super::table::metadata_of(&bytes),
            _ => Ok(bytes),
        }
    }

    async fn send_to(&mut self, mut socket: WebSocket) {
        loop {
            let bytes = tokio::select! {
                bytes = self.next() => bytes,
                message = socket.recv() => match message {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                },
            };
            let Some(bytes) = bytes else { break };
            for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let text = String::from_utf8_lossy(line).into_owned();
                match tokio::time::timeout(SEND_DEADLINE, socket.send(Message::Text(text.into()))).await {
                    Ok(Ok(())) => {}
                    _ => return,
                }
            }
        }
        let _ = socket.send(crate::stream::goodbye()).await;
    }
}

/// An object of the right kind with nothing but a resourceVersion.
fn bookmark(kind: &Kind, item: &WatchItem) -> Vec<u8> {
    let mut metadata = json!({"resourceVersion": item.revision.to_string(), "creationTimestamp": null});
    if item.initial_events_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    serde_json::to_vec(&json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata})).expect("a Value is JSON")
}

fn type_name(event_type: EventType) -> &'static str {
    match event_type {
        EventType::Added => "ADDED",
        EventType::Modified => "MODIFIED",
        EventType::Deleted => "DELETED",
        EventType::Bookmark => "BOOKMARK",
        EventType::Error => "ERROR",
    }
}

fn line(event_type: &str, document: &[u8], out: &mut BytesMut) {
    out.reserve(document.len() + 40);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(event_type.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(document);
    out.extend_from_slice(b"}\n");
}
