//! Which members of an object its kind does not know, and which have the wrong type.
mod duplicates;
mod prune;

pub use duplicates::duplicates;
pub use prune::{prune, prune_named};

use crate::table::{DefinitionId, Type, table};
use crate::{MAX_DEPTH, scalar};
use serde_json::Value;
use shared::kinds::Kind;

/// At most this many unknown or duplicate members are reported, as Kubernetes does.
pub const MAX_REPORTED: usize = 100;

/// What a look at an object's members found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FieldReport {
    /// `unknown field "spec.foo"`: warnings, or reasons to refuse under strict validation.
    pub unknown: Vec<String>,
    /// A value of the wrong type: always a reason to refuse. A whole sentence naming the field.
    pub error: Option<String>,
}

impl FieldReport {
    /// The message of the 400 that refuses this object; `None` when it is acceptable.
    /// `duplicates` come from [`duplicates`]; both lists only count when `strict`.
    pub fn refusal(&self, api_version: &str, kind: &str, duplicates: &[String], strict: bool) -> Option<String> {
        let version = api_version.rsplit('/').next().unwrap_or(api_version);
        let prefix = format!("{kind} in version {version:?} cannot be handled as a {kind}: ");
        if let Some(error) = &self.error {
            return Some(prefix + error);
        }
        let all: Vec<&str> = duplicates.iter().chain(&self.unknown).take(MAX_REPORTED).map(String::as_str).collect();
        if !strict || all.is_empty() {
            return None;
        }
        Some(format!("{prefix}{}", strict_error(&all)))
    }
}

/// `strict decoding error: unknown field "spec.foo", duplicate field "spec.bar"`.
pub fn strict_error(problems: &[impl AsRef<str>]) -> String {
    let list: Vec<&str> = problems.iter().map(AsRef::as_ref).collect();
    format!("strict decoding error: {}", list.join(", "))
}

/// Compares an object with the schema of a served kind.
pub fn check_fields(kind: &Kind, value: &Value) -> FieldReport {
    table().by_kind(kind).map(|id| check_definition(id, value)).unwrap_or_default()
}

/// Compares an object with the schema that its `apiVersion` and `kind` name (for bodies of subresources); unknown kinds pass.
pub fn check_named(api_version: &str, kind: &str, value: &Value) -> FieldReport {
    table().by_api_version(api_version, kind).map(|id| check_definition(id, value)).unwrap_or_default()
}

fn check_definition(id: DefinitionId, value: &Value) -> FieldReport {
    let mut check = Check { report: FieldReport::default(), path: String::new(), owner: table().definition(id).short_name() };
    if let Err(error) = check.object(id, value, 0) {
        check.report.error = Some(error);
    }
    check.report
}

struct Check {
    report: FieldReport,
    /// Where the walk is: `spec.containers[0].ports`.
    path: String,
    /// The struct that holds the field, for the messages of type errors.
    owner: &'static str,
}

impl Check {
    fn object(&mut self, id: DefinitionId, value: &Value, depth: usize) -> Result<(), String> {
        let Value::Object(members) = value else { return self.mismatch(value, table().definition(id).go_name()) };
        if depth > MAX_DEPTH {
            return Err(format!("exceeded max depth of {MAX_DEPTH}"));
        }
        let outer = std::mem::replace(&mut self.owner, table().definition(id).short_name());
        for (name, member) in members {
            let back = self.enter(name);
            match table().field(id, name) {
                Some(field) => self.value(field.ty, member, depth + 1)?,
                None if self.report.unknown.len() < MAX_REPORTED => self.report.unknown.push(format!("unknown field {:?}", self.path)),
                None => {}
            }
            self.path.truncate(back);
        }
        self.owner = outer;
        Ok(())
    }

    fn enter(&mut self, name: &str) -> usize {
        let back = self.path.len();
        if back > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        back
    }

    fn value(&mut self, ty: Type, value: &Value, depth: usize) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(format!("exceeded max depth of {MAX_DEPTH}"));
        }
        match ty {
            Type::Object(id) => self.object(id, value, depth),
            Type::List(item) => {
                let Value::Array(items) = value else { return self.mismatch(value, &go_type(ty)) };
                for (index, entry) in items.iter().enumerate() {
                    let back = self.path.len();
                    self.path.push_str(&format!("[{index}]"));
                    self.value(*item, entry, depth + 1)?;
                    self.path.truncate(back);
                }
                Ok(())
            }
            Type::Map(item) => {
                let Value::Object(members) = value else { return self.mismatch(value, &go_type(ty)) };
                for (name, entry) in members {
                    let back = self.path.len();
                    if matches!(item, Type::Object(_) | Type::List(_)) {
                        self.enter(name);
                    }
                    self.value(*item, entry, depth + 1)?;
                    self.path.truncate(back);
                }
                Ok(())
            }
            _ => self.scalar(ty, value),
        }
    }

    fn scalar(&self, ty: Type, value: &Value) -> Result<(), String> {
        match (ty, value) {
            (Type::Text, Value::String(_)) | (Type::Bool, Value::Bool(_)) | (Type::Double, Value::Number(_)) => Ok(()),
            (Type::Json | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings, _) => Ok(()),
            (Type::RawExtension | Type::FieldsV1 | Type::Empty, Value::Object(_)) => Ok(()),
            // Go keeps whatever an extension holds; only the reader of it may mind.
            (Type::RawExtension, _) => Ok(()),
            (Type::Int64, Value::Number(n)) if n.is_i64() => Ok(()),
            (Type::Int32, Value::Number(n)) if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => Ok(()),
            (Type::Int32 | Type::Int64, Value::Number(n)) => Err(self.cannot(&format!("number {n}"), &go_type(ty))),
            (Type::Bytes, Value::String(text)) => scalar::from_base64(text).map(|_| ()),
            (Type::Time | Type::MicroTime, Value::String(text)) => scalar::parse_time(text).map(|_| ()),
            (Type::Duration, Value::String(text)) => scalar::parse_duration(text).map(|_| ()),
            (Type::Quantity, Value::String(text)) => scalar::quantity(text).map(|_| ()),
            (Type::Quantity, Value::Number(n)) => scalar::quantity(&n.to_string()).map(|_| ()),
            (Type::IntOrString, Value::String(_)) => Ok(()),
            (Type::IntOrString, Value::Number(n)) => {
                let fits = n.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
                if fits { Ok(()) } else { Err(self.cannot(&format!("number {n}"), "int32")) }
            }
            _ => self.mismatch(value, &go_type(ty)),
        }
    }

    fn mismatch(&self, value: &Value, wanted: &str) -> Result<(), String> {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Err(self.cannot(found, wanted))
    }

    fn cannot(&self, found: &str, wanted: &str) -> String {
        if self.path.is_empty() {
            return format!("json: cannot unmarshal {found} into Go value of type {wanted}");
        }
        let mut path = String::new();
        let mut inside = false;
        for c in self.path.chars() {
            inside = (inside || c == '[') && c != ']';
            if !inside && c != ']' {
                path.push(c);
            }
        }
        format!("json: cannot unmarshal {found} into Go struct field {}.{path} of type {wanted}", self.owner)
    }
}

/// The type as Go's messages spell it.
fn go_type(ty: Type) -> String {
    match ty {
        Type::Bool => "bool".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Double => "float64".into(),
        Type::Bytes => "[]uint8".into(),
        Type::List(item) => format!("[]{}", go_type(*item)),
        Type::Map(item) => format!("map[string]{}", go_type(*item)),
        Type::Object(id) => table().definition(id).go_name().into(),
        Type::Time => "v1.Time".into(),
        Type::MicroTime => "v1.MicroTime".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::FieldsV1 => "v1.FieldsV1".into(),
        Type::Empty => "v1.CustomResourceSubresourceStatus".into(),
        _ => "string".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::kinds;

    #[test]
    fn unknown_fields_are_named_with_their_path() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"foo": 1, "containers": [{"name": "c", "bar": {"deep": true}, "ports": [{"containerPort": 80, "nope": 1}]}]}});
        let report = check_fields(&kinds::POD, &pod);
        assert_eq!(report.error, None);
        assert_eq!(
            report.unknown,
            [
                r#"unknown field "spec.containers[0].bar""#,
                r#"unknown field "spec.containers[0].ports[0].nope""#,
                r#"unknown field "spec.foo""#
            ]
        );
        let refusal = report.refusal("v1", "Pod", &[], true).unwrap();
        assert!(
            refusal.starts_with(r#"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec."#),
            "{refusal}"
        );
        assert_eq!(report.refusal("v1", "Pod", &[], false), None);
    }

    #[test]
    fn wrong_types_are_refused_in_gos_words() {
        for (pod, text) in [
            (
                json!({"spec": {"containers": "x"}}),
                "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                json!({"spec": {"containers": [{"image": 7}]}}),
                "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
            ),
            (
                json!({"spec": {"containers": [{"env": [{"value": true}]}]}}),
                "json: cannot unmarshal bool into Go struct field EnvVar.spec.containers.env.value of type string",
            ),
            (
                json!({"spec": {"priority": 1.5}}),
                "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32",
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (json!([]), "json: cannot unmarshal array into Go value of type v1.Pod"),
        ] {
            assert_eq!(check_fields(&kinds::POD, &pod).error.as_deref(), Some(text));
        }
        let bad = json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "fast"}}}]}});
        assert!(check_fields(&kinds::POD, &bad).error.unwrap().starts_with("quantities must match"));
        let bad = json!({"data": {"a": "%%%"}});
        assert_eq!(check_fields(&kinds::SECRET, &bad).error.unwrap(), "illegal base64 data at input byte 0");
        let report = check_fields(&kinds::REPLICATION_CONTROLLER, &json!({"spec": {"replicas": "2"}}));
        assert_eq!(
            report.refusal("v1", "ReplicationController", &[], false).unwrap(),
            "ReplicationController in version \"v1\" cannot be handled as a ReplicationController: json: cannot unmarshal string into Go struct field ReplicationControllerSpec.spec.replicas of type int32"
        );
    }

    #[test]
    fn endless_nesting_is_refused_not_followed() {
        let mut value = json!({});
        for _ in 0..120 {
            value = json!({"properties": {"x": value}});
        }
        let crd = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": value}}]}});
        let report = check_named("apiextensions.k8s.io/v1", "CustomResourceDefinition", &crd);
        assert_eq!(report.error.as_deref(), Some("exceeded max depth of 100"));
    }
}
