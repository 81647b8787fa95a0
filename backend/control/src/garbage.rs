//! Follows owner references over all kinds: dependents of what is gone go too.
use crate::cache::{Cache, Change, Key};
use crate::metrics::Controller;
use crate::queue::Queue;
use crate::{Context, apply, runner};
use logic::controllers::garbage::{FOREGROUND, Item, ORPHAN, OwnerState, dependent, owner};
use parking_lot::Mutex;
use registry::object::Object;
use shared::kinds::{KINDS, Kind, Storage, by_api_version};
use shared::meta::OwnerReference;
use shared::status::Status;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Kind's index in `KINDS` and the object's key.
type Id = (usize, Key);

#[derive(Default)]
struct Graph {
    /// Owner's uid → its dependents.
    dependents: Mutex<HashMap<String, BTreeSet<Id>>>,
}

pub(crate) fn start(context: &Context) {
    let graph = Arc::new(Graph::default());
    let queue = Arc::new(Queue::of(Controller::Garbage));
    for (i, kind) in KINDS.iter().copied().enumerate().filter(|(_, k)| k.storage == Storage::Stored && k.plural != "events") {
        let cache: Cache<Item> = Cache::start(&context.registry, kind, item, &context.stop);
        let (graph, queue) = (graph.clone(), queue.clone());
        cache.on_change(move |change| note(&graph, &queue, i, change));
    }
    runner::run(context, queue, move |context, key| run(context, graph.clone(), key));
}

fn item(object: &Object) -> Item {
    let meta = &object.index().meta;
    Item {
        kind: object.kind,
        namespace: object.namespace().into(),
        name: object.name().into(),
        uid: meta.uid.clone(),
        owners: meta.owner_references.clone(),
        finalizers: meta.finalizers.clone(),
        deleting: meta.is_deleting(),
    }
}

/// Queue keys carry the kind in front of the namespace, since one queue serves all kinds.
fn queue_key(kind: usize, key: &Key) -> Key {
    (format!("{kind}/{}", key.0), key.1.clone())
}

fn note(graph: &Graph, queue: &Queue, kind: usize, change: &Change<Item>) {
    let id = (kind, change.key.clone());
    let mut dependents = graph.dependents.lock();
    for o in change.old.iter().flat_map(|o| &o.owners) {
        if let Some(set) = dependents.get_mut(&o.uid) {
            set.remove(&id);
            if set.is_empty() {
                dependents.remove(&o.uid);
            }
        }
    }
    for o in change.new.iter().flat_map(|n| &n.owners) {
        dependents.entry(o.uid.clone()).or_default().insert(id.clone());
    }
    let waits = |i: &Item| i.deleting && i.finalizers.iter().any(|f| f == FOREGROUND || f == ORPHAN);
    match &change.new {
        Some(new) => {
            if !new.owners.is_empty() || waits(new) {
                queue.add(queue_key(kind, &change.key));
            }
            if waits(new) {
                dependents.get(&new.uid).into_iter().flatten().for_each(|(k, key)| queue.add(queue_key(*k, key)));
            }
        }
        None => {
            let old = change.old.as_ref().expect("a deletion has a last state");
            dependents.get(&old.uid).into_iter().flatten().for_each(|(k, key)| queue.add(queue_key(*k, key)));
        }
    }
    // An owner that waits for this one, gone or let go, may be done now.
    let still = |o: &OwnerReference| change.new.as_ref().is_some_and(|n| n.owners.iter().any(|x| x.uid == o.uid));
    for o in change.old.iter().flat_map(|old| &old.owners).filter(|o| !still(o)) {
        if let Some(i) = by_api_version(&o.api_version, &o.kind).and_then(|k| KINDS.iter().position(|x| *x == k)) {
            let ns = if KINDS[i].namespaced() { change.key.0.clone() } else { String::new() };
            queue.add(queue_key(i, &(ns, o.name.clone())));
        }
    }
}

async fn run(context: Context, graph: Arc<Graph>, key: Key) -> Result<(), Status> {
    let Some((index, namespace)) = key.0.split_once('/') else { return Ok(()) };
    let Some(kind) = index.parse::<usize>().ok().and_then(|i| KINDS.get(i)).copied() else { return Ok(()) };
    let load = |kind: &'static Kind, ns: &str, name: &str| {
        let ns = kind.namespaced().then_some(ns);
        context.registry.get(&context.caller, kind, ns, name).ok().map(|o| item(&o))
    };
    let Some(this) = load(kind, namespace, &key.1) else { return Ok(()) };
    let state = |o: &OwnerReference| owner_state(o, by_api_version(&o.api_version, &o.kind).map(|k| load(k, namespace, &o.name)));
    let mut writes: Vec<_> = dependent(&this, state).into_iter().collect();
    let ids: Vec<Id> = graph.dependents.lock().get(&this.uid).into_iter().flatten().cloned().collect();
    let dependents: Vec<Item> = ids.iter().filter_map(|(k, (ns, name))| load(KINDS[*k], ns, name)).collect();
    writes.extend(owner(&this, &dependents.iter().collect::<Vec<_>>()));
    apply::all(&context, writes, kind).await.map(|_| ())
}

/// `None`: a kind that is not served here; nothing is collected on its account.
fn owner_state(reference: &OwnerReference, found: Option<Option<Item>>) -> OwnerState {
    match found {
        None => OwnerState::Alive,
        Some(Some(owner)) if owner.uid == reference.uid => {
            let waits = owner.deleting && owner.finalizers.iter().any(|f| f == FOREGROUND);
            if waits && reference.block_owner_deletion == Some(true) { OwnerState::WaitsForDependents } else { OwnerState::Alive }
        }
        Some(_) => OwnerState::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::kinds::{POD, REPLICATION_CONTROLLER};

    fn at(kind: &Kind) -> usize {
        KINDS.iter().position(|k| *k == kind).unwrap()
    }

    #[tokio::test]
    async fn an_owner_is_looked_at_when_a_dependent_is_let_go_or_gone() {
        let owner = OwnerReference {
            api_version: "v1".into(),
            kind: "ReplicationController".into(),
            name: "r".into(),
            uid: "u".into(),
            ..OwnerReference::default()
        };
        let pod = |owners: &[OwnerReference]| {
            let (namespace, name, uid) = ("n".to_string(), "p".to_string(), "x".to_string());
            Some(Arc::new(Item { kind: &POD, namespace, name, uid, owners: owners.to_vec(), finalizers: Vec::new(), deleting: false }))
        };
        let key = ("n".to_string(), "p".to_string());
        for new in [pod(&[]), None] {
            let (graph, queue) = (Graph::default(), Queue::of(Controller::Garbage));
            note(&graph, &queue, at(&POD), &Change { key: key.clone(), old: pod(std::slice::from_ref(&owner)), new });
            let wanted = queue_key(at(&REPLICATION_CONTROLLER), &("n".into(), "r".into()));
            let found = tokio::time::timeout(std::time::Duration::from_secs(5), queue.next()).await;
            assert_eq!(found.expect("the owner is due"), wanted);
        }
    }
}
