//! Recorded exchanges, and how an answer of ours is compared with the recorded one.
pub mod cluster;

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One request that the osc of 2015 sent, and what the original server answered.
#[derive(Deserialize)]
pub struct Exchange {
    pub method: String,
    pub uri: String,
    #[serde(default)]
    pub request: Option<Value>,
    pub status: u16,
    #[serde(rename = "type")]
    pub content_type: String,
    /// JSON, or the text of an answer that is none.
    pub response: Value,
}

pub fn exchanges() -> Vec<Exchange> {
    let text = include_str!("../data/osc-2015.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One member in which two answers differ.
#[derive(Debug)]
pub struct Difference {
    /// Such as `items[web].currentState.status`.
    pub path: String,
    pub recorded: Option<Value>,
    pub ours: Option<Value>,
}

/// Every difference but those of chance: times, uids, revisions, addresses.
pub fn compare(recorded: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", "", Some(recorded), Some(ours), &mut found);
    found
}

fn walk(path: &str, member: &str, recorded: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (recorded, ours) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, name, a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            let (a, b) = (by_name(a), by_name(b));
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                walk(&format!("{path}[{name}]"), "", a.get(name).copied(), b.get(name).copied(), found);
            }
        }
        (Some(a), Some(b)) if a == b || by_chance(member, a, b) => {}
        (recorded, ours) => found.push(Difference { path: path.into(), recorded: recorded.cloned(), ours: ours.cloned() }),
    }
}

/// Entries under their names where they have some, otherwise under their places.
fn by_name(list: &[Value]) -> BTreeMap<String, &Value> {
    let name = |v: &Value| v["id"].as_str().or(v["metadata"]["name"].as_str()).or(v["name"].as_str()).map(str::to_string);
    list.iter().enumerate().map(|(i, v)| (name(v).unwrap_or_else(|| i.to_string()), v)).collect()
}

/// Values that differ from run to run, but must be of one kind.
fn by_chance(member: &str, a: &Value, b: &Value) -> bool {
    if member == "resourceVersion" {
        return a.is_u64() && b.is_u64() || a.is_string() && b.as_str().is_some_and(|v| v.parse::<u64>().is_ok());
    }
    let (Some(a), Some(b)) = (a.as_str(), b.as_str()) else { return false };
    match member {
        "uid" => b.len() == a.len(),
        "portalIP" => b.parse::<std::net::IpAddr>().is_ok(),
        _ => is_time(a) && is_time(b),
    }
}

/// `2015-03-24T10:00:00Z`; with fractions the old client would read it, but the original wrote none.
fn is_time(text: &str) -> bool {
    text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T' && text[..4].chars().all(|c| c.is_ascii_digit())
}
