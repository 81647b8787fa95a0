//! One object as one row of a table, with the columns that `kubectl get` has, and sorting and filtering of rows.
use super::tone::{Tone, of_status};
use serde_json::Value;
use shared::kinds::Kind;
use shared::selector::LabelSelector;
use shared::table::{self, CellKind};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub text: String,
    /// Set where the cell is a status.
    pub tone: Option<Tone>,
    sort: Sort,
}

#[derive(Clone, Debug, PartialEq)]
enum Sort {
    Number(i64),
    Text(String),
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub cells: Vec<Cell>,
    labels: Vec<(String, String)>,
    /// All cells in lower case, to look for words in.
    text: String,
}

/// Rows that are handed on without copying; equal if they are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Rows(pub Arc<Vec<Arc<Row>>>);

impl PartialEq for Rows {
    fn eq(&self, other: &Rows) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.len() == other.0.len() && self.0.iter().zip(other.0.iter()).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl Rows {
    /// The rows that a filter accepts, in an order.
    pub fn seen(&self, filter: &Filter, order: Order) -> Rows {
        let mut kept: Vec<Arc<Row>> = self.0.iter().filter(|r| filter.accepts(r)).cloned().collect();
        order.sort(&mut kept);
        Rows(Arc::new(kept))
    }
}

/// The rows of objects that change one by one: only changed ones are made anew.
#[derive(Default)]
pub struct Made {
    now: i64,
    rows: HashMap<(String, String), (String, Arc<Row>)>,
}

impl Made {
    /// The rows of all objects, which are by namespace and name.
    pub fn rows<'a>(&mut self, kind: &Kind, objects: impl Iterator<Item = (&'a (String, String), &'a Value)>, now: i64) -> Rows {
        if self.now != now {
            self.rows.clear();
            self.now = now;
        }
        let mut next = HashMap::new();
        let rows = objects.map(|(key, object)| {
            let revision = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
            let (key, kept) = match self.rows.remove_entry(key) {
                Some((key, kept)) if kept.0 == revision && !revision.is_empty() => (key, kept),
                _ => (key.clone(), (revision.to_string(), Arc::new(row(kind, object, now)))),
            };
            let made = kept.1.clone();
            next.insert(key, kept);
            made
        });
        let rows = Rows(Arc::new(rows.collect()));
        self.rows = next;
        rows
    }
}

/// The titles of the columns that are shown.
pub fn titles(kind: &Kind) -> Vec<&'static str> {
    table::columns(kind).iter().filter(|c| c.priority == 0).map(|c| c.name).collect()
}

/// The row of an object; `now` in Unix seconds.
pub fn row(kind: &Kind, object: &Value, now: i64) -> Row {
    let columns = table::columns(kind);
    let texts: Vec<String> = table::cells(kind, object, now).iter().map(plain).collect();
    let ready = columns.iter().zip(&texts).find(|(c, _)| c.name == "Ready").map(|(_, t)| t.as_str());
    let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default();
    let cells = columns.iter().zip(&texts).filter(|(c, _)| c.priority == 0).map(|(column, text)| Cell {
        text: text.clone(),
        tone: matches!(column.name, "Status" | "Phase").then(|| of_status(text, ready)),
        sort: match (column.name, column.kind) {
            // Youngest first: RFC 3339 in UTC sorts as text, the other way round.
            ("Age", _) => Sort::Text(created.bytes().map(|b| char::from(127 - b.min(126))).collect()),
            (_, CellKind::Integer) => Sort::Number(text.parse().unwrap_or(i64::MIN)),
            _ => Sort::Text(text.to_lowercase()),
        },
    });
    let cells: Vec<Cell> = cells.collect();
    let text = cells.iter().map(|c| c.text.to_lowercase()).collect::<Vec<_>>().join("\n");
    let metadata = &object["metadata"];
    let labels = metadata["labels"].as_object().into_iter().flatten();
    let labels = labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_string())).collect();
    Row { name: metadata["name"].as_str().unwrap_or_default().into(), cells, labels, text }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// How rows are ordered: the column and whether it is turned round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub reversed: bool,
}

impl Order {
    /// What a click on a column's title makes of it.
    pub fn clicked(self, column: usize) -> Order {
        Order { column, reversed: self.column == column && !self.reversed }
    }

    /// Sorts rows; equal ones stay in the order of their names.
    pub fn sort(self, rows: &mut [Arc<Row>]) {
        rows.sort_by(|a, b| {
            let by_cell = match (a.cells.get(self.column).map(|c| &c.sort), b.cells.get(self.column).map(|c| &c.sort)) {
                (Some(Sort::Number(x)), Some(Sort::Number(y))) => x.cmp(y),
                (Some(Sort::Text(x)), Some(Sort::Text(y))) => x.cmp(y),
                _ => Ordering::Equal,
            };
            let by_cell = if self.reversed { by_cell.reverse() } else { by_cell };
            by_cell.then_with(|| a.name.cmp(&b.name))
        });
    }
}

/// What people type to see fewer rows: words that must all appear, or a label selector when it has an operator.
pub enum Filter {
    Words(Vec<String>),
    Labels(LabelSelector),
}

impl Filter {
    pub fn parse(text: &str) -> Filter {
        let selector = text.contains(['=', '!']) || text.contains(" in (");
        match LabelSelector::parse(text) {
            Ok(labels) if selector => Filter::Labels(labels),
            _ => Filter::Words(text.split_whitespace().map(str::to_lowercase).collect()),
        }
    }

    pub fn accepts(&self, row: &Row) -> bool {
        match self {
            Filter::Labels(selector) => selector.matches_with(|key| row.labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())),
            Filter::Words(words) => words.iter().all(|w| row.text.contains(w)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::kinds::{POD, REPLICATION_CONTROLLER};

    fn pod(name: &str, created: &str) -> Value {
        json!({"metadata": {"name": name, "creationTimestamp": created, "labels": {"app": "web"}}, "status": {"phase": "Pending"}})
    }

    #[test]
    fn a_pod_has_a_status_with_a_tone() {
        let row = row(&POD, &pod("a", "2026-01-01T00:00:00Z"), 1_767_225_660);
        assert_eq!(titles(&POD).len(), row.cells.len());
        let status = row.cells.iter().find(|c| c.tone.is_some()).unwrap();
        assert_eq!((status.text.as_str(), status.tone), ("Pending", Some(Tone::Busy)));
    }

    #[test]
    fn rows_sort_by_number_by_age_and_back() {
        let rc = |name: &str, n: i64| json!({"metadata": {"name": name, "creationTimestamp": format!("2026-01-0{n}T00:00:00Z")}, "spec": {"replicas": n}});
        let mut rows: Vec<Arc<Row>> =
            [rc("b", 2), rc("a", 9), rc("c", 1)].iter().map(|o| Arc::new(row(&REPLICATION_CONTROLLER, o, 0))).collect();
        let names = |rows: &[Arc<Row>]| rows.iter().map(|r| r.name.clone()).collect::<String>();
        let desired = titles(&REPLICATION_CONTROLLER).iter().position(|t| *t == "Desired").unwrap();
        let order = Order::default().clicked(desired);
        order.sort(&mut rows);
        assert_eq!(names(&rows), "cba");
        order.clicked(desired).sort(&mut rows);
        assert_eq!(names(&rows), "abc");
        let age = titles(&REPLICATION_CONTROLLER).iter().position(|t| *t == "Age").unwrap();
        Order::default().clicked(age).sort(&mut rows);
        assert_eq!(names(&rows), "abc", "youngest first");
    }

    #[test]
    fn filters_are_words_or_labels() {
        let object = pod("web-1", "");
        let row = row(&POD, &object, 0);
        for (text, shown) in [("", true), ("WEB pend", true), ("web run", false), ("app=web", true), ("app!=web", false), ("tier", false)] {
            assert_eq!(Filter::parse(text).accepts(&row), shown, "{text}");
        }
    }

    #[test]
    fn rows_of_objects_that_did_not_change_are_kept() {
        let revised = |name: &str, revision: &str| {
            let mut pod = pod(name, "2026-01-01T00:00:00Z");
            pod["metadata"]["resourceVersion"] = revision.into();
            ((String::new(), name.to_string()), pod)
        };
        let mut made = Made::default();
        let mut rows = |objects: &[((String, String), Value)], now| made.rows(&POD, objects.iter().map(|(k, o)| (k, o)), now);
        let first = rows(&[revised("a", "1"), revised("b", "2")], 0);
        let second = rows(&[revised("a", "1"), revised("b", "3")], 0);
        assert!(Arc::ptr_eq(&first.0[0], &second.0[0]) && !Arc::ptr_eq(&first.0[1], &second.0[1]));
        assert_eq!(second, rows(&[revised("a", "1"), revised("b", "3")], 0));
        assert_ne!(second, rows(&[revised("a", "1"), revised("b", "3")], 60), "ages have changed");
        assert_eq!(second.seen(&Filter::parse("B"), Order::default()).0.len(), 1);
    }
}
