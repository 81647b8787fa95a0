//! The whole cluster in one process: chooses the implementations and starts every part.
pub mod backup;
pub mod clean;
mod cluster_id;
pub mod config;
pub mod descriptors;
pub mod diagnostics;
mod metrics;
mod neighbours;
mod network;
mod node_api;
mod streams;
mod supervisor;
pub mod telemetry;
pub mod verify;
pub mod wiring;
