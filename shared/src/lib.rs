//! The words all programs of the cluster speak: kinds, object views, selectors, quantities, URLs, status errors.
//!
//! Nothing here opens a socket, reads a clock or knows a web framework, unless feature `cli` is on, which adds the
//! client library. Without it this package compiles to WASM and is what the console shares with the server.
#[cfg(feature = "cli")]
pub mod client;
pub mod json;
pub mod kinds;
pub mod legacy;
pub mod meta;
pub mod objects;
pub mod quantity;
pub mod selector;
pub mod service_env;
pub mod simulated;
pub mod status;
pub mod table;
pub mod validate;
pub mod version;
pub mod watch;
pub mod why;
