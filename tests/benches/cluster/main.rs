//! How quick the whole program is: each figure beside its floor or peer, measured in the same run.
//!
//! `cargo bench -p e2e --bench cluster [-- ROW…]`; rows: start, command, api, watch, docker. Beside this program the built
//! `openshift` is expected; Docker rows are left out, and said to be, where no engine answers.
mod api;
mod client;
mod command;
mod docker;
mod server;
mod start;
mod watch;

/// One line of the table.
pub fn row(what: &str, ours: &str, reference: &str, ratio: Option<f64>) {
    println!("| {what} | {ours} | {reference} | {} |", ratio.map(|r| format!("{r:.2}")).unwrap_or_default());
}

pub fn percentile(times: &mut [std::time::Duration], part: f64) -> std::time::Duration {
    times.sort_unstable();
    let index = (times.len() as f64 * part) as usize;
    times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("| what | ours | floor or peer | ours / reference |\n|---|---|---|---|");
    let outcome: Result<(), String> = runtime.block_on(async {
        if asked("start") {
            start::rows().await?;
        }
        if asked("command") {
            command::rows().await?;
        }
        if asked("api") {
            api::rows().await?;
        }
        if asked("watch") {
            watch::rows().await?;
        }
        if asked("docker") {
            docker::rows().await?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
