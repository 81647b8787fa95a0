//! Create, get, update and list over TLS at 1, 16 and 64 clients, beside the disk's own sync.
use crate::client::request;
use crate::server::Server;
use crate::{percentile, row};
use e2e::lean::Endpoint;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const LOAD: Duration = Duration::from_secs(3);
const LISTED: usize = 2000;
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub async fn rows() -> Result<(), String> {
    let dir = tempfile::tempdir_in(".").map_err(|e| e.to_string())?;
    let floor = fdatasync(&dir.path().join("floor"))?;
    let server = Server::start(&dir.path().join("data"), true)?;
    let endpoint = server.endpoint();
    for clients in [1, 16, 64] {
        let (rate, p50, p99) = load(&endpoint, clients, |client, number| {
            let body = config_map(&format!("c{clients}-{client}-{number}"), number);
            request("POST", CONFIG_MAPS, "application/json", &body)
        })
        .await?;
        if clients == 1 {
            row(
                "create, 1 client, p50",
                &format!("{p50:.0?}"),
                &format!("fdatasync {floor:.0?}"),
                Some(p50.as_secs_f64() / floor.as_secs_f64()),
            );
            continue;
        }
        let alone = 1.0 / floor.as_secs_f64();
        row(
            &format!("create, {clients} clients"),
            &figure(rate, p50, p99),
            &format!("fdatasync one by one {alone:.0}/s; Kubernetes 1.20, 16 clients: 1,158/s"),
            Some(rate / alone),
        );
    }
    for clients in [1, 16, 64] {
        let (rate, p50, p99) = load(&endpoint, clients, |client, number| {
            // Each client its own object: what is measured is the write path, not a quarrel.
            let body = config_map(&format!("c{clients}-{client}-0"), number + 1);
            request("PUT", &format!("{CONFIG_MAPS}/c{clients}-{client}-0"), "application/json", &body)
        })
        .await?;
        row(
            &format!("update, {clients} clients"),
            &figure(rate, p50, p99),
            &format!("fdatasync {floor:.0?}"),
            Some(p50.as_secs_f64() / floor.as_secs_f64()),
        );
    }
    let get = request("GET", &format!("{CONFIG_MAPS}/c1-0-0"), "", "");
    let health = request("GET", "/healthz", "", "");
    for clients in [1, 16, 64] {
        let (bare, ..) = load(&endpoint, clients, |_, _| health.clone()).await?;
        let (rate, p50, p99) = load(&endpoint, clients, |_, _| get.clone()).await?;
        row(
            &format!("get, {clients} clients"),
            &figure(rate, p50, p99),
            &format!("/healthz {bare:.0}/s; Kubernetes 1.20, 16 clients: 3,168/s"),
            Some(rate / bare),
        );
    }
    lists(&endpoint).await
}

async fn lists(endpoint: &Endpoint) -> Result<(), String> {
    let mut connection = endpoint.connect().await?;
    for number in 0..LISTED {
        let body = config_map(&format!("l{number}"), number);
        connection.send(&request("POST", "/api/v1/namespaces/kube-public/configmaps", "application/json", &body)).await?;
    }
    let list = request("GET", "/api/v1/namespaces/kube-public/configmaps", "", "");
    let (rate, p50, p99) = load(endpoint, 4, |_, _| list.clone()).await?;
    row("list of 2,000 objects, 4 clients", &figure(rate, p50, p99), "Kubernetes 1.20 here: 17/s", Some(rate / 17.0));
    Ok(())
}

fn figure(rate: f64, p50: Duration, p99: Duration) -> String {
    format!("{rate:.0}/s, p50 {p50:.0?}, p99 {p99:.0?}")
}

fn config_map(name: &str, number: usize) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"number":"{number}","text":"{}"}}}}"#,
        "x".repeat(400)
    )
}

/// Requests as fast as answers come, for a while: rate, median, 99th percentile.
async fn load(endpoint: &Endpoint, clients: usize, make: impl Fn(usize, usize) -> Vec<u8>) -> Result<(f64, Duration, Duration), String> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(endpoint.connect().await?);
    }
    let (began, make) = (Instant::now(), &make);
    let all = connections.into_iter().enumerate().map(|(client, mut connection)| async move {
        let mut times = Vec::new();
        while began.elapsed() < LOAD {
            let bytes = make(client, times.len());
            let start = Instant::now();
            let status = connection.send(&bytes).await?;
            times.push(start.elapsed());
            if status >= 300 {
                return Err(format!("answered {status}: {}", String::from_utf8_lossy(connection.rest())));
            }
        }
        Ok(times)
    });
    let times = futures::future::try_join_all(all).await?;
    let elapsed = began.elapsed().as_secs_f64();
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    let rate = times.len() as f64 / elapsed;
    Ok((rate, percentile(&mut times, 0.5), percentile(&mut times, 0.99)))
}

/// The floor under every durable write: one block written and synced.
fn fdatasync(path: &Path) -> Result<Duration, String> {
    let fail = |e: std::io::Error| e.to_string();
    let file = File::create(path).map_err(fail)?;
    file.write_all_at(&vec![0u8; 4 << 20], 0).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    let mut times = Vec::new();
    for number in 0..1000u64 {
        let start = Instant::now();
        file.write_all_at(&[1u8; 1024], (number % 1024) * 4096).map_err(fail)?;
        file.sync_data().map_err(fail)?;
        times.push(start.elapsed());
    }
    Ok(percentile(&mut times, 0.5))
}
