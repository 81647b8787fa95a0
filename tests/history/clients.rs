//! Random clients and watchers of a store, and the history that comes of them.
use crate::record::{Asked, Call, Change, Delivery, Ending, FutureWatch, History, Order, Put, Revision, Told, Version, Watched};
use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use store::{Change as StoreChange, Error, Event, Expect, Op, Range, Snapshot, Store};

const CLIENTS: u64 = 5;
const WATCHERS: u64 = 5;
const KEYS: u64 = 6;
const PREFIX: &str = "/k/";
/// Far longer than any watcher sleeps.
const STARVED: Duration = Duration::from_secs(5);

/// A store that can be made to start again.
#[async_trait]
pub trait Subject: Send + Sync {
    fn store(&self) -> Arc<dyn Store>;
    /// Ends it as a crash would, and starts it again.
    async fn crash(&self);
}

struct Run {
    subject: Arc<dyn Subject>,
    order: Order,
    /// The only source of values: each is put once.
    values: AtomicU64,
    calls: Mutex<Vec<Call>>,
    watches: Mutex<Vec<Watched>>,
    futures: Mutex<Vec<FutureWatch>>,
    /// Counts crashes; a watch of an earlier life is over.
    life: AtomicU64,
    finished: AtomicBool,
    pace: Duration,
}

fn states(snapshot: &Snapshot) -> BTreeMap<String, Version> {
    snapshot.records.iter().map(|r| (r.key.to_string(), (r.revision, String::from_utf8_lossy(&r.value).into_owned()))).collect()
}

fn all(at: Option<Revision>) -> Range {
    Range { prefix: PREFIX.into(), at, ..Range::default() }
}

/// Lets clients loose on a subject for a number of lives, and returns what they saw. `pace` is the longest pause of anybody.
pub async fn run(subject: Arc<dyn Subject>, seed: u64, lives: u64, calls: usize, pace: Duration) -> History {
    let store = subject.store();
    let first = store.list(&all(None)).expect("a list");
    let run = Arc::new(Run {
        subject,
        order: Order::default(),
        values: AtomicU64::new(0),
        calls: Mutex::default(),
        watches: Mutex::default(),
        futures: Mutex::default(),
        life: AtomicU64::new(0),
        finished: AtomicBool::new(false),
        pace,
    });
    let truth = tokio::spawn(observe(run.clone(), first.revision));
    for life in 0..lives {
        let random = |number: u64| SmallRng::seed_from_u64(seed.wrapping_mul(1000) + life * 100 + number);
        let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(run.clone(), random(n), calls))).collect();
        let watchers: Vec<_> = (0..WATCHERS).map(|n| tokio::spawn(watcher(run.clone(), random(50 + n)))).collect();
        for client in clients {
            client.await.expect("a client does not panic");
        }
        if life + 1 == lives {
            run.finished.store(true, Ordering::SeqCst);
        } else {
            run.life.fetch_add(1, Ordering::SeqCst);
            run.subject.crash().await;
        }
        for watcher in watchers {
            watcher.await.expect("a watcher does not panic");
        }
    }
    let truth = truth.await.expect("the observer does not panic");
    let last = run.subject.store().list(&all(None)).expect("a list");
    let take = |m: &Mutex<Vec<Watched>>| std::mem::take(&mut *m.lock());
    History {
        before: states(&first),
        base: first.revision,
        calls: std::mem::take(&mut *run.calls.lock()),
        watches: take(&run.watches),
        futures: std::mem::take(&mut *run.futures.lock()),
        after: states(&last),
        last: last.revision,
        truth,
        gapless: true,
    }
}

impl Run {
    async fn pause(&self, random: &mut SmallRng) {
        let time = self.pace.mul_f64(random.random_range(0.0..1.0));
        tokio::time::sleep(time).await;
    }

    /// A client asks; the store hears of it a little later.
    async fn begin(&self, random: &mut SmallRng) -> u64 {
        let start = self.order.tick();
        self.pause(random).await;
        start
    }

    /// The store has answered; the client hears of it a little later.
    async fn finish(&self, random: &mut SmallRng, start: u64, asked: Asked, told: Told) {
        self.pause(random).await;
        self.calls.lock().push(Call { start, end: self.order.tick(), asked, told });
    }
}

fn key(random: &mut SmallRng) -> String {
    format!("{PREFIX}{}", random.random_range(0..KEYS))
}

async fn client(run: Arc<Run>, mut random: SmallRng, calls: usize) {
    for _ in 0..calls {
        let random = &mut random;
        match random.random_range(0..100) {
            0..50 => write(&run, random).await,
            50..75 => {
                let key = key(random);
                let start = run.begin(random).await;
                let version = run.subject.store().get(&key).map(|r| (r.revision, String::from_utf8_lossy(&r.value).into_owned()));
                run.finish(random, start, Asked::Get(key), Told::Value(version)).await;
            }
            75..92 => {
                let back = random.random_range(0..30);
                let at = (back > 15).then(|| run.subject.store().revision().saturating_sub(back - 15).max(1));
                let start = run.begin(random).await;
                let told = list(&*run.subject.store(), at);
                run.finish(random, start, Asked::List { at }, told).await;
            }
            92..95 => border(&run, random).await,
            95..97 => {
                let from = run.subject.store().revision() + 1000;
                let accepted = run.subject.store().watch(from).is_ok();
                run.futures.lock().push(FutureWatch { from, accepted });
            }
            _ => run.pause(random).await,
        }
    }
}

fn list(store: &dyn Store, at: Option<Revision>) -> Told {
    match store.list(&all(at)) {
        Ok(snapshot) => Told::Listed { revision: snapshot.revision, state: states(&snapshot) },
        Err(Error::Compacted { oldest, .. }) => Told::Compacted { oldest },
        Err(_) => Told::Unknown,
    }
}

async fn write(run: &Run, random: &mut SmallRng) {
    let count = if random.random_range(0..3) == 0 { 2 } else { 1 };
    let mut puts: Vec<Put> = Vec::new();
    for _ in 0..count {
        let key = key(random);
        if !puts.iter().any(|p| p.key == key) {
            let value = (random.random_range(0..100) < 70).then(|| format!("v{}", run.values.fetch_add(1, Ordering::SeqCst)));
            puts.push(Put { key, value });
        }
    }
    let guarded = random.random_range(0..2) == 0;
    let start = run.begin(random).await;
    let told = commit(&*run.subject.store(), &puts, guarded).await;
    run.finish(random, start, Asked::Write(puts), told).await;
}

async fn commit(store: &dyn Store, puts: &[Put], guarded: bool) -> Told {
    let expect = |key: &str| match store.get(key) {
        _ if !guarded => Expect::Any,
        Some(record) => Expect::Revision(record.revision),
        None => Expect::Absent,
    };
    let change = |value: &Option<String>| match value {
        Some(text) => StoreChange::Put { value: text.clone().into(), revision_at: None },
        None => StoreChange::Delete,
    };
    let ops: Vec<Op> = puts.iter().map(|p| Op { key: p.key.as_str().into(), expect: expect(&p.key), change: change(&p.value) }).collect();
    // Between looking and writing others may write.
    tokio::task::yield_now().await;
    match store.commit(ops).await {
        Ok(revision) => Told::Written(revision),
        Err(Error::Conflict { key, actual }) => Told::Refused { key, actual: Some(actual) },
        Err(_) => Told::Unknown,
    }
}

/// What goes wrong most easily: history is forgotten up to a revision, a watch begins there, and the next thing is a deletion.
async fn border(run: &Arc<Run>, random: &mut SmallRng) {
    let store = run.subject.store();
    let upto = store.revision().saturating_sub(random.random_range(0..3));
    if upto == 0 {
        return;
    }
    let start = run.begin(random).await;
    let told = store.compact(upto).await.map_or(Told::Unknown, |()| Told::Done);
    run.finish(random, start, Asked::Compact(upto), told).await;
    let watching = tokio::spawn(follow(run.clone(), SmallRng::seed_from_u64(upto), upto));
    let puts = vec![Put { key: key(random), value: None }];
    let start = run.begin(random).await;
    let told = commit(&*run.subject.store(), &puts, false).await;
    run.finish(random, start, Asked::Write(puts), told).await;
    // It goes on by itself until this life ends.
    drop(watching);
}

async fn watcher(run: Arc<Run>, mut random: SmallRng) {
    let life = run.life.load(Ordering::SeqCst);
    while run.life.load(Ordering::SeqCst) == life && !run.finished.load(Ordering::SeqCst) {
        run.pause(&mut random).await;
        let from = run.subject.store().revision().saturating_sub(random.random_range(0..15)).max(1);
        follow(run.clone(), SmallRng::seed_from_u64(random.random()), from).await;
    }
}

fn changes(events: &[Event]) -> Vec<Change> {
    let value = |e: &Event| e.current.as_ref().map(|r| String::from_utf8_lossy(&r.value).into_owned());
    events.iter().map(|e| Change { revision: e.revision, key: e.key.to_string(), value: value(e) }).collect()
}

/// Watches for a while, sometimes slowly, and records it; to the last revision when the run ends meanwhile.
async fn follow(run: Arc<Run>, mut random: SmallRng, from: Revision) {
    let (life, slow, long) = (run.life.load(Ordering::SeqCst), random.random_range(0..3), random.random_range(1..60));
    let store = run.subject.store();
    let start = run.order.tick();
    let mut watched = Watched { start, from, deliveries: Vec::new(), ending: Ending::Open, end: 0 };
    match store.watch(from) {
        Err(Error::Compacted { oldest, .. }) => watched.ending = Ending::Compacted { oldest },
        // Somebody else's history ended before that revision: a crash came between.
        Err(_) => return,
        Ok(mut watch) => {
            for _ in 0..long {
                if run.life.load(Ordering::SeqCst) != life {
                    break;
                }
                if slow == 0 {
                    tokio::time::sleep(run.pace * 40).await;
                }
                let done = run.finished.load(Ordering::SeqCst);
                if done && watch.revision() >= store.revision() {
                    break;
                }
                match tokio::time::timeout(run.pace * 20, watch.next()).await {
                    Ok(Ok(events)) => {
                        let upto = watch.revision();
                        watched.deliveries.push(Delivery { at: run.order.tick(), changes: changes(&events), upto });
                    }
                    Ok(Err(Error::Compacted { oldest, .. })) => {
                        watched.ending = Ending::Compacted { oldest };
                        break;
                    }
                    Ok(Err(_)) => break,
                    // Nothing came for a while although something is due.
                    Err(_) if done && store.revision() > watch.revision() => {
                        watched.ending = Ending::Starved;
                        break;
                    }
                    Err(_) => {}
                }
            }
        }
    }
    watched.end = run.order.tick();
    if run.life.load(Ordering::SeqCst) == life {
        run.watches.lock().push(watched);
    }
}

/// Watches from the first revision to the last, over crashes: what really happened, as far as anybody could see.
async fn observe(run: Arc<Run>, base: Revision) -> Vec<Change> {
    let (mut truth, mut position, mut idle) = (Vec::new(), base.max(1), Duration::ZERO);
    if base == 0 {
        position = 0;
    }
    let step = run.pace;
    loop {
        let (store, life) = (run.subject.store(), run.life.load(Ordering::SeqCst));
        let watch = store.watch(position);
        let Ok(mut watch) = watch else {
            if run.finished.load(Ordering::SeqCst) {
                return truth;
            }
            tokio::time::sleep(step).await;
            continue;
        };
        while run.life.load(Ordering::SeqCst) == life {
            match tokio::time::timeout(step, watch.next()).await {
                Ok(Ok(events)) => {
                    truth.extend(changes(&events));
                    position = position.max(watch.revision());
                    idle = Duration::ZERO;
                }
                Ok(Err(_)) => break,
                Err(_) => {
                    idle += step;
                    let caught_up = watch.revision() >= store.revision();
                    if run.finished.load(Ordering::SeqCst) && (caught_up || idle > STARVED) {
                        return truth;
                    }
                }
            }
        }
        tokio::task::yield_now().await;
    }
}
