//! Pieces that pages are laid out with, one component a file.
pub mod confirm;
pub mod copy;
pub mod dialog;
pub mod log_view;
pub mod metrics;
pub mod notice;
pub mod palette;
pub mod shell;
pub mod status;
pub mod table;
pub mod told;
pub mod why;
