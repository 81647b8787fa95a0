//! The console in a real browser: what a person does from the first login on, with a cluster of its own.
//!
//! Usage: `browser BINARY [FOLDER-FOR-SCREENSHOTS]`. Needs chromium and chromedriver; pods are simulated.
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/pages.rs"]
mod pages;
#[path = "browser/server.rs"]
mod server;
#[path = "browser/steps.rs"]
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // An error only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(binary) = arguments.next() else {
        eprintln!("usage: browser BINARY [FOLDER-FOR-SCREENSHOTS]");
        return ExitCode::FAILURE;
    };
    match steps::all(&binary, arguments.next()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("browser: {error}");
            ExitCode::FAILURE
        }
    }
}
