//! The patch formats: JSON patch, JSON merge patch, strategic merge patch, apply.
use crate::options::{Patch, WriteOptions};
use crate::ownership;
use serde_json::Value;
use shared::kinds::Kind;
use shared::status::{Reason, Status};

/// Longest JSON patch (CVE-2019-1002100: many operations on a growing object).
const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;
/// An object may not grow beyond this by patching.
const RESULT_BYTES_MAX: usize = 3 << 20;

/// The object as the patch leaves it.
pub(crate) fn apply(kind: &Kind, current: &Value, patch: &Patch, subresource: &str, options: &WriteOptions) -> Result<Value, Status> {
    let mut value = current.clone();
    match patch {
        Patch::Json(operations) => {
            if operations.as_array().is_some_and(|o| o.len() > JSON_PATCH_OPERATIONS_MAX) {
                let text = format!("The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}");
                return Err(Status::failure(413, Reason::RequestEntityTooLarge, text));
            }
            let patch: json_patch::Patch = serde_json::from_value(operations.clone())
                .map_err(|e| Status::bad_request(format!("the body is not a JSON patch: {e}")))?;
            for operation in patch.0 {
                let one = json_patch::Patch(vec![operation]);
                json_patch::patch(&mut value, &one).map_err(|e| unprocessable(&e.to_string()))?;
            }
        }
        Patch::Merge(patch) => json_patch::merge(&mut value, patch),
        Patch::Strategic(patch) => schema::patch::strategic(kind, &mut value, patch).map_err(Status::bad_request)?,
        Patch::Apply(patch) => value = ownership::apply(kind, Some(current), patch, subresource, options)?,
    }
    if !value.is_object() {
        return Err(unprocessable("the patch leaves no object"));
    }
    let size = serde_json::to_vec(&value).map_or(0, |v| v.len());
    if size > RESULT_BYTES_MAX {
        return Err(Status::failure(
            413,
            Reason::RequestEntityTooLarge,
            format!("the patched object has {size} bytes, at most {RESULT_BYTES_MAX} are allowed"),
        ));
    }
    Ok(value)
}

fn unprocessable(why: &str) -> Status {
    Status::failure(422, Reason::Invalid, format!("the server rejected our request due to an error in our request: {why}"))
}
