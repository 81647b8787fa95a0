//! `metadata.managedFields`: who owns what, read, written and handed over.
use super::fields::FieldSet;
use super::typed::Difference;
use serde_json::{Map, Value, json};

/// More update managers than this are folded into one, so that an object that many touch does not grow without end.
pub(super) const MAX_UPDATE_MANAGERS: usize = 10;

/// Who the folded ones are called.
const ANCIENT: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One entry of `managedFields`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    pub time: String,
    pub fields: FieldSet,
}

impl Entry {
    pub(super) fn is(&self, manager: &str, operation: Operation, subresource: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource == subresource
    }

    /// As messages name it.
    fn in_words(&self) -> String {
        let mut words = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            words += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            words += &format!(" using {}", self.api_version);
            if !self.time.is_empty() {
                words += &format!(" at {}", self.time);
            }
        }
        words
    }
}

pub(super) fn read(object: &Value) -> Vec<Entry> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_string();
    let list = object["metadata"]["managedFields"].as_array();
    list.into_iter()
        .flatten()
        .map(|entry| Entry {
            manager: text(entry, "manager"),
            operation: if entry["operation"] == "Apply" { Operation::Apply } else { Operation::Update },
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
            time: text(entry, "time"),
            fields: FieldSet::read(&entry["fieldsV1"]),
        })
        .collect()
}

pub(super) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|e| !e.fields.is_empty());
    fold_ancient(&mut entries);
    entries.sort_by(|a, b| (a.operation, &a.time, &a.manager, &a.subresource).cmp(&(b.operation, &b.time, &b.manager, &b.subresource)));
    let list: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut written = json!({
                "manager": entry.manager,
                "operation": if entry.operation == Operation::Apply { "Apply" } else { "Update" },
                "apiVersion": entry.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": entry.fields.write(),
            });
            if !entry.subresource.is_empty() {
                written["subresource"] = json!(entry.subresource);
            }
            written
        })
        .collect();
    let Value::Object(members) = object else { return };
    let metadata = members.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        if list.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), Value::Array(list));
        }
    }
}

/// Folds the oldest update managers into one.
fn fold_ancient(entries: &mut Vec<Entry>) {
    loop {
        let mut updates: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].operation == Operation::Update).collect();
        if updates.len() <= MAX_UPDATE_MANAGERS {
            return;
        }
        updates.sort_by_key(|at| (entries[*at].manager != ANCIENT, entries[*at].time.clone()));
        let second = entries[updates[1]].clone();
        let first = &mut entries[updates[0]];
        first.manager = ANCIENT.into();
        first.subresource.clear();
        first.time = second.time;
        first.fields.union(&second.fields);
        entries.remove(updates[1]);
    }
}

/// The fields that others own and that would change: who (in words), and which paths.
pub(super) fn conflicts(entries: &[Entry], mine: impl Fn(&Entry) -> bool, changed: &FieldSet) -> Vec<(String, Vec<String>)> {
    let others = entries.iter().filter(|e| !mine(e));
    others.map(|e| (e.in_words(), e.fields.intersection(changed).paths())).filter(|(_, paths)| !paths.is_empty()).collect()
}

/// Takes what changed, and what is gone, from everybody else.
pub(super) fn take_over(entries: &mut Vec<Entry>, mine: impl Fn(&Entry) -> bool, difference: &Difference) {
    for entry in entries.iter_mut().filter(|e| !mine(e)) {
        entry.fields.subtract(&difference.changed);
        entry.fields.subtract(&difference.removed);
    }
    entries.retain(|e| mine(e) || !e.fields.is_empty());
}
