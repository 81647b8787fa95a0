//! Deletion waits for whom it must, once: finalizers, the node of a pod, whoever named a condition.
use crate::{Fixture, at_once, config_map, pod};
use registry::options::{DeleteOptions, ListOptions, Preconditions};
use serde_json::{Value, json};
use shared::kinds::{CONFIG_MAP, NAMESPACE, POD, REPLICATION_CONTROLLER};
use shared::selector::LabelSelector;

fn grace(seconds: i64) -> DeleteOptions {
    DeleteOptions { grace_period_seconds: Some(seconds), ..DeleteOptions::default() }
}

fn policy(name: &str) -> DeleteOptions {
    DeleteOptions { propagation_policy: Some(name.into()), ..DeleteOptions::default() }
}

fn meta(value: &Value, member: &str) -> Value {
    value["metadata"][member].clone()
}

#[tokio::test]
async fn an_object_stays_until_its_last_finalizer_is_gone() {
    let f = Fixture::new().await;
    let mut body = config_map("m", json!({}));
    body["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    f.create(&CONFIG_MAP, body).await.unwrap();
    assert!(!f.delete(&CONFIG_MAP, "m", &DeleteOptions::default()).await.unwrap());
    let dying = f.get(&CONFIG_MAP, "m").unwrap();
    assert!(meta(&dying, "deletionTimestamp").is_string());
    // A second deletion changes nothing.
    assert!(!f.delete(&CONFIG_MAP, "m", &DeleteOptions::default()).await.unwrap());
    assert_eq!(f.get(&CONFIG_MAP, "m").unwrap(), dying);
    // Nobody takes the deletion back, and no finalizer is added any more.
    let revived = f.merge(&CONFIG_MAP, "m", json!({"metadata": {"deletionTimestamp": null}, "data": {"a": "b"}})).await.unwrap();
    assert_eq!(meta(&revived, "deletionTimestamp"), meta(&dying, "deletionTimestamp"));
    let more = json!({"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}});
    let refused = f.merge(&CONFIG_MAP, "m", more).await.unwrap_err();
    assert_eq!((refused.code, crate::fields(&refused)), (422, vec!["metadata.finalizers".to_string()]), "{}", refused.message);
    f.merge(&CONFIG_MAP, "m", json!({"metadata": {"finalizers": ["example.com/b"]}})).await.unwrap();
    f.merge(&CONFIG_MAP, "m", json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(f.get(&CONFIG_MAP, "m").unwrap_err().code, 404);
}

#[tokio::test]
async fn a_bound_pod_is_stopped_by_its_node_and_one_without_goes_at_once() {
    let f = Fixture::new().await;
    f.create(&POD, pod("free", json!({}))).await.unwrap();
    assert!(f.delete(&POD, "free", &grace(30)).await.unwrap());
    f.create(&POD, pod("p", json!({}))).await.unwrap();
    f.registry.bind(&f.caller, "n", "p", "node1").await.unwrap();
    assert!(!f.delete(&POD, "p", &DeleteOptions::default()).await.unwrap());
    let first = f.get(&POD, "p").unwrap();
    assert_eq!(meta(&first, "deletionGracePeriodSeconds"), 30, "the pod's own");
    // A later deletion may shorten the time and not lengthen it.
    assert!(!f.delete(&POD, "p", &grace(60)).await.unwrap());
    assert_eq!(f.get(&POD, "p").unwrap(), first);
    assert!(!f.delete(&POD, "p", &grace(5)).await.unwrap());
    assert_eq!(meta(&f.get(&POD, "p").unwrap(), "deletionGracePeriodSeconds"), 5);
    // An update in between does not end it; the node's word does.
    f.merge(&POD, "p", json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    assert!(f.delete(&POD, "p", &grace(0)).await.unwrap());
    assert_eq!(f.get(&POD, "p").unwrap_err().code, 404);
    // One that has ended needs no stopping.
    f.create(&POD, pod("done", json!({}))).await.unwrap();
    f.registry.bind(&f.caller, "n", "done", "node1").await.unwrap();
    let mut done = f.get(&POD, "done").unwrap();
    done["status"]["phase"] = json!("Failed");
    f.update(&POD, "status", done).await.unwrap();
    assert!(f.delete(&POD, "done", &DeleteOptions::default()).await.unwrap());
}

#[tokio::test]
async fn a_pod_is_bound_once_and_not_while_it_goes() {
    let f = Fixture::new().await;
    f.create(&POD, pod("p", json!({}))).await.unwrap();
    let g = f.clone();
    let bound = at_once((0..16).map(move |i| {
        let g = g.clone();
        async move { g.registry.bind(&g.caller, "n", "p", &format!("node{i}")).await }
    }))
    .await;
    assert_eq!(bound.iter().filter(|b| b.is_ok()).count(), 1);
    assert!(bound.iter().filter_map(|b| b.as_ref().err()).all(|s| s.code == 409));
    let mut held = pod("q", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/a"]);
    f.create(&POD, held).await.unwrap();
    f.delete(&POD, "q", &DeleteOptions::default()).await.unwrap();
    assert_eq!(f.registry.bind(&f.caller, "n", "q", "node1").await.unwrap_err().code, 409);
}

#[tokio::test]
async fn conditions_of_a_deletion_are_kept_to() {
    let f = Fixture::new().await;
    let created = f.create(&CONFIG_MAP, config_map("m", json!({}))).await.unwrap();
    let only = |uid: Option<&str>, version: Option<&str>| DeleteOptions {
        preconditions: Some(Preconditions { uid: uid.map(Into::into), resource_version: version.map(Into::into) }),
        ..DeleteOptions::default()
    };
    for options in [only(Some("another"), None), only(None, Some("1"))] {
        let refused = f.delete(&CONFIG_MAP, "m", &options).await.unwrap_err();
        assert!(refused.code == 409 && refused.message.contains("Precondition failed"), "{}", refused.message);
    }
    let (uid, version) = (meta(&created, "uid"), meta(&created, "resourceVersion"));
    assert!(f.delete(&CONFIG_MAP, "m", &only(uid.as_str(), version.as_str())).await.unwrap());
}

#[tokio::test]
async fn a_policy_is_left_behind_as_a_finalizer_for_the_collector() {
    let f = Fixture::new().await;
    let body = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"replicas": 1, "selector": {"a": "b"},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    };
    for (name, options, wanted) in [("fore", policy("Foreground"), "foregroundDeletion"), ("orphan", policy("Orphan"), "orphan")] {
        f.create(&REPLICATION_CONTROLLER, body(name)).await.unwrap();
        assert!(!f.delete(&REPLICATION_CONTROLLER, name, &options).await.unwrap());
        let dying = f.get(&REPLICATION_CONTROLLER, name).unwrap();
        assert_eq!((meta(&dying, "finalizers"), meta(&dying, "generation")), (json!([wanted]), json!(2)));
    }
    f.create(&REPLICATION_CONTROLLER, body("back")).await.unwrap();
    assert!(f.delete(&REPLICATION_CONTROLLER, "back", &policy("Background")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_new_comes_into_a_namespace_that_goes() {
    let f = Fixture::new().await;
    let g = f.clone();
    let creating = tokio::spawn(async move {
        let mut made = 0;
        loop {
            match g.create(&CONFIG_MAP, json!({"metadata": {"generateName": "m-"}})).await {
                Ok(_) => made += 1,
                Err(status) => return (made, status),
            }
            tokio::task::yield_now().await;
        }
    });
    while f.list(&CONFIG_MAP).len() < 20 {
        tokio::task::yield_now().await;
    }
    assert!(!f.delete(&NAMESPACE, "n", &DeleteOptions::default()).await.unwrap());
    let then = f.list(&CONFIG_MAP).len();
    let (made, refused) = tokio::time::timeout(crate::DEADLINE, creating).await.unwrap().unwrap();
    assert_eq!((refused.code, made, f.list(&CONFIG_MAP).len()), (403, then, then), "{}", refused.message);
    assert!(refused.message.contains("because it is being terminated"), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collection_is_deleted_by_selector_and_by_many_at_once() {
    let f = Fixture::new().await;
    for i in 0..40 {
        let mut body = config_map(&format!("m{i}"), json!({}));
        body["metadata"]["labels"] = json!({"half": (i % 2).to_string()});
        f.create(&CONFIG_MAP, body).await.unwrap();
    }
    let g = f.clone();
    let deleted: Vec<usize> = at_once((0..4).map(move |_| {
        let g = g.clone();
        async move {
            let list = ListOptions { labels: LabelSelector::parse("half=0").unwrap(), ..ListOptions::default() };
            g.registry.delete_collection(&g.caller, &CONFIG_MAP, Some("n"), &list, &DeleteOptions::default()).await.unwrap().len()
        }
    }))
    .await;
    assert_eq!((deleted.iter().sum::<usize>(), f.list(&CONFIG_MAP).len()), (20, 20), "each is deleted by one");
}
