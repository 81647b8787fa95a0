//! Keeps the log short: moves old segments into the checkpoint, in the background.
use super::checkpoint;
use super::files::Files;
use super::log::Sealed;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

/// Runs until the log is closed. `log_bytes_max` of sealed segments stay, so that watches can resume after a restart.
pub(crate) fn run(files: &Arc<dyn Files>, sealed: &Receiver<Sealed>, log_bytes_max: usize) {
    let mut segments: VecDeque<Sealed> = VecDeque::new();
    while let Ok(next) = sealed.recv() {
        segments.push_back(next);
        loop {
            match sealed.try_recv() {
                Ok(more) => segments.push_back(more),
                Err(TryRecvError::Empty) => break,
                // Closing: what is not absorbed now is read at the next start.
                Err(TryRecvError::Disconnected) => return,
            }
        }
        if let Err(why) = shorten(&**files, &mut segments, log_bytes_max) {
            // Pages that a failed sync dropped look clean afterwards; only a new start knows what is on the disk. Until
            // then the log alone is the truth and grows.
            tracing::error!(error = %why, "the checkpoint cannot be written; the log grows until the store is opened again");
            return;
        }
    }
}

/// If there is too much log, moves the older half of what is allowed.
fn shorten(files: &dyn Files, segments: &mut VecDeque<Sealed>, log_bytes_max: usize) -> Result<(), String> {
    let mut bytes: usize = segments.iter().map(|segment| segment.bytes).sum();
    if bytes <= log_bytes_max {
        return Ok(());
    }
    let mut old = Vec::new();
    while bytes > log_bytes_max / 2
        && let Some(segment) = segments.pop_front()
    {
        bytes -= segment.bytes;
        old.push(segment.name);
    }
    checkpoint::absorb(files, &old)?;
    for name in old {
        files.remove(&name).map_err(|error| error.to_string())?;
    }
    files.sync().map_err(|error| error.to_string())
}
