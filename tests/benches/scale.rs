//! A thousand simulated nodes in one process: how soon ten thousand pods run, and what each costs in memory.
//!
//! The write path, the durable store, scheduler, controllers, watches and node agents are the real ones; only the engine
//! is simulated. `SCALE_NODES` and `SCALE_PODS` change the size.
use e2e::Cluster;
use serde_json::json;
use shared::kinds::{NODE, POD};
use std::time::{Duration, Instant};

const CONTROLLERS: usize = 50;
const DEADLINE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}

/// Objects of a kind for which it is so.
fn count(cluster: &Cluster, kind: &'static shared::kinds::Kind, is: impl Fn(&serde_json::Value) -> bool) -> usize {
    cluster.running().registry.all(kind, None).1.iter().filter(|o| is(&o.value())).count()
}

async fn until(what: &str, mut is: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < DEADLINE, "{what} did not come true");
        tokio::time::sleep(PAUSE).await;
    }
    began.elapsed()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(run(number("SCALE_NODES", 1000), number("SCALE_PODS", 10_000)));
}

async fn run(nodes: usize, pods: usize) {
    let cluster = Cluster::start().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let began = Instant::now();
    let mut agents = Vec::new();
    for number in 0..nodes {
        agents.push(cluster.running().add_simulated_node(&format!("node-{number}"), &dir.path().join(number.to_string())).await);
    }
    let ready = |node: &serde_json::Value| {
        node["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    until("every node being ready", || count(&cluster, &NODE, ready) > nodes).await;
    println!("| what | ours | reference |\n|---|---|---|");
    println!("| {nodes} simulated nodes ready | {:.1?} | |", began.elapsed());
    let before = resident();
    let admin = cluster.admin();
    let began = Instant::now();
    for number in 0..CONTROLLERS {
        let app = format!("app-{number}");
        let body = json!({"metadata": {"name": app}, "spec": {"replicas": pods / CONTROLLERS, "selector": {"app": app}, "template": {"metadata": {"labels": {"app": app}},
            "spec": {"containers": [{"name": "c", "image": "openshift/hello-openshift", "imagePullPolicy": "IfNotPresent"}]}}}});
        admin.create("/api/v1/namespaces/default/replicationcontrollers", &body).await;
    }
    let bound = tokio::spawn({
        let registry = cluster.running().registry.clone();
        async move {
            loop {
                let all = registry.all(&POD, None).1;
                if all.len() >= pods && all.iter().all(|p| p.value()["spec"]["nodeName"].is_string()) {
                    return began.elapsed();
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    let status = || count(&cluster, &POD, |p| p["status"]["phase"] == "Running");
    let mut last = (0, Instant::now());
    let running = loop {
        let now = status();
        if now >= pods {
            break began.elapsed();
        }
        if std::env::var_os("SCALE_TRACE").is_some() {
            let all = count(&cluster, &POD, |_| true);
            eprintln!(
                "{:.1?}: {all} created, {} bound, {now} running, revision {}",
                began.elapsed(),
                count(&cluster, &POD, |p| p["spec"]["nodeName"].is_string()),
                cluster.running().registry.revision()
            );
        }
        if now > last.0 {
            last = (now, Instant::now());
        }
        assert!(last.1.elapsed() < Duration::from_secs(60), "{now} of {pods} pods run, and no more for a minute");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let bound = bound.await.expect("counting does not panic");
    println!(
        "| {pods} pods created and bound, durable | {bound:.1?}, {:.0}/s | Kubernetes 1.20 here, 10 nodes: 291/s |",
        pods as f64 / bound.as_secs_f64()
    );
    println!("| {pods} pods running on {nodes} nodes | {running:.1?}, {:.0}/s | |", pods as f64 / running.as_secs_f64());
    println!("| memory for each pod, server and agents together | {:.1} KiB | |", (resident() - before) / pods as f64 / 1024.0);
    drop(agents);
    cluster.stop().await;
}
