//! Logs to stderr: readable on a terminal, one line each.
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// `level` is a level or a filter such as `info,node=debug`.
pub fn start(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(true)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process (tests) keeps the first subscriber.
    let _ = builder.try_init();
}
