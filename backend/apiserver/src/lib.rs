//! HTTPS in, registry calls out: routes, layers, login, discovery, exec and logs, console assets. No decisions.
pub mod app;
pub mod authn;
pub mod body;
pub mod ca;
pub mod console;
pub mod error;
pub mod handlers;
mod held;
pub mod kubeconfig;
mod layers;
pub mod limits;
pub mod metrics;
pub mod negotiate;
pub mod protobuf;
pub mod query;
pub mod respond;
pub mod router;
pub mod server;
pub mod signing;
pub mod stream;
pub mod streams;
mod tls;
pub mod usage;

pub use app::{App, Backup, Check, MoreMetrics, Peer, Port};
pub use error::Error;
pub use server::{Handle, Parts, Server, ServerConfig};
