//! The one ordered pipeline of durable writes: check, number, make durable as a group, publish, acknowledge.
use crate::board::{self, Board};
use crate::metrics;
use crate::stage::{self, Staged};
use crate::state::State;
use crate::{Error, Op, Revision, Space};
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Requests that wait for the committer; more callers than this wait in front of the queue.
const QUEUE_MAX: usize = 8192;
/// Commits in one group: enough for any load here, few enough that no caller waits for a huge write.
const GROUP_MAX: usize = 2048;
/// Bytes of values after which a group is closed.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// KiB of values that wait or are being written; callers with more wait in front of the queue. Twice the largest commit.
const PENDING_KIB_MAX: u32 = 64 << 10;

/// Where commits become durable.
pub(crate) trait Journal: Send {
    /// Makes commits durable, in order, before it returns. `at` is the time in milliseconds since 1970.
    fn append(&mut self, commits: &[Staged], at: u64) -> Result<(), Failure>;
    /// Makes it durable that history up to `upto` is forgotten.
    fn forget(&mut self, upto: Revision, at: u64) -> Result<(), Failure>;
}

/// Why nothing became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was written, and the next write may succeed.
    Refused(String),
    /// What the disk holds now cannot be known; nothing may be written after this.
    Broken(String),
}

type Reply = oneshot::Sender<Result<Revision, Error>>;

enum Request {
    /// The permit is the commit's part of what may be pending, and goes with it.
    Commit(Vec<Op>, Reply, OwnedSemaphorePermit),
    Forget(Revision, Reply),
    Close,
}

/// The callers' end of the pipeline. Dropping it finishes what is queued and waits for the files to be closed.
pub(crate) struct Committer {
    requests: mpsc::Sender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
    pending: Arc<Semaphore>,
    value_bytes_max: usize,
}

impl Committer {
    /// Starts the thread that owns the journal. It ends with [`Committer::close`] or when this is dropped.
    pub fn start(board: Arc<Board>, journal: Box<dyn Journal>, value_bytes_max: usize, bytes_max: usize) -> std::io::Result<Committer> {
        let (requests, receiver) = mpsc::channel(QUEUE_MAX);
        let pipeline = Pipeline { bytes_max, board, journal, broken: None };
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || pipeline.run(receiver))?;
        let pending = Arc::new(Semaphore::new(PENDING_KIB_MAX as usize));
        Ok(Committer { requests, thread: Mutex::new(Some(thread)), pending, value_bytes_max })
    }

    pub async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        let began = Instant::now();
        let outcome = self.settle(ops).await;
        metrics::COMMIT_SECONDS.since(began);
        outcome.inspect_err(metrics::refused)
    }

    async fn settle(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        let bytes = stage::precheck(&ops, self.value_bytes_max)?;
        let kib = u32::try_from(bytes / 1024 + 1).map_or(PENDING_KIB_MAX, |kib| kib.min(PENDING_KIB_MAX));
        let permit = self.pending.clone().acquire_many_owned(kib).await.map_err(|_| closed())?;
        self.ask(|reply| Request::Commit(ops, reply, permit)).await
    }

    pub async fn forget(&self, upto: Revision) -> Result<(), Error> {
        self.ask(|reply| Request::Forget(upto, reply)).await.map(|_| ())
    }

    async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<Revision, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Finishes what was queued before it and returns when the files are closed.
    pub async fn close(&self) {
        // Refused only when the thread has ended already; either way the receiver's end is what counts.
        let _ = self.requests.send(Request::Close).await;
        self.requests.closed().await;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        let (unconnected, _) = mpsc::channel(1);
        // The thread ends when no sender is left and the queue is empty.
        drop(std::mem::replace(&mut self.requests, unconnected));
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

fn closed() -> Error {
    Error::Unavailable("the store was closed".to_owned())
}

/// The committer's thread.
struct Pipeline {
    bytes_max: usize,
    board: Arc<Board>,
    journal: Box<dyn Journal>,
    /// After the journal broke, nothing is written: a failed sync may have lost what was written before it.
    broken: Option<String>,
}

/// Commits that become durable together. Each is checked against the state that the ones before it leave.
struct Group {
    state: State,
    commits: Vec<Staged>,
    bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
    /// Answers that rest on this group, given once it is durable.
    waiting: Vec<(Reply, Result<Revision, Error>)>,
}

impl Pipeline {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let published = self.board.state();
            let mut group =
                Group { state: State::clone(&published), commits: Vec::new(), bytes: 0, permits: Vec::new(), waiting: Vec::new() };
            let mut next = Some(first);
            let mut closing = false;
            // Whatever queued while the last group was written belongs to this one.
            while let Some(request) = next.take() {
                match request {
                    Request::Commit(_, reply, _) if self.broken.is_some() => drop(reply.send(Err(self.unavailable()))),
                    Request::Commit(ops, reply, permit) => group.take(ops, reply, permit, &published, self.bytes_max),
                    Request::Forget(upto, reply) => {
                        self.finish(group);
                        let _ = reply.send(self.forget(upto));
                        break;
                    }
                    Request::Close => {
                        closing = true;
                        self.finish(group);
                        break;
                    }
                }
                if group.has_room() {
                    next = requests.try_recv().ok();
                }
                if next.is_none() {
                    self.finish(group);
                    break;
                }
            }
            if closing {
                break;
            }
        }
        // Files are closed before anyone who waits for the end is told, so that the store can be opened again.
        drop(self);
    }

    /// Durable first, then visible, then acknowledged.
    fn finish(&mut self, group: Group) {
        if !group.commits.is_empty() {
            let now = board::now();
            if let Err(failure) = self.journal.append(&group.commits, now) {
                let error = self.failed(failure);
                for (reply, _) in group.waiting {
                    let _ = reply.send(Err(error.clone()));
                }
                return;
            }
            metrics::GROUP_COMMITS.observe(group.commits.len() as u64);
            self.board.publish(group.state, &group.commits, now);
        }
        for (reply, answer) in group.waiting {
            // A caller that went away has its write all the same.
            let _ = reply.send(answer);
        }
    }

    fn forget(&mut self, upto: Revision) -> Result<Revision, Error> {
        let current = self.board.revision();
        if upto > current {
            return Err(Error::Future { asked: upto, current });
        }
        if self.broken.is_some() {
            return Err(self.unavailable());
        }
        self.journal.forget(upto, board::now()).map_err(|failure| self.failed(failure))?;
        self.board.forget(upto).map(|()| current)
    }

    fn failed(&mut self, failure: Failure) -> Error {
        metrics::FAILURES.inc();
        match failure {
            Failure::Refused(why) => {
                tracing::warn!(error = %why, "the store could not write");
                Error::Unavailable(why)
            }
            Failure::Broken(why) => {
                tracing::error!(error = %why, "the store cannot write and accepts nothing more until it is opened again");
                self.broken = Some(why);
                self.unavailable()
            }
        }
    }

    fn unavailable(&self) -> Error {
        Error::Unavailable(self.broken.clone().unwrap_or_default())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.board.close();
    }
}

impl Group {
    fn has_room(&self) -> bool {
        self.waiting.len() < GROUP_MAX && self.bytes < GROUP_BYTES_MAX
    }

    fn take(&mut self, ops: Vec<Op>, reply: Reply, permit: OwnedSemaphorePermit, published: &State, max: usize) {
        if let Err(refusal) = stage::check(&self.state, &ops) {
            // What conflicts with a commit that is not durable yet must not be told before that commit is: the caller
            // would read, see the old version and conflict again; or act on a commit that never happened.
            if stage::check(published, &ops).as_ref() == Err(&refusal) {
                let _ = reply.send(Err(refusal));
            } else {
                self.waiting.push((reply, Err(refusal)));
            }
            return;
        }
        if let Err(refusal) = stage::fits(&self.state, &ops, Space { used: self.state.bytes, max }) {
            self.waiting.push((reply, Err(refusal)));
            return;
        }
        let staged = stage::apply(&mut self.state, ops);
        self.waiting.push((reply, Ok(staged.revision)));
        if !staged.events.is_empty() {
            self.bytes += staged.events.iter().filter_map(|event| event.current.as_ref()).map(|record| record.value.len()).sum::<usize>();
            self.commits.push(staged);
            self.permits.push(permit);
        }
    }
}
