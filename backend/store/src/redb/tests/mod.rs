//! What the store on disk promises beyond the trait: reopening, crashes, damage, full and failing disks.
mod damage;
mod power;
mod reopen;
mod simdisk;

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
