//! Server-side apply: who owns which fields, who is in the way of whom, and what an applied object makes of the live one.
pub mod fields;
mod managers;
mod typed;

use crate::table::{Type, table};
use fields::FieldSet;
use managers::{Entry, Operation};
use serde_json::Value;
use shared::kinds::Kind;
use typed::Typed;

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// `fieldManager` of the request, or what stands for it (the client's name).
    pub manager: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339, seconds.
    pub now: &'a str,
}

/// One field that somebody else owns and the applied object changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// `.spec.replicas`
    pub field: String,
    /// `conflict with "kubectl" using apps/v1`
    pub message: String,
}

/// Why an object cannot be applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApplyError {
    /// 400.
    #[error("{0}")]
    Invalid(String),
    /// 409 with one cause (`FieldManagerConflict`) per conflict.
    #[error("{message}")]
    Conflict { message: String, conflicts: Vec<Conflict> },
}

/// Applies an object (`PATCH` with `application/apply-patch+yaml`). The answer is the object to store, `managedFields` included;
/// it equals `live` when nothing changes. Without `live` it is the object to create.
pub fn apply(kind: &Kind, live: Option<&Value>, applied: &Value, writer: &Writer, force: bool) -> Result<Value, ApplyError> {
    let Value::Object(_) = applied else { return Err(ApplyError::Invalid("an applied object is a JSON object".into())) };
    if applied["metadata"]["managedFields"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(ApplyError::Invalid("metadata.managedFields must be nil".into()));
    }
    let typed = type_of(kind);
    let api_version = applied["apiVersion"].as_str().unwrap_or_default().to_string();
    let mut entries = live.map(|l| owners(kind, typed, l, writer.now)).unwrap_or_default();
    let mut wanted = FieldSet::default();
    typed::collect(typed, applied, &mut wanted, 0);
    strip(&mut wanted, kind, writer.subresource);

    let mut merged = live.cloned().unwrap_or(Value::Null);
    typed::merge(typed, &mut merged, applied, 0).map_err(ApplyError::Invalid)?;
    let mine = |e: &Entry| e.is(writer.manager, Operation::Apply, writer.subresource);
    if let Some(last) = entries.iter().find(|e| mine(e)) {
        let mut kept = wanted.clone();
        entries.iter().filter(|e| !mine(e)).for_each(|e| kept.union(&e.fields));
        let mut gone = last.fields.clone();
        gone.subtract(&wanted);
        typed::remove(typed, &mut merged, &gone, &kept);
    }

    let nothing = Value::Object(serde_json::Map::new());
    let difference = typed::compare(typed, live.unwrap_or(&nothing), &merged);
    let conflicts = managers::conflicts(&entries, mine, &difference.changed);
    if !conflicts.is_empty() && !force {
        return Err(refusal(conflicts));
    }
    managers::take_over(&mut entries, mine, &difference);
    let before = entries.iter().find(|e| mine(e)).map(|e| (e.fields.clone(), e.api_version.clone()));
    entries.retain(|e| !mine(e));
    let unchanged = before == Some((wanted.clone(), api_version.clone())) && difference.changed.is_empty() && difference.removed.is_empty();
    let time =
        live.filter(|_| unchanged).and_then(|l| managers::read(l).into_iter().find(|e| mine(e))).map_or(writer.now.to_string(), |e| e.time);
    if !wanted.is_empty() {
        entries.push(Entry {
            manager: writer.manager.into(),
            operation: Operation::Apply,
            api_version,
            subresource: writer.subresource.into(),
            time,
            fields: wanted,
        });
    }
    managers::write(&mut merged, entries);
    Ok(merged)
}

/// Notes in `new.metadata.managedFields` what a create, update or patch changed against `live`. A client that sends an empty
/// first entry (`[{}]`) resets all ownership, as in Kubernetes.
pub fn update(kind: &Kind, live: Option<&Value>, new: &mut Value, writer: &Writer) {
    let reset = new["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|list| list.first().is_some_and(|e| e.as_object().is_some_and(|e| e.is_empty())));
    if reset {
        managers::write(new, Vec::new());
        return;
    }
    let typed = type_of(kind);
    // A client may edit the owners themselves, as kubectl does when it moves from client-side to server-side apply.
    let given = if writer.subresource.is_empty() { managers::read(new) } else { Vec::new() };
    let mut entries = if given.is_empty() { live.map(managers::read).unwrap_or_default() } else { given };
    let nothing = Value::Object(serde_json::Map::new());
    let mut difference = typed::compare(typed, live.unwrap_or(&nothing), new);
    strip(&mut difference.changed, kind, writer.subresource);
    let mine = |e: &Entry| e.is(writer.manager, Operation::Update, writer.subresource);
    managers::take_over(&mut entries, mine, &difference);
    let api_version = new["apiVersion"].as_str().unwrap_or_default().to_string();
    match entries.iter_mut().find(|e| mine(e)) {
        Some(entry) => {
            let before = entry.fields.clone();
            entry.fields.union(&difference.changed);
            entry.fields.subtract(&difference.removed);
            if entry.fields != before || !difference.changed.is_empty() {
                entry.time = writer.now.into();
                entry.api_version = api_version;
            }
        }
        None if !difference.changed.is_empty() => entries.push(Entry {
            manager: writer.manager.into(),
            operation: Operation::Update,
            api_version,
            subresource: writer.subresource.into(),
            time: writer.now.into(),
            fields: difference.changed,
        }),
        None => {}
    }
    managers::write(new, entries);
}

/// The owners of a live object. One that nobody noted owners of belongs to whoever wrote it before the first apply.
fn owners(kind: &Kind, typed: Typed, live: &Value, now: &str) -> Vec<Entry> {
    let mut entries = managers::read(live);
    if entries.is_empty() {
        let mut fields = FieldSet::default();
        typed::collect(typed, live, &mut fields, 0);
        strip(&mut fields, kind, "");
        let api_version = live["apiVersion"].as_str().unwrap_or_default().to_string();
        let (manager, subresource) = ("before-first-apply".to_string(), String::new());
        entries.push(Entry { manager, operation: Operation::Update, api_version, subresource, time: now.into(), fields });
    }
    entries
}

fn type_of(kind: &Kind) -> Typed {
    Typed::of(table().by_kind(kind).map(Type::Object))
}

/// Nobody owns what the server itself sets, nor what a request to this URL does not write.
fn strip(set: &mut FieldSet, kind: &Kind, subresource: &str) {
    for name in ["f:apiVersion", "f:kind"] {
        set.children.remove(name);
    }
    if let Some(metadata) = set.children.get_mut("f:metadata") {
        for name in ["name", "namespace", "creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"] {
            metadata.children.remove(&format!("f:{name}"));
        }
        metadata.own = false;
        if metadata.is_empty() {
            set.children.remove("f:metadata");
        }
    }
    if kind.has_status() {
        match subresource {
            "status" => set.children.retain(|name, _| name == "f:status" || name == "f:metadata"),
            _ => {
                set.children.remove("f:status");
            }
        }
    }
}

fn refusal(conflicts: Vec<(String, Vec<String>)>) -> ApplyError {
    let all: Vec<Conflict> = conflicts
        .iter()
        .flat_map(|(who, fields)| fields.iter().map(move |f| Conflict { field: f.clone(), message: format!("conflict with {who}") }))
        .collect();
    let message = match all.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        _ => {
            let parts: Vec<String> = conflicts
                .iter()
                .map(|(who, fields)| format!("conflicts with {who}:{}", fields.iter().map(|f| format!("\n- {f}")).collect::<String>()))
                .collect();
            format!("Apply failed with {} conflicts: {}", all.len(), parts.join("\n"))
        }
    };
    ApplyError::Conflict { message, conflicts: all }
}

#[cfg(test)]
mod tests;
