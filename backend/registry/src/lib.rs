//! The only door to the store: authorise, admit, default, validate, commit; list and watch from memory.
mod binding;
mod body;
pub mod caller;
mod certificates;
pub mod object;
pub mod options;
pub mod verify;

mod admission;
pub mod clock;
mod delete;
mod encode;
mod error;
mod fanout;
mod list;
mod metrics;
pub mod node_access;
mod ownership;
mod patching;
mod policy;
mod registry_impl;
mod service_address;
mod strategy;
mod views;
mod write_path;

pub use fanout::Watch;
pub use list::parse_revision;
pub use registry_impl::{AccessRequest, Config, Deleted, List, Registry, WatchItem, Written};
