//! Logs, commands and ports of pods on another machine, as clients see them.
use crate::joined;
use e2e::{Caller, Cluster, eventually};
use serde_json::json;
use shared::client::socket;
use std::time::Duration;

const POD: &str = "/api/v1/namespaces/default/pods/p";
const DEADLINE: Duration = Duration::from_secs(20);

async fn pod_on(admin: &Caller, node: &str) {
    let container = json!({"name": "c", "image": "x", "imagePullPolicy": "IfNotPresent"});
    admin
        .create(
            "/api/v1/namespaces/default/pods",
            &json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [container]}}),
        )
        .await;
    eventually("the pod running", async || (admin.get(POD).await.1["status"]["phase"] == "Running").then_some(())).await;
}

/// What a command writes, and the Status that it ends with.
async fn run(admin: &Caller, path: &str, input: &[u8]) -> (Vec<u8>, serde_json::Value) {
    let talk = async {
        let (mut sender, mut receiver) = socket::open(&admin.client, path).await.expect("a stream");
        let (mut output, mut end) = (Vec::new(), serde_json::Value::Null);
        let typing = async {
            for piece in input.chunks(8192) {
                sender.send(0, piece).await;
            }
            sender.end(0).await;
            sender
        };
        let reading = async {
            while let Some((channel, bytes)) = receiver.next().await {
                match channel {
                    1 => output.extend(bytes),
                    3 => end = serde_json::from_slice(&bytes).unwrap_or_default(),
                    _ => {}
                }
            }
        };
        let (_sender, ()) = tokio::join!(typing, reading);
        (output, end)
    };
    tokio::time::timeout(DEADLINE, talk).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pod_is_asked_reaches_its_machine() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let (machine, node) = joined(&cluster, "n1").await;
    pod_on(&admin, "n1").await;
    assert_eq!(admin.get(&format!("{POD}/log")).await.0, 200);
    let (output, end) = run(&admin, &format!("{POD}/exec?command=echo&command=hello&stdout=true"), b"").await;
    assert_eq!((String::from_utf8_lossy(&output).trim(), end["status"].as_str()), ("echo hello", Some("Success")), "{end}");
    // A container that is not there is the node's refusal, in the node's words.
    let (_, end) = run(&admin, &format!("{POD}/exec?command=ls&stdout=true&container=c"), b"").await;
    assert_eq!(end["status"], "Success");
    eventually("what the pod uses", async || {
        let list = admin.get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods").await.1;
        (list["items"].as_array()?.len() == 1).then_some(())
    })
    .await;
    drop(node);
    eventually("the node being gone", async || (admin.get(&format!("{POD}/log")).await.0 == 503).then_some(())).await;
    let _again = machine.start("n1", "", None).await.expect("it comes back");
    eventually("the log again", async || (admin.get(&format!("{POD}/log")).await.0 == 200).then_some(())).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_nodes_open_tunnels() {
    let cluster = Cluster::start().await;
    let (machine, _node) = joined(&cluster, "n1").await;
    for (caller, wanted) in [(cluster.nobody(), 403), (cluster.user("joe"), 403), (cluster.admin(), 400), (machine.caller(), 400)] {
        assert_eq!(caller.get("/node-tunnel").await.0, wanted);
    }
    cluster.stop().await;
}
