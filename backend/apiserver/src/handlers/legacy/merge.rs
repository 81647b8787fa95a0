//! Carries an update in an old form over to the stored object without losing what the old form cannot say.
use serde_json::Value;
use std::collections::BTreeMap;

/// `stored` with the difference between `shown` (what the client could see of it) and `sent`.
pub fn merge(stored: &Value, shown: &Value, sent: &Value) -> Value {
    if shown == sent {
        return stored.clone();
    }
    match (stored, shown, sent) {
        (Value::Object(stored), Value::Object(shown), Value::Object(sent)) => {
            let null = Value::Null;
            let names = stored.keys().chain(sent.keys().filter(|k| !stored.contains_key(*k)));
            let members = names.filter_map(|name| {
                let of = |map: &serde_json::Map<String, Value>| map.get(name).unwrap_or(&null).clone();
                let merged = merge(&of(stored), &of(shown), &of(sent));
                (!merged.is_null()).then(|| (name.clone(), merged))
            });
            Value::Object(members.collect())
        }
        (Value::Array(stored), Value::Array(shown), Value::Array(sent)) => lists(stored, shown, sent).into(),
        _ => sent.clone(),
    }
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
