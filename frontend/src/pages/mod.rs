//! One page a file.
pub mod about;
pub mod create;
pub mod details;
pub mod kinds;
pub mod list;
pub mod login;
pub mod logs;
pub mod merged_logs;
pub mod object;
pub mod overview;
pub mod projects;
pub mod search;
pub mod settings;
pub mod terminal;
pub mod topology;
pub mod yaml;
