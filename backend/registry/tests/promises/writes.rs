//! Writes: what a client may set, who wins when two meet, and what leaves no trace.
use crate::{Fixture, at_once, config_map, dry_run, fields, pod};
use registry::options::{DeleteOptions, ListOptions, Patch, WriteOptions};
use serde_json::{Value, json};
use shared::kinds::{CONFIG_MAP, NAMESPACE, POD, REPLICATION_CONTROLLER, SECRET, SERVICE};
use std::collections::BTreeSet;

fn controller(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": 1, "selector": {"a": "b"},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn generated_names_are_free_and_fit() {
    let f = Fixture::new().await;
    let g = f.clone();
    let base = "a".repeat(70) + "-";
    let made = at_once((0..100).map(move |i| {
        let (g, base) = (g.clone(), if i % 2 == 0 { "web-".to_string() } else { base.clone() });
        async move {
            g.create(&POD, json!({"metadata": {"generateName": base}, "spec": {"containers": [{"name": "c", "image": "i"}]}}))
                .await
                .unwrap()
        }
    }))
    .await;
    let names: BTreeSet<String> = made.iter().map(|v| v["metadata"]["name"].as_str().unwrap().to_string()).collect();
    assert_eq!(names.len(), 100);
    assert!(names.iter().all(|n| n.len() <= 63 && (n.starts_with("web-") || n.starts_with("aaa"))));
    let both = f.create(&CONFIG_MAP, json!({"metadata": {"name": "given", "generateName": "x-"}})).await.unwrap();
    assert_eq!(both["metadata"]["name"], "given");
    let none = f.create(&CONFIG_MAP, json!({"metadata": {}})).await.unwrap_err();
    assert_eq!((none.code, fields(&none)), (422, vec!["metadata.name".to_string()]), "{}", none.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_create_one_name_one_succeeds() {
    let f = Fixture::new().await;
    let g = f.clone();
    let outcomes = at_once((0..32).map(move |i| {
        let g = g.clone();
        async move { g.create(&CONFIG_MAP, config_map("m", json!({"by": i.to_string()}))).await }
    }))
    .await;
    let winners: Vec<&Value> = outcomes.iter().flatten().collect();
    assert_eq!((winners.len(), &f.get(&CONFIG_MAP, "m").unwrap()), (1, winners[0]));
    for refused in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        assert_eq!((refused.code, refused.message.as_str()), (409, "configmaps \"m\" already exists"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_change_one_version_one_succeeds() {
    let f = Fixture::new().await;
    f.create(&CONFIG_MAP, config_map("m", json!({"count": "0"}))).await.unwrap();
    let g = f.clone();
    // Read, add one, write; again when somebody was quicker: no step may be lost.
    at_once((0..8).map(move |_| {
        let g = g.clone();
        async move {
            for _ in 0..25 {
                loop {
                    let mut seen = g.get(&CONFIG_MAP, "m").unwrap();
                    let count: u32 = seen["data"]["count"].as_str().unwrap().parse().unwrap();
                    seen["data"]["count"] = json!((count + 1).to_string());
                    match g.update(&CONFIG_MAP, "", seen).await {
                        Ok(_) => break,
                        Err(status) => assert_eq!(status.code, 409, "{}", status.message),
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }))
    .await;
    assert_eq!(f.get(&CONFIG_MAP, "m").unwrap()["data"]["count"], "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn patches_of_different_members_all_come_through() {
    let f = Fixture::new().await;
    f.create(&CONFIG_MAP, config_map("m", json!({}))).await.unwrap();
    let g = f.clone();
    let outcomes = at_once((0..12).map(move |i| {
        let g = g.clone();
        async move { g.merge(&CONFIG_MAP, "m", json!({"data": {format!("k{i}"): "v"}})).await }
    }))
    .await;
    for outcome in outcomes {
        outcome.unwrap();
    }
    assert_eq!(f.get(&CONFIG_MAP, "m").unwrap()["data"].as_object().unwrap().len(), 12);
    let stale = f.merge(&CONFIG_MAP, "m", json!({"metadata": {"resourceVersion": "2"}, "data": {"k0": "w"}})).await.unwrap_err();
    assert_eq!(stale.code, 409);
}

#[tokio::test]
async fn a_rehearsal_shows_the_result_and_changes_nothing() {
    let f = Fixture::new().await;
    f.create(&CONFIG_MAP, config_map("m", json!({"a": "1"}))).await.unwrap();
    f.create(&SERVICE, json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})).await.unwrap();
    f.create(&POD, pod("p", json!({}))).await.unwrap();
    f.registry.bind(&f.caller, "n", "p", "node1").await.unwrap();
    let before = f.registry.revision();
    let (r, c, n, dry) = (&f.registry, &f.caller, Some("n"), dry_run());
    let made = f.create_with(&CONFIG_MAP, json!({"metadata": {"generateName": "x-"}}), &dry).await.unwrap();
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["name"].as_str().unwrap().len() == 7);
    let changed = r.update(c, &CONFIG_MAP, n, "m", "", config_map("m", json!({"a": "2"})), &dry).await.unwrap().object.value();
    assert_eq!(changed["data"]["a"], "2");
    let patch = Patch::Merge(json!({"spec": {"type": "NodePort"}}));
    let exposed = r.patch(c, &SERVICE, n, "s", "", patch, &dry).await.unwrap().object.value();
    assert!(exposed["spec"]["ports"][0]["nodePort"].as_u64().is_some());
    let apply = WriteOptions { field_manager: Some("me".into()), ..dry.clone() };
    let applied = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}));
    r.patch(c, &CONFIG_MAP, n, "new", "", applied, &apply).await.unwrap();
    let delete = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    for (kind, name) in [(&CONFIG_MAP, "m"), (&SERVICE, "s"), (&POD, "p")] {
        r.delete(c, kind, n, name, &delete).await.unwrap();
    }
    r.delete(c, &NAMESPACE, None, "n", &delete).await.unwrap();
    r.delete_collection(c, &CONFIG_MAP, n, &ListOptions::default(), &delete).await.unwrap();
    assert_eq!(r.revision(), before);
    // And what a real write would be told, a rehearsal is told.
    assert_eq!(f.create_with(&CONFIG_MAP, config_map("m", json!({})), &dry).await.unwrap_err().code, 409);
    assert_eq!(f.create_with(&CONFIG_MAP, config_map("Not a name", json!({})), &dry).await.unwrap_err().code, 422);
}

#[tokio::test]
async fn the_generation_counts_changes_of_what_is_wanted() {
    let f = Fixture::new().await;
    let generation = |v: &Value| v["metadata"]["generation"].as_i64().unwrap();
    let created = f.create(&REPLICATION_CONTROLLER, controller("r")).await.unwrap();
    assert_eq!(generation(&created), 1);
    let labelled = f.merge(&REPLICATION_CONTROLLER, "r", json!({"metadata": {"labels": {"x": "y"}, "generation": 9}})).await.unwrap();
    assert_eq!(generation(&labelled), 1);
    let scaled = f.merge(&REPLICATION_CONTROLLER, "r", json!({"spec": {"replicas": 2}})).await.unwrap();
    assert_eq!(generation(&scaled), 2);
    let mut reported = scaled.clone();
    reported["status"]["replicas"] = json!(2);
    assert_eq!(generation(&f.update(&REPLICATION_CONTROLLER, "status", reported).await.unwrap()), 2);
}

#[tokio::test]
async fn status_and_the_rest_are_written_each_by_its_own_path() {
    let f = Fixture::new().await;
    let mut body = controller("r");
    body["status"] = json!({"replicas": 7});
    let created = f.create(&REPLICATION_CONTROLLER, body).await.unwrap();
    assert_eq!(created["status"]["replicas"], 0, "nobody is born with a status");
    let mut both = created.clone();
    both["spec"]["replicas"] = json!(5);
    both["status"]["replicas"] = json!(5);
    let by_status = f.update(&REPLICATION_CONTROLLER, "status", both.clone()).await.unwrap();
    assert_eq!((&by_status["spec"]["replicas"], &by_status["status"]["replicas"]), (&json!(1), &json!(5)));
    both["metadata"]["resourceVersion"] = by_status["metadata"]["resourceVersion"].clone();
    both["status"]["replicas"] = json!(6);
    let by_main = f.update(&REPLICATION_CONTROLLER, "", both).await.unwrap();
    assert_eq!((&by_main["spec"]["replicas"], &by_main["status"]["replicas"]), (&json!(5), &json!(5)));
    let patched = f
        .patch(&REPLICATION_CONTROLLER, "r", "status", Patch::Merge(json!({"spec": {"replicas": 9}, "status": {"replicas": 3}})))
        .await
        .unwrap();
    assert_eq!((&patched["spec"]["replicas"], &patched["status"]["replicas"]), (&json!(5), &json!(3)));
}

#[tokio::test]
async fn what_must_not_change_does_not() {
    let f = Fixture::new().await;
    let created = f.create(&POD, pod("p", json!({}))).await.unwrap();
    for (patch, field) in [
        (json!({"spec": {"nodeName": "elsewhere"}}), "spec"),
        (json!({"spec": {"hostNetwork": true}}), "spec"),
        (json!({"spec": {"containers": [{"name": "other", "image": "i"}]}}), "spec"),
    ] {
        let refused = f.merge(&POD, "p", patch).await.unwrap_err();
        assert!(refused.code == 422 && fields(&refused).iter().any(|n| n.starts_with(field)), "{}", refused.message);
    }
    f.patch(&POD, "p", "", Patch::Strategic(json!({"spec": {"containers": [{"name": "c", "image": "newer"}]}}))).await.unwrap();
    f.create(&SECRET, json!({"metadata": {"name": "s"}, "immutable": true, "data": {"a": "YQ=="}})).await.unwrap();
    for patch in [json!({"data": {"a": "Yg=="}}), json!({"immutable": false})] {
        assert_eq!(f.merge(&SECRET, "s", patch).await.unwrap_err().code, 422);
    }
    assert_eq!(f.merge(&SECRET, "s", json!({"type": "other"})).await.unwrap_err().code, 422);
    // Names, uids and times are not a client's to set.
    let forged = json!({"metadata": {"uid": "x", "creationTimestamp": "2001-01-01T00:00:00Z"}});
    let refused = f.merge(&POD, "p", forged).await.unwrap_err();
    assert_eq!(refused.code, 409, "a body that names a uid means that very object: {}", refused.message);
    let kept = f.merge(&POD, "p", json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "selfLink": "/x"}})).await.unwrap();
    for member in ["uid", "creationTimestamp"] {
        assert_eq!(kept["metadata"][member], created["metadata"][member]);
    }
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_none() {
    let f = Fixture::new().await;
    f.create(&CONFIG_MAP, config_map("m", json!({"a": "1"}))).await.unwrap();
    let before = f.registry.revision();
    let same = f.get(&CONFIG_MAP, "m").unwrap();
    assert_eq!(f.update(&CONFIG_MAP, "", same.clone()).await.unwrap(), same);
    assert_eq!(f.merge(&CONFIG_MAP, "m", json!({"data": {"a": "1", "b": null}})).await.unwrap(), same);
    assert_eq!(f.registry.revision(), before);
}

#[tokio::test]
async fn texts_of_a_secret_become_its_data() {
    let f = Fixture::new().await;
    let body = json!({"metadata": {"name": "s"}, "data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new", "c": "ü"}});
    let made = f.create(&SECRET, body).await.unwrap();
    assert_eq!((&made["data"], made.get("stringData")), (&json!({"a": "bmV3", "b": "Yg==", "c": "w7w="}), None));
    let patch = Patch::Strategic(json!({"stringData": {"b": "x"}, "data": {"c": null}}));
    let patched = f.patch(&SECRET, "s", "", patch).await.unwrap();
    assert_eq!((&patched["data"], patched.get("stringData")), (&json!({"a": "bmV3", "b": "eA=="}), None));
}
