//! What runs on every machine: pod sync, Docker, volumes, probes, service proxy.
pub mod api;
pub mod proxy;
pub mod runtime;
