//! Streams into pods: which protocol a client speaks, and the handshakes.
use crate::handlers::Call;
use crate::query::Query;
use crate::respond::{self, Response};
use crate::streams::Target;
use shared::status::Status;

/// exec and attach.
pub async fn remote_command(_call: Call, _query: &Query, _target: Target, _attach: bool) -> Result<Response, Status> {
    Err(respond::unknown_path())
}

/// port-forward.
pub async fn port_forward(_call: Call, _query: &Query, _target: Target) -> Result<Response, Status> {
    Err(respond::unknown_path())
}
