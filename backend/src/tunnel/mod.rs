//! How the server reaches pods on other machines: by a connection that their node opened to it.
//!
//! The node asks for `/node-tunnel` as itself, and upgrades. From then on the connection is HTTP/2 with the parts changed:
//! the server asks (logs, exec, attach, port-forward, statistics), the node answers, each in a stream with a window of its
//! own. So a node needs no open port and no serving certificate, and may stand behind NAT; Kubernetes' port 10250 needs
//! all three. HTTP/2 gives bounded buffers, flow control and pings for nothing.
//!
//! ```text
//! kubectl ─ apiserver ─ PodStreams ─ server.rs ═ HTTP/2 over one TLS connection ═ node.rs ─ agent ─ engine
//! ```
pub mod node;
pub mod server;
mod wire;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// Both ends ask so often whether the other one lives, and wait so long for the answer: together well below a node's grace of 40 s.
const ALIVE_EVERY: Duration = Duration::from_secs(8);
const ALIVE_DEADLINE: Duration = Duration::from_secs(5);
/// Streams at once; what more is asked for waits.
const STREAMS_MAX: u32 = 512;
/// Bytes that wait in one stream, in each direction.
const STREAM_WINDOW: u32 = 64 << 10;
/// All streams may be full at once, and one more still flows.
const CONNECTION_WINDOW: u32 = STREAMS_MAX * STREAM_WINDOW * 2;
/// Messages between two tasks of one stream.
const QUEUE: usize = 8;

fn client() -> hyper::client::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_DEADLINE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize);
    builder
}

fn serving() -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_DEADLINE)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize);
    builder
}
