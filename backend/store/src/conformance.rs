//! What every store must do; each implementation's tests run it.
use crate::{Change, Error, Expect, Op, Range, Revision, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Runs the whole suite; `make` gives a fresh, empty store each time.
pub fn run(make: impl Fn() -> Arc<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        commits_are_atomic_and_guarded(make()).await;
        lists_page_and_go_back_in_time(make()).await;
        watches_resume_without_gap(make()).await;
        the_revision_is_spliced_into_the_value(make()).await;
        compaction_is_answered_as_such(make()).await;
        writers_race_and_watchers_see_one_order(make()).await;
        closing_refuses_more(make()).await;
    });
}

fn op(key: &str, expect: Expect, value: &str) -> Op {
    Op { key: key.into(), expect, change: Change::Put { value: value.to_string().into(), revision_at: None } }
}

fn value(store: &dyn Store, key: &str) -> Option<String> {
    store.get(key).map(|r| String::from_utf8_lossy(&r.value).into_owned())
}

async fn commits_are_atomic_and_guarded(store: Arc<dyn Store>) {
    assert_eq!(store.revision(), 0);
    assert_eq!(store.commit(vec![op("/a", Expect::Absent, "1"), op("/b", Expect::Absent, "1")]).await, Ok(1));
    let error = store.commit(vec![op("/c", Expect::Absent, "x"), op("/a", Expect::Absent, "x")]).await;
    assert_eq!(error, Err(Error::Conflict { key: "/a".into(), actual: Some(1) }));
    assert_eq!(value(&*store, "/c"), None, "nothing of a refused commit is visible");
    assert_eq!(store.commit(vec![op("/a", Expect::Revision(1), "2")]).await, Ok(2));
    assert!(store.commit(vec![op("/a", Expect::Revision(1), "3")]).await.is_err());
    let check = Op { key: "/a".into(), expect: Expect::Revision(2), change: Change::Check };
    assert_eq!(store.commit(vec![check.clone()]).await, Ok(2), "a check alone uses no revision");
    let delete = Op { key: "/b".into(), expect: Expect::Any, change: Change::Delete };
    assert_eq!(store.commit(vec![check, delete.clone()]).await, Ok(3));
    assert_eq!(value(&*store, "/b"), None);
    assert_eq!(store.commit(vec![delete]).await, Ok(3), "deleting nothing changes nothing");
    let a = store.get("/a").expect("it was written");
    assert_eq!((a.revision, a.created), (2, 1));
}

async fn lists_page_and_go_back_in_time(store: Arc<dyn Store>) {
    for i in 0..10 {
        store.commit(vec![op(&format!("/p/{i}"), Expect::Absent, "old")]).await.expect("absent");
    }
    store.commit(vec![op("/q/0", Expect::Absent, "other")]).await.expect("absent");
    let then = store.revision();
    let first = store.list(&Range { prefix: "/p/".into(), limit: 4, ..Range::default() }).expect("now");
    assert_eq!((first.records.len(), first.more, first.revision), (4, true, then));
    for i in 0..10 {
        store.commit(vec![op(&format!("/p/{i}"), Expect::Any, "new")]).await.expect("any");
    }
    store.commit(vec![Op { key: "/p/7".into(), expect: Expect::Any, change: Change::Delete }]).await.expect("any");
    store.commit(vec![op("/p/99", Expect::Absent, "late")]).await.expect("absent");
    let after = first.records.last().map(|r| r.key.to_string());
    let rest = store.list(&Range { prefix: "/p/".into(), after, limit: 0, at: Some(then) }).expect("in history");
    assert_eq!(rest.records.len(), 6);
    assert!(rest.records.iter().all(|r| &r.value[..] == b"old"), "the second page is of the first page's revision");
    assert!(!rest.more);
    let now = store.list(&Range { prefix: "/p/".into(), ..Range::default() }).expect("now");
    assert_eq!(now.records.len(), 10);
    let keys: Vec<_> = now.records.iter().map(|r| r.key.clone()).collect();
    assert!(keys.is_sorted());
    let future = store.list(&Range { at: Some(store.revision() + 1), ..Range::default() });
    assert!(matches!(future, Err(Error::Future { .. })));
}

async fn watches_resume_without_gap(store: Arc<dyn Store>) {
    for i in 0..5 {
        store.commit(vec![op("/k", Expect::Any, &i.to_string())]).await.expect("any");
    }
    let mut watch = store.watch(2).expect("in history");
    let writer = store.clone();
    let more = tokio::spawn(async move {
        for i in 5..8 {
            writer.commit(vec![op("/k", Expect::Any, &i.to_string())]).await.expect("any");
        }
    });
    let mut seen: Vec<Revision> = Vec::new();
    while seen.last() != Some(&8) {
        for event in watch.next().await.expect("alive") {
            assert_eq!(event.previous.as_ref().map(|p| p.revision), Some(event.revision - 1));
            seen.push(event.revision);
        }
    }
    more.await.expect("no panic");
    assert_eq!(seen, [3, 4, 5, 6, 7, 8]);
    assert_eq!(watch.revision(), 8);
    assert!(matches!(store.watch(9), Err(Error::Future { .. })));
    let between: Vec<Revision> = store.history(4, 6).expect("in history").iter().map(|e| e.revision).collect();
    assert_eq!(between, [5, 6]);
}

async fn the_revision_is_spliced_into_the_value(store: Arc<dyn Store>) {
    let change = Change::Put { value: r#"{"v":""}"#.into(), revision_at: Some(6) };
    store.commit(vec![op("/x", Expect::Any, "")]).await.expect("any");
    store.commit(vec![Op { key: "/k".into(), expect: Expect::Absent, change }]).await.expect("absent");
    assert_eq!(value(&*store, "/k").as_deref(), Some(r#"{"v":"2"}"#));
}

async fn compaction_is_answered_as_such(store: Arc<dyn Store>) {
    for i in 0..6 {
        store.commit(vec![op("/k", Expect::Any, &i.to_string())]).await.expect("any");
    }
    store.compact(4).await.expect("in range");
    assert!(matches!(store.watch(3), Err(Error::Compacted { oldest: 4, .. })));
    assert!(matches!(store.list(&Range { at: Some(3), ..Range::default() }), Err(Error::Compacted { .. })));
    assert!(store.watch(4).is_ok());
    assert_eq!(value(&*store, "/k").as_deref(), Some("5"), "current values are kept");
}

async fn writers_race_and_watchers_see_one_order(store: Arc<dyn Store>) {
    const WRITERS: usize = 16;
    const ROUNDS: usize = 40;
    store.commit(vec![op("/n", Expect::Absent, "0")]).await.expect("absent");
    let mut watch = store.watch(1).expect("now");
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < ROUNDS {
                    let now = store.get("/n").expect("it stays");
                    let n: usize = std::str::from_utf8(&now.value).expect("digits").parse().expect("digits");
                    if let Ok(revision) = store.commit(vec![op("/n", Expect::Revision(now.revision), &(n + 1).to_string())]).await {
                        assert!(store.get("/n").expect("it stays").revision >= revision, "a writer reads its own write");
                        done += 1;
                    }
                }
            })
        })
        .collect();
    let mut replayed = BTreeMap::new();
    let (mut last, mut count) = (1, 0);
    while count < WRITERS * ROUNDS {
        for event in watch.next().await.expect("alive") {
            assert_eq!(event.revision, last + 1, "no gap, no duplicate");
            last = event.revision;
            count += 1;
            replayed.insert(event.key.clone(), event.current.expect("only puts").value.clone());
        }
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(value(&*store, "/n"), Some((WRITERS * ROUNDS).to_string()), "no update is lost");
    assert_eq!(replayed["/n"], store.get("/n").expect("it stays").value);
}

async fn closing_refuses_more(store: Arc<dyn Store>) {
    store.commit(vec![op("/a", Expect::Any, "1")]).await.expect("any");
    store.close().await;
    assert!(matches!(store.commit(vec![op("/a", Expect::Any, "2")]).await, Err(Error::Unavailable(_))));
    assert_eq!(value(&*store, "/a").as_deref(), Some("1"));
}
