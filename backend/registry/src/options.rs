//! What a caller may ask of a read, a write, a deletion or a watch.
use serde::Deserialize;
use shared::selector::{FieldSelector, LabelSelector};
use store::Revision;

/// What to do with members that the schema does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    /// Accept and report as a warning (Kubernetes' default for API calls).
    #[default]
    Warn,
    Strict,
}

#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Run everything, store nothing.
    pub dry_run: bool,
    pub field_manager: Option<String>,
    pub field_validation: FieldValidation,
    /// For apply patches: take fields over from other managers.
    pub force: bool,
}

/// The body of a patch and how it is to be read.
#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 6902.
    Json(serde_json::Value),
    /// RFC 7386.
    Merge(serde_json::Value),
    Strategic(serde_json::Value),
    /// Server-side apply.
    Apply(serde_json::Value),
}

/// `DeleteOptions` of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Option<Preconditions>,
    pub propagation_policy: Option<String>,
    pub orphan_dependents: Option<bool>,
    #[serde(skip)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// Which version of a collection a list wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListAt {
    /// Whatever is newest.
    #[default]
    Latest,
    NotOlderThan(Revision),
    Exact(Revision),
}

#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    pub limit: usize,
    pub continue_token: Option<String>,
    pub at: ListAt,
}

#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// Events after this revision; `None`: current objects first as ADDED, then events.
    pub from: Option<Revision>,
    /// WatchList: current objects first, then a bookmark annotated `k8s.io/initial-events-end`.
    pub send_initial_events: bool,
    pub bookmarks: bool,
}
