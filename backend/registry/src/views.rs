//! Kinds that are views of other kinds: Project of Namespace, events.k8s.io Event of core Event.
use crate::encode::encode;
use crate::object::Object;
use serde_json::{Map, Value, json};
use shared::kinds::{EVENT, Kind, NAMESPACE, PROJECT};
use shared::selector::FieldSelector;
use std::sync::{Arc, OnceLock};
use store::Record;

/// The stored kind behind a view.
pub(crate) fn base(kind: &Kind) -> &'static Kind {
    if *kind == PROJECT { &NAMESPACE } else { &EVENT }
}

/// A field selector on the view, as one on the stored kind.
pub(crate) fn base_fields(kind: &Kind, fields: &FieldSelector) -> FieldSelector {
    let mut fields = fields.clone();
    if *kind != PROJECT {
        for r in &mut fields.requirements {
            r.field = r.field.replace("regarding.", "involvedObject.");
        }
    }
    fields
}

/// The stored object as the view's kind.
pub(crate) fn show(kind: &'static Kind, object: &Object) -> Object {
    let Value::Object(mut value) = object.value() else { return object.clone() };
    value.insert("apiVersion".into(), kind.api_version().into());
    value.insert("kind".into(), kind.kind.into());
    if *kind != PROJECT {
        to_new_event(&mut value);
    }
    let (bytes, at) = encode(&value);
    let revision = object.revision();
    let bytes = [&bytes[..at], revision.to_string().as_bytes(), &bytes[at..]].concat().into();
    let record = Record { key: object.record.key.clone(), revision, created: object.record.created, value: bytes, view: OnceLock::new() };
    Object { kind, record: Arc::new(record) }
}

/// The body of a write to a view, as one to the stored kind.
pub(crate) fn to_base(kind: &Kind, mut body: Map<String, Value>) -> Map<String, Value> {
    body.insert("apiVersion".into(), "v1".into());
    if *kind == PROJECT {
        body.insert("kind".into(), "Namespace".into());
        // The 2015 form carried the display name beside the metadata.
        if let Some(Value::String(name)) = body.remove("displayName") {
            let metadata = body.entry("metadata").or_insert_with(|| json!({}));
            metadata["annotations"]["openshift.io/display-name"] = name.into();
        }
    } else {
        to_core_event(&mut body);
    }
    body
}

const EVENT_FIELDS: [(&str, &str); 5] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn to_new_event(value: &mut Map<String, Value>) {
    for (old, new) in EVENT_FIELDS.into_iter().chain([("source", "deprecatedSource"), ("reportingComponent", "reportingController")]) {
        if let Some(v) = value.remove(old) {
            value.insert(new.into(), v);
        }
    }
}

fn to_core_event(value: &mut Map<String, Value>) {
    for (old, new) in EVENT_FIELDS.into_iter().chain([("source", "deprecatedSource"), ("reportingComponent", "reportingController")]) {
        if let Some(v) = value.remove(new) {
            value.insert(old.into(), v);
        }
    }
}
