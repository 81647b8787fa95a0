//! From the acknowledged write to the event at the last of many watchers.
use crate::client::request;
use crate::server::Server;
use crate::{percentile, row};
use std::time::{Duration, Instant};

const WRITES: usize = 200;
const PATH: &str = "/api/v1/namespaces/kube-public/configmaps";

pub async fn rows() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let server = Server::start(dir.path(), true)?;
    for watchers in [1, 50, 1000] {
        let mut times = deliver(&server, watchers, if watchers > 100 { WRITES / 4 } else { WRITES }).await?;
        let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        let reference = if watchers == 50 {
            "Kubernetes 1.20: 3–6 ms"
        } else if watchers == 1000 {
            "aim p99 25 ms"
        } else {
            ""
        };
        row(
            &format!("write acknowledged → event at the last of {watchers} watchers"),
            &format!("p50 {p50:.2?}, p99 {p99:.2?}"),
            reference,
            None,
        );
    }
    Ok(())
}

async fn deliver(server: &Server, watchers: usize, writes: usize) -> Result<Vec<Duration>, String> {
    let endpoint = server.endpoint();
    let mut streams = Vec::new();
    // From now on only: a watch without a revision would bring what is there first.
    let mut lister = endpoint.connect().await?;
    lister.send(&request("GET", &format!("{PATH}?limit=1"), "", "")).await?;
    let list: serde_json::Value = serde_json::from_slice(lister.rest()).map_err(|e| e.to_string())?;
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    for _ in 0..watchers {
        let mut connection = endpoint.connect().await?;
        connection.open(&request("GET", &format!("{PATH}?watch=true&resourceVersion={revision}"), "", "")).await?;
        streams.push(connection);
    }
    let mut writer = endpoint.connect().await?;
    let mut times = Vec::new();
    for number in 0..writes {
        let name = format!("w{watchers}-{number}-end");
        let body = format!(r#"{{"metadata":{{"name":"{name}"}},"data":{{"k":"{}"}}}}"#, "x".repeat(400));
        let status = writer.send(&request("POST", PATH, "application/json", &body)).await?;
        if status != 201 {
            return Err(format!("create answered {status}"));
        }
        let acknowledged = Instant::now();
        let text = format!("\"{name}\"").into_bytes();
        let arrivals = streams.iter_mut().map(|s| s.wait_for(&text));
        tokio::time::timeout(Duration::from_secs(10), futures::future::try_join_all(arrivals))
            .await
            .map_err(|_| format!("the event of {name} did not reach every watcher"))??;
        times.push(acknowledged.elapsed());
    }
    Ok(times)
}
