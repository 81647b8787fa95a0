//! What happens to an object between the request and its validation: defaults, limits, quota.
pub mod defaults;
pub mod limits;
pub mod quota;
