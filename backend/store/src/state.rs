//! All current records at one revision, and how a page of them is cut.
use crate::history::History;
use crate::{Error, Event, Range, Record, Revision, Snapshot};
use imbl::OrdMap;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The current records in key order. Cloning is cheap: clones share structure.
pub(crate) type Records = OrdMap<Arc<str>, Arc<Record>>;

/// What readers see: immutable, replaced as a whole by each publication.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub revision: Revision,
    pub records: Records,
    /// What the records take, see [`weight`].
    pub bytes: usize,
}

/// What a record costs beside its key and value: its place in the map, its counters.
const RECORD_OVERHEAD: usize = 256;

pub(crate) fn weight(record: &Record) -> usize {
    weight_of(&record.key, &record.value)
}

pub(crate) fn weight_of(key: &str, value: &[u8]) -> usize {
    RECORD_OVERHEAD + key.len() + value.len()
}

impl State {
    /// Puts a record in its place and returns the one that was there.
    pub fn insert(&mut self, record: Arc<Record>) -> Option<Arc<Record>> {
        self.bytes += weight(&record);
        let previous = self.records.insert(record.key.clone(), record);
        self.bytes -= previous.as_deref().map_or(0, weight);
        previous
    }

    pub fn remove(&mut self, key: &str) -> Option<(Arc<str>, Arc<Record>)> {
        let (key, record) = self.records.remove_with_key(key)?;
        self.bytes -= weight(&record);
        Some((key, record))
    }

    /// The page that `range` asks for; an older revision is rebuilt by undoing what history tells.
    pub fn page(&self, range: &Range, history: impl FnOnce() -> Result<Undo, Error>) -> Result<Snapshot, Error> {
        match range.at {
            Some(asked) if asked > self.revision => Err(Error::Future { asked, current: self.revision }),
            Some(at) if at < self.revision => Ok(cut(at, range, merge(self.bounded(range), history()?, range))),
            _ => Ok(cut(self.revision, range, self.bounded(range).cloned())),
        }
    }

    fn bounded<'a>(&'a self, range: &'a Range) -> impl Iterator<Item = &'a Arc<Record>> {
        let prefix = range.prefix.as_str();
        let start = match range.after.as_deref() {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.records
            .range::<_, str>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, record)| record)
    }
}

/// For each key that changed after a revision: its record at that revision (`None`: it was absent).
pub(crate) type Undo = BTreeMap<Arc<str>, Option<Arc<Record>>>;

/// What must be undone to see the keys of `range` at `at`, given that the reader stands at `now`.
pub(crate) fn undo(history: &History, range: &Range, at: Revision, now: Revision) -> Result<Undo, Error> {
    let mut undo = Undo::new();
    let wanted = |event: &&Event| event.key.starts_with(&range.prefix) && range.after.as_deref().is_none_or(|after| &*event.key > after);
    for event in history.between(at, now)?.filter(wanted) {
        // The oldest change after `at` knows the state at `at`; later ones of the same key do not matter.
        undo.entry(event.key.clone()).or_insert_with(|| event.previous.clone());
    }
    Ok(undo)
}

/// Today's records with the undone ones in their places, in key order.
fn merge<'a>(today: impl Iterator<Item = &'a Arc<Record>>, undo: Undo, range: &Range) -> impl Iterator<Item = Arc<Record>> {
    debug_assert!(undo.keys().all(|key| key.starts_with(&range.prefix)));
    let mut today = today.peekable();
    let mut undone = undo.into_iter().peekable();
    std::iter::from_fn(move || {
        loop {
            let take_undone = match (today.peek(), undone.peek()) {
                (None, None) => return None,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some(record), Some((key, _))) => **key <= *record.key,
            };
            if !take_undone {
                return today.next().cloned();
            }
            let (key, record) = undone.next().expect("peeked above");
            today.next_if(|record| record.key == key);
            if record.is_some() {
                return record;
            }
        }
    })
}

fn cut(revision: Revision, range: &Range, mut records: impl Iterator<Item = Arc<Record>>) -> Snapshot {
    if range.limit == 0 {
        return Snapshot { revision, records: records.collect(), more: false };
    }
    let page: Vec<_> = records.by_ref().take(range.limit).collect();
    Snapshot { revision, more: records.next().is_some(), records: page }
}
