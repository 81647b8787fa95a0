//! Threads of their own for handshakes and for the crowd, so that neither stands before administrators and nodes.
use crate::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle, Runtime};

/// How much the kernel prefers the other threads (`nice`) where processors are short.
const CROWD_NICE: i32 = 5;
const CROWD_THREADS_MAX: usize = 4;
const BLOCKING_THREADS_MAX: usize = 16;

/// A runtime that may be dropped anywhere.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The threads beside those that the server was started on.
pub struct Lanes {
    /// Where the server was started: the control plane, and connections of the reserved lane.
    pub reserved: Handle,
    pub crowd: Handle,
    /// One thread for all handshakes: a flood of them takes at most that.
    pub door: Handle,
    pub crowd_threads: usize,
    _threads: [Threads; 2],
}

impl Lanes {
    pub fn start() -> Result<Lanes, Error> {
        let crowd_threads = std::thread::available_parallelism().map_or(1, usize::from).min(CROWD_THREADS_MAX);
        let crowd = start("crowd", crowd_threads, CROWD_NICE)?;
        let door = start("door", 1, 0)?;
        Ok(Lanes {
            reserved: Handle::current(),
            crowd: crowd.handle().clone(),
            door: door.handle().clone(),
            crowd_threads,
            _threads: [Threads(Some(crowd)), Threads(Some(door))],
        })
    }
}

fn start(name: &'static str, threads: usize, nice: i32) -> Result<Runtime, Error> {
    let count = AtomicUsize::new(0);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name_fn(move || format!("{name}-{}", count.fetch_add(1, Ordering::Relaxed)))
        .on_thread_start(move || {
            // Refused only by unusual sandboxes; then all threads are equal, as before.
            let _ = rustix::process::setpriority_process(None, nice);
        })
        .enable_all()
        .build()
        .map_err(Error::Threads)
}
