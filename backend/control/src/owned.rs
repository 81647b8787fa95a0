//! Pods by whom they belong to, so that a controller looks at its own and not at the whole namespace.
use crate::cache::{Change, Key};
use logic::facts::PodFacts;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

type Pods = BTreeMap<Key, Arc<PodFacts>>;

#[derive(Default)]
struct State {
    /// By the uid of the owner that controls them.
    by_owner: HashMap<String, Pods>,
    /// Those that nobody controls.
    orphans: Pods,
}

/// Kept up to date by the pod cache's changes.
#[derive(Default)]
pub(crate) struct Owned(Mutex<State>);

impl Owned {
    pub(crate) fn note(&self, change: &Change<PodFacts>) {
        let mut state = self.0.lock();
        if let Some(old) = &change.old {
            match &old.owner {
                Some(owner) => {
                    if let Some(pods) = state.by_owner.get_mut(&owner.uid) {
                        pods.remove(&change.key);
                        if pods.is_empty() {
                            state.by_owner.remove(&owner.uid);
                        }
                    }
                }
                None => drop(state.orphans.remove(&change.key)),
            }
        }
        if let Some(new) = &change.new {
            let pods = match &new.owner {
                Some(owner) => state.by_owner.entry(owner.uid.clone()).or_default(),
                None => &mut state.orphans,
            };
            pods.insert(change.key.clone(), new.clone());
        }
    }

    /// The pods that a controller owns, and those of its namespace that it could adopt.
    pub(crate) fn of(&self, owner: &str, namespace: &str) -> Vec<Arc<PodFacts>> {
        let state = self.0.lock();
        let mine = state.by_owner.get(owner).into_iter().flat_map(Pods::values);
        let from = (namespace.to_string(), String::new());
        let free = state.orphans.range(from..).take_while(|((ns, _), _)| ns == namespace).map(|(_, pod)| pod);
        mine.chain(free).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logic::facts::Owner;
    use shared::objects::pod::Pod;

    fn pod(namespace: &str, name: &str, owner: Option<&str>) -> Arc<PodFacts> {
        let mut facts = PodFacts::of(&Pod::default());
        facts.namespace = namespace.into();
        facts.name = name.into();
        facts.owner = owner.map(|uid| Owner { kind: "ReplicationController".into(), name: uid.into(), uid: uid.into() });
        Arc::new(facts)
    }

    fn names(owned: &Owned, owner: &str, namespace: &str) -> Vec<String> {
        owned.of(owner, namespace).iter().map(|p| p.name.clone()).collect()
    }

    #[test]
    fn a_pod_that_changes_hands_is_found_with_its_new_owner_only() {
        let owned = Owned::default();
        let key = ("n".to_string(), "p".to_string());
        let hands = [Some("a"), None, Some("b")].map(|owner| pod("n", "p", owner));
        let mut before = None;
        for (after, wanted) in hands.into_iter().zip([(1, 0, 0), (1, 1, 1), (0, 1, 0)]) {
            owned.note(&Change { key: key.clone(), old: before.take(), new: Some(after.clone()) });
            let found = (names(&owned, "a", "n").len(), names(&owned, "b", "n").len(), names(&owned, "c", "n").len());
            assert_eq!(found, wanted);
            before = Some(after);
        }
        owned.note(&Change { key, old: before, new: None });
        assert!(names(&owned, "b", "n").is_empty());
        assert!(owned.0.lock().by_owner.is_empty(), "nothing is left of owners without pods");
    }

    #[test]
    fn orphans_of_other_namespaces_are_nobodys_business() {
        let owned = Owned::default();
        for namespace in ["a", "b", "c"] {
            owned.note(&Change { key: (namespace.into(), "p".into()), old: None, new: Some(pod(namespace, "p", None)) });
        }
        assert_eq!(owned.of("x", "b").len(), 1);
    }
}
