//! Which objects go because their owners are gone, and when an owner's own deletion may finish.
use super::Write;
use serde_json::json;
use shared::kinds::Kind;
use shared::meta::OwnerReference;

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// What the collector knows of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub kind: &'static Kind,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub owners: Vec<OwnerReference>,
    pub finalizers: Vec<String>,
    pub deleting: bool,
}

/// How an owner stands, as looked up by uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    Alive,
    /// Being deleted in the foreground: it waits for this dependent.
    WaitsForDependents,
    Gone,
}

/// What to do with a dependent, given how each of its owners stands.
pub fn dependent(item: &Item, owner_state: impl Fn(&OwnerReference) -> OwnerState) -> Option<Write> {
    if item.owners.is_empty() || item.deleting {
        return None;
    }
    let states: Vec<OwnerState> = item.owners.iter().map(owner_state).collect();
    if states.contains(&OwnerState::Alive) {
        // Kept by a living owner; the references to dead ones are dropped.
        if !states.contains(&OwnerState::Gone) {
            return None;
        }
        let left: Vec<_> = item.owners.iter().zip(&states).filter(|(_, s)| **s != OwnerState::Gone).map(|(o, _)| json!(o)).collect();
        return Some(merge(item, json!({"metadata": {"ownerReferences": left}})));
    }
    Some(Write::Delete {
        kind: item.kind,
        namespace: item.namespace.clone(),
        name: item.name.clone(),
        uid: item.uid.clone(),
        grace_seconds: None,
    })
}

/// What an owner under deletion needs next, given its dependents.
pub fn owner(item: &Item, dependents: &[&Item]) -> Vec<Write> {
    if !item.deleting {
        return Vec::new();
    }
    if item.finalizers.iter().any(|f| f == ORPHAN) {
        let mut writes: Vec<Write> = dependents
            .iter()
            .map(|d| {
                let left: Vec<_> = d.owners.iter().filter(|o| o.uid != item.uid).map(|o| json!(o)).collect();
                merge(d, json!({"metadata": {"ownerReferences": if left.is_empty() { serde_json::Value::Null } else { left.into() }}}))
            })
            .collect();
        if writes.is_empty() {
            writes.push(without_finalizer(item, ORPHAN));
        }
        return writes;
    }
    if item.finalizers.iter().any(|f| f == FOREGROUND) {
        let blocking = dependents.iter().filter(|d| d.owners.iter().any(|o| o.uid == item.uid && o.block_owner_deletion == Some(true)));
        if blocking.count() == 0 {
            return vec![without_finalizer(item, FOREGROUND)];
        }
    }
    Vec::new()
}

fn merge(item: &Item, patch: serde_json::Value) -> Write {
    let (namespace, name, uid) = (item.namespace.clone(), item.name.clone(), item.uid.clone());
    Write::Merge { kind: item.kind, namespace, name, subresource: "", uid, patch }
}

fn without_finalizer(item: &Item, finalizer: &str) -> Write {
    let left: Vec<&String> = item.finalizers.iter().filter(|f| *f != finalizer).collect();
    merge(item, json!({"metadata": {"finalizers": if left.is_empty() { serde_json::Value::Null } else { json!(left) }}}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::kinds::POD;

    fn item(owners: &[&str], finalizers: &[&str], deleting: bool) -> Item {
        let owner = |uid: &&str| OwnerReference { uid: uid.to_string(), block_owner_deletion: Some(true), ..OwnerReference::default() };
        Item {
            kind: &POD,
            namespace: "n".into(),
            name: "p".into(),
            uid: "me".into(),
            owners: owners.iter().map(owner).collect(),
            finalizers: finalizers.iter().map(ToString::to_string).collect(),
            deleting,
        }
    }

    fn state(owner: &OwnerReference) -> OwnerState {
        match owner.uid.as_str() {
            "alive" => OwnerState::Alive,
            "waits" => OwnerState::WaitsForDependents,
            _ => OwnerState::Gone,
        }
    }

    #[test]
    fn a_dependent_lives_as_long_as_one_owner_lives() {
        assert_eq!(dependent(&item(&[], &[], false), state), None);
        assert_eq!(dependent(&item(&["alive"], &[], false), state), None);
        assert!(matches!(dependent(&item(&["alive", "gone"], &[], false), state), Some(Write::Merge { .. })));
        assert!(matches!(dependent(&item(&["gone"], &[], false), state), Some(Write::Delete { .. })));
        assert!(matches!(dependent(&item(&["gone", "waits"], &[], false), state), Some(Write::Delete { .. })));
        assert_eq!(dependent(&item(&["gone"], &[], true), state), None);
    }

    #[test]
    fn a_foreground_deletion_waits_for_dependents_that_block_it() {
        let owner_item = Item { uid: "waits".into(), ..item(&[], &[FOREGROUND, "x"], true) };
        assert!(owner(&owner_item, &[&item(&["waits"], &[], true)]).is_empty());
        assert!(matches!(&owner(&owner_item, &[])[..], [Write::Merge { patch, .. }] if patch["metadata"]["finalizers"] == json!(["x"])));
    }

    #[test]
    fn orphans_lose_their_owner_before_it_goes() {
        let owner_item = Item { uid: "o".into(), ..item(&[], &[ORPHAN], true) };
        assert!(
            matches!(&owner(&owner_item, &[&item(&["o"], &[], false)])[..], [Write::Merge { patch, .. }] if patch["metadata"]["ownerReferences"].is_null())
        );
        assert_eq!(owner(&owner_item, &[]).len(), 1);
    }
}
