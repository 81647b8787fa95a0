//! `/node-tunnel`: the connection by which a node, wherever it is, waits for what the server asks of it.
use super::Call;
use crate::respond::{self, Response};
use crate::streams::Connection;
use axum::body::Body;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use logic::authz::node::node_of;
use shared::status::Status;

/// What the connection speaks after the handshake: HTTP/2 in which the server asks and the node answers.
pub const PROTOCOL: &str = "openshift-node/1";

/// Hands the connection over once it is upgraded; it lasts until either side ends it or the server stops.
pub fn serve(mut call: Call) -> Result<Response, Status> {
    if *call.method() != Method::GET {
        return Err(respond::method_not_allowed());
    }
    call.may_read_path()?;
    let Some(node) = node_of(&call.caller.0.name, &call.caller.0.groups).map(str::to_string) else {
        return Err(Status::bad_request("this is for nodes only"));
    };
    if call.header(&UPGRADE) != Some(PROTOCOL) {
        return Err(Status::bad_request(format!("you must upgrade this connection to {PROTOCOL}")));
    }
    let upgraded = call.parts.extensions.remove::<OnUpgrade>().ok_or_else(|| Status::bad_request("this connection cannot be upgraded"))?;
    let room = (call.app.limits.upgrade(&call.caller.0, &call.peer)?, crate::metrics::STREAMS.hold());
    let app = call.app.clone();
    tokio::spawn(async move {
        let _room = room;
        let Ok(io) = upgraded.await else { return };
        let connection: Box<dyn Connection> = Box::new(TokioIo::new(io));
        tokio::select! {
            () = app.tunnels.serve(&node, connection) => {}
            () = app.stop.cancelled() => {}
        }
    });
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    Ok(response)
}
