//! What several parts of the page share.
pub mod live;
pub mod nav;
pub mod session;
