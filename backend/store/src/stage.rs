//! Decides what a commit does: checks it against the state that the commits before it leave, and applies it there.
use crate::state::{State, weight, weight_of};
use crate::{Change, Error, Event, Expect, Op, Record, Revision, Space};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// The most operations in one commit.
pub const MAX_OPS: usize = 10_000;
/// The most bytes of values in one commit.
pub const MAX_COMMIT_BYTES: usize = 32 << 20;

/// A checked and applied, not yet published commit.
pub(crate) struct Staged {
    pub revision: Revision,
    /// One per changed key. Empty when the commit changed nothing; then `revision` is not its own.
    pub events: Vec<Event>,
}

/// Refuses what no state could make right, before it is queued; returns the bytes of keys and values.
pub(crate) fn precheck(ops: &[Op], max_value: usize) -> Result<usize, Error> {
    if ops.len() > MAX_OPS {
        return Err(Error::Invalid(format!("{} operations; at most {MAX_OPS} make one commit", ops.len())));
    }
    let mut total = 0;
    for op in ops {
        if op.key.is_empty() {
            return Err(Error::Invalid("an empty key".to_owned()));
        }
        total += op.key.len();
        let Change::Put { value, revision_at } = &op.change else { continue };
        total += value.len();
        if value.len() > max_value || total > MAX_COMMIT_BYTES {
            let (bytes, max) = if value.len() > max_value { (value.len(), max_value) } else { (total, MAX_COMMIT_BYTES) };
            return Err(Error::TooLarge { key: op.key.to_string(), bytes, max });
        }
        if let Some(at) = revision_at.filter(|at| *at > value.len()) {
            return Err(Error::Invalid(format!("the revision of {:?} belongs at byte {at} of {}", op.key, value.len())));
        }
    }
    if ops.len() > 1 && ops.iter().map(|op| &op.key).collect::<BTreeSet<_>>().len() < ops.len() {
        return Err(Error::Invalid("a key occurs twice".to_owned()));
    }
    Ok(total)
}

/// Whether every expectation holds in `state`.
pub(crate) fn check(state: &State, ops: &[Op]) -> Result<(), Error> {
    for op in ops {
        let actual = state.records.get(&*op.key).map(|record| record.revision);
        let holds = match op.expect {
            Expect::Any => true,
            Expect::Absent => actual.is_none(),
            Expect::Revision(revision) => actual == Some(revision),
        };
        if !holds {
            return Err(Error::Conflict { key: op.key.to_string(), actual });
        }
    }
    Ok(())
}

/// Whether what a commit leaves, if it is more than before, is within what may be kept.
pub(crate) fn fits(state: &State, ops: &[Op], space: Space) -> Result<(), Error> {
    let (mut after, max) = (state.bytes, space.hard_max());
    for op in ops {
        let before = || state.records.get(&*op.key).map_or(0, |record| weight(record));
        match &op.change {
            Change::Check => {}
            Change::Delete => after -= before(),
            Change::Put { value, .. } => after = after - before() + weight_of(&op.key, value),
        }
    }
    if after > max && after > state.bytes { Err(Error::Full { used: state.bytes, max: space.max }) } else { Ok(()) }
}

/// Applies a commit whose expectations hold.
pub(crate) fn apply(state: &mut State, ops: Vec<Op>) -> Staged {
    let revision = state.revision + 1;
    let mut events = Vec::with_capacity(ops.len());
    for Op { key, change, .. } in ops {
        match change {
            Change::Check => {}
            Change::Delete => {
                if let Some(event) = remove(state, key, revision) {
                    events.push(event);
                }
            }
            Change::Put { value, revision_at } => events.push(put(state, key, revision, with_revision(value, revision_at, revision))),
        }
    }
    if !events.is_empty() {
        state.revision = revision;
    }
    Staged { revision: state.revision, events }
}

/// Stores a final value under a key.
pub(crate) fn put(state: &mut State, key: Arc<str>, revision: Revision, value: Bytes) -> Event {
    let previous = state.records.get(&*key).cloned();
    // The key is shared with the version before, so that a long history holds one copy of it.
    let key = previous.as_ref().map_or(key, |record| record.key.clone());
    let created = previous.as_ref().map_or(revision, |record| record.created);
    let record = Arc::new(Record { key: key.clone(), revision, created, value, view: OnceLock::new() });
    state.insert(record.clone());
    Event { revision, key, current: Some(record), previous }
}

/// Removes a key; `None` when it is absent.
pub(crate) fn remove(state: &mut State, key: Arc<str>, revision: Revision) -> Option<Event> {
    let (key, previous) = state.remove(&key)?;
    Some(Event { revision, key, current: None, previous: Some(previous) })
}

fn with_revision(value: Bytes, at: Option<usize>, revision: Revision) -> Bytes {
    let Some(at) = at else { return value };
    let digits = revision.to_string();
    let mut whole = Vec::with_capacity(value.len() + digits.len());
    whole.extend_from_slice(&value[..at]);
    whole.extend_from_slice(digits.as_bytes());
    whole.extend_from_slice(&value[at..]);
    whole.into()
}
