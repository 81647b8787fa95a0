//! Promises about order and the past: lists, lists at a revision, watches, compaction, bounds.
use super::{delete, follow, line, next, op, put, set, text};
use crate::{Error, Expect, Range, Revision, Snapshot, Store};
use std::collections::BTreeMap;

fn prefix(prefix: &str) -> Range {
    Range { prefix: prefix.to_owned(), ..Range::default() }
}

fn keys(list: &Snapshot) -> Vec<&str> {
    list.records.iter().map(|record| &*record.key).collect()
}

pub(super) async fn lists_are_cut_in_order(store: &dyn Store) {
    for key in ["/b/z/1", "/a/y/2", "/a/x/3", "/a/x/1", "/ab/x/1", "/a/x/2", "/a/x-y/1"] {
        set(store, key, key).await;
    }
    let all = store.list(&prefix("/a/")).expect("a list");
    assert_eq!(keys(&all), ["/a/x-y/1", "/a/x/1", "/a/x/2", "/a/x/3", "/a/y/2"], "in the order of the keys' bytes");
    assert_eq!((all.revision, all.more), (7, false));
    assert_eq!(keys(&store.list(&prefix("/a/x/")).expect("a list")), ["/a/x/1", "/a/x/2", "/a/x/3"]);
    assert!(store.list(&prefix("/c/")).expect("a list").records.is_empty());
    let page = |after: Option<&str>, limit| Range { after: after.map(str::to_owned), limit, ..prefix("/a/x/") };
    for (after, limit, expected, more) in [
        (None, 2, vec!["/a/x/1", "/a/x/2"], true),
        (None, 3, vec!["/a/x/1", "/a/x/2", "/a/x/3"], false),
        (Some("/a/x/2"), 2, vec!["/a/x/3"], false),
        (Some("/a/x/1"), 0, vec!["/a/x/2", "/a/x/3"], false),
        (Some("/a/x/11"), 1, vec!["/a/x/2"], true),
        (Some("/a/x/3"), 1, vec![], false),
        (Some("/a"), 1, vec!["/a/x/1"], true),
        (Some("/z"), 1, vec![], false),
    ] {
        let list = store.list(&page(after, limit)).expect("a page");
        assert_eq!((keys(&list), list.more), (expected, more), "after {after:?}, limit {limit}");
    }
}

pub(super) async fn lists_at_older_revisions_are_exact(store: &dyn Store) {
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    let mut past = vec![model.clone()];
    for step in 0..120_u64 {
        let (key, other) = (format!("/a/{}", step * 7 % 11), format!("/b/{}", step % 3));
        let revision = if step % 4 == 3 && model.remove(&key).is_some() {
            delete(store, &key).await
        } else {
            model.insert(key.clone(), format!("v{step}"));
            model.insert(other.clone(), format!("w{step}"));
            let change = put(&format!("v{step}"));
            let pair = vec![op(&key, Expect::Any, change), op(&other, Expect::Any, put(&format!("w{step}")))];
            store.commit(pair).await.expect("unguarded")
        };
        past.push(model.clone());
        assert_eq!(usize::try_from(revision).expect("small") + 1, past.len());
    }
    for (at, state) in past.iter().enumerate() {
        for (prefix, after, limit) in [("/", None, 0), ("/a/", None, 4), ("/a/", Some("/a/3"), 3), ("/b/", Some("/b/0"), 0)] {
            let range = Range { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit, at: Some(at as Revision) };
            let list = store.list(&range).expect("history is long enough");
            let whole = || state.iter().filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
            let wanted: Vec<_> = whole().take(if limit == 0 { usize::MAX } else { limit }).map(|(k, v)| (&**k, &**v)).collect();
            let found: Vec<_> = list.records.iter().map(|record| (&*record.key, text(record))).collect();
            assert_eq!(found, wanted, "at {at} under {prefix} after {after:?}");
            assert_eq!((list.revision, list.more), (at as Revision, whole().count() > wanted.len()));
        }
    }
    let current = store.revision();
    let future = store.list(&Range { at: Some(current + 1), ..Range::default() });
    assert_eq!(future.err(), Some(Error::Future { asked: current + 1, current }));
}

pub(super) async fn watches_tell_everything_once(store: &dyn Store) {
    let mut early = store.watch(0).expect("a watch from the beginning");
    set(store, "/a/x", "1").await;
    set(store, "/a/x", "2").await;
    store.commit(vec![op("/a/y", Expect::Any, put("1")), op("/a/x", Expect::Any, put("3"))]).await.expect("unguarded");
    delete(store, "/a/x").await;
    let told = ["1 /a/x ->1", "2 /a/x 1>2", "3 /a/y ->1", "3 /a/x 2>3", "4 /a/x 3>-"];
    for (from, skip) in [(0, 0), (1, 1), (2, 2), (3, 4)] {
        let mut watch = store.watch(from).expect("history is long enough");
        assert_eq!(watch.revision(), from);
        let events: Vec<_> = follow(&mut *watch, 4).await.iter().map(line).collect();
        assert_eq!(events, told[skip..], "from {from}");
    }
    let between = |after, upto| store.history(after, upto).expect("history is long enough");
    assert_eq!(between(0, 9).iter().map(line).collect::<Vec<_>>(), told);
    assert_eq!(between(2, 3).iter().map(line).collect::<Vec<_>>(), told[2..4]);
    assert!(between(4, 4).is_empty());
    let mut live = store.watch(4).expect("a watch from now");
    assert_eq!(store.watch(5).err(), Some(Error::Future { asked: 5, current: 4 }));
    set(store, "/a/x", "5").await;
    assert_eq!(follow(&mut *live, 5).await.iter().map(line).collect::<Vec<_>>(), ["5 /a/x ->5"]);
    let events: Vec<_> = follow(&mut *early, 5).await.iter().map(line).collect();
    assert_eq!(events[..5], told);
    assert_eq!(events[5..], ["5 /a/x ->5"]);
}

pub(super) async fn watches_wait_and_can_be_cancelled(store: &dyn Store) {
    let mut watch = store.watch(0).expect("a watch");
    for step in 1..=50 {
        // A waiting call that is dropped must neither lose nor repeat anything.
        let waiting = tokio::select! { biased; group = watch.next() => Some(group), () = tokio::task::yield_now() => None };
        assert!(waiting.is_none(), "nothing was committed, yet the watch spoke");
        assert_eq!(set(store, "/a/x", "v").await, step);
        assert_eq!(follow(&mut *watch, step).await.len(), 1);
    }
}

pub(super) async fn watches_end_with_the_store(store: &dyn Store) {
    let mut behind = store.watch(0).expect("a watch");
    set(store, "/a/x", "1").await;
    let mut waiting = store.watch(1).expect("a watch");
    let (ended, ()) = tokio::join!(next(&mut *waiting), store.close());
    assert!(matches!(ended, Err(Error::Unavailable(_))));
    assert_eq!(follow(&mut *behind, 1).await.len(), 1, "what was committed is told before the end");
    assert!(matches!(next(&mut *behind).await, Err(Error::Unavailable(_))));
}

pub(super) async fn compaction_forgets_the_past_only(store: &dyn Store) {
    let mut behind = store.watch(0).expect("a watch");
    for step in 1..=10 {
        set(store, &format!("/a/{}", step % 3), &step.to_string()).await;
    }
    let compacted = |asked| Some(Error::Compacted { asked, oldest: 6 });
    assert_eq!(store.compact(11).await, Err(Error::Future { asked: 11, current: 10 }));
    store.compact(6).await.expect("it is in the past");
    store.compact(4).await.expect("forgetting the forgotten is no error");
    assert_eq!(store.watch(5).err(), compacted(5));
    assert_eq!(store.history(5, 10).err(), compacted(5));
    let at = |at| store.list(&Range { at: Some(at), ..Range::default() });
    assert_eq!(at(5).err(), compacted(5));
    assert_eq!(at(6).expect("the oldest kept").records.len(), 3);
    assert_eq!(store.list(&Range::default()).expect("now").records.len(), 3, "current values are kept");
    let mut kept = store.watch(6).expect("just after what was forgotten");
    assert_eq!(follow(&mut *kept, 10).await.len(), 4);
    let mut first = store.watch(0).expect("from what is left");
    assert_eq!(follow(&mut *first, 10).await.len(), 4);
    assert_eq!(next(&mut *behind).await.err(), compacted(0), "a watcher that stood in the forgotten part");
    store.compact(10).await.expect("all of it");
    assert_eq!(set(store, "/a/x", "v").await, 11);
    assert_eq!(follow(&mut *store.watch(10).expect("now"), 11).await.len(), 1);
}

/// The store was made to keep 10 events.
pub(super) async fn the_number_of_events_is_bounded(store: &dyn Store) {
    let mut slow = store.watch(0).expect("a watch");
    let mut quick = store.watch(0).expect("a watch");
    for step in 1..=50 {
        set(store, "/a/x", "v").await;
        follow(&mut *quick, step).await;
    }
    assert!(matches!(next(&mut *slow).await, Err(Error::Compacted { asked: 0, oldest: 40 })));
    assert_eq!(follow(&mut *store.watch(40).expect("the oldest kept"), 50).await.len(), 10);
    assert!(matches!(store.watch(39).err(), Some(Error::Compacted { asked: 39, oldest: 40 })));
    // A commit is forgotten as a whole.
    store.commit((0..6).map(|n| op(&format!("/b/{n}"), Expect::Any, put("v"))).collect()).await.expect("unguarded");
    store.commit((0..6).map(|n| op(&format!("/b/{n}"), Expect::Any, put("w"))).collect()).await.expect("unguarded");
    assert!(matches!(store.watch(50).err(), Some(Error::Compacted { asked: 50, oldest: 51 })));
}

/// The store was made to keep 20,000 bytes of history.
pub(super) async fn the_size_of_history_is_bounded(store: &dyn Store) {
    let value = "v".repeat(5_000);
    for _ in 0..20 {
        set(store, "/a/x", &value).await;
    }
    assert!(matches!(store.watch(15).err(), Some(Error::Compacted { .. })));
    assert!(store.watch(19).is_ok());
}
