//! What the store on disk promises beyond the trait: reopening, crashes, damage, full and failing disks.
mod damage;
mod format;
mod power;
mod reopen;
mod simdisk;
mod verify;

use super::*;
use crate::{Change, Expect};

fn put(key: &str, value: &str) -> Op {
    Op { key: key.into(), expect: Expect::Any, change: Change::Put { value: value.to_owned().into(), revision_at: None } }
}

fn delete(key: &str) -> Op {
    Op { key: key.into(), expect: Expect::Any, change: Change::Delete }
}

/// Small segments and a small log, so that few commits reach the checkpoint.
fn small() -> Options {
    Options { log_bytes_max: 4096, segment_bytes: 1024, durability: Durability::Relaxed, ..Options::default() }
}

/// Waits until the keeper, which works in the background, has done something.
async fn eventually(what: &str, done: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
