//! The one seam to the forms of 2015: files of any version in, any version out; kinds without an old form pass as they are.
use super::{ClientError, Result};
use crate::legacy::{self, Version};
use serde_json::Value;

/// Any accepted version to today's.
pub fn to_v1(object: Value) -> Result<Value> {
    legacy::to_v1(object).map_err(|e| ClientError::usage(e.to_string()))
}

/// Today's form to `version` (`v1beta1`, `v1beta2`, `v1beta3` or `v1`).
pub fn from_v1(object: &Value, version: &str) -> Result<Value> {
    match version {
        "" | "v1" => Ok(object.clone()),
        other => match Version::parse(other) {
            Some(version) => Ok(legacy::from_v1(object, version)),
            None => Err(ClientError::usage(format!("output version {other:?} is not known; use v1, v1beta1, v1beta2 or v1beta3"))),
        },
    }
}
