//! The only door to the store: authorise, admit, default, validate, commit; list and watch from memory.
//!
//! Contract first: the signatures in this file are what `apiserver`, `control` and the node's in-process API call.
pub mod caller;
pub mod object;
pub mod options;

pub use registry_impl::{AccessRequest, Deleted, List, Registry, Watch, WatchItem, Written};
mod registry_impl;
