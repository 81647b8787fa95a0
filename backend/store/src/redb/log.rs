//! The log: append-only segments, synced once for each group; and how they are read back.
use super::files::{Files, Stored, read_all};
use super::group::{self, Body, FORMAT, HEADER_BYTES, Header, Tail};
use super::{Loaded, OpenError};
use crate::Revision;
use crate::committer::{Failure, Journal};
use crate::metrics;
use crate::stage::{self, Staged};
use bytes::Bytes;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// A segment this long is sealed and the next one begun.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;
/// A segment grows by zeros of this part of its length, so that most syncs need not write the file system's own journal.
const GROW_PART: usize = 4;
/// What a new segment begins with at most, so that an idle store is small.
const FIRST_BYTES: usize = 64 << 10;
const PREFIX: &str = "log-";

/// A segment that is written no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub name: String,
    pub bytes: usize,
}

/// The end that is written.
pub(crate) struct Log {
    files: Arc<dyn Files>,
    active: Segment,
    sealed: SyncSender<Sealed>,
    buffer: Vec<u8>,
    last: Revision,
    segment_bytes: usize,
}

struct Segment {
    name: String,
    file: Arc<dyn Stored>,
    salt: u64,
    base: Revision,
    /// Where the next group goes.
    end: usize,
    /// Zeros are written up to here.
    ready: usize,
    /// How many zeros are written at once.
    grow: usize,
}

pub(crate) fn name(base: Revision) -> String {
    // Twenty digits hold any u64, so that the names' order is the segments' order.
    format!("{PREFIX}{base:020}")
}

/// The names of segments, oldest first.
pub(crate) fn segment_names(files: &dyn Files) -> io::Result<Vec<String>> {
    let mut names: Vec<_> = files.names()?.into_iter().filter(|name| name.starts_with(PREFIX)).collect();
    names.sort();
    Ok(names)
}

impl Segment {
    /// Makes the segment that follows revision `base`. It is durable when this returns.
    fn create(files: &dyn Files, base: Revision, grow: usize) -> io::Result<Segment> {
        let name = name(base);
        let salt = RandomState::new().hash_one(base).max(1);
        let file = files.create(&name)?;
        let mut bytes = Header { format: FORMAT, salt, base }.encode();
        let ready = FIRST_BYTES.min(grow).next_multiple_of(HEADER_BYTES);
        bytes.resize(ready, 0);
        file.write_at(0, &bytes)?;
        file.sync()?;
        files.sync()?;
        Ok(Segment { name, file, salt, base, end: HEADER_BYTES, ready, grow })
    }

    /// Writes zeros until `bytes` more fit.
    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        let needed = self.end + bytes;
        if needed > self.ready {
            let ready = needed.next_multiple_of(self.grow);
            self.file.write_at(self.ready as u64, &vec![0; ready - self.ready])?;
            self.ready = ready;
        }
        Ok(())
    }
}

impl Log {
    fn write(&mut self) -> Result<(), Failure> {
        let length = self.buffer.len();
        // Until the group itself is written, nothing is at risk: a full disk refuses, and the store lives on.
        self.active.make_room(length).map_err(|error| Failure::Refused(format!("the log cannot grow: {error}")))?;
        let broken = |error: io::Error| Failure::Broken(format!("the log cannot be written: {error}"));
        self.active.file.write_at(self.active.end as u64, &self.buffer).map_err(broken)?;
        let began = Instant::now();
        self.active.file.sync().map_err(broken)?;
        metrics::SYNC_SECONDS.since(began);
        metrics::LOG_BYTES.add(length as u64);
        self.active.end += length;
        Ok(())
    }

    /// Begins the next segment if this one is full. A segment without commits goes on, since its name is the next one's.
    fn turn(&mut self) -> Result<(), Failure> {
        if self.active.end < self.segment_bytes || self.active.base == self.last {
            return Ok(());
        }
        match Segment::create(&*self.files, self.last, self.active.grow) {
            Ok(next) => {
                let full = std::mem::replace(&mut self.active, next);
                let sealed = Sealed { name: full.name, bytes: full.end };
                // Waits when the keeper is far behind: a flood goes at its pace, and the log stays bounded. The keeper ends
                // before the log only when it failed; then segments stay, and the next start reads them.
                let _ = self.sealed.send(sealed);
                Ok(())
            }
            Err(error) => {
                let _ = self.files.remove(&name(self.last));
                Err(Failure::Refused(format!("a log segment cannot be made: {error}")))
            }
        }
    }
}

impl Journal for Log {
    fn append(&mut self, commits: &[Staged], at: u64) -> Result<(), Failure> {
        self.turn()?;
        group::encode_commits(&mut self.buffer, self.active.salt, self.active.end, commits, at);
        self.write()?;
        self.last = commits.last().map_or(self.last, |commit| commit.revision);
        // One huge group must not keep its memory forever.
        self.buffer.shrink_to(SEGMENT_BYTES);
        Ok(())
    }

    fn forget(&mut self, upto: Revision, at: u64) -> Result<(), Failure> {
        self.turn()?;
        group::encode_forget(&mut self.buffer, self.active.salt, self.active.end, upto, at);
        self.write()
    }
}

/// Reads all segments on top of the checkpoint, mends a torn end, and returns the log ready to be written, and the sealed
/// segments, oldest first.
pub(crate) fn open(
    files: Arc<dyn Files>,
    loaded: &mut Loaded,
    sealed: SyncSender<Sealed>,
    segment_bytes: usize,
    fail: &dyn Fn(String) -> OpenError,
) -> Result<(Log, Vec<Sealed>), OpenError> {
    let io = |error: io::Error| fail(error.to_string());
    let mut names = segment_names(&*files).map_err(io)?;
    let mut active = None;
    let mut found = Vec::new();
    let grow = (segment_bytes / GROW_PART).max(HEADER_BYTES);
    let count = names.len();
    for (index, name) in names.drain(..).enumerate() {
        let newest = index + 1 == count;
        let file = files.open(&name).map_err(io)?;
        let bytes = read_all(&*file).map_err(io)?;
        let Some(header) = Header::decode(&bytes) else {
            if newest && bytes.iter().skip(HEADER_BYTES).all(|byte| *byte == 0) {
                // The process died while it made the segment; nothing was in it yet.
                files.remove(&name).map_err(io)?;
                continue;
            }
            return Err(fail(format!("{name} is damaged: its head cannot be read")));
        };
        loaded.accept_format(header.format.into())?;
        let Extent { last, end } = replay(&name, &bytes, header, loaded).map_err(fail)?;
        match group::tail(&bytes, header.salt, end) {
            Tail::Clean => {}
            Tail::Torn if newest => {
                tracing::warn!(segment = %name, offset = end, "the log ends in a write that was cut short; it was never acknowledged");
                file.write_at(end as u64, &vec![0; bytes.len() - end]).and_then(|()| file.sync()).map_err(io)?;
            }
            Tail::Torn | Tail::Damaged => return Err(fail(format!("{name} is damaged at byte {end}"))),
        }
        if newest {
            // The last group may have been written and not synced, or its sync failed. It is about to be shown, so it
            // must be durable; written again, since pages of a failed sync look clean and would not be synced.
            file.write_at(last as u64, &bytes[last..end]).and_then(|()| file.sync()).map_err(io)?;
            active = Some(Segment { name, file, salt: header.salt, base: header.base, end, ready: bytes.len(), grow });
        } else {
            found.push(Sealed { name, bytes: end });
        }
    }
    let last = loaded.state.revision;
    let active = active.map_or_else(|| Segment::create(&*files, last, grow).map_err(io), Ok)?;
    Ok((Log { files, active, sealed, buffer: Vec::new(), last, segment_bytes }, found))
}

/// Where a segment's last group begins and ends.
struct Extent {
    last: usize,
    end: usize,
}

/// Applies the groups of a segment.
fn replay(name: &str, bytes: &[u8], header: Header, loaded: &mut Loaded) -> Result<Extent, String> {
    if header.base > loaded.state.revision {
        return Err(format!("{name} begins after revision {}, but what is before it ends at {}", header.base, loaded.state.revision));
    }
    let mut extent = Extent { last: HEADER_BYTES, end: HEADER_BYTES };
    while let Some(group) = group::decode(bytes, header.salt, extent.end) {
        match group.body {
            Body::Forget(upto) => loaded.history.forget(upto),
            Body::Commits(commits) => {
                for (revision, entries) in commits {
                    if revision <= loaded.checkpoint {
                        continue;
                    }
                    if revision != loaded.state.revision + 1 {
                        return Err(format!("{name} has revision {revision} after {}", loaded.state.revision));
                    }
                    let events: Vec<_> = entries.into_iter().filter_map(|entry| apply(loaded, entry, revision)).collect();
                    loaded.history.push(&events, group.at);
                    loaded.state.revision = revision;
                }
            }
        }
        extent = Extent { last: extent.end, end: group.end };
    }
    Ok(extent)
}

/// Applies one change to what has been loaded so far.
pub(crate) fn apply(loaded: &mut Loaded, entry: group::Entry<'_>, revision: Revision) -> Option<crate::Event> {
    match entry.value {
        Some((_, value)) => Some(stage::put(&mut loaded.state, entry.key.into(), revision, Bytes::copy_from_slice(value))),
        None => stage::remove(&mut loaded.state, entry.key.into(), revision),
    }
}
