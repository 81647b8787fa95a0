//! How long a person waits for `osc get pods`, beside a bare process and kubectl in the same run.
use crate::server::{Server, binary};
use crate::{percentile, row};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 30;
const RUNS_OF_KUBECTL: usize = 8;

/// The middle time of some runs, start to end; `None` if the program is not there or fails.
fn time(command: &mut Command, runs: usize) -> Option<Duration> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        times.push(began.elapsed());
        if !ended.success() {
            return None;
        }
    }
    Some(percentile(&mut times, 0.5))
}

pub async fn rows() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let server = Server::start(dir.path(), true)?;
    let config = format!("--kubeconfig={}", server.dir.join("admin.kubeconfig").display());
    let of = |program: std::path::PathBuf| {
        let mut command = Command::new(program);
        command.args([config.as_str(), "get", "pods"]);
        command
    };
    let ours = time(&mut of(binary("osc")), RUNS).ok_or("osc get pods failed; run `make build` first")?;
    let ratio = |other: Duration| Some(ours.as_secs_f64() / other.as_secs_f64());
    if let Some(floor) = time(&mut Command::new("true"), RUNS) {
        row(
            "osc get pods, start to end (aim 8 ms)",
            &format!("{ours:.1?}"),
            &format!("fork and exec of `true`: {floor:.1?}"),
            ratio(floor),
        );
    }
    match time(&mut of("kubectl".into()), RUNS_OF_KUBECTL) {
        Some(kubectl) => row("osc get pods (aim 1/5)", &format!("{ours:.1?}"), &format!("kubectl: {kubectl:.1?}"), ratio(kubectl)),
        None => println!("left out: kubectl is not installed"),
    }
    Ok(())
}
