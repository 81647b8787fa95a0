//! `kill -9` under load, again and again: what the dead process acknowledged is there, in order, once.
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use store::redb::{Options, RedbStore};
use store::{Change, Error, Expect, Op, Range, Revision, Store};

/// Set in the process that is to be killed: its data directory.
const DIRECTORY: &str = "STORE_KILL_DIRECTORY";
const CLIENTS: usize = 16;
const ROUNDS: usize = 6;
/// How many answers of a round are awaited before the kill, so that it falls into full work.
const ANSWERS: usize = 700;

/// Small segments, so that the kill also meets checkpoints.
fn open(path: &Path) -> RedbStore {
    let options = Options { segment_bytes: 16 << 10, log_bytes_max: 64 << 10, ..Options::default() };
    RedbStore::open(path, options).expect("the data opens, whenever the process before was killed")
}

/// Not a test by itself: the process that writes until it is killed. Prints each answer: client, number, revision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let store = Arc::new(open(Path::new(&directory)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let store = store.clone();
            tokio::spawn(async move {
                let key: Arc<str> = format!("/c/{client:02}").into();
                loop {
                    let now = store.get(&key);
                    let number = now.as_ref().map_or(1, |record| number(&record.value) + 1);
                    let expect = now.map_or(Expect::Absent, |record| Expect::Revision(record.revision));
                    let change = Change::Put { value: format!("{number} {}", "x".repeat(200)).into(), revision_at: None };
                    let revision = store.commit(vec![Op { key: key.clone(), expect, change }]).await.expect("nobody else writes it");
                    println!("answer {client} {number} {revision}");
                }
            })
        })
        .collect();
    // They write until this process is killed.
    futures::future::join_all(clients).await;
}

fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("text");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number first")
}

/// What the writer said before it was killed: client, number, revision.
fn run_and_kill(directory: &Path) -> Vec<(usize, u64, Revision)> {
    let mut child = Command::new(std::env::current_exe().expect("this test's own program"))
        .args(["--exact", "writer", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut answers = Vec::new();
    let mut killed = false;
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while output.read_line(&mut line).expect("text") > 0 {
        // A line that the kill cut short says nothing.
        let whole = line.strip_suffix('\n').unwrap_or_default();
        let words: Vec<_> = whole.split(' ').collect();
        if let ["answer", client, number, revision] = words[..]
            && let (Ok(client), Ok(number), Ok(revision)) = (client.parse(), number.parse(), revision.parse())
        {
            answers.push((client, number, revision));
        }
        if answers.len() >= ANSWERS && !killed {
            child.kill().expect("it runs");
            killed = true;
        }
        line.clear();
    }
    child.wait().expect("it has ended");
    assert!(killed, "the writer ended by itself after {} answers", answers.len());
    answers
}

#[tokio::test]
async fn no_acknowledged_write_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut before: Revision = 0;
    let mut numbers: BTreeMap<usize, u64> = BTreeMap::new();
    for round in 0..ROUNDS {
        let answers = run_and_kill(directory.path());
        let revisions: BTreeSet<_> = answers.iter().map(|(_, _, revision)| *revision).collect();
        assert_eq!(revisions.len(), answers.len(), "no revision is given twice");
        assert!(revisions.first().is_some_and(|first| *first > before), "nor again after a restart");
        for (client, number, _) in &answers {
            let known = numbers.entry(*client).or_default();
            *known = (*number).max(*known);
        }
        let store = open(directory.path());
        let current = store.revision();
        assert!(revisions.last().is_some_and(|last| *last <= current), "round {round}: the newest answer is there");
        let list = store.list(&Range { prefix: "/c/".to_owned(), ..Range::default() }).expect("a list");
        for (client, answered) in &mut numbers {
            let record = store.get(&format!("/c/{client:02}")).expect("each client wrote");
            let stored = number(&record.value);
            assert!(stored == *answered || stored == *answered + 1, "round {round}: client {client} has {stored}, was told {answered}");
            *answered = stored;
        }
        let total: u64 = list.records.iter().map(|record| number(&record.value)).sum();
        assert_eq!(total, current, "each revision is exactly one client's write");
        resume(&store, current).await;
        before = current;
        store.close().await;
    }
}

/// A watch over the restart: gap-free, in order, each event chained to the one before it.
async fn resume(store: &RedbStore, current: Revision) {
    let oldest = match store.watch(1) {
        Err(Error::Compacted { oldest, .. }) => oldest,
        _ => 1,
    };
    assert!(oldest < current, "recent history is kept");
    let mut watch = store.watch(oldest).expect("the oldest kept");
    let mut next = oldest + 1;
    while watch.revision() < current {
        for event in watch.next().await.expect("it is open") {
            assert_eq!(event.revision, next, "no gap, no duplicate");
            let after = event.current.as_ref().map(|record| number(&record.value)).expect("only puts");
            let before = event.previous.as_ref().map_or(0, |record| number(&record.value));
            assert_eq!(after, before + 1, "no lost update");
            next += 1;
        }
    }
}
