//! What runs on every machine: pod sync, Docker, volumes, probes, service proxy.
pub mod agent;
pub mod api;
mod clock;
mod environment;
mod etc;
mod events;
mod feed;
mod heartbeat;
mod host;
pub mod metrics;
mod names;
pub mod network;
mod probes;
pub mod proxy;
pub mod runtime;
mod spec;
mod volumes;
mod worker;
