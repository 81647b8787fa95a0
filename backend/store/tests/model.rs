//! Any sequence of commits, lists, compactions and restarts behaves as a plain map with a list of versions does.
use proptest::prelude::*;
use std::collections::BTreeMap;
use store::memory::MemoryStore;
use store::redb::{Durability, Options, RedbStore};
use store::{Change, Error, Expect, Op, Range, Revision, Store};

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Planned>),
    List { prefix: &'static str, after: Option<u8>, limit: usize, back: u64 },
    Compact { back: u64 },
    Reopen,
}

/// An operation whose expectation is chosen relative to what is there.
#[derive(Clone, Debug)]
struct Planned {
    key: u8,
    guess: Guess,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
enum Guess {
    Any,
    Absent,
    Right,
    Wrong,
}

#[derive(Clone, Debug)]
enum Action {
    Put(Vec<u8>, bool),
    Delete,
    Check,
}

fn key(number: u8) -> String {
    format!("/{}/{}", if number < 6 { "a" } else { "ab" }, number)
}

/// Key → value, created, revision.
type Records = BTreeMap<String, (Vec<u8>, Revision, Revision)>;

/// The state after each revision, and what is forgotten.
struct Model {
    versions: Vec<Records>,
    forgotten: Revision,
}

impl Model {
    fn now(&self) -> &Records {
        self.versions.last().expect("it begins with the empty one")
    }

    fn revision(&self) -> Revision {
        self.versions.len() as Revision - 1
    }

    fn op(&self, planned: &Planned) -> Op {
        let actual = self.now().get(&key(planned.key)).map(|(_, _, revision)| *revision);
        let expect = match planned.guess {
            Guess::Any => Expect::Any,
            Guess::Absent => Expect::Absent,
            Guess::Right => actual.map_or(Expect::Absent, Expect::Revision),
            Guess::Wrong => Expect::Revision(actual.unwrap_or(0) + 1),
        };
        let change = match &planned.action {
            Action::Put(value, spliced) => Change::Put { value: value.clone().into(), revision_at: spliced.then_some(value.len() / 2) },
            Action::Delete => Change::Delete,
            Action::Check => Change::Check,
        };
        Op { key: key(planned.key).into(), expect, change }
    }

    fn commit(&mut self, ops: &[Op]) -> Result<Revision, Error> {
        for op in ops {
            let actual = self.now().get(&*op.key).map(|(_, _, revision)| *revision);
            let holds = match op.expect {
                Expect::Any => true,
                Expect::Absent => actual.is_none(),
                Expect::Revision(revision) => actual == Some(revision),
            };
            if !holds {
                return Err(Error::Conflict { key: op.key.to_string(), actual });
            }
        }
        let mut next = self.now().clone();
        let revision = self.revision() + 1;
        let mut changed = false;
        for op in ops {
            match &op.change {
                Change::Check => {}
                Change::Delete => changed |= next.remove(&*op.key).is_some(),
                Change::Put { value, revision_at } => {
                    let mut whole = value.to_vec();
                    if let Some(at) = revision_at {
                        whole.splice(at..at, revision.to_string().into_bytes());
                    }
                    let created = next.get(&*op.key).map_or(revision, |(_, created, _)| *created);
                    next.insert(op.key.to_string(), (whole, created, revision));
                    changed = true;
                }
            }
        }
        if changed {
            self.versions.push(next);
        }
        Ok(self.revision())
    }

    fn list(&self, range: &Range) -> Result<(Records, bool), Error> {
        let at = range.at.unwrap_or(self.revision());
        if at < self.forgotten {
            return Err(Error::Compacted { asked: at, oldest: self.forgotten });
        }
        let state = &self.versions[usize::try_from(at).expect("small")];
        let mut page =
            state.iter().filter(|(key, _)| key.starts_with(&range.prefix) && range.after.as_ref().is_none_or(|after| *key > after));
        let limit = if range.limit == 0 { usize::MAX } else { range.limit };
        let records = page.by_ref().take(limit).map(|(key, record)| (key.clone(), record.clone())).collect();
        Ok((records, page.next().is_some()))
    }
}

/// Runs the steps on a store and on the model; `reopen` closes the store and opens it again, or gives it back.
async fn compare(steps: Vec<Step>, mut store: Box<dyn Store>, reopen: impl AsyncFn(Box<dyn Store>) -> Box<dyn Store>) {
    let mut model = Model { versions: vec![Records::new()], forgotten: 0 };
    for step in steps {
        match step {
            Step::Commit(planned) => {
                let ops: Vec<_> = planned.iter().map(|planned| model.op(planned)).collect();
                assert_eq!(store.commit(ops.clone()).await, model.commit(&ops), "{ops:?}");
            }
            Step::List { prefix, after, limit, back } => {
                let at = model.revision().checked_sub(back);
                let range = Range { prefix: prefix.to_owned(), after: after.map(key), limit, at };
                let found = store.list(&range).map(|list| {
                    let record = |r: &std::sync::Arc<store::Record>| (r.key.to_string(), (r.value.to_vec(), r.created, r.revision));
                    (list.records.iter().map(record).collect(), list.more)
                });
                assert_eq!(found, model.list(&range), "{range:?}");
            }
            Step::Compact { back } => {
                let upto = model.revision().saturating_sub(back);
                assert_eq!(store.compact(upto).await, Ok(()));
                model.forgotten = model.forgotten.max(upto);
            }
            Step::Reopen => store = reopen(store).await,
        }
        assert_eq!(store.revision(), model.revision());
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let action = prop_oneof![
        6 => (proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()).prop_map(|(value, spliced)| Action::Put(value, spliced)),
        2 => Just(Action::Delete),
        1 => Just(Action::Check),
    ];
    let guess = prop_oneof![4 => Just(Guess::Any), 3 => Just(Guess::Right), 1 => Just(Guess::Wrong), 1 => Just(Guess::Absent)];
    let planned = (0u8..12, guess, action).prop_map(|(key, guess, action)| Planned { key, guess, action });
    let commit = proptest::collection::btree_map(0u8..12, planned, 0..4)
        .prop_map(|ops| Step::Commit(ops.into_iter().map(|(key, planned)| Planned { key, ..planned }).collect()));
    let prefix = prop_oneof![Just(""), Just("/"), Just("/a/"), Just("/ab/"), Just("/b/")];
    let list = (prefix, proptest::option::of(0u8..12), 0usize..5, 0u64..12).prop_map(|(prefix, after, limit, back)| Step::List {
        prefix,
        after,
        limit,
        back,
    });
    let compact = (0u64..20).prop_map(|back| Step::Compact { back });
    proptest::collection::vec(prop_oneof![8 => commit, 4 => list, 1 => compact, 1 => Just(Step::Reopen)], 1..60)
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn memory_behaves_as_the_model(steps in steps()) {
        run(compare(steps, Box::new(MemoryStore::new()), async |store| store));
    }

    #[test]
    fn disk_behaves_as_the_model(steps in steps()) {
        let directory = tempfile::tempdir().expect("a directory");
        // Segments are tiny, but no checkpoint runs, so that the model knows how much history remains.
        let options = Options { segment_bytes: 512, durability: Durability::Relaxed, ..Options::default() };
        let open = || Box::new(RedbStore::open(directory.path(), options).expect("it opens")) as Box<dyn Store>;
        run(compare(steps, open(), async |store| {
            store.close().await;
            drop(store);
            open()
        }));
    }
}
