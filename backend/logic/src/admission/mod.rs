//! What happens to an object between the request and its validation: defaults, service account, limits, quota.
pub mod defaults;
pub mod limits;
pub mod quota;
pub mod service_account;
