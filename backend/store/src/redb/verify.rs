//! Looks a data directory through without changing it: every checksum, the order of revisions, log against checkpoint.
use super::files::{Files, read_all};
use super::group::{self, Body, FORMAT, HEADER_BYTES, Header, Tail};
use super::overlay::Untouched;
use super::{Loaded, OpenError, checkpoint, log};
use crate::history::{Bounds, History};
use crate::state::{Records, State};
use crate::{Fault, Record, Revision};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// No more faults than this are told; one damaged page can have thousands of consequences.
pub const FAULTS_MAX: usize = 1000;

/// What a look found.
pub struct Findings {
    /// The newest revision that can be read.
    pub revision: Revision,
    /// Everything that can be read, in key order.
    pub records: Vec<Arc<Record>>,
    pub faults: Vec<Fault>,
}

/// Looks at the store in `path`. `Err` when it cannot be looked at: it is absent, or a server is using it.
pub fn verify(path: &Path) -> Result<Findings, OpenError> {
    let shown = path.display().to_string();
    let fail = |error: std::io::Error| OpenError::File { path: shown.clone(), why: error.to_string() };
    let files = Untouched::open(path).map_err(fail)?.ok_or_else(|| OpenError::InUse { path: shown.clone() })?;
    let mut look = Look {
        loaded: Loaded { state: State::default(), history: History::new(0, Bounds::default()), checkpoint: 0, path: shown.clone() },
        faults: Vec::new(),
        absorbed: BTreeMap::new(),
        checkpointed: Records::default(),
    };
    look.checkpoint(&files);
    look.checkpointed = look.loaded.state.records.clone();
    let names = log::segment_names(&files).map_err(fail)?;
    let newest = names.last().cloned();
    for name in names {
        look.segment(&files, &name, newest.as_ref() == Some(&name));
    }
    look.agreement();
    let records = look.loaded.state.records.values().cloned().collect();
    Ok(Findings { revision: look.loaded.state.revision, records, faults: look.faults })
}

/// The newest change of a key that the checkpoint must already hold; `None` as the value: deleted.
struct Absorbed {
    segment: String,
    revision: Revision,
    value: Option<(Revision, Vec<u8>)>,
}

struct Look {
    loaded: Loaded,
    faults: Vec<Fault>,
    absorbed: BTreeMap<String, Absorbed>,
    /// The records as the checkpoint alone has them.
    checkpointed: Records,
}

impl Look {
    fn fault(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { place: place.into(), what: what.into() });
        }
    }

    fn checkpoint(&mut self, files: &dyn Files) {
        let loaded = &mut self.loaded;
        match checkpoint::load(files, loaded, &|why| OpenError::File { path: String::new(), why }) {
            Ok(()) => {}
            Err(OpenError::File { why, .. }) => {
                let what = why.strip_prefix(checkpoint::FILE).map_or(&*why, |rest| rest.trim_start_matches([':', ' ']));
                self.fault(checkpoint::FILE, what);
            }
            Err(other) => self.fault(checkpoint::FILE, other.to_string()),
        }
        let ahead: Vec<_> = self.loaded.state.records.values().filter(|r| r.revision > self.loaded.checkpoint).cloned().collect();
        for record in ahead {
            let what = format!("revision {} is after the checkpoint's, {}", record.revision, self.loaded.checkpoint);
            self.fault(format!("{} {}", checkpoint::FILE, record.key), what);
        }
    }

    fn segment(&mut self, files: &dyn Files, name: &str, newest: bool) {
        let bytes = match files.open(name).and_then(|file| read_all(&*file)) {
            Ok(bytes) => bytes,
            Err(error) => return self.fault(name, format!("cannot be read: {error}")),
        };
        let Some(header) = Header::decode(&bytes) else {
            // The newest may be one that a crash left before anything was in it.
            if !newest || bytes.iter().skip(HEADER_BYTES).any(|byte| *byte != 0) {
                self.fault(format!("{name} byte 0"), "the head cannot be read");
            }
            return;
        };
        if header.format != FORMAT {
            return self.fault(format!("{name} byte 8"), format!("has format {}, this program knows {FORMAT}", header.format));
        }
        if log::name(header.base) != name {
            self.fault(name, format!("says that it follows revision {}; its name says another", header.base));
        }
        if header.base > self.loaded.state.revision {
            let before = self.loaded.state.revision;
            self.fault(name, format!("begins after revision {}, but what is before it ends at {before}: commits are missing", header.base));
            self.loaded.state.revision = header.base;
        }
        let mut end = HEADER_BYTES;
        while let Some(group) = group::decode(&bytes, header.salt, end) {
            if let Body::Commits(commits) = group.body {
                for (revision, entries) in commits {
                    self.commit(name, end, revision, entries);
                }
            }
            end = group.end;
        }
        match group::tail(&bytes, header.salt, end) {
            Tail::Clean => {}
            // Never acknowledged: the next start removes it.
            Tail::Torn if newest => {}
            Tail::Torn | Tail::Damaged => self.fault(format!("{name} byte {end}"), "damaged: commits that were acknowledged are lost"),
        }
    }

    fn commit(&mut self, name: &str, offset: usize, revision: Revision, entries: Vec<group::Entry<'_>>) {
        if revision <= self.loaded.checkpoint {
            for entry in entries {
                let value = entry.value.map(|(created, value)| (created, value.to_vec()));
                self.absorbed.insert(entry.key.to_owned(), Absorbed { segment: name.to_owned(), revision, value });
            }
            return;
        }
        let expected = self.loaded.state.revision + 1;
        if revision != expected {
            self.fault(format!("{name} byte {offset}"), format!("revision {revision} follows {}", expected - 1));
        }
        for entry in entries {
            let known = self.loaded.state.records.get(entry.key).map(|record| record.created);
            if let Some((created, _)) = entry.value
                && created != known.unwrap_or(revision)
            {
                let what =
                    format!("revision {revision} says that {} was created at {created}, not {}", entry.key, known.unwrap_or(revision));
                self.fault(format!("{name} byte {offset}"), what);
            }
            if entry.value.is_none() && known.is_none() {
                self.fault(format!("{name} byte {offset}"), format!("revision {revision} deletes {}, which is absent", entry.key));
            }
            log::apply(&mut self.loaded, entry, revision);
        }
        self.loaded.state.revision = self.loaded.state.revision.max(revision);
    }

    /// What both the log and the checkpoint tell must be the same.
    fn agreement(&mut self) {
        for (key, absorbed) in std::mem::take(&mut self.absorbed) {
            let record = self.checkpointed.get(&*key);
            let what = match (&absorbed.value, record) {
                (_, Some(record)) if record.revision != absorbed.revision => Some(format!("has revision {}", record.revision)),
                (Some((created, value)), Some(record)) => {
                    (record.value != *value || record.created != *created).then(|| "has another value".to_owned())
                }
                (None, Some(_)) => Some("is there, though it was deleted".to_owned()),
                (Some(_), None) => Some("is absent".to_owned()),
                (None, None) => None,
            };
            if let Some(what) = what {
                let Absorbed { segment, revision, .. } = absorbed;
                self.fault(format!("{} {key}", checkpoint::FILE), format!("{what}; {segment} has revision {revision}"));
            }
        }
    }
}
