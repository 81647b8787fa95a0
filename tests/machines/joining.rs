//! How machines join, and how they do not.
use crate::{Machine, joined, token, until_ready, url};
use backend::join;
use e2e::{Cluster, eventually};
use reqwest::Method;
use serde_json::json;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_joins_once_and_comes_back_without_a_token() {
    let mut cluster = Cluster::start_with(|c| c.listen = own_address()).await;
    let (machine, node) = joined(&cluster, "n1").await;
    use std::os::unix::fs::PermissionsExt;
    for file in ["node.key", "node.kubeconfig"] {
        let mode = std::fs::metadata(machine.data().join(file)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    drop(node);
    let again = machine.start("n1", "", None).await.expect("it comes back");
    until_ready(&cluster, "n1").await;
    // The server comes back at the same address: the node finds it.
    cluster.restart().await;
    let admin = cluster.admin();
    let lease =
        || async { admin.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1").await.1["spec"]["renewTime"].clone() };
    let before = lease().await;
    eventually("the lease being renewed", async || (lease().await != before).then_some(())).await;
    drop(again);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_node_runs_pods_on_others_only() {
    let cluster = Cluster::start_master().await;
    let admin = cluster.admin();
    admin.namespace("team").await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x", "imagePullPolicy": "IfNotPresent"}]}});
    admin.create("/api/v1/namespaces/team/pods", &pod).await;
    assert_eq!(admin.get("/api/v1/nodes").await.1["items"].as_array().map(Vec::len), Some(0));
    let (_machine, _node) = joined(&cluster, "n1").await;
    eventually("the pod running on the other machine", async || {
        let pod = admin.get("/api/v1/namespaces/team/pods/p").await.1;
        (pod["status"]["phase"] == "Running" && pod["spec"]["nodeName"] == "n1").then_some(())
    })
    .await;
    cluster.stop().await;
}

/// An address of this machine that nothing else uses: a server can come back to it, whatever ports others take meanwhile.
fn own_address() -> std::net::SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    std::net::SocketAddr::from(([127, a | 64, b, c | 2], 18443))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_token_or_server_is_said_in_one_line() {
    let cluster = Cluster::start().await;
    let (server, good) = (url(&cluster), token(&cluster).await);
    let (secret, hash) = good.split_once('@').expect("both parts");
    let guessed = format!("{}.0000000000000000@{hash}", &secret[..6]);
    let elsewhere = format!("{secret}@sha256:{}", "0".repeat(64));
    let ended = backend::node_token::make(&cluster.admin().client, -1).await.expect("a token").text();
    for (master, token, wanted) in [
        (server.as_str(), None, "give it --master and --token"),
        ("", Some(good.as_str()), "give it --master and --token"),
        (&server, Some("nonsense"), "expected ID.SECRET@sha256:HASH"),
        (&server, Some(secret), "lacks the hash"),
        (&server, Some(&guessed), "the server refuses the token"),
        (&server, Some(&ended), "the server refuses the token"),
        (&server, Some(&elsewhere), "is not of the cluster that the token is for"),
        ("https://127.0.0.1:1", Some(&good), "cannot reach the server"),
    ] {
        let machine = Machine::new();
        let Err(error) = machine.start("n1", master, token).await else { panic!("{token:?} at {master:?} joins") };
        assert!(error.contains(wanted) && error.lines().count() == 1, "{master} {token:?}: {error}");
        assert!(!error.contains(&secret[7..]), "{error}");
        assert!(!machine.data().join("node.kubeconfig").exists());
    }
    assert_eq!(cluster.admin().get("/api/v1/nodes/n1").await.0, 404, "nobody took the name");
    let mine = Machine { dir: cluster.stop_and_keep().await };
    let Err(error) = mine.start("n1", &server, Some(&good)).await else { panic!("a server's directory becomes a node's") };
    assert!(error.contains("server's data directory"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_belongs_to_one_machine_until_its_node_is_deleted() {
    let cluster = Cluster::start().await;
    let (first, node) = joined(&cluster, "n1").await;
    let second = Machine::new();
    for name in ["n1", "master"] {
        let Err(error) = second.start(name, &url(&cluster), Some(&token(&cluster).await)).await else { panic!("two machines are {name}") };
        assert!(error.contains(&format!("osc delete nodes {name}")), "{error}");
    }
    drop(node);
    let admin = cluster.admin();
    assert_eq!(admin.send(Method::DELETE, "/api/v1/nodes/n1", "", "").await.0, 200);
    let _now = second.start("n1", &url(&cluster), Some(&token(&cluster).await)).await.expect("the name is free");
    until_ready(&cluster, "n1").await;
    let Err(error) = first.start("n1", "", None).await else { panic!("the first machine is n1 again") };
    assert!(error.contains("belongs to another machine") && error.lines().count() == 1, "{error}");
    // The first machine's certificate is good still; its name is not.
    let (status, answer) = first.caller().get("/api/v1/nodes/n1").await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer["message"].as_str().is_some_and(|m| m.contains("belongs to another machine")), "{answer}");
    assert_eq!(second.caller().get("/api/v1/nodes/n1").await.0, 200);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_machines_that_ask_at_once_for_one_name_one_gets_it() {
    let cluster = Cluster::start().await;
    let (server, token) = (url(&cluster), token(&cluster).await);
    let machines: Vec<Machine> = (0..4).map(|_| Machine::new()).collect();
    let all = futures::future::join_all(machines.iter().map(|m| m.start("n1", &server, Some(&token)))).await;
    assert_eq!(all.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_for_asking_and_for_nothing_else() {
    let cluster = Cluster::start().await;
    let bearer = cluster.bearer(token(&cluster).await.split('@').next().expect("the token"));
    for path in
        ["/api/v1/nodes", "/api/v1/namespaces/default/pods", "/api/v1/namespaces/kube-system/secrets", "/node-tunnel", REQUESTS, "/api"]
    {
        assert_eq!(bearer.get(path).await.0, 403, "{path}");
    }
    let project = json!({"metadata": {"name": "mine"}});
    assert_eq!(bearer.post("/apis/project.openshift.io/v1/projects", &project).await.0, 403);
    // Somebody who shows nothing learns the CA and nothing more.
    let nobody = cluster.nobody();
    let (status, info) = nobody.get("/api/v1/namespaces/kube-public/configmaps/cluster-info").await;
    assert!(status == 200 && info["data"]["kubeconfig"].as_str().is_some_and(|k| k.contains("certificate-authority-data")), "{info}");
    assert_eq!(nobody.get("/api/v1/namespaces/kube-public/configmaps").await.0, 403);
    assert_eq!(nobody.get("/api/v1/namespaces/kube-public/configmaps/kube-root-ca.crt").await.0, 403);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_gets_its_next_certificate_by_the_one_it_has() {
    let cluster = Cluster::start().await;
    let (machine, _node) = joined(&cluster, "n1").await;
    let before = machine.target().client_pem.expect("a certificate");
    let mut membership = join::membership(&machine.data(), "n1", "", None).await.expect("it is a node");
    assert!(!membership.is_due(), "a new certificate is good for long");
    membership.renew().await.expect("it is renewed");
    let after = machine.target().client_pem.expect("a certificate");
    assert!(before.0 != after.0 && before.1 == after.1, "another certificate for the same key");
    assert_eq!(machine.caller().get("/api/v1/nodes/n1").await.0, 200);
    // For another name it waits for a person, and a person can grant what the signer signs.
    let (key, _) = (apiserver::signing::new_key().expect("a key"), ());
    let request = apiserver::signing::request(&key, "system:node:n9", "system:nodes").expect("a request");
    use base64::Engine;
    let request = base64::engine::general_purpose::STANDARD.encode(request);
    let body = json!({"metadata": {"name": "other"}, "spec": {"request": request, "usages": ["client auth"],
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "username": "system:bootstrap:x", "groups": ["system:bootstrappers"]}});
    let made = machine.caller().create(REQUESTS, &body).await;
    assert_eq!(made["spec"]["username"], "system:node:n1", "it says who asked");
    let approval = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "x", "message": "y"}]}});
    let approve = format!("{REQUESTS}/other/approval");
    let merge = "application/merge-patch+json";
    assert_eq!(machine.caller().send(Method::PATCH, &approve, merge, approval.to_string()).await.0, 403);
    let waiting = cluster.admin().get(&format!("{REQUESTS}/other")).await.1;
    assert!(waiting["status"].get("certificate").is_none(), "{waiting}");
    assert_eq!(cluster.admin().send(Method::PATCH, &approve, merge, approval.to_string()).await.0, 200);
    let admin = cluster.admin();
    eventually("the certificate", async || admin.get(&format!("{REQUESTS}/other")).await.1["status"]["certificate"].as_str().map(|_| ()))
        .await;
    cluster.stop().await;
}
