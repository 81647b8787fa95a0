//! Kubernetes' protobuf bodies to JSON and back, driven by the table of fields.
mod decode;
mod encode;
mod wire;

pub use decode::decode;
pub use encode::encode;

use serde_json::Value;

/// The media type of such bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The bytes that every such body begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// At most this many JSON values come out of one body, so that two bytes of input cannot each cost a hundred of memory.
pub const MAX_VALUES: usize = 400_000;

/// A decoded body.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    pub api_version: String,
    pub kind: String,
    /// With `apiVersion` and `kind`.
    pub value: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{DefinitionId, Field, Type, table};
    use crate::{Error, MAX_DEPTH};
    use proptest::prelude::*;
    use serde_json::{Map, json};

    /// A value that uses every field of a type once.
    fn sample(ty: Type, depth: usize) -> Value {
        match ty {
            Type::Bool => json!(true),
            Type::Int32 => json!(-7),
            Type::Int64 => json!(1_i64 << 40),
            Type::Double => json!(1.5),
            Type::Text => json!("text"),
            Type::Bytes => json!("AAEC/w=="),
            Type::Time => json!("2025-11-24T16:00:00Z"),
            Type::MicroTime => json!("2025-11-24T16:00:00.123456Z"),
            Type::Duration => json!("1m30s"),
            Type::Quantity => json!("100m"),
            Type::IntOrString => json!(if depth.is_multiple_of(2) { json!("50%") } else { json!(80) }),
            Type::RawExtension | Type::FieldsV1 | Type::Json => json!({"f:spec": {"f:x": {}}}),
            Type::Empty => json!({}),
            Type::SchemaOrArray => json!([{"type": "string"}]),
            Type::SchemaOrBool => json!(true),
            Type::SchemaOrStrings => json!(["a", "b"]),
            Type::List(item) => json!([sample(*item, depth + 1), sample(*item, depth + 1)]),
            Type::Map(item) => json!({"key": sample(*item, depth + 1)}),
            Type::Object(id) => sample_object(id, depth + 1),
        }
    }

    fn recursive(field: &Field, id: DefinitionId, depth: usize) -> bool {
        let deep = depth > 12 || table().definition(id).name.contains("JSONSchemaProps");
        deep && matches!(field.ty, Type::Object(_) | Type::List(Type::Object(_)) | Type::Map(_))
    }

    fn sample_object(id: DefinitionId, depth: usize) -> Value {
        let fields = table().fields(id).iter().filter(|f| f.tag != 0 && !recursive(f, id, depth));
        Value::Object(fields.map(|f| (f.name.to_string(), sample(f.ty, depth))).collect::<Map<_, _>>())
    }

    #[test]
    fn every_object_survives_the_journey_with_every_field() {
        let mut count = 0;
        for (id, definition) in table().definitions() {
            let Some([group, version, kind]) = definition.object else { continue };
            // Lists are lists of what is tested by itself.
            if kind.ends_with("List") || definition.name.contains("alpha") {
                continue;
            }
            let mut value = sample_object(id, 0);
            value["apiVersion"] = if group.is_empty() { json!(version) } else { json!(format!("{group}/{version}")) };
            value["kind"] = json!(kind);
            let decoded = decode(&encode(&value).unwrap()).unwrap();
            assert_eq!(decoded.kind, kind);
            assert_eq!(decoded.value, value);
            count += 1;
        }
        assert!(count > 80, "{count}");
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Bodies as kubectl 1.33 sends them, recorded; `tests/kubectl-1.33.txt` holds `name hex json` triples.
    #[test]
    fn what_kubectl_sends_is_understood() {
        let recorded = include_str!("../../tests/kubectl-1.33.txt");
        let mut count = 0;
        for case in recorded.split("\n\n").filter(|c| !c.trim().is_empty()) {
            let mut lines = case.trim().lines();
            let (name, body, wanted) = (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap());
            let decoded = decode(&hex(body)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(decoded.value, serde_json::from_str::<Value>(wanted).unwrap(), "{name}");
            // What we encode from it reads the same.
            assert_eq!(decode(&encode(&decoded.value).unwrap()).unwrap(), decoded, "{name}");
            count += 1;
        }
        assert!(count >= 8, "{count} recorded bodies");
    }

    #[test]
    fn zero_is_kept_where_it_means_something() {
        let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 0}});
        assert_eq!(decode(&encode(&scale).unwrap()).unwrap().value, scale);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"hostNetwork": false, "nodeName": "", "automountServiceAccountToken": false, "containers": [{"name": ""}]}});
        let decoded = decode(&encode(&pod).unwrap()).unwrap().value;
        assert_eq!(decoded["spec"], json!({"automountServiceAccountToken": false, "containers": [{"name": ""}]}));
    }

    #[test]
    fn delete_options_belong_to_every_group() {
        let value = json!({"apiVersion": "apps/v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "gracePeriodSeconds": 0});
        assert_eq!(decode(&encode(&value).unwrap()).unwrap().value, value);
    }

    #[test]
    fn bad_bytes_are_refused() {
        assert!(matches!(decode(b"{}"), Err(Error::Malformed(_))));
        assert!(matches!(decode(b"k8s\0\xff"), Err(Error::Malformed(_))));
        assert!(matches!(decode(b"k8s\0"), Err(Error::UnknownKind { .. })));
        let nonsense = json!({"apiVersion": "v1", "kind": "Nonsense"});
        assert!(matches!(encode(&nonsense), Err(Error::UnknownKind { .. })));
    }

    #[test]
    fn deep_and_wide_bodies_are_refused() {
        let mut schema = json!({"type": "object"});
        for _ in 0..MAX_DEPTH {
            schema = json!({"not": schema});
        }
        let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
        assert_eq!(encode(&crd), Err(Error::TooDeep));
        // A pod of empty containers: two bytes each.
        let mut spec = Vec::new();
        (0..MAX_VALUES + 1).for_each(|_| spec.extend([0x12, 0]));
        let mut raw = Vec::new();
        wire::bytes(&mut raw, 2, &spec);
        assert!(matches!(decode(&encode::envelope("v1", "Pod", &raw)), Err(Error::Malformed(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(noise in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..300) {
            let mut value = sample_object(table().by_api_version("v1", "Pod").unwrap(), 8);
            value["apiVersion"] = json!("v1");
            value["kind"] = json!("Pod");
            let mut body = encode(&value).unwrap();
            let at = at.min(body.len());
            let end = (at + noise.len()).min(body.len());
            body[at..end].copy_from_slice(&noise[..end - at]);
            let _ = decode(&body);
            let _ = decode(&[MAGIC.as_slice(), &noise].concat());
        }
    }
}
