//! Objects as tables and as bare metadata: the server's side of `kubectl get`.
use super::Call;
use super::objects::list_meta;
use crate::query::Query;
use crate::respond::{self, Response};
use axum::body::Bytes;
use http::StatusCode;
use registry::List;
use registry::object::Object;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::kinds::Kind;
use shared::status::Status;
use shared::table;

/// What a row carries beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    Metadata,
    Object,
    None,
}

fn include(query: &Query) -> Result<Include, Status> {
    match query.text("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "Object" => Ok(Include::Object),
        "None" => Ok(Include::None),
        other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// `PartialObjectMetadata` of an object.
pub fn metadata_of(bytes: &[u8]) -> Result<Bytes, Status> {
    let head: Head = serde_json::from_slice(bytes).map_err(|e| Status::internal(e.to_string()))?;
    let metadata = head.metadata.map_or("{}", RawValue::get);
    Ok(format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata}}}").into())
}

/// `PartialObjectMetadataList` of a list.
pub fn metadata_list(list: List) -> Result<Response, Status> {
    let mut out =
        format!("{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{},\"items\":[", list_meta(&list))
            .into_bytes();
    for (n, object) in list.items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&metadata_of(&object.bytes())?);
    }
    out.extend_from_slice(b"]}");
    Ok(respond::json(StatusCode::OK, out.into()))
}

/// A table of a list.
pub fn list(kind: &'static Kind, version: &str, list: List, query: &Query) -> Result<Response, Status> {
    let (include, now) = (include(query)?, now());
    let mut out = opening(version, &list_meta(&list), &definitions(kind));
    for (n, object) in list.items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        row(kind, &object.bytes(), include, now, &mut out)?;
    }
    out.extend_from_slice(b"]}");
    Ok(respond::json(StatusCode::OK, out.into()))
}

/// A table of one object.
pub fn one(call: &Call, kind: &'static Kind, version: &str, bytes: &Bytes) -> Result<Bytes, Status> {
    let include = include(&call.query()?)?;
    let head: Value = serde_json::from_slice(bytes).map_err(|e| Status::internal(e.to_string()))?;
    let meta = json!({"resourceVersion": head.pointer("/metadata/resourceVersion")});
    let mut out = opening(version, &meta, &definitions(kind));
    row(kind, bytes, include, now(), &mut out)?;
    out.extend_from_slice(b"]}");
    Ok(out.into())
}

/// The tables of one watch: only the first names the columns.
pub struct Tables {
    kind: &'static Kind,
    include: Result<Include, Status>,
    named: bool,
}

impl Tables {
    pub fn new(kind: &'static Kind, query: &Query) -> Tables {
        Tables { kind, include: include(query), named: false }
    }

    /// A table with one row, or with none for a bookmark.
    pub fn event(&mut self, version: &str, object: Option<&Object>, bytes: &Bytes) -> Result<Bytes, Status> {
        let include = self.include.clone()?;
        let revision = match object {
            Some(object) => json!(object.revision().to_string()),
            None => {
                let value: Value = serde_json::from_slice(bytes).map_err(|e| Status::internal(e.to_string()))?;
                value.pointer("/metadata/resourceVersion").cloned().unwrap_or_default()
            }
        };
        let columns = if self.named { "null".to_string() } else { definitions(self.kind) };
        self.named = true;
        let mut out = opening(version, &json!({ "resourceVersion": revision }), &columns);
        match object {
            Some(_) => row(self.kind, bytes, include, now(), &mut out)?,
            None => {
                // The row of a bookmark has no cells, only the object with its annotation.
                out.extend_from_slice(b"{\"cells\":[],\"object\":");
                out.extend_from_slice(&metadata_of(bytes)?);
                out.push(b'}');
            }
        }
        out.extend_from_slice(b"]}");
        Ok(out.into())
    }
}

fn opening(version: &str, meta: &Value, columns: &str) -> Vec<u8> {
    format!("{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{meta},\"columnDefinitions\":{columns},\"rows\":[")
        .into_bytes()
}

fn definitions(kind: &Kind) -> String {
    let all: Vec<Value> = table::columns(kind)
        .iter()
        .map(|c| json!({"name": c.name, "type": c.kind.name(), "format": c.format, "description": c.description, "priority": c.priority}))
        .collect();
    Value::from(all).to_string()
}

fn row(kind: &'static Kind, bytes: &[u8], include: Include, now: i64, out: &mut Vec<u8>) -> Result<(), Status> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| Status::internal(e.to_string()))?;
    let cells = table::cells(kind, &value, now);
    out.extend_from_slice(b"{\"cells\":");
    serde_json::to_writer(&mut *out, &cells).expect("cells are JSON");
    match include {
        Include::None => {}
        Include::Metadata => {
            out.extend_from_slice(b",\"object\":");
            out.extend_from_slice(&metadata_of(bytes)?);
        }
        Include::Object => {
            out.extend_from_slice(b",\"object\":");
            out.extend_from_slice(bytes);
        }
    }
    out.push(b'}');
    Ok(())
}
