//! From API objects to what the screen shows: plain functions, tested without a browser.
pub mod create;
pub mod diff;
pub mod keys;
pub mod lines;
pub mod overview;
pub mod pod;
pub mod project;
pub mod route;
pub mod rows;
pub mod tone;
pub mod yaml;
