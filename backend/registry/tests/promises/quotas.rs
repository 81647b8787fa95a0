//! Quotas and limits are exact: however many create, change and delete at once, no moment passes them.
use crate::{Fixture, at_once, dry_run, pod};
use registry::options::{DeleteOptions, WatchOptions};
use serde_json::{Value, json};
use shared::kinds::{CONFIG_MAP, LIMIT_RANGE, POD, RESOURCE_QUOTA, SECRET, SERVICE};
use shared::quantity::Quantity;
use shared::watch::EventType;

async fn quota(f: &Fixture, hard: Value) {
    f.create(&RESOURCE_QUOTA, json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await.unwrap();
}

fn used(f: &Fixture, resource: &str) -> Quantity {
    f.get(&RESOURCE_QUOTA, "q").unwrap()["status"]["used"][resource].as_str().unwrap().parse().unwrap()
}

/// The largest number of pods that any moment saw.
async fn most_pods(f: &Fixture) -> usize {
    let options = WatchOptions { from: Some(1), ..WatchOptions::default() };
    let mut watch = f.registry.watch(&f.caller, &POD, None, &options).unwrap();
    let (mut now, mut most, end) = (0_usize, 0, f.registry.revision());
    f.create(&POD, json!({"metadata": {"name": "end", "namespace": "n"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}))
        .await
        .ok();
    while let Ok(Ok(item)) = tokio::time::timeout(std::time::Duration::from_millis(200), watch.next()).await {
        if item.revision > end {
            break;
        }
        match item.event_type {
            EventType::Added => now += 1,
            EventType::Deleted => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_count_is_filled_to_the_last_and_never_passed() {
    let f = Fixture::new().await;
    quota(&f, json!({"pods": "10"})).await;
    let g = f.clone();
    let outcomes = at_once((0..64).map(move |_| {
        let g = g.clone();
        let mut body = pod("", json!({}));
        body["metadata"] = json!({"generateName": "p-"});
        async move { g.create(&POD, body).await }
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 10);
    for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert_eq!(refused.code, 403, "{}", refused.message);
        assert!(refused.message.contains("exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10"), "{}", refused.message);
    }
    assert_eq!((f.list(&POD).len(), used(&f, "pods")), (10, Quantity::from_units(10)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn amounts_are_never_passed_while_pods_come_and_go() {
    let f = Fixture::new().await;
    quota(&f, json!({"requests.cpu": "1", "limits.memory": "1Gi", "pods": "50"})).await;
    let g = f.clone();
    at_once((0..12).map(move |worker| {
        let g = g.clone();
        async move {
            for round in 0..25 {
                let name = format!("p{worker}-{round}");
                let resources = json!({"requests": {"cpu": "300m"}, "limits": {"cpu": "1", "memory": "100Mi"}});
                if g.create(&POD, pod(&name, resources)).await.is_ok() {
                    tokio::task::yield_now().await;
                    assert!(g.delete(&POD, &name, &DeleteOptions::default()).await.unwrap());
                }
            }
        }
    }))
    .await;
    let most = most_pods(&f).await;
    assert!((1..=3).contains(&most), "{most} pods of 300m at once in a quota of 1");
    assert_eq!((used(&f, "requests.cpu"), used(&f, "pods")), (Quantity::ZERO, Quantity::ZERO));
    let unnamed = f.create(&POD, pod("unnamed", json!({}))).await.unwrap_err();
    assert!(unnamed.code == 403 && unnamed.message.contains("must specify"), "{}", unnamed.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_kinds_that_a_quota_names_are_counted() {
    let f = Fixture::new().await;
    let hard = json!({"configmaps": "3", "count/secrets": "2", "services": "4", "services.nodeports": "2"});
    quota(&f, hard).await;
    let g = f.clone();
    at_once((0..24).map(move |i| {
        let g = g.clone();
        async move {
            let name = format!("o{i}");
            let exposed = json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
            match i % 3 {
                0 => g.create(&CONFIG_MAP, json!({"metadata": {"name": name}})).await.is_ok(),
                1 => g.create(&SECRET, json!({"metadata": {"name": name}})).await.is_ok(),
                _ => g.create(&SERVICE, exposed).await.is_ok(),
            }
        }
    }))
    .await;
    assert_eq!((f.list(&CONFIG_MAP).len(), f.list(&SECRET).len(), f.list(&SERVICE).len()), (3, 2, 2));
    // A change can pass a quota as well as a creation.
    f.create(&SERVICE, json!({"metadata": {"name": "plain"}, "spec": {"ports": [{"port": 80}]}})).await.unwrap();
    let exposed = f.merge(&SERVICE, "plain", json!({"spec": {"type": "NodePort"}})).await.unwrap_err();
    assert!(exposed.message.contains("services.nodeports=1"), "{}", exposed.message);
    assert_eq!(used(&f, "services"), Quantity::from_units(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pod_that_ended_makes_room_and_a_rehearsal_takes_none() {
    let f = Fixture::new().await;
    quota(&f, json!({"pods": "2"})).await;
    for name in ["a", "b"] {
        f.create(&POD, pod(name, json!({}))).await.unwrap();
        f.create_with(&POD, pod("rehearsed", json!({})), &dry_run()).await.ok();
    }
    assert_eq!(used(&f, "pods"), Quantity::from_units(2));
    assert_eq!(f.create_with(&POD, pod("c", json!({})), &dry_run()).await.unwrap_err().code, 403);
    let mut ended = f.get(&POD, "a").unwrap();
    ended["status"]["phase"] = json!("Succeeded");
    f.update(&POD, "status", ended).await.unwrap();
    assert_eq!(used(&f, "pods"), Quantity::from_units(1));
    f.create(&POD, pod("c", json!({}))).await.unwrap();
    // A smaller quota refuses what is new and lets what is there go on.
    f.merge(&RESOURCE_QUOTA, "q", json!({"spec": {"hard": {"pods": "1"}}})).await.unwrap();
    f.merge(&POD, "b", json!({"metadata": {"labels": {"changed": "yes"}}})).await.unwrap();
    f.delete(&POD, "c", &DeleteOptions::default()).await.unwrap();
    assert_eq!(f.create(&POD, pod("d", json!({}))).await.unwrap_err().code, 403);
    f.registry.recount_quota("n", "q").await.unwrap();
    assert_eq!(used(&f, "pods"), Quantity::from_units(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_quota_may_change_while_many_create() {
    let f = Fixture::new().await;
    quota(&f, json!({"pods": "40"})).await;
    let g = f.clone();
    let outcomes = at_once((0..60).map(move |i| {
        let g = g.clone();
        async move {
            if i % 3 == 0 {
                return g.merge(&RESOURCE_QUOTA, "q", json!({"metadata": {"labels": {"turn": i.to_string()}}})).await.map(|_| "quota");
            }
            g.create(&POD, pod(&format!("p{i}"), json!({}))).await.map(|_| "pod")
        }
    }))
    .await;
    for outcome in &outcomes {
        assert!(outcome.is_ok(), "{}", outcome.as_ref().unwrap_err().message);
    }
    assert_eq!(used(&f, "pods"), Quantity::from_units(40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_range_fills_and_bounds_every_pod() {
    let f = Fixture::new().await;
    let limit = json!({"type": "Container", "max": {"cpu": "500m"}, "min": {"cpu": "50m"}, "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}});
    f.create(&LIMIT_RANGE, json!({"metadata": {"name": "l"}, "spec": {"limits": [limit]}})).await.unwrap();
    quota(&f, json!({"requests.cpu": "1"})).await;
    let g = f.clone();
    let outcomes = at_once((0..30).map(move |i| {
        let g = g.clone();
        let resources = if i % 3 == 0 { json!({"requests": {"cpu": "600m"}, "limits": {"cpu": "600m"}}) } else { json!({}) };
        async move { (i % 3 == 0, g.create(&POD, pod(&format!("p{i}"), resources)).await) }
    }))
    .await;
    // The defaults are what the quota counts: ten times 100m.
    assert_eq!(outcomes.iter().filter(|(_, o)| o.is_ok()).count(), 10);
    for (_, refused) in outcomes.iter().filter(|(large, _)| *large) {
        let refused = refused.as_ref().unwrap_err();
        assert!(refused.code == 403 && refused.message.contains("maximum cpu usage per Container is 500m"), "{}", refused.message);
    }
    let created = outcomes.iter().find_map(|(_, o)| o.as_ref().ok()).unwrap();
    let resources = &created["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}));
}
