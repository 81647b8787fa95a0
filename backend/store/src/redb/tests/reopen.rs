//! Closing and opening again: everything is there, history too, and nothing foreign is touched.
use super::*;

#[test]
fn keeps_every_promise() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    crate::conformance::run(|limits| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(number.to_string());
        // Every second store has a tiny log, so that segments turn and checkpoints run meanwhile.
        let base = if number % 2 == 1 { small() } else { Options::default() };
        let options = Options { history: limits.bounds, value_bytes_max: limits.max_value, bytes_max: limits.bytes_max, ..base };
        Arc::new(RedbStore::open(&path, options).unwrap())
    });
}

#[tokio::test]
async fn everything_is_there_after_reopening_and_revisions_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let store = RedbStore::open(&path, Bounds::default()).unwrap();
    store.commit(vec![put("/a", "1"), put("/b", "2")]).await.unwrap();
    let last =
        store.commit(vec![put("/a", "3"), Op { key: "/b".into(), expect: Expect::Revision(1), change: Change::Delete }]).await.unwrap();
    store.close().await;
    let store = RedbStore::open(&path, Bounds::default()).unwrap();
    let a = store.get("/a").unwrap();
    assert_eq!((&a.value[..], a.revision, a.created), (&b"3"[..], 2, 1));
    assert!(store.get("/b").is_none());
    assert_eq!(store.revision(), last);
    let told: Vec<_> = store.history(0, last).unwrap().iter().map(|e| (e.revision, e.previous.is_some(), e.current.is_some())).collect();
    assert_eq!(told, [(1, false, true), (1, false, true), (2, true, true), (2, true, false)], "a watch resumes over a restart");
    assert_eq!(store.commit(vec![put("/c", "4")]).await.unwrap(), last + 1);
}

#[tokio::test]
async fn checkpoints_keep_all_records_and_recent_history() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = std::collections::BTreeMap::new();
    let mut last = 0;
    for round in 0..5 {
        let store = RedbStore::open(directory.path(), small()).unwrap();
        assert_eq!(store.revision(), last);
        for step in 0..200 {
            let key = format!("/k/{}", (step * 7 + round) % 23);
            last = if step % 5 == 4 {
                model.remove(&key);
                store.commit(vec![delete(&key), put("/alive", &step.to_string())]).await.unwrap()
            } else {
                let created = model.get(&key).map_or(last + 1, |(created, _)| *created);
                model.insert(key.clone(), (created, format!("{round}-{step}")));
                store.commit(vec![put(&key, &format!("{round}-{step}"))]).await.unwrap()
            };
        }
        eventually("a first checkpoint", || directory.path().join(checkpoint::FILE).exists()).await;
        store.close().await;
        let store = RedbStore::open(directory.path(), small()).unwrap();
        let list = store.list(&Range { prefix: "/k/".to_owned(), ..Range::default() }).unwrap();
        let found: Vec<_> =
            list.records.iter().map(|r| (r.key.to_string(), (r.created, String::from_utf8_lossy(&r.value).into()))).collect();
        assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>(), "round {round}");
        let oldest = match store.watch(1) {
            Err(Error::Compacted { oldest, .. }) => oldest,
            other => panic!("the log is long enough for a checkpoint: {:?}", other.err()),
        };
        assert!(oldest < last, "some history remains");
        let revisions: std::collections::BTreeSet<_> = store.history(oldest, last).unwrap().iter().map(|event| event.revision).collect();
        assert_eq!(revisions, (oldest + 1..=last).collect(), "what remains has no gap");
    }
    let _store = RedbStore::open(directory.path(), small()).unwrap();
    let segments = || std::fs::read_dir(directory.path()).unwrap().count();
    eventually("old segments are removed", || segments() < 10).await;
}

#[tokio::test]
async fn forgotten_history_stays_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path(), small()).unwrap();
    for step in 0..6 {
        store.commit(vec![put("/a", &step.to_string())]).await.unwrap();
    }
    store.compact(4).await.unwrap();
    drop(store);
    let store = RedbStore::open(directory.path(), small()).unwrap();
    assert_eq!(store.watch(3).err(), Some(Error::Compacted { asked: 3, oldest: 4 }));
    assert_eq!(store.history(4, 6).unwrap().len(), 2);
}

#[test]
fn a_newer_format_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let head = group::Header { format: 99, salt: 7, base: 0 }.encode();
    std::fs::write(directory.path().join("log-00000000000000000000"), head).unwrap();
    let error = RedbStore::open(directory.path(), Bounds::default()).err().unwrap().to_string();
    assert!(error.contains("format 99"), "{error}");
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [("log-00000000000000000000", &[b'x'; 200][..]), ("objects.redb", b"not a database at all")] {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = RedbStore::open(directory.path(), Bounds::default()).err().unwrap();
        assert!(matches!(error, OpenError::File { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
        std::fs::remove_file(path).unwrap();
    }
    let file = directory.path().join("plain");
    std::fs::write(&file, "x").unwrap();
    assert!(RedbStore::open(&file, Bounds::default()).err().unwrap().to_string().contains("a directory is expected"));
}

#[test]
fn two_processes_cannot_share_the_data() {
    let directory = tempfile::tempdir().unwrap();
    let first = RedbStore::open(directory.path(), small()).unwrap();
    let second = RedbStore::open(directory.path(), small()).err();
    assert!(matches!(second, Some(OpenError::InUse { .. })), "{second:?}");
    drop(first);
    assert!(RedbStore::open(directory.path(), small()).is_ok());
}
