//! From exec to ready, after kill -9 with ten thousand objects, and what the program costs when nothing happens.
use crate::client::request;
use crate::server::Server;
use crate::{percentile, row};
use std::time::Duration;

const STARTS: usize = 5;
const OBJECTS: usize = 10_000;
const IDLE: Duration = Duration::from_secs(10);

pub async fn rows() -> Result<(), String> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        times.push(Server::start(dir.path(), true)?.ready);
    }
    let ready = percentile(&mut times, 0.5);
    row(
        "exec → ready, empty data directory (simulated engine)",
        &format!("{ready:.0?}"),
        "Kubernetes 1.20 here: 4.7 s",
        Some(ready.as_secs_f64() / 4.7),
    );
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut server = Server::start(dir.path(), true)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = server.usage().1;
    tokio::time::sleep(IDLE).await;
    let (memory, ticks) = server.usage();
    // A tick is 10 ms.
    let percent = (ticks - before) as f64 / IDLE.as_secs_f64();
    let mib = memory as f64 / (1024.0 * 1024.0);
    row("idle memory", &format!("{mib:.0} MiB"), "Kubernetes 1.20 here: 690 MiB", Some(mib / 690.0));
    row("idle CPU", &format!("{percent:.2} % of a core"), "Kubernetes 1.20 here: 6.8 %", Some(percent / 6.8));
    fill(&server).await?;
    let full = server.usage().0 as f64 / (1024.0 * 1024.0);
    row("memory with 10,000 config maps of 1 KiB", &format!("{full:.0} MiB"), "their bytes: 10 MiB", Some((full - mib) / 10.0));
    server.kill();
    let again = Server::start(dir.path(), true)?;
    row("kill -9 with 10,000 objects → ready", &format!("{:.0?}", again.ready), "aim 500 ms", Some(again.ready.as_secs_f64() / 0.5));
    Ok(())
}

async fn fill(server: &Server) -> Result<(), String> {
    let endpoint = server.endpoint();
    let clients = 32;
    let fills = (0..clients).map(|client| {
        let endpoint = endpoint.clone();
        async move {
            let mut connection = endpoint.connect().await?;
            for number in 0..OBJECTS / clients + 1 {
                let body = format!(r#"{{"metadata":{{"name":"c-{client}-{number}"}},"data":{{"k":"{}"}}}}"#, "x".repeat(1024));
                let status = connection.send(&request("POST", "/api/v1/namespaces/default/configmaps", "application/json", &body)).await?;
                if status != 201 {
                    return Err(format!("create answered {status}"));
                }
            }
            Ok(())
        }
    });
    futures::future::try_join_all(fills).await.map(|_| ())
}
