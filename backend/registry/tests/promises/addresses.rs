//! No two services ever hold one address or node port, whoever creates, fails, gives up or rehearses at the same time.
use crate::{Fixture, at_once, dry_run, fields};
use registry::Config;
use registry::options::DeleteOptions;
use serde_json::{Value, json};
use shared::kinds::SERVICE;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::faulty::{Fault, FaultyStore};
use store::memory::MemoryStore;

fn service(name: &str, spec: Value) -> Value {
    let mut body = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    spec.as_object().unwrap().iter().for_each(|(k, v)| body["spec"][k] = v.clone());
    body
}

fn ip(service: &Value) -> String {
    service["spec"]["clusterIP"].as_str().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_services_get_addresses_of_their_own_until_none_is_left() {
    let config = Config { portal_net: "10.9.8.0/26".parse().unwrap() };
    let f = Fixture::with(Arc::new(MemoryStore::new()), config).await;
    let (g, total) = (f.clone(), 80);
    let outcomes = at_once((0..total).map(move |i| {
        let g = g.clone();
        async move { g.create(&SERVICE, service(&format!("s{i}"), json!({}))).await }
    }))
    .await;
    // 64 less network, broadcast and the two of the cluster itself.
    let given: Vec<String> = outcomes.iter().filter_map(|o| o.as_ref().ok().map(ip)).collect();
    assert_eq!((given.len(), given.iter().collect::<BTreeSet<_>>().len()), (60, 60));
    for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert_eq!((refused.code, fields(refused)), (422, vec!["spec.clusterIP".to_string()]), "{}", refused.message);
        assert!(refused.message.contains("10.9.8.0/26"), "{}", refused.message);
    }
    // What is given back can be had again.
    let first = f.list(&SERVICE)[0].name().to_string();
    assert!(f.delete(&SERVICE, &first, &DeleteOptions::default()).await.unwrap());
    f.create(&SERVICE, service("late", json!({}))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_gets_the_address_that_all_ask_for() {
    let f = Fixture::new().await;
    let g = f.clone();
    let outcomes = at_once((0..24).map(move |i| {
        let g = g.clone();
        async move { g.create(&SERVICE, service(&format!("s{i}"), json!({"clusterIP": "172.30.7.7"}))).await }
    }))
    .await;
    let winners: Vec<&Value> = outcomes.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    let winner = winners[0]["metadata"]["name"].as_str().unwrap();
    for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert_eq!((refused.code, fields(refused)), (422, vec!["spec.clusterIP".to_string()]));
        assert!(refused.message.contains(&format!("already allocated (to service n/{winner})")), "{}", refused.message);
    }
    for outside in ["10.0.0.1", "172.30.0.0", "172.30.255.255", "nonsense"] {
        let refused = f.create(&SERVICE, service("outside", json!({"clusterIP": outside}))).await.unwrap_err();
        assert!(fields(&refused).contains(&"spec.clusterIP".to_string()), "{outside}: {}", refused.message);
    }
    assert_eq!(f.list(&SERVICE).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn node_ports_are_unique_for_each_protocol() {
    let f = Fixture::new().await;
    let g = f.clone();
    let outcomes = at_once((0..60).map(move |i| {
        let g = g.clone();
        let ports = if i % 2 == 0 {
            json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}])
        } else {
            json!([{"port": 80, "nodePort": 30000 + i / 6}])
        };
        async move { g.create(&SERVICE, service(&format!("s{i}"), json!({"type": "NodePort", "ports": ports}))).await }
    }))
    .await;
    let mut seen = BTreeSet::new();
    for created in outcomes.iter().flatten() {
        for port in created["spec"]["ports"].as_array().unwrap() {
            assert!(seen.insert(port["nodePort"].as_u64().unwrap()), "{} is given twice", port["nodePort"]);
        }
    }
    for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert_eq!(fields(refused), ["spec.ports[0].nodePort"]);
    }
    for number in 30000..30010 {
        assert!(seen.contains(&number), "{number} was asked for, and nobody got it");
    }
    let udp = json!({"type": "NodePort", "ports": [{"port": 53, "protocol": "UDP", "nodePort": 30000}]});
    f.create(&SERVICE, service("udp", udp)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rehearsals_and_lost_races_free_nothing_that_is_in_use() {
    let f = Fixture::new().await;
    for round in 0..100 {
        let (asked, name) = (format!("172.30.1.{round}"), format!("s{round}"));
        // Rehearsed, lost and won at the same time, all of the same name and address.
        let (g, spec, n) =
            (f.clone(), json!({"clusterIP": asked, "type": "NodePort", "ports": [{"port": 1, "nodePort": 30000 + round}]}), name.clone());
        at_once((0..6).map(move |i| {
            let (g, body) = (g.clone(), service(&n, spec.clone()));
            async move {
                if i % 2 == 0 { g.create_with(&SERVICE, body, &dry_run()).await.is_ok() } else { g.create(&SERVICE, body).await.is_ok() }
            }
        }))
        .await;
        assert_eq!(ip(&f.get(&SERVICE, &name).unwrap()), asked);
        let stolen = f.create(&SERVICE, service("thief", json!({"clusterIP": asked}))).await;
        assert!(stolen.is_err(), "round {round}: {asked} was given twice");
        let port = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30000 + round}]});
        assert!(f.create(&SERVICE, service("thief", port)).await.is_err(), "round {round}: a node port was given twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deletion_does_not_free_the_address_of_the_successor() {
    let f = Fixture::new().await;
    let body = || service("s", json!({"clusterIP": "172.30.2.2"}));
    for round in 0..200 {
        f.create(&SERVICE, body()).await.unwrap();
        let (d, c) = (f.clone(), f.clone());
        let again = tokio::spawn(async move {
            // As soon as the old one is gone from sight.
            while c.create(&SERVICE, body()).await.is_err() {
                tokio::task::yield_now().await;
            }
        });
        d.delete(&SERVICE, "s", &DeleteOptions::default()).await.unwrap();
        tokio::time::timeout(crate::DEADLINE, again).await.unwrap().unwrap();
        let stolen = f.create(&SERVICE, service("thief", json!({"clusterIP": "172.30.2.2"}))).await;
        assert!(stolen.is_err(), "round {round}: the address was given twice");
        f.delete(&SERVICE, "s", &DeleteOptions::default()).await.unwrap();
    }
    f.create(&SERVICE, service("other", json!({"clusterIP": "172.30.2.2"}))).await.unwrap();
}

#[tokio::test]
async fn an_address_is_kept_while_it_is_not_known_whether_the_service_was_stored() {
    // Commit 2 (1 is the namespace) is written, and its answer lost.
    let plan = Box::new(|commit| (commit == 2).then_some(Fault::LoseAnswer));
    let f = Fixture::with(Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), plan)), Config::default()).await;
    let lost = f.create(&SERVICE, service("a", json!({"clusterIP": "172.30.3.3"}))).await.unwrap_err();
    assert_eq!(lost.code, 503);
    let refused = f.create(&SERVICE, service("b", json!({"clusterIP": "172.30.3.3"}))).await.unwrap_err();
    assert_eq!(refused.code, 422);
}

#[tokio::test]
async fn a_caller_who_goes_away_in_the_middle_leaves_no_address_behind() {
    let plan = Box::new(|commit| matches!(commit, 3 | 5).then_some(Fault::Delay(Duration::from_millis(50))));
    let f = Fixture::with(Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), plan)), Config::default()).await;
    let spec = json!({"clusterIP": "172.30.4.4", "type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}]});
    f.create(&SERVICE, service("a", spec.clone())).await.unwrap();
    // Commit 3 is the deletion, 5 the change that gives the node port up; both callers hang up before they are done.
    let gone = tokio::time::timeout(Duration::from_millis(5), f.delete(&SERVICE, "a", &DeleteOptions::default())).await;
    assert!(gone.is_err(), "the deletion was too quick for this test");
    until(|| f.get(&SERVICE, "a").is_err()).await;
    eventually_created(&f, service("b", spec.clone())).await;
    let plain = f.merge(&SERVICE, "b", json!({"spec": {"type": "ClusterIP"}}));
    assert!(tokio::time::timeout(Duration::from_millis(5), plain).await.is_err(), "the change was too quick for this test");
    until(|| f.get(&SERVICE, "b").unwrap()["spec"]["type"] == "ClusterIP").await;
    eventually_created(&f, service("c", json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}]}))).await;
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(crate::DEADLINE, wait).await.expect("it comes true");
}

async fn eventually_created(f: &Fixture, body: Value) {
    let wait = async {
        while f.create(&SERVICE, body.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(crate::DEADLINE, wait).await.expect("what nobody holds can be had");
}

#[tokio::test]
async fn a_restart_knows_what_is_taken() {
    let f = Fixture::new().await;
    let spec = json!({"clusterIP": "172.30.5.5", "type": "NodePort", "ports": [{"port": 1, "nodePort": 30005}]});
    f.create(&SERVICE, service("a", spec)).await.unwrap();
    let again = Fixture { registry: registry::Registry::new(f.store.clone(), Config::default()), ..f };
    assert!(again.create(&SERVICE, service("b", json!({"clusterIP": "172.30.5.5"}))).await.is_err());
    let port = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30005}]});
    assert!(again.create(&SERVICE, service("b", port.clone())).await.is_err());
    // A service keeps what it has over changes that do not mention it, and may not change its address.
    let kept =
        again.update(&SERVICE, "", service("a", json!({"type": "NodePort", "ports": [{"port": 1, "targetPort": 8}]}))).await.unwrap();
    assert_eq!((ip(&kept).as_str(), kept["spec"]["ports"][0]["nodePort"].as_u64()), ("172.30.5.5", Some(30005)));
    let moved = again.merge(&SERVICE, "a", json!({"spec": {"clusterIP": "172.30.5.6"}})).await.unwrap_err();
    assert!(fields(&moved).iter().any(|f| f.starts_with("spec.clusterIP")), "{}", moved.message);
    again.merge(&SERVICE, "a", json!({"spec": {"type": "ClusterIP"}})).await.unwrap();
    again.create(&SERVICE, service("b", port)).await.unwrap();
}
