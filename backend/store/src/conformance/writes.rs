//! Promises about commits: revisions, expectations, atomicity, limits, the end.
use super::{delete, op, put, set, text};
use crate::{Change, Error, Expect, Range, Store};
use bytes::Bytes;

pub(super) async fn a_new_store_is_empty(store: &dyn Store) {
    assert_eq!(store.revision(), 0);
    assert!(store.get("/a/x").is_none());
    let list = store.list(&Range::default()).expect("an empty list");
    assert_eq!((list.revision, list.records.len(), list.more), (0, 0, false));
    assert_eq!(store.commit(vec![]).await, Ok(0), "a commit of nothing changes nothing");
}

pub(super) async fn a_write_is_read_back(store: &dyn Store) {
    assert_eq!(set(store, "/a/x", "one").await, 1);
    assert_eq!(set(store, "/a/y", "other").await, 2);
    assert_eq!(set(store, "/a/x", "two").await, 3);
    assert_eq!(store.revision(), 3);
    let x = store.get("/a/x").expect("it was written");
    assert_eq!((text(&x), x.revision, x.created, &*x.key), ("two", 3, 1, "/a/x"));
    assert_eq!(delete(store, "/a/x").await, 4);
    assert!(store.get("/a/x").is_none());
    assert_eq!(set(store, "/a/x", "three").await, 5);
    assert_eq!(store.get("/a/x").expect("it is back").created, 5, "a key that was deleted is created anew");
    for (value, at, whole) in [("{\"v\":\"\"}", 6, "{\"v\":\"6\"}"), ("end", 3, "end7"), ("start", 0, "8start"), ("", 0, "9")] {
        let change = Change::Put { value: Bytes::copy_from_slice(value.as_bytes()), revision_at: Some(at) };
        store.commit(vec![op("/a/z", Expect::Any, change)]).await.expect("the offset is inside");
        assert_eq!(text(&store.get("/a/z").expect("it was written")), whole);
    }
    assert_eq!(store.get("/a/y").expect("untouched").revision, 2);
}

pub(super) async fn expectations_guard(store: &dyn Store) {
    let conflict = |actual| Err(Error::Conflict { key: "/a/x".to_owned(), actual });
    let try_put = async |expect| store.commit(vec![op("/a/x", expect, put("v"))]).await;
    assert_eq!(try_put(Expect::Revision(1)).await, conflict(None));
    assert_eq!(try_put(Expect::Revision(0)).await, conflict(None), "no record has revision 0");
    assert_eq!(try_put(Expect::Absent).await, Ok(1));
    assert_eq!(try_put(Expect::Absent).await, conflict(Some(1)));
    assert_eq!(try_put(Expect::Revision(1)).await, Ok(2));
    assert_eq!(try_put(Expect::Revision(1)).await, conflict(Some(2)));
    assert_eq!(try_put(Expect::Revision(3)).await, conflict(Some(2)));
    let try_delete = async |expect| store.commit(vec![op("/a/x", expect, Change::Delete)]).await;
    assert_eq!(try_delete(Expect::Revision(1)).await, conflict(Some(2)));
    assert_eq!(try_delete(Expect::Absent).await, conflict(Some(2)));
    assert_eq!(try_delete(Expect::Revision(2)).await, Ok(3));
    assert_eq!(try_delete(Expect::Revision(2)).await, conflict(None));
    assert_eq!(store.revision(), 3, "a refused commit takes no revision");
}

pub(super) async fn all_or_nothing(store: &dyn Store) {
    set(store, "/a/x", "1").await;
    let both = |expect| vec![op("/a/y", Expect::Absent, put("y")), op("/a/x", expect, put("2"))];
    assert!(matches!(store.commit(both(Expect::Absent)).await, Err(Error::Conflict { .. })));
    assert!(store.get("/a/y").is_none(), "nothing of a refused commit happens");
    assert_eq!(store.commit(both(Expect::Revision(1))).await, Ok(2));
    let (x, y) = (store.get("/a/x").expect("written"), store.get("/a/y").expect("written"));
    assert_eq!((x.revision, y.revision), (2, 2), "one commit, one revision");
    let guarded = |revision| vec![op("/a/y", Expect::Revision(revision), Change::Check), op("/a/x", Expect::Any, Change::Delete)];
    assert!(store.commit(guarded(1)).await.is_err(), "a check guards the other operations");
    assert_eq!(store.commit(guarded(2)).await, Ok(3));
    assert_eq!(store.get("/a/y").expect("a check changes nothing").revision, 2);
}

pub(super) async fn nothing_changed_takes_no_revision(store: &dyn Store) {
    set(store, "/a/x", "1").await;
    assert_eq!(store.commit(vec![op("/a/x", Expect::Revision(1), Change::Check)]).await, Ok(1));
    assert_eq!(store.commit(vec![op("/a/y", Expect::Absent, Change::Check)]).await, Ok(1));
    assert!(store.commit(vec![op("/a/x", Expect::Absent, Change::Check)]).await.is_err());
    assert_eq!(delete(store, "/a/y").await, 1, "deleting what is absent changes nothing");
    assert_eq!(set(store, "/a/x", "1").await, 2, "a put of the same value is a commit");
}

/// The store was made with values of at most 100 bytes.
pub(super) async fn malformed_commits_change_nothing(store: &dyn Store) {
    let long = "v".repeat(101);
    let error = store.commit(vec![op("/a/y", Expect::Any, put("y")), op("/a/x", Expect::Any, put(&long))]).await;
    assert_eq!(error, Err(Error::TooLarge { key: "/a/x".to_owned(), bytes: 101, max: 100 }));
    assert_eq!(set(store, "/a/x", &long[..100]).await, 1, "exactly the maximum is allowed");
    let beyond = Change::Put { value: Bytes::from_static(b"abc"), revision_at: Some(4) };
    let twice = vec![op("/a/x", Expect::Any, put("1")), op("/a/x", Expect::Any, Change::Delete)];
    for ops in [vec![op("/a/y", Expect::Any, beyond)], twice, vec![op("", Expect::Any, put("1"))]] {
        assert!(matches!(store.commit(ops).await, Err(Error::Invalid(_))));
    }
    assert_eq!(store.revision(), 1);
    assert!(store.get("/a/y").is_none());
}

/// The store was made for 8,000 bytes in all, and an eighth more for what must go on.
pub(super) async fn what_is_kept_is_bounded(store: &dyn Store) {
    let big = "v".repeat(2_000);
    for key in ["/a/1", "/a/2", "/a/3"] {
        set(store, key, &big).await;
    }
    let space = store.space();
    assert_eq!((space.max, space.used), (8_000, 3 * (2_000 + 4 + 256)));
    let refused = store.commit(vec![op("/a/4", Expect::Absent, put(&big))]).await;
    assert_eq!(refused, Err(Error::Full { used: space.used, max: space.max }));
    assert!(store.get("/a/4").is_none() && store.revision() == 3 && store.space() == space);
    let grown = "v".repeat(3_900);
    set(store, "/a/1", &grown).await;
    assert!(store.space().used > space.max, "what must go on may use a little more");
    // Whatever leaves no more than there was is never refused.
    set(store, "/a/1", &big).await;
    let swap = vec![op("/a/1", Expect::Any, Change::Delete), op("/a/5", Expect::Absent, put(&big))];
    assert!(store.commit(swap).await.is_ok());
    delete(store, "/a/2").await;
    set(store, "/a/4", &big).await;
    let whole = store.list(&Range::default()).expect("the present").records;
    assert_eq!(store.space().used, whole.iter().map(|r| 256 + r.key.len() + r.value.len()).sum::<usize>());
}

pub(super) async fn a_closed_store_still_reads(store: &dyn Store) {
    set(store, "/a/x", "1").await;
    store.close().await;
    store.close().await;
    let refused = store.commit(vec![op("/a/x", Expect::Any, put("2"))]).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(text(&store.get("/a/x").expect("still there")), "1");
    assert_eq!(store.list(&Range::default()).expect("still there").records.len(), 1);
}
