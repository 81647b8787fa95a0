//! Whole clusters driven by a seed: users, crashes, cut networks and bad disks; the laws hold at every step, and when all
//! works again the cluster comes to what was asked for. `SIMULATION_SEED=7` runs one seed, `SIMULATION_SEEDS=100-199` many.
//!
//! A seed decides what is done and what fails. Time is real, so that the order of what runs at once may differ from run to run.
mod acts;
mod faults;
mod laws;
mod rest;
mod world;

use registry::options::DeleteOptions;
use shared::kinds::{NAMESPACE, POD, REPLICATION_CONTROLLER, SERVICE};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use world::World;

/// Seeds that `make test` runs.
const SEEDS: std::ops::Range<u64> = 0..48;
/// Clusters at the same time: most of their time is waiting.
const AT_ONCE: usize = 12;
const STEPS: usize = 60;
/// Longer than the longest back-off that a few faults in a row lead to.
const SETTLE_DEADLINE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = std::panic::catch_unwind(|| simulate(seed)).unwrap_or_else(|_| Err("panicked".into()));
                    if let Err(why) = outcome {
                        println!("seed {seed}: {why}\n  again: SIMULATION_SEED={seed} cargo test --release --all-features -p e2e --test simulation");
                        failures.lock().expect("nobody panics with it").push(seed);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panicked with it");
    assert!(failures.is_empty(), "seeds that failed: {failures:?}");
    assert_eq!(panics.load(Ordering::SeqCst), 0, "something panicked inside a cluster");
}

fn simulate(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let outcome = runtime.block_on(async {
        let mut world = World::new(seed).await;
        acts::found(&world).await?;
        world.set_faults(seed % 2 == 1);
        for step in 0..STEPS {
            let act = acts::act(&mut world).await;
            world.check().map_err(|why| format!("step {step}, {act}: {why}"))?;
        }
        world.heal().await;
        settle(&world, rest::settled).await.map_err(|why| format!("does not come to rest: {why}"))?;
        clear(&world).await?;
        settle(&world, empty).await.map_err(|why| format!("is not empty after all was deleted: {why}"))
    });
    runtime.shutdown_background();
    outcome
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
