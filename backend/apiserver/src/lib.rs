//! HTTPS in, registry calls out: routes, layers, login, discovery, exec and logs, console assets. No decisions.
pub mod streams;
