//! The size that Kubernetes promises, 5,000 nodes and 150,000 pods: memory, and how long a get takes meanwhile.
//!
//! Nodes are hollow as KWOK's are: no agents, but each one's lease is renewed every ten seconds and each pod's status is
//! written, all through the write path into the durable store. `LARGE_NODES` and `LARGE_PODS` change the size.
use crate::{make_controllers, nodes_ready, number, pods_bound, pods_running, resident, until};
use e2e::Cluster;
use e2e::lean::Endpoint;
use futures::StreamExt;
use registry::Registry;
use registry::caller::Caller;
use registry::object::Object;
use registry::options::{Patch, WriteOptions};
use serde_json::{Value, json};
use shared::kinds::{LEASE, NODE, POD};
use std::time::{Duration, Instant};

const LEASES: &str = "kube-node-lease";
/// Each node renews its lease once in so many rounds of `ROUND`: every ten seconds.
const ROUNDS: usize = 100;
const ROUND: Duration = Duration::from_millis(100);
const TOGETHER: usize = 64;
const GETS: usize = 2000;
const GETS_EVERY: Duration = Duration::from_millis(5);

pub async fn rows() {
    let (nodes, pods) = (number("LARGE_NODES", 5_000), number("LARGE_PODS", 150_000));
    let cluster = Cluster::start().await;
    let registry = cluster.running().registry.clone();
    join(&registry, nodes).await;
    until("every node being ready", || nodes_ready(&cluster) > nodes).await;
    let kubelets = tokio::spawn(renew_leases(registry.clone(), nodes));
    let began = Instant::now();
    make_controllers(&cluster, pods).await;
    until("every pod being bound", || pods_bound(&cluster).1 >= pods).await;
    let took = began.elapsed();
    println!("| {pods} pods created and bound on {nodes} nodes, durable | {took:.1?}, {:.0}/s | |", pods as f64 / took.as_secs_f64());
    run_pods(&registry).await;
    until("every pod running", || pods_running(&cluster) >= pods).await;
    let name = registry.all(&POD, Some("default")).1.first().map(|o| o.name().to_string()).unwrap_or_default();
    let (p50, p99) = gets(&cluster, &name).await;
    println!("| get of a pod beside {} lease renewals a second, p50, p99 | {p50:.1?}, {p99:.1?} | aim for p99: 50 ms |", nodes / 10);
    let bytes: usize = registry.everything().1.iter().map(|r| r.value.len()).sum();
    let memory = resident();
    println!(
        "| memory of the whole process with {nodes} nodes and {pods} running pods | {:.0} MiB, {:.1} KiB a pod | their JSON {:.0} MiB; ratio {:.1} |",
        memory / 1048576.0,
        memory / pods as f64 / 1024.0,
        bytes as f64 / 1048576.0,
        memory / bytes as f64
    );
    assert!(!kubelets.is_finished(), "leases were renewed to the end");
    kubelets.abort();
    cluster.stop().await;
}

fn caller() -> Caller {
    Caller::system("bench")
}

async fn join(registry: &Registry, nodes: usize) {
    let one = |number: usize| async move {
        let name = format!("node-{number}");
        let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "status": {
            "capacity": {"cpu": "4", "memory": "32Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}});
        registry.create(&caller(), &NODE, None, node, &WriteOptions::default()).await.expect("a node");
        registry.create(&caller(), &LEASE, Some(LEASES), lease(number), &WriteOptions::default()).await.expect("a lease");
    };
    futures::stream::iter((0..nodes).map(one)).buffer_unordered(TOGETHER).collect::<Vec<()>>().await;
}

fn lease(number: usize) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    json!({"metadata": {"name": format!("node-{number}")}, "spec": {"holderIdentity": format!("node-{number}"), "leaseDurationSeconds": 40, "renewTime": now}})
}

async fn renew_leases(registry: Registry, nodes: usize) {
    let mut clock = tokio::time::interval(ROUND);
    for round in (0..ROUNDS).cycle() {
        clock.tick().await;
        let registry = &registry;
        let one = |number: usize| async move {
            let name = format!("node-{number}");
            registry.update(&caller(), &LEASE, Some(LEASES), &name, "", lease(number), &WriteOptions::default()).await.expect("a lease");
        };
        let due = (round..nodes).step_by(ROUNDS).map(one);
        futures::stream::iter(due).buffer_unordered(TOGETHER).collect::<Vec<()>>().await;
    }
}

/// What the nodes' agents would report once the containers run.
async fn run_pods(registry: &Registry) {
    let bound = registry.all(&POD, None).1;
    let one = |(number, pod): (usize, Object)| async move {
        let ip = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
        let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
        let id = format!("docker://{number:064x}");
        let status = json!({"status": {"phase": "Running", "hostIP": "10.250.0.1", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now, "qosClass": "BestEffort",
            "conditions": conditions,
            "containerStatuses": [{"name": "c", "ready": true, "started": true, "restartCount": 0, "image": "openshift/hello-openshift",
                "imageID": format!("docker://sha256:{number:064x}"), "containerID": id, "lastState": {}, "state": {"running": {"startedAt": now}}}]}});
        let (caller, patch) = (caller(), Patch::Strategic(status));
        let place = (Some(pod.namespace()), pod.name());
        registry.patch(&caller, &POD, place.0, place.1, "status", patch, &WriteOptions::default()).await.expect("a status");
    };
    futures::stream::iter(bound.into_iter().enumerate().map(one)).buffer_unordered(TOGETHER).collect::<Vec<()>>().await;
}

async fn gets(cluster: &Cluster, pod: &str) -> (Duration, Duration) {
    let endpoint = Endpoint::admin(&cluster.data_dir().join("admin.kubeconfig"));
    let mut connection = endpoint.connect().await.expect("the server answers");
    let request = endpoint.request("GET", &format!("/api/v1/namespaces/default/pods/{pod}"), "");
    let mut times = Vec::with_capacity(GETS);
    for _ in 0..GETS {
        let began = Instant::now();
        assert_eq!(connection.send(&request).await, Ok(200));
        times.push(began.elapsed());
        tokio::time::sleep(GETS_EVERY).await;
    }
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
