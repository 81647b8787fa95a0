//! Keeps the log short: moves old segments into the checkpoint, in the background.
use super::checkpoint;
use super::files::Files;
use super::log::Sealed;
use crate::metrics;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

/// Bytes of segments that one step moves; what a step holds in memory.
const STEP_BYTES: usize = 16 << 20;

/// Runs until the log is closed. `log_bytes_max` of sealed segments stay, so that watches can resume after a restart.
pub(crate) fn run(files: &Arc<dyn Files>, found: Vec<Sealed>, sealed: &Receiver<Sealed>, log_bytes_max: usize) {
    let mut segments = VecDeque::from(found);
    loop {
        metrics::SEGMENTS.set(segments.len());
        match sealed.try_recv() {
            Ok(next) => segments.push_back(next),
            // Closing: what is not moved now is read at the next start.
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) if excess(&segments, log_bytes_max) == 0 => match sealed.recv() {
                Ok(next) => segments.push_back(next),
                Err(_) => return,
            },
            Err(TryRecvError::Empty) => {
                if let Err(why) = shorten(&**files, &mut segments, log_bytes_max) {
                    // Pages that a failed sync dropped look clean afterwards; only a new start knows what is on the
                    // disk. Until then the log alone is the truth and grows.
                    tracing::error!(error = %why, "the checkpoint cannot be written; the log grows until the store is opened again");
                    return;
                }
            }
        }
    }
}

/// By how many bytes there is more log than is to be kept.
fn excess(segments: &VecDeque<Sealed>, log_bytes_max: usize) -> usize {
    segments.iter().map(|segment| segment.bytes).sum::<usize>().saturating_sub(log_bytes_max)
}

/// Moves one step's worth, the oldest first: down to half of what is allowed, so that steps are few and large.
fn shorten(files: &dyn Files, segments: &mut VecDeque<Sealed>, log_bytes_max: usize) -> Result<(), String> {
    let wanted = excess(segments, log_bytes_max / 2).min(STEP_BYTES);
    let (mut old, mut bytes) = (Vec::new(), 0);
    while bytes < wanted
        && let Some(segment) = segments.pop_front()
    {
        bytes += segment.bytes;
        old.push(segment.name);
    }
    let began = Instant::now();
    checkpoint::absorb(files, &old)?;
    metrics::CHECKPOINT_SECONDS.since(began);
    for name in old {
        files.remove(&name).map_err(|error| error.to_string())?;
    }
    files.sync().map_err(|error| error.to_string())
}
