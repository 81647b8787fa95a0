//! The layout on disk stays what it is until its version is raised; older ones are upgraded and kept, newer ones refused.
use super::*;
use crate::stage::Staged;
use std::collections::BTreeMap;
use std::fs;

const SEGMENT: &str = "log-00000000000000000000";
/// A segment of layout 1, up to its last group: `/a` = `one` at revision 1, then `/a` deleted and `/b` = `two` at 2.
const TODAY: &str = "70696c6f746c6f6701000000c49164720700000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
0000000007000000000000002b000000d3b24958010068e5cf8b010000010000000000000001000000010100000000000000020000002f6103000000\
6f6e65000000000007000000000000003200000091dddbe4010068e5cf8b01000002000000000000000200000002020000002f610102000000000000\
00020000002f620300000074776f000000000000";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same commits as this program writes them.
fn written() -> Vec<u8> {
    let mut state = State::default();
    let first = crate::stage::apply(&mut state, vec![put("/a", "one")]);
    let second = crate::stage::apply(&mut state, vec![delete("/a"), put("/b", "two")]);
    let mut bytes = group::Header { format: group::FORMAT, salt: 7, base: 0 }.encode();
    for commit in [first, second] {
        let commits: [Staged; 1] = [commit];
        let mut group = Vec::new();
        group::encode_commits(&mut group, 7, bytes.len(), &commits, 1_700_000_000_000);
        bytes.extend(group);
    }
    bytes
}

fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn content(path: &Path) -> Vec<(String, Revision, Vec<u8>)> {
    let store = RedbStore::open(path, small()).unwrap();
    let records = store.list(&Range::default()).unwrap().records;
    records.iter().map(|record| (record.key.to_string(), record.revision, record.value.to_vec())).collect()
}

#[test]
fn a_segment_written_today_is_the_one_of_the_fixture() {
    assert_eq!(hex(&written()), TODAY, "another layout needs another FORMAT, a step in format.rs and a fixture here");
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..TODAY.len()).step_by(2).map(|at| u8::from_str_radix(&TODAY[at..at + 2], 16).unwrap()).collect();
    fs::write(directory.path().join(SEGMENT), bytes).unwrap();
    assert_eq!(content(directory.path()), [("/b".to_owned(), 2, b"two".to_vec())]);
}

/// A directory of layout 0 with a checkpoint and several segments, and what is in it.
async fn old(path: &Path) -> Vec<(String, Revision, Vec<u8>)> {
    let store = RedbStore::open(path, small()).unwrap();
    for number in 0..60 {
        store.commit(vec![put(&format!("/k/{}", number % 7), &"v".repeat(200 + number))]).await.unwrap();
    }
    eventually("a checkpoint", || path.join(checkpoint::FILE).exists()).await;
    store.close().await;
    let truth = content(path);
    let files = RealFiles::open(path, Durability::Relaxed).unwrap().unwrap();
    checkpoint::number(&files, 0).unwrap();
    for name in log::segment_names(&files).unwrap() {
        let file = files.open(&name).unwrap();
        let header = group::Header::decode(&files::read_all(&*file).unwrap()).unwrap();
        file.write_at(0, &group::Header { format: 0, ..header }.encode()).unwrap();
    }
    truth
}

#[tokio::test]
async fn older_data_are_upgraded_and_kept_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let truth = old(&path).await;
    let mut before = files(&path);
    assert_eq!(content(&path), truth);
    let kept = directory.path().join("rollback/format-0");
    let mut copy = files(&kept);
    // redb notes in its own head that it was opened; the rest is byte for byte what it was.
    let (was, is) = (before.remove(checkpoint::FILE).unwrap(), copy.remove(checkpoint::FILE).unwrap());
    assert_eq!((was.len(), before), (is.len(), copy));
    assert!(super::super::verify(&path).unwrap().faults.is_empty());

    // Cut short and started again: what was kept first stays, and what is done already is not done again.
    let files = RealFiles::open(&path, Durability::Relaxed).unwrap().unwrap();
    let newest = log::segment_names(&files).unwrap().pop().unwrap();
    let file = files.open(&newest).unwrap();
    let header = group::Header::decode(&files::read_all(&*file).unwrap()).unwrap();
    file.write_at(0, &group::Header { format: 0, ..header }.encode()).unwrap();
    drop(files);
    fs::write(kept.join("mark"), "the first").unwrap();
    assert_eq!(content(&path), truth);
    assert!(kept.join("mark").exists());
}

#[tokio::test]
async fn the_copy_is_a_way_back() {
    let directory = tempfile::tempdir().unwrap();
    let (path, kept) = (directory.path().join("store"), directory.path().join("rollback/format-1"));
    let bytes = group::Header { format: 2, salt: 7, base: 0 }.encode();
    fs::create_dir(&path).unwrap();
    fs::write(path.join(SEGMENT), bytes).unwrap();
    let refusal = || RedbStore::open(&path, small()).err().unwrap().to_string();
    assert!(refusal().ends_with("has format 2, this program knows formats up to 1; start the program that wrote it"), "{}", refusal());
    fs::create_dir_all(&kept).unwrap();
    assert!(refusal().contains(&format!("put {} in its place", kept.display())), "{}", refusal());
}
