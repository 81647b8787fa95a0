//! How fast durable commits, opening and watch fan-out are, each beside its floor or peer measured in the same run.
use bytes::Bytes;
use redb::{Database, TableDefinition};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::redb::{Options, RedbStore};
use store::{Change, Expect, Op, Range, Store};

const VALUE_BYTES: usize = 2048;
const SAMPLES: usize = 2000;
const LOAD_TIME: Duration = Duration::from_secs(2);

fn main() {
    let directory = tempfile::tempdir_in(".").expect("a directory on the disk under test");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let floor = fdatasync(&directory.path().join("floor"));
    let peer = redb_commit(&directory.path().join("peer.redb"));
    println!("| what | ours | floor or peer | ratio |\n|---|---|---|---|");
    let store = open(&directory.path().join("data"));
    let mut times: Vec<_> = runtime.block_on(one_client(&*store));
    let (p50, p99) = percentiles(&mut times);
    println!("| durable create, 1 client, p50 | {p50:.0?} | fdatasync {floor:.0?} | {:.2} |", ratio(p50, floor));
    println!("| the same, over the floor | {:.0?} | redb commit {peer:.0?} | {:.2} |", p50.saturating_sub(floor), ratio(p50, peer));
    println!("| durable create, 1 client, p99 | {p99:.0?} | | |");
    for clients in [8, 64, 256] {
        let (rate, mut times) = runtime.block_on(load(store.clone(), clients));
        let (p50, p99) = percentiles(&mut times);
        let alone = 1.0 / floor.as_secs_f64();
        println!(
            "| durable create, {clients} clients | {rate:.0}/s, p50 {p50:.1?}, p99 {p99:.1?} | one by one {alone:.0}/s | {:.1} |",
            rate / alone
        );
    }
    let fanout = runtime.block_on(fan_out(store.clone()));
    println!("| commit answered → event at 1,000 watchers, last one, p99 | {fanout:.1?} | | |");
    runtime.block_on(store.close());
    drop(store);
    opening(&runtime, &directory.path().join("many"), &directory.path().join("empty"));
}

/// How many objects the opened directory holds.
fn objects() -> usize {
    std::env::var("STORE_BENCH_OBJECTS").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000)
}

fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(RedbStore::open(path, Options::default()).expect("the data directory opens"))
}

fn create(number: u64) -> Vec<Op> {
    let mut value = vec![b'x'; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_le_bytes());
    let change = Change::Put { value: Bytes::from(value), revision_at: Some(100) };
    vec![Op { key: format!("/pods/default/pod-{number}").into(), expect: Expect::Absent, change }]
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

async fn one_client(store: &dyn Store) -> Vec<Duration> {
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let ops = create(NUMBER.fetch_add(1, Ordering::Relaxed));
        let started = Instant::now();
        store.commit(ops).await.expect("a new key");
        times.push(started.elapsed());
    }
    times
}

async fn load(store: Arc<dyn Store>, clients: usize) -> (f64, Vec<Duration>) {
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < LOAD_TIME {
                    let ops = create(NUMBER.fetch_add(1, Ordering::Relaxed));
                    let sent = Instant::now();
                    store.commit(ops).await.expect("a new key");
                    times.push(sent.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no client panics"));
    }
    (times.len() as f64 / started.elapsed().as_secs_f64(), times)
}

/// From the answer of a commit until the slowest of 1,000 watchers has its event.
async fn fan_out(store: Arc<dyn Store>) -> Duration {
    const WATCHERS: usize = 1000;
    const ROUNDS: usize = 200;
    let (told, mut heard) = tokio::sync::mpsc::channel(WATCHERS);
    let tasks: Vec<_> = (0..WATCHERS)
        .map(|_| {
            let mut watch = store.watch(store.revision()).expect("a watch from now");
            let told = told.clone();
            tokio::spawn(async move {
                while let Ok(events) = watch.next().await {
                    for _ in events {
                        if told.send(()).await.is_err() {
                            return;
                        }
                    }
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        store.commit(create(NUMBER.fetch_add(1, Ordering::Relaxed))).await.expect("a new key");
        let answered = Instant::now();
        for _ in 0..WATCHERS {
            heard.recv().await.expect("watchers live");
        }
        times.push(answered.elapsed());
    }
    drop(heard);
    tasks.iter().for_each(|task| task.abort());
    percentiles(&mut times).1
}

fn opening(runtime: &tokio::runtime::Runtime, many: &Path, empty: &Path) {
    let started = Instant::now();
    let store = open(empty);
    println!("| open an empty directory | {:.1?} | | |", started.elapsed());
    runtime.block_on(store.close());
    let objects = objects();
    let store = open(many);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..64)
            .map(|client| {
                let store = store.clone();
                tokio::spawn(async move {
                    for number in (client..objects).step_by(64) {
                        store.commit(create(number as u64)).await.expect("a new key");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no client panics");
        }
        store.close().await;
    });
    drop(store);
    let started = Instant::now();
    let store = open(many);
    let time = started.elapsed();
    println!("| open with {objects} objects | {time:.1?} | aim 250 ms | {:.2} |", ratio(time, Duration::from_millis(250)));
    let started = Instant::now();
    const LISTS: u32 = 100;
    for _ in 0..LISTS {
        let list = store.list(&Range { prefix: "/pods/".to_owned(), limit: 2000, ..Range::default() }).expect("a list");
        assert_eq!(list.records.len(), 2000);
    }
    println!("| list 2,000 of {objects} | {:.1?} | | |", started.elapsed() / LISTS);
    runtime.block_on(store.close());
}

/// The disk's own pace: write and sync as much as one commit needs, in a file whose blocks exist.
fn fdatasync(path: &Path) -> Duration {
    let file = File::create(path).expect("a file");
    file.write_all_at(&vec![0; SAMPLES * VALUE_BYTES], 0).and_then(|()| file.sync_all()).expect("the disk has room");
    let mut times = Vec::new();
    for number in 0..SAMPLES {
        let started = Instant::now();
        file.write_all_at(&[b'x'; VALUE_BYTES], (number * VALUE_BYTES) as u64).and_then(|()| file.sync_data()).expect("the disk works");
        times.push(started.elapsed());
    }
    percentiles(&mut times).0
}

fn redb_commit(path: &Path) -> Duration {
    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");
    let database = Database::create(path).expect("a redb file");
    let mut times = Vec::new();
    for number in 0..300 {
        let started = Instant::now();
        let txn = database.begin_write().expect("a transaction");
        txn.open_table(TABLE).expect("a table").insert(number, &[b'x'; VALUE_BYTES][..]).expect("an insert");
        txn.commit().expect("a commit");
        times.push(started.elapsed());
    }
    percentiles(&mut times).0
}

fn percentiles(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn ratio(ours: Duration, other: Duration) -> f64 {
    ours.as_secs_f64() / other.as_secs_f64()
}
