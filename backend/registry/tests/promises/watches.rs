//! A list and the watch behind it see every change once, in order, whatever others write, and say so when they cannot.
use crate::{Fixture, at_once, config_map};
use registry::options::{DeleteOptions, ListOptions, WatchOptions};
use registry::{Config, Watch, WatchItem};
use serde_json::{Value, json};
use shared::kinds::{CONFIG_MAP, SECRET};
use shared::selector::LabelSelector;
use shared::watch::EventType;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::history::Bounds;
use store::memory::MemoryStore;

const WRITERS: usize = 6;
const NAMES: usize = 5;
const ROUNDS: usize = 60;

/// Names and revisions of what a watcher believes to be there.
type State = BTreeMap<String, u64>;

fn from(revision: u64) -> WatchOptions {
    WatchOptions { from: Some(revision), ..WatchOptions::default() }
}

/// Creates, changes and deletes a few objects in a quarrel over them; ends by writing `end`.
async fn quarrel(f: &Fixture) {
    let g = f.clone();
    at_once((0..WRITERS).map(move |writer| {
        let g = g.clone();
        async move {
            for round in 0..ROUNDS {
                let name = format!("m{}", (writer * 7 + round) % NAMES);
                let _ = match (writer + round) % 3 {
                    0 => g.create(&CONFIG_MAP, config_map(&name, json!({}))).await.map(|_| ()),
                    1 => g.merge(&CONFIG_MAP, &name, json!({"data": {"by": format!("{writer}.{round}")}})).await.map(|_| ()),
                    _ => g.delete(&CONFIG_MAP, &name, &DeleteOptions::default()).await.map(|_| ()),
                };
                // What is of no concern must not disturb.
                g.create(&SECRET, json!({"metadata": {"generateName": "s-"}})).await.unwrap();
            }
        }
    }))
    .await;
    f.create(&CONFIG_MAP, config_map("end", json!({}))).await.unwrap();
}

/// Follows a watch until `end` appears, and fails at the first event that does not fit the state before it.
async fn follow(mut watch: Watch, mut state: State, mut last: u64) -> (State, Vec<u64>) {
    let mut revisions = Vec::new();
    loop {
        let item = tokio::time::timeout(crate::DEADLINE, watch.next()).await.expect("the end is seen").unwrap();
        assert!(item.revision > last, "{} came after {last}", item.revision);
        last = item.revision;
        revisions.push(last);
        let object = item.object.unwrap();
        let (name, carried) =
            (object.name().to_string(), object.value()["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(carried, item.revision, "the object carries the version of its event");
        match item.event_type {
            EventType::Added => assert!(state.insert(name.clone(), carried).is_none(), "{name} was added twice"),
            EventType::Modified => assert!(state.insert(name.clone(), carried).is_some(), "{name} changed before it was there"),
            EventType::Deleted => assert!(state.remove(&name).is_some(), "{name} went before it was there"),
            other => panic!("{other:?}"),
        }
        if name == "end" {
            return (state, revisions);
        }
    }
}

fn stored(f: &Fixture) -> State {
    f.list(&CONFIG_MAP).iter().map(|o| (o.name().to_string(), o.revision())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_change_is_seen_once_and_in_order_from_any_list() {
    let f = Fixture::new().await;
    let g = f.clone();
    // Watchers that begin in the middle of it all, each with a list of its own.
    let watchers: Vec<_> = (0..16)
        .map(|i| {
            let g = g.clone();
            tokio::spawn(async move {
                for _ in 0..i * 20 {
                    tokio::task::yield_now().await;
                }
                let list = g.registry.list(&g.caller, &CONFIG_MAP, Some("n"), &ListOptions::default()).unwrap();
                let state: State = list.items.iter().map(|o| (o.name().to_string(), o.revision())).collect();
                if state.contains_key("end") {
                    return (state, list.revision, Vec::new());
                }
                let watch = g.registry.watch(&g.caller, &CONFIG_MAP, Some("n"), &from(list.revision)).unwrap();
                let (state, revisions) = follow(watch, state, list.revision).await;
                (state, list.revision, revisions)
            })
        })
        .collect();
    quarrel(&f).await;
    let truth = stored(&f);
    let whole = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(1)).unwrap();
    let (end, all) = follow(whole, State::new(), 1).await;
    assert_eq!(end, truth);
    assert!(all.len() > 50, "the quarrel was too quiet: {}", all.len());
    for watcher in watchers {
        let (state, since, revisions) = watcher.await.unwrap();
        assert_eq!(state, truth);
        if !revisions.is_empty() {
            assert_eq!(revisions, all.iter().copied().filter(|r| *r > since).collect::<Vec<_>>(), "since {since}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_resumes_after_any_revision() {
    let f = Fixture::new().await;
    quarrel(&f).await;
    let (_, all) = follow(f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(1)).unwrap(), State::new(), 1).await;
    let mut state = State::new();
    let mut whole = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(1)).unwrap();
    for (i, revision) in all.iter().enumerate() {
        let rest = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(revision - 1)).unwrap();
        let (end, seen) = follow(rest, state.clone(), revision - 1).await;
        assert_eq!((seen.as_slice(), end), (&all[i..], stored(&f)));
        let item = whole.next().await.unwrap();
        let name = item.object.unwrap().name().to_string();
        if item.event_type == EventType::Deleted {
            state.remove(&name)
        } else {
            state.insert(name, item.revision)
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let f = Fixture::new().await;
    for name in ["b", "a"] {
        f.create(&CONFIG_MAP, config_map(name, json!({}))).await.unwrap();
    }
    let mut watch = f.registry.watch(&f.caller, &CONFIG_MAP, Some("n"), &WatchOptions::default()).unwrap();
    let options = WatchOptions { send_initial_events: true, bookmarks: true, ..WatchOptions::default() };
    let mut streaming = f.registry.watch(&f.caller, &CONFIG_MAP, Some("n"), &options).unwrap();
    f.create(&CONFIG_MAP, config_map("c", json!({}))).await.unwrap();
    let seen = [next(&mut watch).await, next(&mut watch).await, next(&mut watch).await].map(|i| name_of(&i));
    assert_eq!(seen, ["a", "b", "c"]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let item = next(&mut streaming).await;
        seen.push(if item.initial_events_end { "(end)".to_string() } else { name_of(&item) });
    }
    assert_eq!(seen, ["a", "b", "(end)", "c"]);
}

async fn next(watch: &mut Watch) -> WatchItem {
    tokio::time::timeout(crate::DEADLINE, watch.next()).await.expect("something comes").unwrap()
}

fn name_of(item: &WatchItem) -> String {
    item.object.as_ref().unwrap().name().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_begins_to_match_is_added_and_what_ceases_is_deleted_as_it_last_matched() {
    let f = Fixture::new().await;
    let labels = LabelSelector::parse("tier=front").unwrap();
    let options = WatchOptions { labels, from: Some(f.registry.revision()), ..WatchOptions::default() };
    let mut watch = f.registry.watch(&f.caller, &CONFIG_MAP, Some("n"), &options).unwrap();
    f.create(&CONFIG_MAP, config_map("m", json!({"v": "0"}))).await.unwrap();
    for (tier, version) in [("front", "1"), ("front", "2"), ("back", "3"), ("front", "4")] {
        let patch = json!({"metadata": {"labels": {"tier": tier}}, "data": {"v": version}});
        f.merge(&CONFIG_MAP, "m", patch).await.unwrap();
    }
    f.delete(&CONFIG_MAP, "m", &DeleteOptions::default()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let item = next(&mut watch).await;
        let value: Value = item.object.unwrap().value();
        assert_eq!(value["metadata"]["labels"]["tier"], "front", "a watcher is shown only what matches");
        assert_eq!(value["metadata"]["resourceVersion"], item.revision.to_string());
        seen.push((item.event_type, value["data"]["v"].as_str().unwrap().to_string()));
    }
    use EventType::{Added, Deleted, Modified};
    let wanted = [(Added, "1"), (Modified, "2"), (Deleted, "2"), (Added, "4"), (Deleted, "4")];
    assert_eq!(seen, wanted.map(|(t, v)| (t, v.to_string())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fan_out_that_falls_behind_history_begins_again() {
    // History holds next to nothing, so that whoever does not run at each commit misses some.
    let bounds = Bounds { events_max: 2, ..Bounds::default() };
    let f = Fixture::with(Arc::new(MemoryStore::with_bounds(bounds)), Config::default()).await;
    for round in 0..50 {
        let (g, now) = (f.clone(), f.registry.revision());
        let watch = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(now));
        at_once((0..4).map(move |w| {
            let g = g.clone();
            async move {
                for i in 0..20 {
                    g.create(&CONFIG_MAP, config_map(&format!("m{round}-{w}-{i}"), json!({}))).await.unwrap();
                }
            }
        }))
        .await;
        // All of it, or the truth that some is lost.
        let Ok(mut watch) = watch else { continue };
        for _ in 0..80 {
            match tokio::time::timeout(crate::DEADLINE, watch.next()).await.expect("no watch falls silent") {
                Ok(_) => {}
                Err(status) => {
                    assert_eq!(status.code, 410, "{}", status.message);
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_version_that_is_forgotten_is_expired_and_one_to_come_is_too_large() {
    let store = Arc::new(MemoryStore::new());
    let f = Fixture::with(store.clone(), Config::default()).await;
    for i in 0..5 {
        f.create(&CONFIG_MAP, config_map(&format!("m{i}"), json!({}))).await.unwrap();
    }
    store.compact(3).await.unwrap();
    let refused = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(2)).err().expect("refused");
    assert_eq!((refused.code, refused.message.starts_with("too old resource version: 2")), (410, true), "{}", refused.message);
    assert!(f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(3)).is_ok());
    let refused = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(1000)).err().expect("refused");
    assert_eq!((refused.code, crate::fields(&refused).len()), (504, 1), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watcher_that_sleeps_too_long_is_told_so_and_holds_nobody_up() {
    let f = Fixture::new().await;
    let mut sleeper = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(1)).unwrap();
    let mut awake = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(1)).unwrap();
    let reader = tokio::spawn(async move {
        let mut count = 0;
        while count < 6000 {
            next(&mut awake).await;
            count += 1;
        }
    });
    let g = f.clone();
    at_once((0..6).map(move |w| {
        let g = g.clone();
        async move {
            for i in 0..1000 {
                g.create(&CONFIG_MAP, config_map(&format!("m{w}-{i}"), json!({}))).await.unwrap();
                // The reader shares these threads.
                tokio::task::yield_now().await;
            }
        }
    }))
    .await;
    tokio::time::timeout(crate::DEADLINE, reader).await.expect("whoever reads gets all").unwrap();
    let (mut seen, mut last) = (0, 1);
    let end = loop {
        match tokio::time::timeout(Duration::from_secs(5), sleeper.next()).await.expect("the end is told") {
            Ok(item) => {
                assert!(item.revision > last);
                (seen, last) = (seen + 1, item.revision);
            }
            Err(status) => break status,
        }
    };
    assert_eq!(end.code, 410, "{}", end.message);
    assert!(seen < 6000);
    // From where it was cut off, nothing is missing.
    let mut again = f.registry.watch(&f.caller, &CONFIG_MAP, None, &from(last)).unwrap();
    for _ in seen..6000 {
        next(&mut again).await;
    }
}
