//! Sets of fields as `metadata.managedFields` holds them: a tree of path elements (`f:spec`, `k:{"name":"a"}`, `v:"x"`).
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Deeper trees than this are cut when read; our own are as deep as objects may be.
const MAX_DEPTH: usize = crate::MAX_DEPTH;

/// A set of paths. The keys are path elements in their JSON spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// The path that leads here is itself in the set.
    pub own: bool,
    pub children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub fn is_empty(&self) -> bool {
        !self.own && self.children.values().all(FieldSet::is_empty)
    }

    pub fn child(&mut self, element: &str) -> &mut FieldSet {
        self.children.entry(element.to_string()).or_default()
    }

    /// From `fieldsV1`.
    pub fn read(value: &Value) -> FieldSet {
        let mut set = FieldSet::read_at(value, 0);
        set.own = false;
        set
    }

    fn read_at(value: &Value, depth: usize) -> FieldSet {
        let mut set = FieldSet::default();
        let Value::Object(members) = value else { return set };
        set.own = members.is_empty() || members.contains_key(".");
        if depth < MAX_DEPTH {
            set.children = members.iter().filter(|(k, _)| *k != ".").map(|(k, v)| (k.clone(), FieldSet::read_at(v, depth + 1))).collect();
        }
        set
    }

    /// As `fieldsV1`.
    pub fn write(&self) -> Value {
        let mut members = Map::new();
        for (element, child) in &self.children {
            if !child.is_empty() {
                members.insert(element.clone(), child.write());
            }
        }
        if self.own && !members.is_empty() {
            members.insert(".".into(), Value::Object(Map::new()));
        }
        Value::Object(members)
    }

    pub fn union(&mut self, other: &FieldSet) {
        self.own |= other.own;
        for (element, child) in &other.children {
            self.child(element).union(child);
        }
    }

    /// Takes out the paths of another set.
    pub fn subtract(&mut self, other: &FieldSet) {
        self.own &= !other.own;
        for (element, child) in &other.children {
            if let Some(mine) = self.children.get_mut(element) {
                mine.subtract(child);
                if mine.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let children = self.children.iter().filter_map(|(element, child)| {
            let both = child.intersection(other.children.get(element)?);
            (!both.is_empty()).then(|| (element.clone(), both))
        });
        FieldSet { own: self.own && other.own, children: children.collect() }
    }

    /// The paths in words: `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.add_paths(&mut String::new(), &mut found);
        found
    }

    fn add_paths(&self, path: &mut String, found: &mut Vec<String>) {
        if self.own {
            found.push(path.clone());
        }
        for (element, child) in &self.children {
            let back = path.len();
            path.push_str(&in_words(element));
            child.add_paths(path, found);
            path.truncate(back);
        }
    }
}

fn in_words(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: BTreeMap<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        Some((_, index)) => format!("[{index}]"),
        None => format!(".{element}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_read_and_write_as_kubernetes_spells_them() {
        let text = json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}}}, "f:metadata": {"f:finalizers": {".": {}, "v:\"x\"": {}}}});
        let set = FieldSet::read(&text);
        assert_eq!(set.write(), text);
        assert_eq!(
            set.paths(),
            [".metadata.finalizers", ".metadata.finalizers[=\"x\"]", ".spec.containers[name=\"a\"]", ".spec.containers[name=\"a\"].image"]
        );
        let mut rest = set.clone();
        rest.subtract(&FieldSet::read(&json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}}}})));
        assert_eq!(rest.intersection(&set), rest);
        assert_eq!(rest.write()["f:spec"], json!({"f:containers": {"k:{\"name\":\"a\"}": {}}}));
        rest.subtract(&set);
        assert!(rest.is_empty());
    }
}
