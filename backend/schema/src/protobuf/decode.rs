//! Reads Kubernetes' protobuf into JSON.
use super::wire::{Reader, Wire};
use super::{Decoded, MAGIC, MAX_VALUES};
use crate::table::{DefinitionId, Field, Type, table};
use crate::{Error, MAX_DEPTH, scalar};
use serde_json::{Map, Value};

/// Fields that are pointers in Go: their zero is something that somebody said. Every other zero means "not given", since Go
/// writes all fields that are no pointers.
const POINTERS: &[&str] = &[
    "activeDeadlineSeconds",
    "allocateLoadBalancerNodePorts",
    "allowPrivilegeEscalation",
    "allowVolumeExpansion",
    "attachRequired",
    "automountServiceAccountToken",
    "averageUtilization",
    "backoffLimit",
    "backoffLimitPerIndex",
    "blockOwnerDeletion",
    "completions",
    "controller",
    "defaultMode",
    "deletionGracePeriodSeconds",
    "enableServiceLinks",
    "expirationSeconds",
    "failedJobsHistoryLimit",
    "fsGroup",
    "gracePeriodSeconds",
    "holderIdentity",
    "hostProcess",
    "hostUsers",
    "immutable",
    "leaseDurationSeconds",
    "leaseTransitions",
    "manualSelector",
    "maxFailedIndexes",
    "minDomains",
    "minReplicas",
    "mode",
    "optional",
    "orphanDependents",
    "parallelism",
    "partition",
    "podInfoOnMount",
    "priority",
    "privileged",
    "progressDeadlineSeconds",
    "readOnlyRootFilesystem",
    "ready",
    "replicas",
    "requiresRepublish",
    "revisionHistoryLimit",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seLinuxMount",
    "service",
    "serving",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "stabilizationWindowSeconds",
    "started",
    "startingDeadlineSeconds",
    "storageCapacity",
    "storageClassName",
    "successfulJobsHistoryLimit",
    "suspend",
    "terminating",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "ttlSecondsAfterFinished",
];

fn is_pointer(id: DefinitionId, field: &Field) -> bool {
    // A desired number of replicas is a pointer, a counted one is not.
    let counted = field.name == "replicas" && table().definition(id).name.ends_with("Status");
    !counted && POINTERS.contains(&field.name)
}

/// Reads a body of media type [`super::MEDIA_TYPE`].
pub fn decode(body: &[u8]) -> Result<Decoded, Error> {
    Decoder { budget: MAX_VALUES }.envelope(body, 0)
}

fn malformed(what: impl Into<String>) -> Error {
    Error::Malformed(what.into())
}

struct Decoder {
    /// How many more values may come out.
    budget: usize,
}

impl Decoder {
    /// `runtime.Unknown`: which kind it is, and its message.
    fn envelope(&mut self, body: &[u8], depth: usize) -> Result<Decoded, Error> {
        let body = body.strip_prefix(MAGIC).ok_or_else(|| malformed("the body does not begin as Kubernetes' protobuf does"))?;
        let (mut api_version, mut kind, mut raw, mut content_type) = (String::new(), String::new(), &[][..], String::new());
        let mut reader = Reader(body);
        while let Some((tag, wire)) = reader.next()? {
            match (tag, wire) {
                (1, Wire::Bytes(meta)) => {
                    let mut meta = Reader(meta);
                    while let Some((tag, wire)) = meta.next()? {
                        match (tag, wire) {
                            (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
                            (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
                            _ => {}
                        }
                    }
                }
                (2, Wire::Bytes(bytes)) => raw = bytes,
                (4, Wire::Bytes(bytes)) => content_type = text(bytes)?,
                _ => {}
            }
        }
        if content_type == "application/json" {
            return Ok(Decoded { api_version, kind, value: json(raw)? });
        }
        let Some(id) = table().by_api_version(&api_version, &kind) else { return Err(Error::UnknownKind { api_version, kind }) };
        let mut members = Map::new();
        self.message(id, raw, 0, depth, &mut members)?;
        members.insert("apiVersion".into(), Value::String(api_version.clone()));
        members.insert("kind".into(), Value::String(kind.clone()));
        Ok(Decoded { api_version, kind, value: Value::Object(members) })
    }

    /// `outer` is the tag of the embedded message that is being read, 0 for the definition's own message.
    fn message(&mut self, id: DefinitionId, bytes: &[u8], outer: u16, depth: usize, out: &mut Map<String, Value>) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let fields = table().fields(id);
        let mut reader = Reader(bytes);
        while let Some((tag, wire)) = reader.next()? {
            if let Some(field) = fields.iter().find(|f| f.outer_tag == outer && u64::from(f.tag) == tag && tag != 0) {
                self.field(id, field, wire, depth, out)?;
            } else if let Wire::Bytes(embedded) = wire
                && outer == 0
                && let Some(field) = fields.iter().find(|f| u64::from(f.outer_tag) == tag && tag != 0)
            {
                self.message(id, embedded, field.outer_tag, depth + 1, out)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, id: DefinitionId, field: &Field, wire: Wire, depth: usize, out: &mut Map<String, Value>) -> Result<(), Error> {
        match field.ty {
            Type::List(item) => {
                let list = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(items) = list else { return Ok(()) };
                self.items(*item, wire, depth, items)
            }
            Type::Map(item) => {
                let Wire::Bytes(entry) = wire else { return Err(malformed("a map entry is no message")) };
                let (key, value) = self.entry(*item, entry, depth)?;
                if let Value::Object(members) = out.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
                    members.insert(key, value);
                }
                Ok(())
            }
            Type::Object(id) => {
                let Wire::Bytes(bytes) = wire else { return Err(malformed(format!("{} is no message", field.name))) };
                self.spend()?;
                // A message that comes in parts is merged, as protobuf asks.
                if let Value::Object(members) = out.entry(field.name).or_insert_with(|| Value::Object(Map::new())) {
                    self.message(id, bytes, 0, depth + 1, members)?;
                }
                Ok(())
            }
            ty => {
                let value = self.value(ty, wire, depth)?;
                let zero = match &value {
                    Value::Null => true,
                    Value::Bool(b) => !b,
                    Value::String(s) => s.is_empty(),
                    Value::Number(n) => n.as_f64() == Some(0.0) && (ty != Type::IntOrString || field.name == "targetPort"),
                    _ => false,
                };
                if value.is_null() || zero && !field.required && !is_pointer(id, field) {
                    out.remove(field.name);
                } else {
                    out.insert(field.name.into(), value);
                }
                Ok(())
            }
        }
    }

    fn spend(&mut self) -> Result<(), Error> {
        self.budget = self.budget.checked_sub(1).ok_or_else(|| malformed(format!("the body holds more than {MAX_VALUES} values")))?;
        Ok(())
    }

    fn items(&mut self, item: Type, wire: Wire, depth: usize, items: &mut Vec<Value>) -> Result<(), Error> {
        if let (Type::Int32 | Type::Int64, Wire::Bytes(packed)) = (item, &wire) {
            let mut reader = Reader(packed);
            while !reader.0.is_empty() {
                self.spend()?;
                items.push(Value::from(reader.varint()? as i64));
            }
            return Ok(());
        }
        items.push(self.value(item, wire, depth)?);
        Ok(())
    }

    fn entry(&mut self, item: Type, bytes: &[u8], depth: usize) -> Result<(String, Value), Error> {
        let (mut key, mut value) = (String::new(), None);
        let mut reader = Reader(bytes);
        while let Some((tag, wire)) = reader.next()? {
            match (tag, wire) {
                (1, Wire::Bytes(bytes)) => key = text(bytes)?,
                (2, wire) => value = Some(self.value(item, wire, depth + 1)?),
                _ => {}
            }
        }
        let empty = match item {
            Type::Text | Type::Bytes => Value::String(String::new()),
            Type::Quantity => Value::String("0".into()),
            Type::List(_) => Value::Array(Vec::new()),
            Type::Int32 | Type::Int64 => Value::from(0),
            Type::Bool => Value::Bool(false),
            _ => Value::Object(Map::new()),
        };
        Ok((key, value.unwrap_or(empty)))
    }

    /// One value; `Null` for an instant that is not set.
    fn value(&mut self, ty: Type, wire: Wire, depth: usize) -> Result<Value, Error> {
        self.spend()?;
        Ok(match (ty, wire) {
            (Type::Bool, Wire::Varint(n)) => Value::Bool(n != 0),
            (Type::Int32, Wire::Varint(n)) => Value::from(n as i32),
            (Type::Int64, Wire::Varint(n)) => Value::from(n as i64),
            (Type::Double, Wire::Fixed64(bits)) => Value::from(f64::from_bits(bits)),
            (Type::Text, Wire::Bytes(bytes)) => Value::String(text(bytes)?),
            (Type::Bytes, Wire::Bytes(bytes)) => Value::String(scalar::to_base64(bytes)),
            (Type::Object(id), Wire::Bytes(bytes)) => {
                let mut members = Map::new();
                self.message(id, bytes, 0, depth + 1, &mut members)?;
                Value::Object(members)
            }
            // A list in a list or map is a message with one repeated field.
            (Type::List(item), Wire::Bytes(bytes)) => {
                let mut items = Vec::new();
                let mut reader = Reader(bytes);
                while let Some((tag, wire)) = reader.next()? {
                    if tag == 1 {
                        self.items(*item, wire, depth + 1, &mut items)?;
                    }
                }
                Value::Array(items)
            }
            (ty, Wire::Bytes(bytes)) => self.special(ty, bytes, depth)?,
            _ => return Err(malformed("a field has another type on the wire than in the schema")),
        })
    }

    /// Messages whose JSON is no object of their fields.
    fn special(&mut self, ty: Type, bytes: &[u8], depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let (mut numbers, mut strings) = ([0i64; 3], [None::<&[u8]>; 4]);
        let mut repeated = Vec::new();
        let mut reader = Reader(bytes);
        while let Some((tag, wire)) = reader.next()? {
            match (tag, wire) {
                (1 | 2, Wire::Varint(n)) => numbers[tag as usize] = n as i64,
                (1..=3, Wire::Bytes(bytes)) => {
                    strings[tag as usize] = Some(bytes);
                    if tag == 2 {
                        self.spend()?;
                        repeated.push(bytes);
                    }
                }
                _ => {}
            }
        }
        let bad_time = || malformed("an instant is out of range");
        let nested = |decoder: &mut Decoder, bytes| decoder.value(schema_type(), Wire::Bytes(bytes), depth + 1);
        Ok(match ty {
            Type::Time | Type::MicroTime if bytes.is_empty() => Value::Null,
            Type::Time => Value::String(scalar::time(numbers[1]).ok_or_else(bad_time)?),
            Type::MicroTime => Value::String(scalar::micro_time(numbers[1], numbers[2] as i32).ok_or_else(bad_time)?),
            Type::Duration => Value::String(scalar::duration(numbers[1])),
            Type::Quantity => Value::String(text(strings[1].unwrap_or(b"0"))?),
            Type::IntOrString if numbers[1] == 0 => Value::from(numbers[2] as i32),
            Type::IntOrString => Value::String(text(strings[3].unwrap_or_default())?),
            Type::RawExtension | Type::FieldsV1 | Type::Json => match strings[1] {
                None | Some([]) => Value::Null,
                Some(raw) if raw.starts_with(MAGIC) => self.envelope(raw, depth + 1)?.value,
                Some(raw) => json(raw)?,
            },
            Type::SchemaOrBool => match strings[2] {
                Some(schema) => nested(self, schema)?,
                None => Value::Bool(numbers[1] != 0),
            },
            Type::SchemaOrArray | Type::SchemaOrStrings => match strings[1] {
                Some(schema) => nested(self, schema)?,
                None if ty == Type::SchemaOrStrings => {
                    Value::Array(repeated.into_iter().map(|b| text(b).map(Value::String)).collect::<Result<_, _>>()?)
                }
                None => Value::Array(repeated.into_iter().map(|b| nested(self, b)).collect::<Result<_, _>>()?),
            },
            Type::Empty => Value::Object(Map::new()),
            _ => return Err(malformed("a field has another type on the wire than in the schema")),
        })
    }
}

/// The JSON schema of a custom resource, which refers to itself.
pub(super) fn schema_type() -> Type {
    let name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    table().by_name(name).map_or(Type::Empty, Type::Object)
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed("a string is not UTF-8"))
}

fn json(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(|e| malformed(format!("an embedded object is no JSON: {e}")))
}
