//! The controllers: each a pure function from what is observed to the writes that are due.
//!
//! A reconciler sees the whole state of its object at one revision and is never told what changed. The runner does not
//! call it again for the same object before its cache has seen the writes of the last call, so nothing is done twice.
pub mod certificates;
pub mod endpoints;
pub mod garbage;
pub mod namespace;
pub mod node_health;
pub mod replication;

use serde_json::Value;
use shared::kinds::Kind;
use shared::meta::ObjectReference;

/// Something to be done through the registry's write path; leaves nothing to decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Create {
        kind: &'static Kind,
        namespace: String,
        body: Value,
        /// Whom an event tells of the created object's name, which is known only afterwards.
        creator: Option<ObjectReference>,
    },
    /// Replaces the object; the body carries the resourceVersion it was computed from.
    Update {
        kind: &'static Kind,
        namespace: String,
        name: String,
        subresource: &'static str,
        body: Value,
    },
    /// A JSON merge patch; `uid` must still be the object's.
    Merge {
        kind: &'static Kind,
        namespace: String,
        name: String,
        subresource: &'static str,
        uid: String,
        patch: Value,
    },
    Delete {
        kind: &'static Kind,
        namespace: String,
        name: String,
        uid: String,
        grace_seconds: Option<i64>,
    },
    /// Tells people what happened to an object.
    Event {
        about: ObjectReference,
        warning: bool,
        reason: &'static str,
        message: String,
    },
}
