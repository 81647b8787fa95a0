//! A thousand nodes: how soon ten thousand pods are bound, then how soon they run, and what each costs in memory.
//!
//! The write path, the durable store, scheduler, controllers, watches and node agents are the real ones; only the engine
//! is simulated. `SCALE_NODES` and `SCALE_PODS` change the size; `cargo bench --bench scale -- bound` does one part of
//! `bound`, `large` and `running`.
mod large;

use e2e::Cluster;
use serde_json::json;
use shared::kinds::{NODE, POD};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CONTROLLERS: usize = 50;
const DEADLINE: Duration = Duration::from_secs(300);
/// Between two looks at all objects; such a look takes some milliseconds when there are many.
const PAUSE: Duration = Duration::from_millis(50);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}

/// Objects of a kind, and those of them whose selectable field `path` has a value that is `wanted`. Reads what the
/// registry has decoded of each version anyway, so that counting costs the cluster little.
fn count(cluster: &Cluster, kind: &'static shared::kinds::Kind, path: &str, wanted: impl Fn(&str) -> bool) -> (usize, usize) {
    let all = cluster.running().registry.all(kind, None).1;
    (all.len(), all.iter().filter(|o| wanted(o.index().field(kind, path))).count())
}

fn pods_bound(cluster: &Cluster) -> (usize, usize) {
    count(cluster, &POD, "spec.nodeName", |node| !node.is_empty())
}

fn pods_running(cluster: &Cluster) -> usize {
    count(cluster, &POD, "status.phase", |phase| phase == "Running").1
}

fn nodes_ready(cluster: &Cluster) -> usize {
    let ready = |node: &serde_json::Value| {
        node["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    cluster.running().registry.all(&NODE, None).1.iter().filter(|o| ready(&o.value())).count()
}

async fn until(what: &str, mut is: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let looked = Instant::now();
        if is() {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{what} did not come true");
        tokio::time::sleep(PAUSE.max(looked.elapsed() * 10)).await;
    }
    began.elapsed()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let (nodes, pods) = (number("SCALE_NODES", 1000), number("SCALE_PODS", 10_000));
    println!("| what | ours | reference |\n|---|---|---|");
    if asked("bound") {
        runtime.block_on(bound(nodes, pods));
    }
    if asked("large") {
        runtime.block_on(large::rows());
    }
    if asked("running") {
        runtime.block_on(running(nodes, pods));
    }
}

/// As Kubernetes' scheduler_perf measures: nodes are only objects, so that the figure is that of the control plane.
async fn bound(nodes: usize, pods: usize) {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    for number in 0..nodes {
        let body = json!({"metadata": {"name": format!("node-{number}")}, "status": {
            "capacity": {"cpu": "4", "memory": "32Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}});
        admin.create("/api/v1/nodes", &body).await;
    }
    let (commits, before, began) = (cluster.running().registry.revision(), resident(), Instant::now());
    make_controllers(&cluster, pods).await;
    until("every pod being bound", || pods_bound(&cluster).1 >= pods).await;
    let took = began.elapsed();
    println!(
        "| {pods} pods created and bound on {nodes} nodes, durable | {took:.1?}, {:.0}/s ({:.1} commits each) | Kubernetes 1.20 here, 10 nodes: 291/s |",
        pods as f64 / took.as_secs_f64(),
        (cluster.running().registry.revision() - commits) as f64 / pods as f64
    );
    println!("| memory for each bound pod, server alone | {:.1} KiB | |", (resident() - before) / pods as f64 / 1024.0);
    cluster.stop().await;
}

async fn make_controllers(cluster: &Cluster, pods: usize) {
    let admin = cluster.admin();
    for number in 0..CONTROLLERS {
        let app = format!("app-{number}");
        let body = json!({"metadata": {"name": app}, "spec": {"replicas": pods / CONTROLLERS, "selector": {"app": app}, "template": {"metadata": {"labels": {"app": app}},
            "spec": {"containers": [{"name": "c", "image": "openshift/hello-openshift", "imagePullPolicy": "IfNotPresent"}]}}}});
        admin.create("/api/v1/namespaces/default/replicationcontrollers", &body).await;
    }
}

async fn running(nodes: usize, pods: usize) {
    let cluster = Cluster::start().await;
    // A node's volumes are in memory, as Kubernetes' are where they matter; here all thousand lie on one disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory");
    let began = Instant::now();
    let mut agents = Vec::new();
    for number in 0..nodes {
        agents.push(cluster.running().add_simulated_node(&format!("node-{number}"), &dir.path().join(number.to_string())).await);
    }
    until("every node being ready", || nodes_ready(&cluster) > nodes).await;
    println!("| {nodes} simulated nodes ready | {:.1?} | |", began.elapsed());
    let before = resident();
    let began = Instant::now();
    make_controllers(&cluster, pods).await;
    let (mut bound, mut last) = (None, (0, Instant::now()));
    let running = loop {
        let (all, placed) = pods_bound(&cluster);
        let now = pods_running(&cluster);
        if placed >= pods {
            bound = bound.or(Some(began.elapsed()));
        }
        if now >= pods {
            break began.elapsed();
        }
        if std::env::var_os("SCALE_TRACE").is_some() {
            eprintln!(
                "{:.1?}: {all} made, {placed} bound, {now} running, revision {}",
                began.elapsed(),
                cluster.running().registry.revision()
            );
        }
        if now > last.0 {
            last = (now, Instant::now());
        }
        assert!(last.1.elapsed() < Duration::from_secs(60), "{now} of {pods} pods run, and no more for a minute");
        tokio::time::sleep(PAUSE).await;
    };
    let bound = bound.expect("what runs is bound");
    println!("| {pods} pods bound while the nodes start them | {bound:.1?}, {:.0}/s | |", pods as f64 / bound.as_secs_f64());
    println!("| {pods} pods running on {nodes} nodes | {running:.1?}, {:.0}/s | |", pods as f64 / running.as_secs_f64());
    println!("| memory for each pod, server and agents together | {:.1} KiB | |", (resident() - before) / pods as f64 / 1024.0);
    drop(agents);
    cluster.stop().await;
}
