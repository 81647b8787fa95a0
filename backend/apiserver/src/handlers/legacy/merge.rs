//! Carries an update in an old form over to the stored object without losing what the old form cannot say.
use serde_json::Value;

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
        (Value::Array(stored), Value::Array(shown), Value::Array(sent)) if stored.len() == shown.len() && shown.len() == sent.len() => {
            stored.iter().zip(shown).zip(sent).map(|((a, b), c)| merge(a, b, c)).collect()
        }
        _ => sent.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_not_shown_stays_and_what_was_changed_changes() {
        let stored = json!({"a": 1, "hidden": 2, "list": [{"x": 1, "hidden": 3}], "gone": 4});
        let shown = json!({"a": 1, "list": [{"x": 1}], "gone": 4});
        let sent = json!({"a": 5, "list": [{"x": 6}], "new": 7});
        assert_eq!(merge(&stored, &shown, &sent), json!({"a": 5, "hidden": 2, "list": [{"x": 6, "hidden": 3}], "new": 7}));
    }
}
