//! Reads request bodies within limits: JSON, YAML or protobuf in, a JSON value out.
use axum::body::{Body, Bytes};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use shared::kinds::Kind;
use shared::status::{Reason, Status};

/// As Kubernetes.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// No object of the API is nested deeper than a few dozen levels.
const DEPTH_MAX: usize = 100;
/// Values (numbers, strings, lists …) of one body: bounds what decoding can cost beside the bytes themselves.
const VALUES_MAX: usize = 300_000;
/// Operations of one JSON patch, as Kubernetes.
pub const PATCH_OPERATIONS_MAX: usize = 10_000;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

/// Takes in a whole body, or 413.
pub async fn read(body: Body) -> Result<Bytes, Status> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Err(error) => Err(Status::bad_request(format!("the request body could not be read: {error}"))),
    }
}

pub fn too_large() -> Status {
    let text = format!("Request entity too large: limit is {BODY_BYTES_MAX}");
    Status::failure(413, Reason::RequestEntityTooLarge, text)
}

/// The media type without its parameters, lower case; empty when the header is absent.
pub fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The form of an object's body. No Content-Type means JSON, since the Python client sends none.
pub fn media(headers: &HeaderMap) -> Result<Media, Status> {
    match content_type(headers).as_str() {
        // curl's `-d` says form; what it carries is JSON.
        "" | "application/json" | "text/plain" | "application/x-www-form-urlencoded" => Ok(Media::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Media::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        other => Err(unsupported(other, "application/json, application/yaml, application/vnd.kubernetes.protobuf")),
    }
}

pub fn unsupported(given: &str, accepted: &str) -> Status {
    let text = format!("the body of the request was in an unknown format - accepted media types include: {accepted} (got {given:?})");
    Status::failure(415, Reason::UnsupportedMediaType, text)
}

/// A decoded object, and the members that its text names twice.
pub struct Decoded {
    pub value: Value,
    pub duplicates: Vec<String>,
}

/// Decodes a body of some object; `expected` names its kind in messages.
pub fn decode(bytes: &[u8], media: Media, expected: &str) -> Result<Decoded, Status> {
    let unreadable = |e: String| {
        let text = format!("the object provided is unrecognized (must be of type {expected}): couldn't get version/kind; {e}");
        Status::bad_request(text)
    };
    let value = match media {
        Media::Json => {
            check_shape(bytes)?;
            let value = serde_json::from_slice(bytes).map_err(|e| unreadable(format!("json parse error: {e}")))?;
            return Ok(Decoded { value, duplicates: schema::validate::duplicates(bytes) });
        }
        Media::Yaml => yaml(bytes)?,
        Media::Protobuf => crate::protobuf::decode(bytes).map_err(unreadable)?,
    };
    Ok(Decoded { value, duplicates: Vec::new() })
}

/// Decodes YAML, which every JSON is too.
pub fn yaml(bytes: &[u8]) -> Result<Value, Status> {
    let text = std::str::from_utf8(bytes).map_err(|_| Status::bad_request("the body is not UTF-8"))?;
    let value = serde_saphyr::from_str::<Value>(text).map_err(|e| Status::bad_request(format!("yaml parse error: {e}")))?;
    Ok(value)
}

/// Refuses texts that would cost much more memory or stack than their size: too deep or too many values.
pub fn check_shape(json: &[u8]) -> Result<(), Status> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(Status::bad_request(format!("the body is nested deeper than {DEPTH_MAX} levels")));
        }
        if values > VALUES_MAX {
            return Err(Status::failure(413, Reason::RequestEntityTooLarge, format!("the body has more than {VALUES_MAX} values")));
        }
    }
    Ok(())
}

/// The body must be of this kind; what it leaves out is filled in. `version` is the URL's.
pub fn expect_kind(value: &mut Value, kind: &Kind, version: &str) -> Result<(), Status> {
    let api_version = match kind.group {
        "" => version.to_string(),
        group => format!("{group}/{version}"),
    };
    let Some(map) = value.as_object_mut() else {
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): it is no JSON object",
            kind.kind
        )));
    };
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let (given_kind, given_version) = (text("kind").to_string(), text("apiVersion").to_string());
    if !given_kind.is_empty() && given_kind != kind.kind {
        let short = given_version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!("{given_kind} in version {short:?} cannot be handled as a {}", kind.kind)));
    }
    if !given_version.is_empty() && given_version != api_version {
        let text = format!("the API version in the data ({given_version}) does not match the expected API version ({api_version})");
        return Err(Status::bad_request(text));
    }
    map.insert("kind".into(), kind.kind.into());
    map.insert("apiVersion".into(), api_version.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_and_wide_bodies_are_refused_before_they_are_decoded() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(check_shape(deep.as_bytes()).unwrap_err().code, 400);
        let wide = format!("[{}0]", "0,".repeat(VALUES_MAX + 1));
        assert_eq!(check_shape(wide.as_bytes()).unwrap_err().code, 413);
        assert!(check_shape(br#"{"a":"[[[[,,,\"{{{"}"#).is_ok());
    }

    #[test]
    fn yaml_bombs_are_refused() {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for (n, m) in "abcdefghi".chars().zip("bcdefghij".chars()) {
            text.push_str(&format!("{m}: &{m} [*{n},*{n},*{n},*{n},*{n},*{n},*{n},*{n},*{n}]\n"));
        }
        assert!(yaml(text.as_bytes()).is_err());
        assert_eq!(yaml(b"kind: Pod\nmetadata: {name: x}").unwrap()["metadata"]["name"], "x");
    }

    #[test]
    fn kinds_must_agree_with_the_url() {
        let pod = &shared::kinds::POD;
        let mut value = serde_json::json!({"metadata": {}});
        expect_kind(&mut value, pod, "v1").unwrap();
        assert_eq!(value["kind"], "Pod");
        assert!(expect_kind(&mut serde_json::json!({"kind": "Service"}), pod, "v1").is_err());
        assert!(expect_kind(&mut serde_json::json!({"apiVersion": "v2"}), pod, "v1").is_err());
        assert!(expect_kind(&mut serde_json::json!([]), pod, "v1").is_err());
    }
}
