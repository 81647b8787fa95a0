//! One stored version of one object: its JSON bytes, encoded once, and what selectors need of it, decoded once.
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use shared::kinds::Kind;
use shared::meta::ObjectMeta;
use std::sync::Arc;
use store::{Record, Revision};

/// A version of an object. Cheap to clone; the bytes are shared with every reader and watcher.
#[derive(Clone)]
pub struct Object {
    pub kind: &'static Kind,
    pub record: Arc<Record>,
}

/// What is decoded of every object once per version: enough for selectors, ownership and permission checks.
#[derive(Debug)]
pub struct Index {
    pub meta: ObjectMeta,
    /// Values of the kind's selectable fields, in the order of `Kind::selectable_fields`.
    pub fields: Vec<String>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl Object {
    /// The object's JSON, as stored, with its resourceVersion.
    pub fn bytes(&self) -> Bytes {
        self.record.value.clone()
    }

    pub fn revision(&self) -> Revision {
        self.record.revision
    }

    /// Namespace, empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        store::key::parse(&self.record.key).map_or("", |(_, ns, _)| ns)
    }

    pub fn name(&self) -> &str {
        store::key::parse(&self.record.key).map_or("", |(_, _, name)| name)
    }

    /// Decodes the whole object. For write paths; read paths send `bytes`.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.record.value).expect("what the registry stored is JSON")
    }

    /// Reads the object as one of `shared::objects`.
    pub fn view<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.record.value).expect("views have a default for every member")
    }

    /// Decoded at the first call for this version, then shared by all readers.
    pub fn index(&self) -> Arc<Index> {
        let any = self.record.view.get_or_init(|| Arc::new(Index::of(self.kind, &self.record.value))).clone();
        any.downcast::<Index>().expect("only the registry attaches views")
    }
}

impl Index {
    fn of(kind: &Kind, bytes: &[u8]) -> Index {
        let head: Head = serde_json::from_slice(bytes).expect("what the registry stored is JSON");
        if kind.selectable_fields.is_empty() {
            return Index { meta: head.metadata, fields: Vec::new() };
        }
        let value: Value = serde_json::from_slice(bytes).expect("what the registry stored is JSON");
        let fields = kind.selectable_fields.iter().map(|path| field(&value, path)).collect();
        Index { meta: head.metadata, fields }
    }

    /// A field as selectors see it; empty when absent.
    pub fn field(&self, kind: &Kind, path: &str) -> &str {
        match path {
            "metadata.name" => &self.meta.name,
            "metadata.namespace" => &self.meta.namespace,
            _ => kind.selectable_fields.iter().position(|f| *f == path).and_then(|i| self.fields.get(i)).map_or("", String::as_str),
        }
    }
}

fn field(value: &Value, path: &str) -> String {
    let path = if path == "source" { "source.component" } else { path };
    let found = path.split('.').try_fold(value, |v, part| v.get(part));
    match found {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None if path == "spec.unschedulable" || path == "spec.hostNetwork" => "false".into(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}
