//! What must be true of every version that the store ever held, checked from its history.
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use store::{Event, Record, Revision, Store};

/// Follows the history and remembers what it has to.
#[derive(Default)]
pub struct Laws(Mutex<State>);

#[derive(Default)]
struct State {
    seen: Revision,
    /// Who holds a portal address or node port.
    held: BTreeMap<String, String>,
    /// Pods that count, by namespace.
    active: BTreeMap<String, BTreeSet<String>>,
    /// Allowed pods, by namespace.
    quotas: BTreeMap<String, u64>,
    /// Bound pods that run, by node and host port.
    ports: BTreeMap<(String, u64), String>,
}

fn decoded(record: &Option<std::sync::Arc<Record>>) -> Option<Value> {
    record.as_ref().map(|r| serde_json::from_slice(&r.value).expect("what is stored is JSON"))
}

fn finished(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn node(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or_default()
}

pub fn host_ports(pod: &Value) -> Vec<u64> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.flat_map(|c| c["ports"].as_array().into_iter().flatten()).filter_map(|p| p["hostPort"].as_u64()).collect()
}

impl Laws {
    /// Everything that was stored since the last time.
    pub fn check(&self, store: &dyn Store) -> Result<(), String> {
        let mut state = self.0.lock();
        let events = store.history(state.seen, store.revision()).map_err(|e| e.to_string())?;
        for event in &events {
            state.take(event).map_err(|why| format!("revision {} of {}: {why}", event.revision, event.key))?;
        }
        Ok(())
    }
}

impl State {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        if event.revision < self.seen {
            return Err(format!("came after {}", self.seen));
        }
        self.seen = event.revision;
        let (resource, namespace, name) = store::key::parse(&event.key).ok_or("no key of an object")?;
        let (old, new) = (decoded(&event.previous), decoded(&event.current));
        if let Some(new) = &new
            && new["metadata"]["resourceVersion"].as_str() != Some(event.revision.to_string().as_str())
        {
            return Err(format!("carries resourceVersion {}", new["metadata"]["resourceVersion"]));
        }
        if let (Some(old), Some(new)) = (&old, &new) {
            same(old, new)?;
        }
        match resource {
            "pods" => self.pod(namespace, name, old.as_ref(), new.as_ref()),
            "services" => self.service(&event.key, old.as_ref(), new.as_ref()),
            "resourcequotas" => {
                let hard = new.as_ref().and_then(|q| q["spec"]["hard"]["pods"].as_str()?.parse().ok());
                match hard {
                    Some(hard) => self.quotas.insert(namespace.into(), hard),
                    None => self.quotas.remove(namespace),
                };
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn pod(&mut self, namespace: &str, name: &str, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        let who = format!("{namespace}/{name}");
        if let (Some(old), Some(new)) = (old, new) {
            if !node(old).is_empty() && node(old) != node(new) {
                return Err(format!("was bound to {} and then to {}", node(old), node(new)));
            }
            if finished(old) && old["status"]["phase"] != new["status"]["phase"] {
                return Err(format!("had ended as {} and became {}", old["status"]["phase"], new["status"]["phase"]));
            }
        }
        if let Some(old) = old {
            self.ports.retain(|(n, _), holder| n != node(old) || *holder != who);
        }
        let counted = self.active.entry(namespace.into()).or_default();
        match new.filter(|p| !finished(p)) {
            Some(pod) => {
                counted.insert(name.into());
                for port in host_ports(pod).into_iter().filter(|_| !node(pod).is_empty()) {
                    if let Some(other) = self.ports.insert((node(pod).into(), port), who.clone()) {
                        return Err(format!("takes port {port} of {}, which {other} has", node(pod)));
                    }
                }
            }
            None => {
                counted.remove(name);
            }
        }
        let hard = self.quotas.get(namespace).copied().unwrap_or(u64::MAX);
        if new.is_some() && old.is_none() && counted.len() as u64 > hard {
            return Err(format!("is pod number {} in a quota of {hard}", counted.len()));
        }
        Ok(())
    }

    fn service(&mut self, key: &str, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        if old.is_some() {
            self.held.retain(|_, holder| holder != key);
        }
        for thing in new.map(held).unwrap_or_default() {
            if let Some(other) = self.held.insert(thing.clone(), key.into()) {
                return Err(format!("has {thing}, which {other} has"));
            }
        }
        Ok(())
    }
}

/// What no change may change.
fn same(old: &Value, new: &Value) -> Result<(), String> {
    for member in ["uid", "creationTimestamp"] {
        if old["metadata"][member] != new["metadata"][member] {
            return Err(format!("{member} changed from {} to {}", old["metadata"][member], new["metadata"][member]));
        }
    }
    if old["metadata"].get("deletionTimestamp").is_some() && new["metadata"].get("deletionTimestamp").is_none() {
        return Err("a deletion was taken back".into());
    }
    Ok(())
}

fn held(service: &Value) -> Vec<String> {
    let spec = &service["spec"];
    let ip = spec["clusterIP"].as_str().filter(|ip| !ip.is_empty() && *ip != "None").map(|ip| format!("address {ip}"));
    let ports = spec["ports"].as_array().into_iter().flatten().filter_map(|p| p["nodePort"].as_u64().filter(|n| *n != 0));
    ip.into_iter().chain(ports.map(|n| format!("node port {n}"))).collect()
}
