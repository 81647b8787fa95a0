//! A log whose end was torn opens without it; a log that lost what was acknowledged does not open.
use super::*;
use std::fs;
use std::path::PathBuf;

const COMMITS: u64 = 5;

/// A directory with one segment of five commits; the segment's path, and where each group ends.
async fn written(directory: &Path) -> (PathBuf, Vec<usize>) {
    let store = RedbStore::open(directory, Options { durability: Durability::Relaxed, ..Options::default() }).unwrap();
    for step in 1..=COMMITS {
        store.commit(vec![put("/a", &"v".repeat(usize::try_from(step).unwrap() * 7))]).await.unwrap();
    }
    store.close().await;
    let path = directory.join("log-00000000000000000000");
    let bytes = fs::read(&path).unwrap();
    let header = group::Header::decode(&bytes).unwrap();
    let mut ends = vec![group::HEADER_BYTES];
    while let Some(group) = group::decode(&bytes, header.salt, *ends.last().unwrap()) {
        ends.push(group.end);
    }
    (path, ends)
}

fn reopened(directory: &Path) -> Result<Revision, OpenError> {
    RedbStore::open(directory, Options { durability: Durability::Relaxed, ..Options::default() }).map(|store| store.revision())
}

#[tokio::test]
async fn a_log_cut_anywhere_in_its_last_group_opens_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, ends) = written(directory.path()).await;
    let whole = fs::read(&path).unwrap();
    let [.., start, end] = ends[..] else { panic!("five groups") };
    for cut in start..end {
        // Shorter, or zeros where the rest was to come, or a flipped bit in what came last.
        let mut shorter = whole.clone();
        shorter.truncate(cut);
        let mut zeros = whole.clone();
        zeros[cut..].fill(0);
        let mut flipped = whole.clone();
        flipped[cut] ^= 0x10;
        for (how, bytes) in [("shorter", shorter), ("zeros", zeros), ("flipped", flipped)] {
            fs::write(&path, &bytes).unwrap();
            // The zeros that fill up a group's last eight bytes mean nothing.
            let in_padding = cut >= end - 8;
            let expected = [COMMITS - 1, if in_padding { COMMITS } else { COMMITS - 1 }];
            let revision = reopened(directory.path()).unwrap_or_else(|error| panic!("{how} at {cut}: {error}"));
            assert!(expected.contains(&revision), "{how} at {cut}: {revision}");
            // What was cut off does not come back, and the log goes on.
            let store = RedbStore::open(directory.path(), small()).unwrap();
            assert_eq!(store.commit(vec![put("/b", "new")]).await, Ok(revision + 1));
            drop(store);
            assert_eq!(reopened(directory.path()), Ok(revision + 1));
        }
    }
}

#[tokio::test]
async fn damage_before_the_last_group_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, ends) = written(directory.path()).await;
    let whole = fs::read(&path).unwrap();
    for at in 0..ends[ends.len() - 2] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        fs::write(&path, &bytes).unwrap();
        match reopened(directory.path()) {
            Err(error) => assert!(matches!(error, OpenError::File { .. } | OpenError::Format { .. }), "{error}"),
            // The bytes between groups, and after the header's fields, mean nothing.
            Ok(revision) => assert_eq!(revision, COMMITS, "byte {at}"),
        }
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(reopened(directory.path()), Ok(COMMITS));
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { log_bytes_max: 1 << 20, ..small() };
    let store = RedbStore::open(directory.path(), options).unwrap();
    for _ in 0..40 {
        store.commit(vec![put("/a", &"v".repeat(200))]).await.unwrap();
    }
    store.close().await;
    let files = RealFiles::open(directory.path(), Durability::Relaxed).unwrap().unwrap();
    let names = log::segment_names(&files).unwrap();
    drop(files);
    assert!(names.len() > 3, "{names:?}");
    for name in &names[..names.len() - 1] {
        let content = fs::read(directory.path().join(name)).unwrap();
        fs::remove_file(directory.path().join(name)).unwrap();
        assert!(matches!(reopened(directory.path()), Err(OpenError::File { .. })), "without {name}");
        fs::write(directory.path().join(name), content).unwrap();
    }
    assert_eq!(reopened(directory.path()), Ok(40));
}
