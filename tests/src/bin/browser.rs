//! The console in a real browser: what a person does from the first login on, with a cluster of its own.
//!
//! Usage: `browser BINARY [--pictures=FOLDER] [--axe=FILE] [--docker=IMAGE] [--bench]`. Needs chromium and chromedriver.
//! Pods are simulated, but with `--docker`, which does what needs real containers, with an image that has a shell.
#[path = "browser/bench.rs"]
mod bench;
#[path = "browser/containers.rs"]
mod containers;
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

const USAGE: &str = "usage: browser BINARY [--pictures=FOLDER] [--axe=FILE] [--docker=IMAGE] [--bench]";

#[tokio::main]
async fn main() -> ExitCode {
    // An error only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().find_map(|a| a.strip_prefix(&format!("--{name}="))).map(str::to_string);
    let Some(binary) = arguments.iter().find(|a| !a.starts_with("--")).map(PathBuf::from) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let outcome = match option("docker") {
        Some(image) => containers::all(&binary, &image).await,
        None if arguments.iter().any(|a| a == "--bench") => bench::rows(&binary).await,
        None => steps::all(&binary, option("pictures").map(PathBuf::from), option("axe").map(PathBuf::from)).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("browser: {error}");
            ExitCode::FAILURE
        }
    }
}
