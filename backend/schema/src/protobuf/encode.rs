//! Writes JSON objects as Kubernetes' protobuf.
use super::MAGIC;
use super::decode::schema_type;
use super::wire;
use crate::table::{DefinitionId, Type, table};
use crate::{Error, MAX_DEPTH, scalar};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The body of media type [`super::MEDIA_TYPE`] for an object with `apiVersion` and `kind`. Members that the schema does not know
/// are left out.
pub fn encode(value: &Value) -> Result<Vec<u8>, Error> {
    let word = |name: &str| value[name].as_str().unwrap_or_default().to_string();
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    let Some(id) = table().by_api_version(&api_version, &kind) else { return Err(Error::UnknownKind { api_version, kind }) };
    let mut raw = Vec::new();
    if let Value::Object(members) = value {
        message(&mut raw, id, members, 0)?;
    }
    Ok(envelope(&api_version, &kind, &raw))
}

/// `runtime.Unknown` around a message.
pub(super) fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut meta = Vec::new();
    wire::bytes(&mut meta, 1, api_version.as_bytes());
    wire::bytes(&mut meta, 2, kind.as_bytes());
    let mut out = MAGIC.to_vec();
    wire::bytes(&mut out, 1, &meta);
    wire::bytes(&mut out, 2, raw);
    wire::bytes(&mut out, 3, b"");
    wire::bytes(&mut out, 4, b"");
    out
}

fn malformed(what: impl Into<String>) -> Error {
    Error::Malformed(what.into())
}

fn message(out: &mut Vec<u8>, id: DefinitionId, members: &Map<String, Value>, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    let mut fields: Vec<_> = table().fields(id).iter().filter(|f| f.tag != 0).collect();
    fields.sort_by_key(|f| (f.outer_tag, f.tag));
    let mut embedded: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for field in fields {
        let Some(value) = members.get(field.name).filter(|v| !v.is_null()) else { continue };
        let out = if field.outer_tag == 0 { &mut *out } else { embedded.entry(field.outer_tag).or_default() };
        let wrong = |e| match e {
            Error::Malformed(what) => malformed(format!("{}: {what}", field.name)),
            other => other,
        };
        self::field(out, field.tag, field.ty, value, depth + 1).map_err(wrong)?;
    }
    for (tag, bytes) in embedded {
        wire::bytes(out, tag, &bytes);
    }
    Ok(())
}

fn field(out: &mut Vec<u8>, tag: u16, ty: Type, value: &Value, depth: usize) -> Result<(), Error> {
    match (ty, value) {
        (Type::List(item), Value::Array(items)) => items.iter().try_for_each(|entry| one(out, tag, *item, entry, depth)),
        (Type::Map(item), Value::Object(members)) => members.iter().try_for_each(|(name, entry)| {
            let mut pair = Vec::new();
            wire::bytes(&mut pair, 1, name.as_bytes());
            one(&mut pair, 2, *item, entry, depth)?;
            wire::bytes(out, tag, &pair);
            Ok(())
        }),
        _ => one(out, tag, ty, value, depth),
    }
}

/// One value that is not repeated, with its tag.
fn one(out: &mut Vec<u8>, tag: u16, ty: Type, value: &Value, depth: usize) -> Result<(), Error> {
    let wrong = || malformed(format!("{value} has the wrong type"));
    match (ty, value) {
        (Type::Bool, Value::Bool(b)) => wire::number(out, tag, i64::from(*b)),
        (Type::Int32 | Type::Int64, Value::Number(n)) => wire::number(out, tag, n.as_i64().ok_or_else(wrong)?),
        (Type::Double, Value::Number(n)) => wire::double(out, tag, n.as_f64().ok_or_else(wrong)?),
        (Type::Text, Value::String(s)) => wire::bytes(out, tag, s.as_bytes()),
        (Type::Bytes, Value::String(s)) => wire::bytes(out, tag, &scalar::from_base64(s).map_err(malformed)?),
        _ => {
            let mut inner = Vec::new();
            special(&mut inner, ty, value, depth)?;
            wire::bytes(out, tag, &inner);
        }
    }
    Ok(())
}

/// What is a message on the wire.
fn special(out: &mut Vec<u8>, ty: Type, value: &Value, depth: usize) -> Result<(), Error> {
    match (ty, value) {
        (_, Value::Null) => {}
        (Type::Object(id), Value::Object(members)) => message(out, id, members, depth)?,
        (Type::List(_), Value::Array(_)) => field(out, 1, ty, value, depth + 1)?,
        (Type::Time | Type::MicroTime, Value::String(text)) => {
            let at = scalar::parse_time(text).map_err(malformed)?;
            wire::number(out, 1, at.as_second());
            wire::number(out, 2, if ty == Type::Time { 0 } else { i64::from(at.subsec_nanosecond()) });
        }
        (Type::Duration, Value::String(text)) => wire::number(out, 1, scalar::parse_duration(text).map_err(malformed)?),
        (Type::Quantity, Value::String(text)) => wire::bytes(out, 1, text.as_bytes()),
        (Type::Quantity, Value::Number(n)) => wire::bytes(out, 1, n.to_string().as_bytes()),
        (Type::IntOrString, Value::Number(n)) => {
            wire::number(out, 1, 0);
            wire::number(out, 2, n.as_i64().unwrap_or_default());
        }
        (Type::IntOrString, Value::String(text)) => {
            wire::number(out, 1, 1);
            wire::bytes(out, 3, text.as_bytes());
        }
        (Type::RawExtension | Type::FieldsV1 | Type::Json, value) => wire::bytes(out, 1, value.to_string().as_bytes()),
        (Type::SchemaOrBool, Value::Bool(allows)) => wire::number(out, 1, i64::from(*allows)),
        (Type::SchemaOrBool, schema) => {
            wire::number(out, 1, 1);
            one(out, 2, schema_type(), schema, depth)?;
        }
        (Type::SchemaOrArray, Value::Array(schemas)) => schemas.iter().try_for_each(|s| one(out, 2, schema_type(), s, depth))?,
        (Type::SchemaOrStrings, Value::Array(names)) => names.iter().try_for_each(|s| one(out, 2, Type::Text, s, depth))?,
        (Type::SchemaOrArray | Type::SchemaOrStrings, schema) => one(out, 1, schema_type(), schema, depth)?,
        (Type::Empty, _) => {}
        _ => return Err(malformed(format!("{value} has the wrong type"))),
    }
    Ok(())
}
