//! Carries out what `logic` decided, through the registry's write path.
use crate::Context;
use futures::StreamExt;
use logic::controllers::Write;
use registry::options::{DeleteOptions, Patch, Preconditions, WriteOptions};
use shared::kinds::Kind;
use shared::status::Status;

/// Writes of one decision under way at once; the store commits them as one group.
const WRITES_AT_ONCE_MAX: usize = 64;

/// The newest revision that the writes produced for objects of `kind` (0: none).
pub(crate) struct Applied {
    pub(crate) newest: u64,
}

/// Applies all writes, concurrently. An object that is gone or changed meanwhile is no failure: whoever decided looks
/// again. The first other error is returned after all writes were tried.
pub(crate) async fn all(context: &Context, writes: Vec<Write>, kind: &Kind) -> Result<Applied, Status> {
    let outcomes: Vec<Result<Option<u64>, Status>> =
        futures::stream::iter(writes).map(|w| one(context, w, kind)).buffer_unordered(WRITES_AT_ONCE_MAX).collect().await;
    let (mut newest, mut error) = (0, None);
    for outcome in outcomes {
        match outcome {
            Ok(revision) => newest = newest.max(revision.unwrap_or(0)),
            Err(status) if status.is_not_found() || status.is_conflict() => {}
            Err(status) => error = error.or(Some(status)),
        }
    }
    match error {
        Some(status) => Err(status),
        None => Ok(Applied { newest }),
    }
}

async fn one(context: &Context, write: Write, watched: &Kind) -> Result<Option<u64>, Status> {
    let (registry, caller) = (&context.registry, &context.caller);
    let options = WriteOptions { field_validation: registry::options::FieldValidation::Ignore, ..WriteOptions::default() };
    let place = |kind: &Kind, namespace: String| kind.namespaced().then_some(namespace);
    match write {
        Write::Create { kind, namespace, body, creator } => {
            let ns = place(kind, namespace);
            let written = registry.create(caller, kind, ns.as_deref(), body, &options).await?;
            if let Some(creator) = creator {
                let message = format!("Created {}: {}", kind.kind.to_ascii_lowercase(), written.object.name());
                context.events.say(creator, false, "SuccessfulCreate", message);
            }
            Ok((kind == watched).then(|| written.object.revision()))
        }
        Write::Update { kind, namespace, name, subresource, body } => {
            let ns = place(kind, namespace);
            let written = registry.update(caller, kind, ns.as_deref(), &name, subresource, body, &options).await?;
            Ok((kind == watched).then(|| written.object.revision()))
        }
        Write::Merge { kind, namespace, name, subresource, uid, mut patch } => {
            let ns = place(kind, namespace);
            if !uid.is_empty() {
                patch["metadata"]["uid"] = uid.into();
            }
            let written = registry.patch(caller, kind, ns.as_deref(), &name, subresource, Patch::Merge(patch), &options).await?;
            Ok((kind == watched).then(|| written.object.revision()))
        }
        Write::Delete { kind, namespace, name, uid, grace_seconds } => {
            let ns = place(kind, namespace);
            let preconditions = (!uid.is_empty()).then_some(Preconditions { uid: Some(uid), resource_version: None });
            let options = DeleteOptions { grace_period_seconds: grace_seconds, preconditions, ..DeleteOptions::default() };
            registry.delete(caller, kind, ns.as_deref(), &name, &options).await?;
            Ok((kind == watched).then(|| registry.revision()))
        }
        Write::Event { about, warning, reason, message } => {
            context.events.say(about, warning, reason, message);
            Ok(None)
        }
    }
}
