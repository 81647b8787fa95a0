//! Carries an update in an old form over to the stored object without losing what the old form cannot say.
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// `stored` with the difference between `shown` (what the client could see of it) and `sent`.
pub fn merge(stored: &Value, shown: &Value, sent: &Value) -> Value {
    if shown == sent {
        return stored.clone();
    }
    match (stored, shown, sent) {
        (Value::Object(stored), Value::Object(shown), Value::Object(sent)) => members(stored, shown, sent),
        // All of it was hidden, and the client adds to what it takes for nothing.
        (Value::Object(stored), Value::Null, Value::Object(sent)) => members(stored, &Map::new(), sent),
        (Value::Array(stored), Value::Array(shown), Value::Array(sent)) => lists(stored, shown, sent).into(),
        (Value::Array(stored), Value::Null, Value::Array(sent)) => lists(stored, &[], sent).into(),
        _ => sent.clone(),
    }
}

fn members(stored: &Map<String, Value>, shown: &Map<String, Value>, sent: &Map<String, Value>) -> Value {
    let null = Value::Null;
    let names = stored.keys().chain(sent.keys().filter(|k| !stored.contains_key(*k)));
    let all = names.filter_map(|name| {
        let of = |map: &Map<String, Value>| map.get(name).unwrap_or(&null).clone();
        let sent = match of(sent) {
            // Of these, having none and not having any is the same; hidden ones stay.
            Value::Null if matches!(name.as_str(), "labels" | "annotations") => Value::Object(Map::new()),
            sent => sent,
        };
        let merged = merge(&of(stored), &of(shown), &sent);
        (!merged.is_null()).then(|| (name.clone(), merged))
    });
    Value::Object(all.collect())
}

/// Entries with names are the same if their names are, others if their places are; entries that were not shown stay.
fn lists(stored: &[Value], shown: &[Value], sent: &[Value]) -> Vec<Value> {
    if let (Some(a), Some(b), Some(c)) = (by_name(stored), by_name(shown), by_name(sent)) {
        let name = |entry: &Value| entry["name"].as_str().unwrap_or_default().to_string();
        let told = sent.iter().map(|entry| match (a.get(&name(entry)), b.get(&name(entry))) {
            (Some(stored), Some(shown)) => merge(stored, shown, entry),
            _ => entry.clone(),
        });
        let untold = stored.iter().filter(|entry| !b.contains_key(&name(entry)) && !c.contains_key(&name(entry)));
        return told.chain(untold.cloned()).collect();
    }
    if stored.len() == shown.len() && shown.len() == sent.len() {
        return stored.iter().zip(shown).zip(sent).map(|((a, b), c)| merge(a, b, c)).collect();
    }
    sent.to_vec()
}

/// `None` unless every entry has a name of its own.
fn by_name(list: &[Value]) -> Option<BTreeMap<String, &Value>> {
    let named: Option<BTreeMap<String, &Value>> = list.iter().map(|v| Some((v["name"].as_str()?.to_string(), v))).collect();
    named.filter(|map| map.len() == list.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hidden_labels_stay_when_others_come_and_go() {
        let stored = json!({"labels": {"hidden": "1"}});
        assert_eq!(merge(&stored, &json!({}), &json!({"labels": {"new": "2"}})), json!({"labels": {"hidden": "1", "new": "2"}}));
        let stored = json!({"labels": {"hidden": "1", "old": "2"}});
        assert_eq!(merge(&stored, &json!({"labels": {"old": "2"}}), &json!({})), json!({"labels": {"hidden": "1"}}));
        // Anything else that is taken away goes with all that belongs to it.
        assert_eq!(merge(&json!({"probe": {"hidden": 1, "a": 2}}), &json!({"probe": {"a": 2}}), &json!({})), json!({}));
    }

    #[test]
    fn entries_are_known_by_their_names() {
        let stored = json!([{"name": "a", "hidden": 1}, {"name": "b", "hidden": 2}, {"name": "secret"}]);
        let shown = json!([{"name": "a"}, {"name": "b"}]);
        let sent = json!([{"name": "new"}, {"name": "b", "x": 3}]);
        let merged = json!([{"name": "new"}, {"name": "b", "hidden": 2, "x": 3}, {"name": "secret"}]);
        assert_eq!(merge(&stored, &shown, &sent), merged);
    }

    #[test]
    fn what_was_not_shown_stays_and_what_was_changed_changes() {
        let stored = json!({"a": 1, "hidden": 2, "list": [{"x": 1, "hidden": 3}], "gone": 4});
        let shown = json!({"a": 1, "list": [{"x": 1}], "gone": 4});
        let sent = json!({"a": 5, "list": [{"x": 6}], "new": 7});
        assert_eq!(merge(&stored, &shown, &sent), json!({"a": 5, "hidden": 2, "list": [{"x": 6, "hidden": 3}], "new": 7}));
    }
}
