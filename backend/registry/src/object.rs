//! One stored version of one object: its JSON bytes, encoded once, and what selectors need of it, decoded once.
use bytes::Bytes;
use serde_json::Value;
use shared::kinds::Kind;
use shared::meta::ObjectMeta;
use std::sync::Arc;
use store::{Record, Revision};

/// A version of an object. Cheap to clone; the bytes are shared with every reader and watcher.
#[derive(Clone)]
pub struct Object {
    pub kind: &'static Kind,
    pub record: Arc<Record>,
}

/// What is decoded of every object once per version: enough for selectors, ownership and permission checks.
#[derive(Debug)]
pub struct Index {
    pub meta: ObjectMeta,
    /// Values of the kind's selectable fields, in the order of `Kind::selectable_fields`.
    pub fields: Vec<String>,
}

impl Object {
    /// The object's JSON, as stored, with its resourceVersion.
    pub fn bytes(&self) -> Bytes {
        self.record.value.clone()
    }

    pub fn revision(&self) -> Revision {
        self.record.revision
    }

    /// Decodes the whole object. For write paths; read paths send `bytes`.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.record.value).expect("what the registry stored is JSON")
    }

    /// Reads the object as one of `shared::objects`.
    pub fn view<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.record.value).expect("views have a default for every member")
    }
}
