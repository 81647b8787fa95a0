//! Whole clusters driven by a seed: users, crashes, cut networks and bad disks; the laws hold at every step, and when all
//! works again the cluster comes to what was asked for. `SIMULATION_SEED=7` runs one seed, `SIMULATION_SEEDS=100-199` many.
//!
//! A seed decides everything: each cluster lives on one thread, in a time of its own that jumps to whatever is due next, and
//! draws its chances, names and ids from the seed. The same seed does the same again, event by event.
mod acts;
mod faults;
mod laws;
mod rest;
mod world;

use registry::options::DeleteOptions;
use shared::kinds::{NAMESPACE, POD, REPLICATION_CONTROLLER, SERVICE};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use world::World;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Seeds that `make test` runs.
const SEEDS: std::ops::Range<u64> = 0..600;
const STEPS: usize = 60;
/// Longer than the longest back-off.
const SETTLE_DEADLINE: Duration = Duration::from_secs(400);
const LOOK_EVERY: Duration = Duration::from_millis(250);

fn seeds() -> std::ops::Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a seed is a number");
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        return number(&seed)..number(&seed) + 1;
    }
    match std::env::var("SIMULATION_SEEDS") {
        Ok(range) => {
            let (first, last) = range.split_once('-').expect("FIRST-LAST");
            number(first)..number(last) + 1
        }
        Err(_) => SEEDS,
    }
}

#[test]
fn every_seed_keeps_the_laws_and_comes_to_rest() {
    let (seeds, failures, panics) = (seeds(), Mutex::new(Vec::new()), std::sync::Arc::new(AtomicU64::new(0)));
    // A panic inside the cluster is a failure even where the cluster survives it.
    let (count, before) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        count.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let (next, lived, began) = (AtomicU64::new(seeds.start), AtomicU64::new(0), std::time::Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let done = std::panic::catch_unwind(|| simulate(seed));
                    let outcome = done.map_or_else(
                        |_| Err("panicked".into()),
                        |done| {
                            lived.fetch_add(u64::try_from(done.time.as_millis()).unwrap_or(0), Ordering::SeqCst);
                            done.outcome
                        },
                    );
                    if let Err(why) = outcome {
                        println!("seed {seed}: {why}\n  again: SIMULATION_SEED={seed} cargo test --release --all-features -p e2e --test simulation");
                        failures.lock().expect("nobody panics with it").push(seed);
                    }
                    if seed % 10_000 == 9_999 {
                        println!("{} seeds after {:.0?}", seed + 1 - seeds.start, began.elapsed());
                    }
                }
            });
        }
    });
    let (real, lived) = (began.elapsed(), Duration::from_millis(lived.into_inner()));
    let (count, times) = (seeds.end - seeds.start, lived.as_secs_f64() / real.as_secs_f64());
    println!("{count} clusters lived {lived:.0?} in {real:.1?}: {times:.0} times as fast as real time");
    let failures = failures.into_inner().expect("nobody panicked with it");
    assert!(failures.is_empty(), "seeds that failed: {failures:?}");
    assert_eq!(panics.load(Ordering::SeqCst), 0, "something panicked inside a cluster");
}

/// When every simulation begins.
const BEGIN: i64 = 1_767_225_600;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// How far the wall clock was set forward or back, in seconds; nothing that waits should depend on it.
    pub static CLOCK_SET: Cell<i64> = const { Cell::new(0) };
}

/// The wall clock of the simulation on this thread.
fn simulated_now() -> jiff::Timestamp {
    let elapsed = BEGAN.get().map_or(Duration::ZERO, |began| began.elapsed());
    let begin = jiff::Timestamp::from_second(BEGIN + CLOCK_SET.get()).expect("a moment");
    begin.saturating_add(jiff::SignedDuration::try_from(elapsed).expect("a short time")).expect("a moment")
}

/// What came of a seed.
struct Lived {
    outcome: Result<(), String>,
    /// In the cluster's own time.
    time: Duration,
    /// Of every version of every object that there was.
    digest: u64,
}

/// Puts the thread back into the real world, also after a panic.
struct Simulated;

impl Drop for Simulated {
    fn drop(&mut self) {
        shared::simulated::end();
    }
}

fn simulate(seed: u64) -> Lived {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let _simulated = Simulated;
    runtime.block_on(async {
        let began = Instant::now();
        BEGAN.set(Some(began));
        CLOCK_SET.set(0);
        shared::simulated::begin(simulated_now, seed);
        let mut world = World::new(seed).await;
        let outcome = live(&mut world, seed).await;
        Lived { outcome, time: began.elapsed(), digest: world.digest() }
    })
}

async fn live(world: &mut World, seed: u64) -> Result<(), String> {
    acts::found(world).await?;
    world.set_faults(seed % 2 == 1);
    for step in 0..STEPS {
        let act = acts::act(world).await;
        world.check().map_err(|why| format!("step {step}, {act}: {why}"))?;
    }
    world.heal().await;
    settle(world, rest::settled).await.map_err(|why| format!("does not come to rest: {why}"))?;
    clear(world).await?;
    settle(world, empty).await.map_err(|why| format!("is not empty after all was deleted: {why}"))
}

#[test]
fn the_same_seed_does_the_same_again() {
    for seed in 0..6 {
        let (one, other) = (simulate(seed), simulate(seed));
        assert_eq!((one.time, one.digest), (other.time, other.digest), "seed {seed}");
    }
}

/// Waits until the cluster is as it must be, and goes on being so.
async fn settle(world: &World, wanted: fn(&World) -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    let mut good = 0;
    while good < 3 {
        world.check()?;
        match wanted(world) {
            Ok(()) => good += 1,
            Err(why) if began.elapsed() > SETTLE_DEADLINE => return Err(why),
            Err(_) => good = 0,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn clear(world: &World) -> Result<(), String> {
    for kind in [&REPLICATION_CONTROLLER, &SERVICE, &POD] {
        for object in world.all(kind).iter().filter(|o| o["metadata"]["namespace"] != "default") {
            let outcome = world.delete(kind, object, &DeleteOptions::default()).await;
            outcome.or_else(|s| if s.is_not_found() { Ok(()) } else { Err(s.message) })?;
        }
    }
    // Half of it all goes with its namespace.
    for namespace in world.all(&NAMESPACE).iter().filter(|n| n["metadata"]["name"] == "b") {
        world.delete(&NAMESPACE, namespace, &DeleteOptions::default()).await.map_err(|s| s.message)?;
    }
    Ok(())
}

fn empty(world: &World) -> Result<(), String> {
    rest::settled(world)?;
    for kind in [&POD, &REPLICATION_CONTROLLER] {
        if let Some(left) = world.all(kind).first() {
            return Err(format!("there is still {left}"));
        }
    }
    if let Some(left) = shared::kinds::KINDS
        .iter()
        .filter(|k| k.namespaced() && k.storage == shared::kinds::Storage::Stored)
        .find_map(|k| world.all(k).into_iter().find(|o| o["metadata"]["namespace"] == "b"))
    {
        return Err(format!("left of a deleted namespace: {left}"));
    }
    for machine in &world.machines {
        if let Some(left) = machine.engine.containers().first() {
            return Err(format!("{} still has {}", machine.name, left.name));
        }
    }
    let dirs = world.pod_dirs();
    if dirs.is_empty() { Ok(()) } else { Err(format!("directories of pods that are gone: {dirs:?}")) }
}
