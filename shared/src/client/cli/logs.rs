//! `osc log`: what a pod's containers printed, and go on printing.
use super::pods;
use crate::client::http::{Client, with_query};
use crate::client::{ClientError, Result};
use clap::Args;

#[derive(Args, Debug)]
pub(super) struct LogArgs {
    /// POD, or RESOURCE/NAME of what has pods
    pod: String,
    container: Option<String>,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    follow: bool,
    #[arg(short = 'c', long = "container")]
    container_flag: Option<String>,
    /// Of the container's last run before this one
    #[arg(short, long)]
    previous: bool,
    /// Only the last lines; -1 means all
    #[arg(long, allow_hyphen_values = true)]
    tail: Option<i64>,
    /// Not older than this: 10s, 5m, 2h
    #[arg(long, conflicts_with = "since_time")]
    since: Option<String>,
    /// Not older than this time: 2026-01-02T15:04:05Z
    #[arg(long)]
    since_time: Option<String>,
    /// With the time of each line
    #[arg(long)]
    timestamps: bool,
    /// At most so many bytes
    #[arg(long)]
    limit_bytes: Option<u64>,
    /// Of every container, one after the other
    #[arg(long)]
    all_containers: bool,
    /// The stream that the client of 2015 asked the user about; accepted and not needed
    #[arg(long, hide = true)]
    interactive: Option<bool>,
}

/// Seconds of `90`, `90s`, `5m`, `1h30m`; at least one.
pub(super) fn seconds(text: &str) -> Result<u64> {
    let wrong = || ClientError::usage(format!("{text:?} is no length of time; write it as 10s, 5m or 1h30m"));
    let (mut total, mut digits) = (0f64, String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() || c == '.' {
            digits.push(c);
            rest = &rest[1..];
            continue;
        }
        let (unit, factor) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)]
            .into_iter()
            .find(|(u, _)| rest.starts_with(u))
            .ok_or_else(wrong)?;
        total += digits.parse::<f64>().map_err(|_| wrong())? * factor;
        digits.clear();
        rest = &rest[unit.len()..];
    }
    if !digits.is_empty() {
        total += digits.parse::<f64>().map_err(|_| wrong())?;
    }
    if text.is_empty() || !total.is_finite() { Err(wrong()) } else { Ok(total.ceil() as u64) }
}

/// `log` prints the time of each line, as it did in 2015; `logs` only when it is asked to.
pub(super) async fn run(client: &Client, mut args: LogArgs, timed: bool) -> Result<()> {
    args.timestamps |= timed;
    let pod = pods::one(client, &args.pod).await?;
    let pairs = query(&args)?;
    if args.all_containers {
        let object = client.get(&pods::path(client, &pod)).await?;
        for container in object["spec"]["containers"].as_array().into_iter().flatten() {
            one(client, &pod, container["name"].as_str(), &pairs).await?;
        }
        return Ok(());
    }
    let container = args.container.or(args.container_flag);
    match one(client, &pod, container.as_deref(), &pairs).await {
        // The server's message names the containers; this says what to do with them.
        Err(ClientError::Status(status)) if status.message.contains("a container name must be specified") => {
            Err(ClientError::usage(format!("{}; say which with -c", status.message)))
        }
        other => other,
    }
}

fn query(args: &LogArgs) -> Result<Vec<(&'static str, String)>> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (set, name) in [(args.follow, "follow"), (args.previous, "previous"), (args.timestamps, "timestamps")] {
        if set {
            pairs.push((name, "true".into()));
        }
    }
    pairs.extend(args.tail.filter(|n| *n >= 0).map(|n| ("tailLines", n.to_string())));
    pairs.extend(args.limit_bytes.map(|n| ("limitBytes", n.to_string())));
    if let Some(since) = &args.since {
        pairs.push(("sinceSeconds", seconds(since)?.max(1).to_string()));
    }
    if let Some(time) = &args.since_time {
        if time.parse::<jiff::Timestamp>().is_err() {
            return Err(ClientError::usage(format!("{time:?} is no time; write it as 2026-01-02T15:04:05Z")));
        }
        pairs.push(("sinceTime", time.clone()));
    }
    Ok(pairs)
}

async fn one(client: &Client, pod: &str, container: Option<&str>, pairs: &[(&str, String)]) -> Result<()> {
    let mut all: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (*k, v.as_str())).collect();
    all.extend(container.map(|c| ("container", c)));
    let mut response = client.stream(&with_query(&format!("{}/log", pods::path(client, pod)), &all)).await?;
    while let Some(chunk) = response.chunk().await.map_err(|_| ClientError::Transport("the log broke off: the connection ended".into()))? {
        print_bytes(&chunk)?;
    }
    Ok(())
}

/// Bytes as they are: a log need not be text, and a character may lie across two pieces.
fn print_bytes(bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(_) => Err(ClientError::Exit(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn lengths_of_time() {
        assert_eq!(["90", "90s", "5m", "1h30m", "1500ms"].map(|t| seconds(t).expect(t)), [90, 90, 300, 5400, 2]);
        assert!(["", "x", "5x", "s"].iter().all(|t| seconds(t).is_err()));
    }
}
