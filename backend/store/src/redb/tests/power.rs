//! Power cuts at every write, torn and reordered sectors, failing syncs, full disks, damaged logs.
use super::simdisk::{Fault, SimDisk};
use super::*;
use futures::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// The value of each key, after each commit.
type Model = Vec<BTreeMap<String, String>>;

/// More seeds than usual, for a long run.
fn seeds() -> u64 {
    std::env::var("STORE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3)
}

fn open(disk: &SimDisk) -> Result<RedbStore, OpenError> {
    RedbStore::open_files(Arc::new(disk.clone()), "simulated".to_owned(), small())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Commits one at a time until `count` or the first error, and returns how many were acknowledged. The model gets one
/// entry for each commit that was tried.
async fn work(store: &dyn Store, model: &mut Model, random: &mut StdRng, count: usize) -> u64 {
    let mut acknowledged = store.revision();
    for _ in 0..count {
        let mut state = model.last().unwrap().clone();
        let (key, other) = (format!("/k/{}", random.random_range(0..9)), format!("/o/{}", random.random_range(0..4)));
        let value = format!("{}-{}", model.len(), "v".repeat(random.random_range(0..300)));
        let mut ops = vec![put(&other, &value)];
        state.insert(other, value.clone());
        if random.random_bool(0.3) {
            state.remove(&key);
            ops.push(delete(&key));
        } else {
            state.insert(key.clone(), value.clone());
            ops.push(put(&key, &value));
        }
        model.push(state);
        match store.commit(ops).await {
            Ok(revision) => {
                assert_eq!(revision, acknowledged + 1, "revisions have no gap and are never reused");
                acknowledged = revision;
            }
            Err(error) => {
                assert!(matches!(error, Error::Unavailable(_)), "{error}");
                assert_eq!(store.revision(), acknowledged, "what failed is not visible");
                break;
            }
        }
    }
    acknowledged
}

/// Everything acknowledged is there, at most the one unanswered commit more, and history tells the same story.
fn verify(store: &RedbStore, model: &mut Model, acknowledged: u64, context: &str) {
    let revision = store.revision();
    assert!(revision >= acknowledged && revision <= acknowledged + 1, "{context}: {revision} after {acknowledged} acknowledged");
    let index = usize::try_from(revision).unwrap();
    assert!(index < model.len(), "{context}: revision {revision} was never written");
    model.truncate(index + 1);
    let at = |at| -> Result<BTreeMap<String, String>, Error> {
        let list = store.list(&Range { at: Some(at), ..Range::default() })?;
        Ok(list.records.iter().map(|r| (r.key.to_string(), String::from_utf8_lossy(&r.value).into_owned())).collect())
    };
    assert_eq!(at(revision).as_ref(), Ok(&model[index]), "{context}: state at {revision}");
    let oldest = match store.history(0, 0) {
        Err(Error::Compacted { oldest, .. }) => oldest,
        _ => 0,
    };
    let mut told: Vec<_> = store.history(oldest, revision).unwrap().iter().map(|event| event.revision).collect();
    told.dedup();
    assert_eq!(told, (oldest + 1..=revision).collect::<Vec<_>>(), "{context}: history has no gap");
    for past in oldest..revision {
        assert_eq!(at(past).as_ref(), Ok(&model[usize::try_from(past).unwrap()]), "{context}: state at {past}");
    }
}

#[test]
fn no_power_cut_loses_an_acknowledged_write() {
    const COMMITS: usize = 60;
    for seed in 0..seeds() {
        let whole = SimDisk::default();
        let count = runtime().block_on(async {
            let store = open(&whole).unwrap();
            work(&store, &mut vec![BTreeMap::new()], &mut StdRng::seed_from_u64(seed), COMMITS).await;
            let made = || whole.names().unwrap().iter().any(|name| name == checkpoint::FILE);
            eventually("the work is long enough for checkpoints", made).await;
            store.close().await;
            whole.steps()
        });
        assert!(count > 150, "{count} steps are too few to mean anything");
        for cut in 1..=count {
            let context = format!("seed {seed}, power cut at step {cut} of {count}");
            runtime().block_on(cut_twice(seed, cut, &context));
        }
    }
}

/// Cuts the power at a step of the work, and again while the next start recovers or goes on.
async fn cut_twice(seed: u64, cut: u64, context: &str) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut model: Model = vec![BTreeMap::new()];
    let disk = SimDisk::with_plan([(cut, Fault::PowerCut)]);
    let mut acknowledged = 0;
    if let Ok(store) = open(&disk) {
        acknowledged = work(&store, &mut model, &mut random, 60).await;
    }
    let again = disk.after_power_cut(seed ^ cut, [(random.random_range(1..60), Fault::PowerCut)]);
    match open(&again) {
        Ok(store) => {
            verify(&store, &mut model, acknowledged, context);
            acknowledged = work(&store, &mut model, &mut random, 20).await;
        }
        Err(error) => assert!(again.is_dark(), "{context}: {error}"),
    }
    let last = again.after_power_cut(seed + cut, []);
    let store = open(&last).unwrap_or_else(|error| panic!("{context}, then again: {error}"));
    verify(&store, &mut model, acknowledged, context);
    assert_eq!(work(&store, &mut model, &mut random, 10).await, store.revision());
}

#[test]
fn a_group_survives_whole_or_not_at_all() {
    const CLIENTS: usize = 12;
    for seed in 0..seeds() * 100 {
        runtime().block_on(async {
            let disk = SimDisk::with_plan([(5 + seed % 90, Fault::PowerCut)]);
            let store = open(&disk).unwrap();
            let mut answered = BTreeMap::new();
            let mut tried = 0;
            while !disk.is_dark() && tried < 2000 {
                // All of these wait at once, so that they become one or two groups.
                let commits: Vec<_> = (tried..tried + CLIENTS)
                    .map(|client| {
                        let (key, value) = (format!("/k/{client}"), "v".repeat(client % CLIENTS * 90));
                        let store = &store;
                        async move { (key.clone(), store.commit(vec![put(&key, &value), put(&format!("{key}/twin"), &value)]).await) }
                    })
                    .collect();
                tried += CLIENTS;
                for (key, result) in futures::future::join_all(commits).await {
                    if let Ok(revision) = result {
                        assert!(answered.insert(revision, key).is_none(), "a revision is given once");
                    }
                }
            }
            drop(store);
            let store = open(&disk.after_power_cut(seed, [])).unwrap();
            for (revision, key) in &answered {
                assert_eq!(store.get(key).map(|record| record.revision), Some(*revision), "seed {seed}: an answer was lost");
            }
            let list = store.list(&Range::default()).unwrap();
            let mut revisions = BTreeMap::<Revision, usize>::new();
            list.records.iter().for_each(|record| *revisions.entry(record.revision).or_default() += 1);
            let whole: BTreeMap<_, _> = (1..=store.revision()).map(|revision| (revision, 2)).collect();
            assert_eq!(revisions, whole, "seed {seed}: every commit up to the last is there with both its keys");
        });
    }
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged() {
    for after in 1..12 {
        runtime().block_on(async {
            let disk = SimDisk::default();
            let store = open(&disk).unwrap();
            let mut model: Model = vec![BTreeMap::new()];
            let mut random = StdRng::seed_from_u64(after);
            let mut acknowledged = work(&store, &mut model, &mut random, 5).await;
            let mut watch = store.watch(acknowledged).unwrap();
            let mut failed = false;
            // The fault meets a write, a sync or the keeper; whatever it meets, an answer stays true.
            disk.fail_after(after, Fault::Error);
            for _ in 0..40 {
                let before = acknowledged;
                acknowledged = work(&store, &mut model, &mut random, 1).await;
                if acknowledged == before {
                    model.pop();
                    failed = true;
                }
            }
            let told = watch.next().now_or_never();
            assert!(told.is_none_or(|told| told.is_ok_and(|events| events.iter().all(|event| event.revision <= acknowledged))));
            drop(store);
            let store = open(&disk.after_power_cut(after, [])).unwrap();
            // The commit whose sync failed was answered with an error and may or may not be there.
            assert!(store.revision() == acknowledged || (failed && store.revision() == acknowledged + 1));
            if store.revision() == acknowledged {
                verify(&store, &mut model, acknowledged, &format!("error after {after} steps"));
            }
        });
    }
}

#[test]
fn a_failed_sync_ends_writing_and_leaves_reading() {
    runtime().block_on(async {
        let disk = SimDisk::default();
        let store = open(&disk).unwrap();
        store.commit(vec![put("/a", "1")]).await.unwrap();
        let sync = disk.steps() + 2;
        disk.fail_after(2, Fault::Error);
        for _ in 0..3 {
            assert!(matches!(store.commit(vec![put("/a", "2")]).await, Err(Error::Unavailable(_))));
            assert_eq!((store.revision(), &store.get("/a").unwrap().value[..]), (1, &b"1"[..]));
        }
        assert!(matches!(store.compact(1).await, Err(Error::Unavailable(_))));
        assert_eq!(disk.steps(), sync, "nothing is written after a failed sync");
    });
}

#[test]
fn what_a_new_process_shows_survives_a_power_cut() {
    // The group whose sync failed is still in the page cache, where the next process reads it.
    runtime().block_on(async {
        for seed in 0..20 {
            let disk = SimDisk::default();
            let store = open(&disk).unwrap();
            assert_eq!(store.commit(vec![put("/a", "1")]).await, Ok(1));
            disk.fail_after(2, Fault::Error);
            assert!(store.commit(vec![put("/a", "2")]).await.is_err());
            drop(store);
            let store = open(&disk).unwrap();
            assert_eq!(store.revision(), 2, "the page cache has it");
            drop(store);
            let store = open(&disk.after_power_cut(seed, [])).unwrap();
            assert_eq!(store.revision(), 2, "it was shown, so it must stay");
        }
    });
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    runtime().block_on(async {
        let disk = SimDisk::default();
        let store = open(&disk).unwrap();
        let long = "v".repeat(3000);
        assert_eq!(store.commit(vec![put("/a", &long)]).await, Ok(1));
        disk.fail_after(1, Fault::Full);
        for _ in 0..3 {
            let refused = store.commit(vec![put("/a", &long), put("/b", &long)]).await;
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
            assert!(store.get("/b").is_none());
        }
        disk.heal();
        assert_eq!(store.commit(vec![put("/a", &long), put("/b", &long)]).await, Ok(2), "a full disk is no end");
        drop(store);
        let store = open(&disk.after_power_cut(1, [])).unwrap();
        assert_eq!((store.revision(), store.get("/b").is_some()), (2, true));
    });
}
