//! Registry: the calls that everything above makes.
use crate::caller::Caller;
use crate::object::Object;
use crate::options::{DeleteOptions, ListOptions, Patch, WatchOptions, WriteOptions};
use serde_json::Value;
use shared::kinds::Kind;
use shared::status::Status;
use shared::watch::EventType;
use std::sync::Arc;
use store::{Revision, Store};

/// Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
}

/// What a write answers: the object as stored (or as it would be, for a dry run) and warnings for the client.
pub struct Written {
    pub object: Object,
    pub warnings: Vec<String>,
}

/// What a deletion did.
pub struct Deleted {
    /// Its last state.
    pub object: Object,
    /// Gone from the store; otherwise it waits for finalizers or for the node to stop it.
    pub gone: bool,
}

pub struct List {
    pub revision: Revision,
    pub items: Vec<Object>,
    pub continue_token: Option<String>,
    pub remaining: Option<usize>,
}

/// One event of a watch; a bookmark has no object.
pub struct WatchItem {
    pub event_type: EventType,
    pub revision: Revision,
    /// For DELETED: the last state; its bytes carry the deletion's resourceVersion.
    pub object: Option<Object>,
    /// This bookmark ends the initial events of a WatchList.
    pub initial_events_end: bool,
}

/// A filtered, ordered stream of a collection's changes.
pub struct Watch {}

impl Watch {
    /// The next event; `Err(410 Expired)` when the watcher fell too far behind. Never ends by itself.
    pub async fn next(&mut self) -> Result<WatchItem, Status> {
        unimplemented_contract()
    }
}

fn unimplemented_contract<T>() -> T {
    panic!("contract only: the registry is being written")
}

#[allow(unused_variables)]
impl Registry {
    pub fn new(store: Arc<dyn Store>) -> Registry {
        Registry { store }
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.store.revision()
    }

    pub async fn create(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        unimplemented_contract()
    }

    pub fn get(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Result<Object, Status> {
        unimplemented_contract()
    }

    /// `namespace: None` on a namespaced kind lists all namespaces.
    pub fn list(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, options: &ListOptions) -> Result<List, Status> {
        unimplemented_contract()
    }

    pub fn watch(&self, caller: &Caller, kind: &'static Kind, namespace: Option<&str>, options: &WatchOptions) -> Result<Watch, Status> {
        unimplemented_contract()
    }

    /// Replaces an object, or one part of it: `subresource` is "", "status", "scale", "finalize" or "ephemeralcontainers".
    /// A body without resourceVersion is accepted unconditionally.
    pub async fn update(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        unimplemented_contract()
    }

    /// Patches and retries on conflict, unless the patch itself names a resourceVersion.
    pub async fn patch(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        unimplemented_contract()
    }

    pub async fn delete(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        unimplemented_contract()
    }

    pub async fn delete_collection(
        &self,
        caller: &Caller,
        kind: &'static Kind,
        namespace: Option<&str>,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<Vec<Object>, Status> {
        unimplemented_contract()
    }

    /// POST pods/NAME/binding: sets `spec.nodeName` and the PodScheduled condition, once.
    pub async fn bind(&self, caller: &Caller, namespace: &str, pod: &str, node: &str) -> Result<(), Status> {
        unimplemented_contract()
    }

    /// May the caller do this? For access reviews and for what is not an object (logs, exec, non-resource URLs).
    pub fn authorise(&self, caller: &Caller, request: &AccessRequest) -> Result<(), Status> {
        unimplemented_contract()
    }
}

/// What somebody wants to do, as RBAC sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRequest {
    pub verb: String,
    pub group: String,
    /// Plural resource.
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// Set instead of the above for URLs that are no resource (`/metrics`).
    pub path: String,
}
