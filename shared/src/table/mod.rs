//! The columns in which people see objects of each kind: what `kubectl get` prints and the console shows.
//!
//! Pure: cells are computed from an object's JSON and from `now`.
mod access;
mod core;
mod pod;
pub mod time;

use crate::kinds::Kind;
use serde_json::Value;

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    Text,
    Integer,
}

impl CellKind {
    /// As the wire spells it.
    pub fn name(self) -> &'static str {
        match self {
            CellKind::Text => "string",
            CellKind::Integer => "integer",
        }
    }
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: CellKind,
    /// `name` for the column that identifies the row.
    pub format: &'static str,
    pub description: &'static str,
    /// 0: always shown; 1: only in wide output.
    pub priority: u8,
}

pub(crate) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: CellKind::Text, format: "", description, priority: 0 }
}

pub(crate) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: CellKind::Text, format: "", description, priority: 1 }
}

pub(crate) const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: CellKind::Integer, format: "", description, priority: 0 }
}

pub(crate) const NAME: Column = Column {
    name: "Name",
    kind: CellKind::Text,
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources.",
    priority: 0,
};
pub(crate) const AGE: Column = text("Age", "CreationTimestamp is a timestamp representing the server time when this object was created.");

/// How one kind is shown.
pub(crate) struct Layout {
    pub columns: &'static [Column],
    pub cells: fn(&Value, i64) -> Vec<Value>,
}

static PLAIN: Layout = Layout { columns: &[NAME, AGE], cells: |o, now| vec![name(o), age(o, now)] };

fn layout(kind: &Kind) -> &'static Layout {
    match (kind.group, kind.kind) {
        ("", "Pod") => &pod::POD,
        ("", "ReplicationController") => &core::REPLICATION_CONTROLLER,
        ("", "Service") => &core::SERVICE,
        ("", "Endpoints") => &core::ENDPOINTS,
        ("", "Node") => &core::NODE,
        ("", "Namespace") => &core::NAMESPACE,
        ("", "Event") | ("events.k8s.io", "Event") => &core::EVENT,
        ("", "Secret") => &core::SECRET,
        ("", "ConfigMap") => &core::CONFIG_MAP,
        ("", "ServiceAccount") => &core::SERVICE_ACCOUNT,
        ("", "ResourceQuota") => &core::RESOURCE_QUOTA,
        ("", "LimitRange") => &access::CREATED_AT,
        ("discovery.k8s.io", "EndpointSlice") => &core::ENDPOINT_SLICE,
        ("coordination.k8s.io", "Lease") => &core::LEASE,
        ("certificates.k8s.io", "CertificateSigningRequest") => &access::SIGNING_REQUEST,
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => &access::CREATED_AT,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => &access::BINDING,
        ("project.openshift.io", "Project") => &access::PROJECT,
        ("user.openshift.io", "User") => &access::USER,
        ("user.openshift.io", "Identity") => &access::IDENTITY,
        _ => &PLAIN,
    }
}

/// The columns of a kind, wide ones included.
pub fn columns(kind: &Kind) -> &'static [Column] {
    layout(kind).columns
}

/// One row: a cell per column. `now` is in Unix seconds.
pub fn cells(kind: &Kind, object: &Value, now: i64) -> Vec<Value> {
    (layout(kind).cells)(object, now)
}

/// What is at a path of plain names such as `/spec/nodeName`: `Value::pointer` without its copies of every name.
pub(crate) fn find<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(object, |value, name| match value {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

/// A string at a path such as `/spec/nodeName`; empty when absent.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> &'a str {
    find(object, path).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn count(object: &Value, path: &str) -> i64 {
    find(object, path).and_then(Value::as_i64).unwrap_or(0)
}

pub(crate) fn items<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    find(object, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn size(object: &Value, path: &str) -> i64 {
    let found = find(object, path);
    let length = found.and_then(Value::as_object).map(serde_json::Map::len).or_else(|| found.and_then(Value::as_array).map(Vec::len));
    i64::try_from(length.unwrap_or(0)).unwrap_or(i64::MAX)
}

/// The text, or `<none>`.
pub(crate) fn or_none(text: &str) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

pub(crate) fn name(object: &Value) -> Value {
    at(object, "/metadata/name").into()
}

/// How long ago the object was made.
pub(crate) fn age(object: &Value, now: i64) -> Value {
    time::since(at(object, "/metadata/creationTimestamp"), now).into()
}

/// `a=b,c=d`, or `<none>`.
pub(crate) fn pairs(object: &Value, path: &str) -> Value {
    let map = find(object, path).and_then(Value::as_object);
    let list: Vec<String> = map.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    or_none(&list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;
    use serde_json::json;

    #[test]
    fn every_kind_has_as_many_cells_as_columns_even_for_an_empty_object() {
        for kind in KINDS {
            for object in [json!({}), json!(null), json!({"metadata": {"name": "x"}, "spec": null, "status": []})] {
                assert_eq!(cells(kind, &object, 0).len(), columns(kind).len(), "{kind}");
            }
        }
    }
}
