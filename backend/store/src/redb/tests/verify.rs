//! A look at a data directory finds every damage that matters, changes nothing, and finds nothing in sound ones.
use super::*;
use std::fs;
use std::sync::OnceLock;

const RECORDS: u64 = 60;
/// Damage is tried at about this many places of a file.
const PLACES: usize = 150;

fn record(number: u64, value: &str) -> Record {
    Record {
        key: format!("/k/{number:03}").into(),
        revision: number,
        created: number,
        value: value.to_owned().into(),
        view: OnceLock::new(),
    }
}

/// Keys, revisions and values.
type Content = Vec<(String, Revision, Vec<u8>)>;

fn content(records: &[Arc<Record>]) -> Content {
    records.iter().map(|r| (r.key.to_string(), r.revision, r.value.to_vec())).collect()
}

fn opened(path: &Path) -> Result<Content, OpenError> {
    let store = RedbStore::open(path, Options { durability: Durability::Relaxed, ..Options::default() })?;
    Ok(content(&store.list(&Range::default()).expect("now is always there").records))
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A planted checkpoint with a log on top of it.
async fn written(path: &Path) {
    let mut records = (1..=RECORDS).map(|n| Ok(record(n, &format!("planted {n}"))));
    RedbStore::plant(path, 1000, &mut records).unwrap();
    let store = RedbStore::open(path, small()).unwrap();
    assert_eq!(store.revision(), 1000);
    for step in 0..5 {
        store.commit(vec![put(&format!("/k/{step:03}"), "later"), delete(&format!("/k/{:03}", 50 + step))]).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn a_planted_store_is_sound_and_tells_watchers_of_the_past_to_list_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    written(&path).await;
    let found = verify::verify(&path).unwrap();
    assert_eq!((found.faults, found.revision), (vec![], 1005));
    assert_eq!(content(&found.records), opened(&path).unwrap());
    let store = RedbStore::open(&path, small()).unwrap();
    assert!(matches!(store.watch(60), Err(Error::Compacted { .. })));
    // Neither beside a running store, nor over another.
    assert!(matches!(verify::verify(&path), Err(OpenError::InUse { .. })));
    assert!(RedbStore::plant(&path, 1, &mut std::iter::empty()).is_err());
}

#[tokio::test]
async fn a_flipped_bit_is_found_or_means_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (sound, hurt) = (directory.path().join("sound"), directory.path().join("hurt"));
    written(&sound).await;
    let truth = opened(&sound).unwrap();
    for entry in fs::read_dir(&sound).unwrap() {
        let name = entry.unwrap().file_name();
        let whole = fs::read(sound.join(&name)).unwrap();
        // Everywhere in what is not zeros: zeros are space that is not used.
        let used: Vec<_> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
        let mut found = 0;
        for at in used.iter().step_by((used.len() / PLACES).max(1)) {
            copy(&sound, &hurt);
            let mut bytes = whole.clone();
            bytes[*at] ^= 0x08;
            fs::write(hurt.join(&name), &bytes).unwrap();
            let look = verify::verify(&hurt).unwrap();
            assert_eq!(fs::read(hurt.join(&name)).unwrap(), bytes, "a look changes nothing");
            found += usize::from(!look.faults.is_empty());
            let seen = content(&look.records);
            assert!(!look.faults.is_empty() || seen == truth || is_shorter(&seen, &name), "byte {at} of {name:?} goes unseen");
            if let Ok(served) = opened(&hurt) {
                assert!(served == truth || is_shorter(&served, &name), "byte {at} of {name:?} is served");
            }
        }
        assert!(found > 0 || name == "LOCK", "{name:?}");
    }
}

/// A flip in the last group of the log cannot be told from a write that was cut short.
fn is_shorter(seen: &Content, name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("log-") && seen.iter().any(|(_, revision, _)| *revision == 1004)
}

#[tokio::test]
async fn a_cut_checkpoint_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    written(&path).await;
    let whole = fs::read(path.join("objects.redb")).unwrap();
    for length in [0, 1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(path.join("objects.redb"), &whole[..length]).unwrap();
        assert!(!verify::verify(&path).unwrap().faults.is_empty(), "cut at {length}");
        assert!(matches!(opened(&path), Err(OpenError::File { .. })), "cut at {length}");
    }
}

#[tokio::test]
async fn a_log_and_a_checkpoint_that_disagree_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let (log, other) = (directory.path().join("log"), directory.path().join("other"));
    let store = RedbStore::open(&log, Options { durability: Durability::Relaxed, ..Options::default() }).unwrap();
    for number in 1..=5 {
        store.commit(vec![put(&format!("/k/{number:03}"), "truth")]).await.unwrap();
    }
    store.commit(vec![delete("/k/005")]).await.unwrap();
    store.close().await;
    let segment = "log-00000000000000000000";
    let with = |change: fn(u64) -> Option<Record>| {
        let _ = fs::remove_dir_all(&other);
        RedbStore::plant(&other, 6, &mut (1..=5).filter_map(change).map(Ok)).unwrap();
        fs::copy(log.join(segment), other.join(segment)).unwrap();
        verify::verify(&other).unwrap().faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // What a crash leaves between a checkpoint and the removal of its segments.
    assert_eq!(with(|n| (n < 5).then(|| record(n, "truth"))), [""; 0]);
    assert_eq!(with(|n| Some(record(n, "truth"))), [format!("objects.redb /k/005: has revision 5; {segment} has revision 6")]);
    let lie = with(|n| (n < 5).then(|| record(n, if n == 2 { "lie" } else { "truth" })));
    assert_eq!(lie, [format!("objects.redb /k/002: has another value; {segment} has revision 2")]);
    let lost = with(|n| (n < 5 && n != 3).then(|| record(n, "truth")));
    assert_eq!(lost, [format!("objects.redb /k/003: is absent; {segment} has revision 3")]);
}
