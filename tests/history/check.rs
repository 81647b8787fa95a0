//! Proves that a history keeps the store's promises, or says which promise it breaks.
//!
//! Every commit has a revision, so there is one order of writes and nothing to search for: each answer must fit that
//! order, and the order must fit the order in time in which things were asked and answered.
use crate::record::{Asked, Call, Change, Ending, History, Put, Revision, Told, Version, Watched};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// The promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// No acknowledged write is lost, none is seen that was not asked for, none happens twice.
    Durable,
    /// Revisions only grow, and none is used twice.
    Revisions,
    /// The writes of a commit are seen together.
    Atomic,
    /// What was answered before something was asked is before it.
    Linearizable,
    /// A watch tells every change once, in order.
    Watch,
    /// A watch that says how far it is has told everything up to there, and nothing is told before it happened.
    Progress,
    /// What is forgotten is refused, and nothing else is.
    Compaction,
}

#[derive(Clone, Debug)]
pub struct Broken {
    pub promise: Promise,
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.how)
    }
}

fn broken<T>(promise: Promise, how: String) -> Result<T, Broken> {
    Err(Broken { promise, how })
}

pub fn check(history: &History) -> Result<(), Broken> {
    let order = WriteOrder::of(history)?;
    order.fits_time(history)?;
    reads(history, &order)?;
    for watched in &history.watches {
        watch(history, &order, watched)?;
    }
    match history.futures.iter().find(|f| f.accepted) {
        Some(f) => broken(Promise::Progress, format!("a watch from the future revision {} was accepted", f.from)),
        None => Ok(()),
    }
}

/// The commits in the order of their revisions, and what the keys held after each.
struct WriteOrder<'a> {
    commits: BTreeMap<Revision, Vec<&'a Change>>,
    /// When each commit was asked for.
    started: BTreeMap<Revision, u64>,
    /// Revisions at which each key changed, with what it held then.
    keys: HashMap<&'a str, BTreeMap<Revision, Option<&'a str>>>,
}

impl<'a> WriteOrder<'a> {
    fn of(history: &'a History) -> Result<WriteOrder<'a>, Broken> {
        let mut commits: BTreeMap<Revision, Vec<&Change>> = BTreeMap::new();
        let mut last = history.base;
        for change in &history.truth {
            if change.revision < last || change.revision == history.base {
                return broken(Promise::Watch, format!("{change:?} comes after revision {last}"));
            }
            if history.gapless && change.revision > last + 1 {
                return broken(Promise::Watch, format!("revision {} follows {last}", change.revision));
            }
            last = change.revision;
            let commit = commits.entry(change.revision).or_default();
            if commit.iter().any(|c| c.key == change.key) {
                return broken(Promise::Watch, format!("{change:?} comes twice"));
            }
            commit.push(change);
        }
        let mut keys: HashMap<&str, BTreeMap<Revision, Option<&str>>> = HashMap::new();
        for (key, (revision, value)) in &history.before {
            keys.entry(key).or_default().insert(*revision, Some(value));
        }
        for change in &history.truth {
            keys.entry(&change.key).or_default().insert(change.revision, change.value.as_deref());
        }
        let mut order = WriteOrder { commits, started: BTreeMap::new(), keys };
        order.attribute(history)?;
        order.final_state(history)?;
        Ok(order)
    }

    /// Finds the call behind every commit, and the commit behind every acknowledged call.
    fn attribute(&mut self, history: &History) -> Result<(), Broken> {
        let mut writers: HashMap<&str, (usize, &Call)> = HashMap::new();
        let mut told: HashMap<Revision, (usize, &Call)> = HashMap::new();
        for (number, call) in history.calls.iter().enumerate() {
            let Asked::Write(puts) = &call.asked else { continue };
            for value in puts.iter().filter_map(|p| p.value.as_deref()) {
                writers.insert(value, (number, call));
            }
            let Told::Written(revision) = call.told else { continue };
            // A deletion of what is not there takes no revision, and is told the newest.
            let own = puts.iter().any(|p| p.value.is_some());
            let deleted =
                self.commits.get(&revision).is_some_and(|c| c.iter().all(|c| c.value.is_none() && puts.iter().any(|p| p.key == c.key)));
            if !own && !deleted {
                continue;
            }
            // Deleting again what is gone is told the same revision; the first who asked did it.
            if !own && told.get(&revision).is_some_and(|(_, other)| other.start < call.start) {
                continue;
            }
            if let Some(other) = told.insert(revision, (number, call))
                && own
            {
                return broken(Promise::Revisions, format!("revision {revision} was given twice: {:?} and {call:?}", other.1));
            }
        }
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        for (revision, changes) in &self.commits {
            // A commit that only deletes is known by its revision, if anybody was told that.
            let by_value = changes.iter().find_map(|c| writers.get(c.value.as_deref()?));
            let Some((number, call)) = by_value.or_else(|| told.get(revision)) else {
                if changes.iter().all(|c| c.value.is_none()) {
                    continue;
                }
                return broken(Promise::Durable, format!("nobody asked for {changes:?}"));
            };
            let Asked::Write(puts) = &call.asked else { continue };
            if !seen.insert(*number) {
                return broken(Promise::Durable, format!("{call:?} happened again at {revision}"));
            }
            if matches!(call.told, Told::Refused { .. }) {
                return broken(Promise::Durable, format!("{call:?} was refused and happened at {revision}"));
            }
            // A deletion of what is not there changes nothing.
            let same = |put: &Put| changes.iter().any(|c| c.key == put.key && c.value == put.value);
            let missing = puts.iter().find(|p| !same(p) && (p.value.is_some() || self.before(&p.key, *revision).is_some()));
            if missing.is_some() || changes.iter().any(|c| !puts.iter().any(|p| p.key == c.key && p.value == c.value)) {
                return broken(Promise::Atomic, format!("{call:?} happened as {changes:?}"));
            }
            self.started.insert(*revision, call.start);
        }
        for call in &history.calls {
            let (Asked::Write(puts), Told::Written(revision)) = (&call.asked, &call.told) else { continue };
            let there = self
                .commits
                .get(revision)
                .is_some_and(|changes| puts.iter().any(|p| changes.iter().any(|c| c.key == p.key && c.value == p.value)));
            let idle = puts.iter().all(|p| p.value.is_none() && self.at(&p.key, *revision).is_none());
            if !there && !idle {
                return broken(Promise::Durable, format!("{call:?} is lost"));
            }
        }
        Ok(())
    }

    fn final_state(&self, history: &History) -> Result<(), Broken> {
        let newest = self.commits.last_key_value().map_or(history.base, |(r, _)| *r);
        if history.last < newest || history.gapless && history.last != newest {
            return broken(Promise::Revisions, format!("the last revision is {}, but {newest} was seen", history.last));
        }
        let state = self.state(Revision::MAX);
        if state != history.after {
            return broken(Promise::Durable, format!("at the end there is {:?}, not {state:?}", history.after));
        }
        Ok(())
    }

    /// What a key held at a revision.
    fn at(&self, key: &str, revision: Revision) -> Option<(Revision, &str)> {
        let (at, value) = self.keys.get(key)?.range(..=revision).next_back()?;
        value.map(|v| (*at, v))
    }

    fn before(&self, key: &str, revision: Revision) -> Option<(Revision, &str)> {
        self.at(key, revision.saturating_sub(1))
    }

    fn state(&self, revision: Revision) -> BTreeMap<String, Version> {
        let keys = self.keys.keys();
        keys.filter_map(|k| self.at(k, revision).map(|(r, v)| ((*k).to_string(), (r, v.to_string())))).collect()
    }

    /// A write that was answered before another was asked for has the lower revision.
    fn fits_time(&self, history: &History) -> Result<(), Broken> {
        let mut writes: Vec<(&Call, Revision)> = Vec::new();
        for call in &history.calls {
            if let (Asked::Write(_), Told::Written(revision)) = (&call.asked, &call.told)
                && self.commits.contains_key(revision)
            {
                writes.push((call, *revision));
            }
        }
        writes.sort_by_key(|(call, _)| call.end);
        for (revision, started) in &self.started {
            let answered = writes.partition_point(|(call, _)| call.end < *started);
            if let Some((call, later)) = writes[..answered].iter().max_by_key(|(_, r)| *r)
                && later > revision
            {
                return broken(Promise::Revisions, format!("{call:?} has revision {later}, and {revision} was asked for after its answer"));
            }
        }
        Ok(())
    }

    /// The highest revision that can have been visible at a time: less than any that was asked for later.
    fn visible(&self, at: u64, last: Revision) -> Revision {
        self.started.iter().find(|(_, started)| **started > at).map_or(last, |(revision, _)| revision - 1)
    }
}

/// Each read shows one moment between its question and its answer, and no read shows an earlier one than a read before it.
fn reads(history: &History, order: &WriteOrder) -> Result<(), Broken> {
    // At least this revision was visible, from this time on: by answers so far.
    let mut known: Vec<(u64, Revision)> = vec![(0, history.base)];
    let mut calls: Vec<&Call> = history.calls.iter().collect();
    calls.sort_by_key(|call| call.end);
    for call in calls {
        let low = known.iter().filter(|(end, _)| *end < call.start).map(|(_, r)| *r).max().unwrap_or(0);
        let high = order.visible(call.end, history.last.max(low));
        let moment = match (&call.asked, &call.told) {
            (Asked::Write(_), Told::Written(revision)) => Some(*revision),
            (Asked::Get(key), Told::Value(version)) => Some(value_at(order, key, version.as_ref().map(|v| v.0), low, high, call)?),
            (_, Told::Refused { key, actual: Some(actual) }) => Some(value_at(order, key, *actual, low, high, call)?),
            (Asked::List { at: None }, Told::Listed { revision, state }) => {
                if *revision < low || *revision > high {
                    return broken(Promise::Linearizable, format!("a list shows {revision}, not between {low} and {high}"));
                }
                same_state(order, *revision, state)?;
                Some(*revision)
            }
            (Asked::List { at: Some(at) }, told) => {
                past(history, order, call, *at, told)?;
                None
            }
            _ => None,
        };
        if let (Asked::Get(key), Told::Value(Some((revision, value)))) = (&call.asked, &call.told)
            && order.at(key, *revision) != Some((*revision, value.as_str()))
        {
            return broken(Promise::Linearizable, format!("{key} never held what {call:?} tells"));
        }
        known.extend(moment.map(|m| (call.end, m)));
    }
    Ok(())
}

/// The earliest moment between two revisions at which a key's version was this one.
fn value_at(
    order: &WriteOrder,
    key: &str,
    version: Option<Revision>,
    low: Revision,
    high: Revision,
    call: &Call,
) -> Result<Revision, Broken> {
    if order.at(key, low).map(|v| v.0) == version {
        return Ok(low);
    }
    let changes = order.keys.get(key).into_iter().flat_map(|c| c.range(low + 1..=high.max(low + 1)));
    for (revision, value) in changes {
        if *revision <= high && value.map(|_| *revision) == version {
            return Ok(*revision);
        }
    }
    broken(Promise::Linearizable, format!("{call:?}: {key} was not at {version:?} between {low} and {high}"))
}

fn same_state(order: &WriteOrder, revision: Revision, state: &BTreeMap<String, Version>) -> Result<(), Broken> {
    let expected = order.state(revision);
    if expected == *state {
        return Ok(());
    }
    broken(Promise::Linearizable, format!("a list at {revision} shows {state:?}, not {expected:?}"))
}

/// A list of an older revision is exact, or refused when that is forgotten.
fn past(history: &History, order: &WriteOrder, call: &Call, at: Revision, told: &Told) -> Result<(), Broken> {
    match told {
        Told::Listed { revision, state } => {
            if let Some(upto) = forgotten(history, call.start).filter(|upto| *upto > at) {
                return broken(Promise::Compaction, format!("{at} was listed after {upto} was forgotten"));
            }
            if *revision != at {
                return broken(Promise::Linearizable, format!("{revision} was listed instead of {at}"));
            }
            same_state(order, at, state)
        }
        Told::Compacted { oldest } => may_be_forgotten(history, at, *oldest, call.end),
        _ => Ok(()),
    }
}

/// Up to where history had certainly been forgotten at a time.
fn forgotten(history: &History, at: u64) -> Option<Revision> {
    let done = |call: &&Call| call.end < at && matches!(call.told, Told::Done);
    history.calls.iter().filter(done).filter_map(|c| if let Asked::Compact(upto) = c.asked { Some(upto) } else { None }).max()
}

fn may_be_forgotten(history: &History, at: Revision, oldest: Revision, end: u64) -> Result<(), Broken> {
    let asked = |call: &&Call| call.start < end;
    let most = history.calls.iter().filter(asked).filter_map(|c| if let Asked::Compact(upto) = c.asked { Some(upto) } else { None }).max();
    if oldest > at && most.is_some_and(|most| oldest <= most.max(history.base)) {
        return Ok(());
    }
    broken(Promise::Compaction, format!("{at} was refused because everything before {oldest} is forgotten, but only {most:?} was"))
}

fn watch(history: &History, order: &WriteOrder, watched: &Watched) -> Result<(), Broken> {
    let mut position = watched.from;
    let mut expected = order.commits.range(watched.from + 1..).flat_map(|(_, changes)| changes.iter().copied()).peekable();
    if let Some(upto) = forgotten(history, watched.start).filter(|upto| *upto > watched.from)
        && !matches!(watched.ending, Ending::Compacted { .. })
    {
        return broken(Promise::Compaction, format!("a watch began at {} after {upto} was forgotten", watched.from));
    }
    for delivery in &watched.deliveries {
        for change in &delivery.changes {
            let Some(due) = expected.next() else {
                return broken(Promise::Watch, format!("{change:?} comes after the last change, in a watch from {}", watched.from));
            };
            if due != change {
                return broken(Promise::Watch, format!("a watch from {} tells {change:?} where {due:?} is due", watched.from));
            }
            if change.revision <= position && !delivery.changes.iter().any(|c| c.revision == change.revision) {
                return broken(Promise::Progress, format!("{change:?} comes after the watch was said to be at {position}"));
            }
        }
        if delivery.upto < position {
            return broken(Promise::Progress, format!("a watch goes back from {position} to {}", delivery.upto));
        }
        position = delivery.upto;
        if let Some(due) = expected.peek().filter(|due| due.revision <= position) {
            return broken(Promise::Progress, format!("a watch says that it is at {position} before it tells {due:?}"));
        }
        let visible = order.visible(delivery.at, history.last);
        if position > visible {
            return broken(Promise::Progress, format!("a watch says that it is at {position} when at most {visible} had been asked for"));
        }
    }
    match &watched.ending {
        Ending::Starved => {
            broken(Promise::Watch, format!("a watch from {} stays at {position}; {:?} is due", watched.from, expected.peek()))
        }
        Ending::Compacted { oldest } => may_be_forgotten(history, position, *oldest, watched.end),
        Ending::Open => Ok(()),
    }
}
