//! Backups: the whole cluster at one revision in one file, taken from a running server or from its data directory.
//!
//! A backup holds every object and what makes the cluster the one that its clients know: the certificate authority, the
//! key that signs service accounts' tokens, the administrator's certificate, logins, and the cluster's id, by which it
//! finds its containers. Whoever has the file is administrator: it is written for its owner alone. Left out is what is
//! made anew: the serving certificate, kubeconfigs, files of running pods, history.
pub mod archive;
mod restore;
mod take;

pub use restore::restore;
pub use take::{source, take};

/// What a backup holds of the data directory beside the store; only these names are accepted from an archive.
const IDENTITY: [&str; 7] = ["ca.crt", "ca.key", "serviceaccount.key", "cluster-id", "admin.crt", "admin.key", "sessions.json"];
/// Without these a data directory is no cluster's.
const NEEDED: [&str; 3] = ["ca.crt", "ca.key", "serviceaccount.key"];
/// The store, within the data directory.
pub(crate) const STORE: &str = "store";
