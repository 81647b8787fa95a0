//! Whether stored objects are what this registry would have stored: key, JSON, schema, revisions, unique identities.
use serde_json::Value;
use shared::kinds::{self, Kind, Storage};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Fault, Record, Revision};

/// Looks at every record of a store that stands at `revision`; one fault per thing that is wrong, in key order.
pub fn check(revision: Revision, records: &[Arc<Record>]) -> Vec<Fault> {
    let mut look = Look::default();
    for record in records {
        if let Err(what) = look.record(revision, record) {
            look.faults.push(Fault { place: record.key.to_string(), what });
        }
    }
    let names = |key: &str| records.binary_search_by(|record| (*record.key).cmp(key)).is_ok();
    for namespace in std::mem::take(&mut look.namespaces) {
        let key = format!("/namespaces//{}", namespace.0);
        if !names(&key) {
            look.faults.push(Fault { place: namespace.1, what: format!("its namespace {:?} is absent", namespace.0) });
        }
    }
    look.faults
}

#[derive(Default)]
struct Look {
    faults: Vec<Fault>,
    uids: BTreeMap<String, String>,
    addresses: BTreeMap<String, String>,
    /// Each namespace in use and the first key in it.
    namespaces: BTreeMap<String, String>,
}

impl Look {
    fn record(&mut self, revision: Revision, record: &Record) -> Result<(), String> {
        if record.revision > revision || record.created > record.revision || record.created == 0 {
            return Err(format!("created at {}, changed at {}, in a store at {revision}", record.created, record.revision));
        }
        let (kind, namespace, name) = identity(&record.key)?;
        let value: Value = serde_json::from_slice(&record.value).map_err(|error| format!("is not JSON: {error}"))?;
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
        for (path, wanted) in [
            ("/apiVersion", kind.api_version().as_str()),
            ("/kind", kind.kind),
            ("/metadata/name", name),
            ("/metadata/namespace", namespace),
            ("/metadata/resourceVersion", &record.revision.to_string()),
        ] {
            if text(path) != wanted {
                return Err(format!("{} is {:?}, not {wanted:?}", path.trim_start_matches('/').replace('/', "."), text(path)));
            }
        }
        if let Some(error) = schema::validate::check_fields(kind, &value).error {
            return Err(error);
        }
        self.unique(&record.key, text("/metadata/uid"), "metadata.uid", |look| &mut look.uids)?;
        if *kind == kinds::SERVICE && !matches!(text("/spec/clusterIP"), "" | "None") {
            self.unique(&record.key, text("/spec/clusterIP"), "spec.clusterIP", |look| &mut look.addresses)?;
        }
        if !namespace.is_empty() {
            self.namespaces.entry(namespace.to_owned()).or_insert_with(|| record.key.to_string());
        }
        Ok(())
    }

    fn unique(&mut self, key: &str, value: &str, field: &str, seen: fn(&mut Look) -> &mut BTreeMap<String, String>) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("has no {field}"));
        }
        match seen(self).insert(value.to_owned(), key.to_owned()) {
            None => Ok(()),
            Some(other) => Err(format!("{field} {value} is also that of {other}")),
        }
    }
}

/// The kind, namespace and name that a key stands for.
fn identity(key: &str) -> Result<(&'static Kind, &str, &str), String> {
    let (resource, namespace, name) = store::key::parse(key).ok_or("is no object's key")?;
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    let kind = kinds::KINDS.iter().find(|kind| kind.plural == plural && kind.group == group && kind.storage == Storage::Stored);
    let kind = kind.ok_or_else(|| format!("{resource} is no kind that is stored"))?;
    if kind.namespaced() == namespace.is_empty() || name.is_empty() {
        return Err("has a namespace where its kind has none, or none where it has".to_owned());
    }
    Ok((kind, namespace, name))
}
