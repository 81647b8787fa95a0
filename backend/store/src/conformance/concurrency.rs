//! Promises under concurrency: no lost update, consistent lists, own writes read, ordered complete watches.
use super::{PATIENCE, follow, op, put, set, text};
use crate::{Error, Expect, Range, Revision, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;

const CLIENTS: usize = 8;
const ROUNDS: usize = 40;

async fn finish<T: 'static>(mut clients: JoinSet<T>) -> Vec<T> {
    let mut results = Vec::new();
    while let Some(result) = tokio::time::timeout(PATIENCE, clients.join_next()).await.expect("clients finish in time") {
        results.push(result.expect("no client panics"));
    }
    results
}

/// Reads, adds one, writes if unchanged, else tries again: every success must count.
pub(super) async fn counters_lose_nothing(store: Arc<dyn Store>) {
    let mut watch = store.watch(0).expect("a watch");
    set(&*store, "/a/n", "0").await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let store = store.clone();
        clients.spawn(async move {
            let mut revisions = Vec::new();
            while revisions.len() < ROUNDS {
                let now = store.get("/a/n").expect("never deleted");
                let next = text(&now).parse::<u64>().expect("a number") + 1;
                match store.commit(vec![op("/a/n", Expect::Revision(now.revision), put(&next.to_string()))]).await {
                    Ok(revision) => revisions.push(revision),
                    Err(Error::Conflict { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(revisions.is_sorted(), "later commits have higher revisions");
            revisions
        });
    }
    let revisions: BTreeSet<Revision> = finish(clients).await.into_iter().flatten().collect();
    let total = (CLIENTS * ROUNDS) as u64;
    assert_eq!(revisions, (2..=total + 1).collect(), "each commit has its own revision, without gaps");
    assert_eq!(text(&store.get("/a/n").expect("never deleted")), total.to_string());
    let seen: Vec<_> = follow(&mut *watch, total + 1).await.iter().map(|event| event.revision).collect();
    assert_eq!(seen, (1..=total + 1).collect::<Vec<_>>(), "the watch saw every commit once, in order");
}

/// Two keys are always written together: no list, now or then, shows them apart.
pub(super) async fn pairs_are_seen_together(store: Arc<dyn Store>) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let store = store.clone();
        clients.spawn(async move {
            for round in 0..ROUNDS {
                let value = format!("{client}-{round}");
                let pair = vec![op("/a/left", Expect::Any, put(&value)), op("/a/right", Expect::Any, put(&value))];
                let revision = store.commit(pair).await.expect("unguarded");
                for at in [None, Some(revision)] {
                    let list = store.list(&Range { prefix: "/a/".to_owned(), at, ..Range::default() }).expect("a list");
                    assert_eq!(list.records.len(), 2);
                    assert_eq!(list.records[0].value, list.records[1].value, "at {at:?}");
                    assert!(list.revision >= revision && list.records[0].revision <= list.revision);
                    assert!(at.is_none() || text(&list.records[0]) == value, "the list at a commit shows that commit");
                }
            }
        });
    }
    finish(clients).await;
}

pub(super) async fn whoever_was_answered_reads_its_write(store: Arc<dyn Store>) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let store = store.clone();
        clients.spawn(async move {
            let mut watch = store.watch(0).expect("a watch");
            let mut last = 0;
            for round in 0..ROUNDS {
                let (key, value) = (format!("/a/{client}"), round.to_string());
                let revision = set(&*store, &key, &value).await;
                assert!(store.revision() >= revision);
                let record = store.get(&key).expect("just written");
                assert_eq!((text(&record), record.revision), (&*value, revision));
                let events = follow(&mut *watch, revision).await;
                assert!(events.iter().any(|event| event.revision == revision), "the watch has it");
                for event in &events {
                    assert_eq!(event.revision, last + 1, "gap-free");
                    last = event.revision;
                    // Whatever a watch told, readers see, or something newer.
                    let newest = store.get(&event.key).expect("never deleted");
                    assert!(newest.revision >= event.revision);
                }
            }
        });
    }
    finish(clients).await;
}

pub(super) async fn only_one_creates(store: Arc<dyn Store>) {
    for round in 0..ROUNDS {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let store = store.clone();
            clients.spawn(async move {
                let result = store.commit(vec![op(&format!("/a/{round}"), Expect::Absent, put(&client.to_string()))]).await;
                if let Err(Error::Conflict { actual, .. }) = &result {
                    let record = store.get(&format!("/a/{round}")).expect("a refused creator sees what refused it");
                    assert_eq!(Some(record.revision), *actual);
                }
                result.is_ok()
            });
        }
        assert_eq!(finish(clients).await.into_iter().filter(|created| *created).count(), 1);
    }
    assert_eq!(store.revision(), ROUNDS as u64);
}
