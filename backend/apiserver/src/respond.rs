//! Builds answers: JSON bytes as they are, other forms on demand, errors as Status.
use crate::negotiate::Form;
use axum::body::{Body, Bytes};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use shared::status::Status;

pub type Response = http::Response<Body>;

/// Characters of all warnings of one answer, as Kubernetes.
const WARNINGS_CHARS_MAX: usize = 4096;

/// An answer with a body of a known type.
pub fn with_type(code: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = http::Response::new(body.into());
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

pub fn text(code: StatusCode, body: impl Into<Body>) -> Response {
    with_type(code, "text/plain; charset=utf-8", body)
}

pub fn json(code: StatusCode, body: Bytes) -> Response {
    with_type(code, "application/json", body)
}

pub fn json_value(code: StatusCode, value: &Value) -> Response {
    json(code, serde_json::to_vec(value).expect("a Value is JSON").into())
}

/// One JSON document in the form that the client chose.
pub fn document(code: StatusCode, form: &Form, pretty: bool, bytes: Bytes) -> Result<Response, Status> {
    let value = || serde_json::from_slice::<Value>(&bytes).map_err(|e| Status::internal(e.to_string()));
    Ok(match form {
        Form::Yaml => {
            let text = serde_saphyr::to_string(&value()?).map_err(|e| Status::internal(e.to_string()))?;
            with_type(code, form.content_type(), text)
        }
        Form::Protobuf => with_type(code, form.content_type(), crate::protobuf::encode(&value()?)?),
        _ if pretty => {
            let mut text = serde_json::to_vec_pretty(&value()?).expect("a Value is JSON");
            text.push(b'\n');
            json(code, text.into())
        }
        _ => json(code, bytes),
    })
}

/// An error as clients read it.
pub fn failure(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, serde_json::to_vec(status).expect("a Status is JSON").into());
    let retry = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    if retry > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    if code == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The API has no such path.
pub fn unknown_path() -> Status {
    Status::failure(404, shared::status::Reason::NotFound, "the server could not find the requested resource")
}

pub fn method_not_allowed() -> Status {
    let text = "the server does not allow this method on the requested resource";
    Status::failure(405, shared::status::Reason::MethodNotAllowed, text)
}

/// Adds `Warning: 299 - "text"` per warning.
pub fn warn(response: &mut Response, warnings: &[String]) {
    let mut left = WARNINGS_CHARS_MAX;
    for warning in warnings {
        let clean: String = warning.chars().filter(|c| !c.is_control()).take(left).collect();
        left -= clean.chars().count();
        let quoted = clean.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
        if left == 0 {
            return;
        }
    }
}
