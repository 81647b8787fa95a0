//! What several parts of the page share.
pub mod discovery;
pub mod finder;
pub mod live;
pub mod nav;
pub mod session;
pub mod told;
pub mod typing;
