//! Which happenings become events: the same one is counted, many similar ones are combined, and an object of which too
//! much is said is left alone for a while. Rules and figures are those of client-go's `EventCorrelator`
//! (tools/record/events_cache.go), so that what `describe` shows is what users of Kubernetes know.
use serde_json::{Value, json};
use shared::meta::ObjectReference;
use std::collections::{BTreeMap, BTreeSet};

/// So many different messages of one reason about one object are told one by one; those that follow are combined.
const SIMILAR_MAX: usize = 10;
/// Messages further apart than this are not similar any more.
const SIMILAR_SECONDS: i64 = 600;
/// So much may be said of one object at once …
const BURST: f64 = 25.0;
/// … and then one more in so many seconds.
const SECONDS_PER_EVENT: f64 = 300.0;
/// Objects, reasons and events that are remembered, each; the whole memory is dropped when there are more.
const REMEMBERED_MAX: usize = 4096;

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub struct Happening {
    pub about: ObjectReference,
    pub warning: bool,
    pub reason: String,
    pub message: String,
}

/// An event to write: a new one, or one more of an earlier one.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The same for everything that is counted together.
    pub key: String,
    pub name: String,
    pub message: String,
    /// How often it happened, this time included; 1 is an event that is not written yet.
    pub count: i64,
    /// When it happened first, seconds since 1970.
    pub first: i64,
}

/// Who tells of it: `kubelet` and its node, or a part of the control plane.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub component: &'a str,
    /// Empty for what runs on no node in particular.
    pub host: &'a str,
}

/// The event as it is stored; `first` and `last` are RFC 3339.
pub fn body(what: &Happening, entry: &Entry, source: Source<'_>, first: &str, last: &str) -> Value {
    let mut from = json!({"component": source.component});
    if !source.host.is_empty() {
        from["host"] = source.host.into();
    }
    json!({
        "metadata": {"name": entry.name, "namespace": namespace(&what.about)}, "involvedObject": what.about, "reason": what.reason,
        "message": entry.message, "type": if what.warning { "Warning" } else { "Normal" }, "source": from,
        "reportingComponent": source.component, "reportingInstance": source.host, "firstTimestamp": first, "lastTimestamp": last,
        "count": entry.count,
    })
}

/// Where events about an object are kept; those about cluster-wide objects lie in `default`.
pub fn namespace(about: &ObjectReference) -> &str {
    if about.namespace.is_empty() { "default" } else { &about.namespace }
}

struct Similar {
    messages: BTreeSet<String>,
    last: i64,
}

struct Budget {
    left: f64,
    at: i64,
}

/// What was said lately.
#[derive(Default)]
pub struct Correlator {
    budgets: BTreeMap<String, Budget>,
    similar: BTreeMap<String, Similar>,
    entries: BTreeMap<String, Entry>,
}

impl Correlator {
    /// What is to be written of all that was heard since the last time; of what is counted together, the newest count only.
    pub fn hear_all(
        &mut self,
        heard: impl IntoIterator<Item = Happening>,
        now: i64,
        mut suffix: impl FnMut() -> u64,
    ) -> Vec<(Happening, Entry)> {
        let mut entries = BTreeMap::new();
        for what in heard {
            if let Some(entry) = self.hear(&what, now, suffix()) {
                entries.insert(entry.key.clone(), (what, entry));
            }
        }
        entries.into_values().collect()
    }

    /// The event that tells of it; `None` when enough was said of this object. `now` is in seconds since 1970, `suffix` makes a
    /// new event's name unique.
    fn hear(&mut self, what: &Happening, now: i64, suffix: u64) -> Option<Entry> {
        let object = object_key(&what.about);
        let reason = format!("{object}\0{}\0{}", what.warning, what.reason);
        let (key, message) = if self.is_one_of_many(&reason, &what.message, now) {
            (reason, format!("(combined from similar events): {}", what.message))
        } else {
            (format!("{reason}\0{}\0{}", what.about.field_path, what.message), what.message.clone())
        };
        bound(&mut self.entries);
        let new =
            || Entry { key: key.clone(), name: format!("{}.{suffix:016x}", what.about.name), message: String::new(), count: 0, first: now };
        let entry = self.entries.entry(key.clone()).or_insert_with(new);
        entry.count += 1;
        entry.message = message;
        let entry = entry.clone();
        self.may_say(object, now).then_some(entry)
    }

    /// The event could not be written, or is gone: the next one of its kind is a new one.
    pub fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }

    fn is_one_of_many(&mut self, reason: &str, message: &str, now: i64) -> bool {
        bound(&mut self.similar);
        let similar = self.similar.entry(reason.to_string()).or_insert_with(|| Similar { messages: BTreeSet::new(), last: now });
        if now - similar.last > SIMILAR_SECONDS {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(message.to_string());
        if similar.messages.len() < SIMILAR_MAX {
            return false;
        }
        similar.messages.pop_first();
        true
    }

    fn may_say(&mut self, object: String, now: i64) -> bool {
        bound(&mut self.budgets);
        let budget = self.budgets.entry(object).or_insert(Budget { left: BURST, at: now });
        // A clock that was set back gives nothing, and takes nothing.
        let passed = now.saturating_sub(budget.at).max(0);
        #[allow(clippy::cast_precision_loss)]
        let earned = passed as f64 / SECONDS_PER_EVENT;
        budget.left = (budget.left + earned).min(BURST);
        budget.at = now;
        if budget.left < 1.0 {
            return false;
        }
        budget.left -= 1.0;
        true
    }
}

fn object_key(about: &ObjectReference) -> String {
    [&about.api_version, &about.kind, &about.namespace, &about.name, &about.uid].map(String::as_str).join("\0")
}

fn bound<T>(map: &mut BTreeMap<String, T>) {
    if map.len() >= REMEMBERED_MAX {
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(name: &str, message: &str) -> Happening {
        let about = ObjectReference { kind: "Pod".into(), name: name.into(), uid: format!("uid-{name}"), ..ObjectReference::default() };
        Happening { about, warning: false, reason: "Created".into(), message: message.into() }
    }

    #[test]
    fn the_same_is_counted_and_something_else_is_not() {
        let mut correlator = Correlator::default();
        let first = correlator.hear(&happening("a", "x"), 100, 7).unwrap();
        assert_eq!((first.name.as_str(), first.count, first.first), ("a.0000000000000007", 1, 100));
        let second = correlator.hear(&happening("a", "x"), 150, 8).unwrap();
        assert_eq!((second.name.as_str(), second.count, second.first), ("a.0000000000000007", 2, 100));
        assert_eq!(correlator.hear(&happening("a", "y"), 150, 9).unwrap().count, 1);
        assert_eq!(correlator.hear(&happening("b", "x"), 150, 9).unwrap().count, 1);
        correlator.forget(&second.key);
        let again = correlator.hear(&happening("a", "x"), 160, 10).unwrap();
        assert_eq!((again.name.as_str(), again.count), ("a.000000000000000a", 1));
    }

    #[test]
    fn many_messages_of_one_reason_are_combined_until_there_was_silence() {
        let mut correlator = Correlator::default();
        let hear = |c: &mut Correlator, n: usize, now| c.hear(&happening("a", &format!("made {n}")), now, n as u64).unwrap();
        for n in 0..SIMILAR_MAX - 1 {
            assert_eq!(hear(&mut correlator, n, 0).count, 1);
        }
        let combined = hear(&mut correlator, 100, 0);
        assert_eq!(combined.message, "(combined from similar events): made 100");
        let next = hear(&mut correlator, 101, 1);
        assert_eq!((next.name, next.count), (combined.name, 2));
        assert_eq!(hear(&mut correlator, 102, 2 + SIMILAR_SECONDS).message, "made 102");
    }

    #[test]
    fn of_one_object_so_much_is_said_and_no_more_until_time_passes() {
        let mut correlator = Correlator::default();
        let said = |c: &mut Correlator, now| (0..100).filter(|n| c.hear(&happening("a", &format!("{n}")), now, 0).is_some()).count();
        assert_eq!(said(&mut correlator, 0), 25);
        assert_eq!(said(&mut correlator, 299), 0);
        assert_eq!(said(&mut correlator, 910), 3, "what the first 299 seconds earned counts too");
        assert!(correlator.hear(&happening("b", "x"), 910, 0).is_some(), "another object has its own");
        assert_eq!(said(&mut correlator, -5000), 0, "a clock that was set back gives nothing");
    }

    #[test]
    fn of_what_is_heard_together_each_event_is_written_once() {
        let mut correlator = Correlator::default();
        let heard = ["x", "y", "x", "x"].map(|message| happening("a", message));
        let written = correlator.hear_all(heard, 0, || 0);
        let counts: Vec<_> = written.iter().map(|(what, entry)| (what.message.as_str(), entry.count)).collect();
        assert_eq!(counts, [("x", 3), ("y", 1)]);
    }

    #[test]
    fn an_event_says_where_it_comes_from_and_lies_beside_its_object() {
        let mut correlator = Correlator::default();
        let entry = correlator.hear(&happening("a", "x"), 100, 7).unwrap();
        let of = |host| body(&happening("a", "x"), &entry, Source { component: "kubelet", host }, "then", "now");
        assert_eq!(of("n1")["source"], json!({"component": "kubelet", "host": "n1"}));
        assert_eq!(of("")["source"], json!({"component": "kubelet"}));
        assert_eq!((&of("")["metadata"]["namespace"], &of("")["count"]), (&json!("default"), &json!(1)));
        let mut pod = happening("a", "x");
        pod.about.namespace = "team".into();
        assert_eq!(namespace(&pod.about), "team");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut correlator = Correlator::default();
        for n in 0..3 * REMEMBERED_MAX {
            assert!(correlator.hear(&happening(&n.to_string(), "x"), 0, 0).is_some());
            let sizes = [correlator.budgets.len(), correlator.similar.len(), correlator.entries.len()];
            assert!(sizes.iter().all(|s| *s <= REMEMBERED_MAX), "{sizes:?}");
        }
    }
}
