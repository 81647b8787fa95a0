//! The client by itself: `osc` is also what the binary `openshift` is when called by that name.
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    shared::client::cli::run(&arguments)
}
