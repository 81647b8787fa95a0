//! OpenAPI documents: v3 from the schema; v2 as the empty document that sends clients on to v3.
use super::Call;
use crate::negotiate::{self, PLAIN};
use crate::respond::{self, Response};
use axum::body::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};
use shared::status::Status;

/// What kubectl up to 1.28 asks for; its Accept header spells it with an `@` that Go itself cannot read back.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `/openapi/v3` and the documents that it names.
pub fn v3(call: &Call, path: Option<&str>) -> Result<Response, Status> {
    let etag = format!("\"{}\"", schema::openapi::hash());
    let Some(path) = path else {
        return tagged(call, &etag, |_| Some(schema::openapi::index()));
    };
    let segments: Vec<&str> = path.split('/').collect();
    let (group, version) = match segments.as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Err(respond::unknown_path()),
    };
    let mut response =
        tagged(
            call,
            &etag,
            |gzip| {
                if gzip { schema::openapi::group_gzip(group, version) } else { schema::openapi::group(group, version) }
            },
        )?;
    if call.query()?.get("hash").is_some_and(|h| etag.trim_matches('"') == h) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    Ok(response)
}

/// A document with its ETag, or 304; compressed when the client takes that and `make` is able to.
fn tagged(call: &Call, etag: &str, make: impl Fn(bool) -> Option<Bytes>) -> Result<Response, Status> {
    let single = call.parts.uri.path().trim_end_matches('/') != "/openapi/v3";
    let gzip = single && call.header(&ACCEPT_ENCODING).is_some_and(|a| a.contains("gzip"));
    let known = call.header(&IF_NONE_MATCH).is_some_and(|seen| seen.split(',').any(|t| t.trim() == etag));
    let mut response = if known {
        respond::json(StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        respond::json(StatusCode::OK, make(gzip).ok_or_else(respond::unknown_path)?)
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(etag).map_err(|e| Status::internal(e.to_string()))?);
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip && !known {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// `/openapi/v2`: no bytes at all are a valid empty protobuf document.
pub fn v2(call: &Call) -> Result<Response, Status> {
    let accept = call.accept().unwrap_or_default();
    if accept.contains("com.github.proto-openapi.spec.v2") {
        return Ok(respond::with_type(StatusCode::OK, V2_PROTOBUF, Bytes::new()));
    }
    let form = negotiate::choose(call.accept(), PLAIN)?;
    let info = serde_json::json!({"title": "Kubernetes", "version": "unversioned"});
    let value = serde_json::json!({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}});
    respond::document(StatusCode::OK, &form, false, value.to_string().into())
}
