//! One page a file.
pub mod about;
pub mod create;
pub mod list;
pub mod login;
pub mod logs;
pub mod object;
pub mod overview;
pub mod projects;
pub mod terminal;
pub mod yaml;
