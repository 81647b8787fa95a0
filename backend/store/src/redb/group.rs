//! How a group of commits looks in the log: bytes out, bytes in, and how damage is told from the end.
//!
//! ```text
//! segment   magic "pilotlog" | format u32 | crc u32 | salt u64 | base u64 | zeros to 64
//!           then groups, then zeros
//! group     salt u64 | length u32 | crc u32 | body | zeros to a multiple of 8
//! body      1 | time u64 | commits: revision u64, count u32, changes: 1 created u64 key value, or 2 key
//!           2 | time u64 | history forgotten up to u64
//! ```
//! Numbers are little-endian; a key or value is its length (u32) and its bytes. A group carries the segment's random salt
//! and its crc covers its own offset, so that nothing a client wrote, and nothing left from before, can pass for a group.
use crate::Revision;
use crate::stage::Staged;

/// The layout written here, of log and checkpoint together. A newer one is refused, never guessed at.
pub(crate) const FORMAT: u32 = 1;
/// Where a segment's groups begin.
pub(crate) const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"pilotlog";
const GROUP_HEADER_BYTES: usize = 16;
const COMMITS: u8 = 1;
const FORGET: u8 = 2;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub format: u32,
    /// Random and never 0, so that neither zeros nor groups of another segment fit.
    pub salt: u64,
    /// The revision before the segment's first commit.
    pub base: Revision,
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    /// `None` when these are not a header's bytes.
    pub fn decode(bytes: &[u8]) -> Option<Header> {
        let mut cursor = Cursor(bytes.get(..HEADER_BYTES)?);
        if cursor.take(8)? != MAGIC {
            return None;
        }
        let (format, crc) = (cursor.u32()?, cursor.u32()?);
        let header = Header { format, salt: cursor.u64()?, base: cursor.u64()? };
        let mut plain = bytes[..32].to_vec();
        plain[12..16].fill(0);
        (crc32fast::hash(&plain) == crc).then_some(header)
    }
}

/// One change of one key, with the final value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub key: &'a str,
    /// `None`: the key was deleted. Else when it was created, and its value.
    pub value: Option<(Revision, &'a [u8])>,
}

/// What a group holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Commits(Vec<(Revision, Vec<Entry<'a>>)>),
    Forget(Revision),
}

/// A group as read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group<'a> {
    /// Milliseconds since 1970.
    pub at: u64,
    pub body: Body<'a>,
    /// The offset after it.
    pub end: usize,
}

/// Writes a group of commits as it stands at `offset` of a segment with this salt.
pub(crate) fn encode_commits(out: &mut Vec<u8>, salt: u64, offset: usize, commits: &[Staged], at: u64) {
    begin(out, COMMITS, at);
    for commit in commits {
        out.extend_from_slice(&commit.revision.to_le_bytes());
        let count = u32::try_from(commit.events.len()).expect("precheck bounds the operations of a commit");
        out.extend_from_slice(&count.to_le_bytes());
        for event in &commit.events {
            match &event.current {
                Some(record) => {
                    out.push(PUT);
                    out.extend_from_slice(&record.created.to_le_bytes());
                    put_bytes(out, event.key.as_bytes());
                    put_bytes(out, &record.value);
                }
                None => {
                    out.push(DELETE);
                    put_bytes(out, event.key.as_bytes());
                }
            }
        }
    }
    finish(out, salt, offset);
}

/// Writes that history is forgotten.
pub(crate) fn encode_forget(out: &mut Vec<u8>, salt: u64, offset: usize, upto: Revision, at: u64) {
    begin(out, FORGET, at);
    out.extend_from_slice(&upto.to_le_bytes());
    finish(out, salt, offset);
}

fn begin(out: &mut Vec<u8>, kind: u8, at: u64) {
    out.clear();
    out.resize(GROUP_HEADER_BYTES, 0);
    out.push(kind);
    out.extend_from_slice(&at.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("precheck bounds keys and values");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn finish(out: &mut Vec<u8>, salt: u64, offset: usize) {
    let length = u32::try_from(out.len() - GROUP_HEADER_BYTES).expect("the committer bounds groups");
    let crc = checksum(offset, &out[GROUP_HEADER_BYTES..]);
    out[..8].copy_from_slice(&salt.to_le_bytes());
    out[8..12].copy_from_slice(&length.to_le_bytes());
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
}

fn checksum(offset: usize, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(offset as u64).to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Reads the group at `offset`; `None` when there is no whole one.
pub(crate) fn decode(segment: &[u8], salt: u64, offset: usize) -> Option<Group<'_>> {
    let mut cursor = Cursor(segment.get(offset..)?);
    if cursor.u64()? != salt {
        return None;
    }
    let (length, crc) = (cursor.u32()? as usize, cursor.u32()?);
    let body = cursor.take(length)?;
    let end = (offset + GROUP_HEADER_BYTES + length).next_multiple_of(8);
    if end > segment.len() || checksum(offset, body) != crc {
        return None;
    }
    let mut cursor = Cursor(body);
    let (kind, at) = (cursor.u8()?, cursor.u64()?);
    let body = match kind {
        COMMITS => Body::Commits(commits(&mut cursor)?),
        FORGET => Body::Forget(cursor.u64()?),
        _ => return None,
    };
    Some(Group { at, body, end })
}

fn commits<'a>(cursor: &mut Cursor<'a>) -> Option<Vec<(Revision, Vec<Entry<'a>>)>> {
    let mut commits = Vec::new();
    while !cursor.0.is_empty() {
        let (revision, count) = (cursor.u64()?, cursor.u32()?);
        let mut entries = Vec::new();
        for _ in 0..count {
            let created = match cursor.u8()? {
                PUT => Some(cursor.u64()?),
                DELETE => None,
                _ => return None,
            };
            let key = std::str::from_utf8(cursor.bytes()?).ok()?;
            let value = match created {
                Some(created) => Some((created, cursor.bytes()?)),
                None => None,
            };
            entries.push(Entry { key, value });
        }
        commits.push((revision, entries));
    }
    Some(commits)
}

/// What stands where a segment's groups end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Only zeros: everything that was written is whole.
    Clean,
    /// A write that was cut short. It was never acknowledged.
    Torn,
    /// A whole group follows damaged bytes: something that was acknowledged is lost.
    Damaged,
}

/// Judges the bytes from `end`, where the last whole group ended, to the segment's end.
pub(crate) fn tail(segment: &[u8], salt: u64, end: usize) -> Tail {
    let Some(last) = segment.iter().rposition(|byte| *byte != 0).filter(|last| *last >= end) else { return Tail::Clean };
    // Groups stand at multiples of 8. One group is written at a time, after the one before it is durable; hence a whole
    // group behind damage proves that the damaged one had been whole.
    let follower = (end + 8..=last).step_by(8).any(|offset| decode(segment, salt, offset).is_some());
    if follower { Tail::Damaged } else { Tail::Torn }
}

/// Reads numbers and byte strings from the front; `None` when too few are left.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}
