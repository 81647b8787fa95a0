//! Pieces that pages are laid out with, one component a file.
pub mod confirm;
pub mod copy;
pub mod dialog;
pub mod notice;
pub mod shell;
pub mod status;
pub mod table;
pub mod why;
