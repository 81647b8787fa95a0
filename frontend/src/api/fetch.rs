//! One request, one answer; and answers that never end, handed over in lines.
use super::{ApiError, session_lost};
use crate::model::lines::Lines;
use js_sys::{Reflect, Uint8Array};
use serde_json::Value;
use shared::status::{Reason, Status};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, ReadableStreamDefaultReader, RequestInit, Response};

/// A request with a body.
pub struct Body<'a> {
    pub content_type: &'a str,
    pub text: String,
}

/// GET of JSON.
pub async fn get(path: &str) -> Result<Value, ApiError> {
    let response = start("GET", path, None, "application/json", None).await?;
    // Bytes, not text: texts of the browser would be turned into UTF-8 first.
    let body = JsFuture::from(response.array_buffer().map_err(|_| ApiError::Unreachable)?).await.map_err(|_| ApiError::Unreachable)?;
    json(&Uint8Array::new(&body).to_vec())
}

/// GET of YAML, as the server writes it.
pub async fn get_yaml(path: &str) -> Result<String, ApiError> {
    text("GET", path, None, "application/yaml").await
}

/// A request with a JSON body.
pub async fn send(method: &str, path: &str, value: &Value) -> Result<Value, ApiError> {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    json(text(method, path, Some(Body { content_type, text: value.to_string() }), "application/json").await?.as_bytes())
}

/// Any request; the answer as text.
pub async fn text(method: &str, path: &str, body: Option<Body<'_>>, accept: &str) -> Result<String, ApiError> {
    let response = start(method, path, body, accept, None).await?;
    let body = JsFuture::from(response.text().map_err(|_| ApiError::Unreachable)?).await.map_err(|_| ApiError::Unreachable)?;
    Ok(body.as_string().unwrap_or_default())
}

/// Reads an answer line by line until it ends or `signal` aborts it; the lines of one piece come together.
pub async fn lines(path: &str, signal: &AbortSignal, mut take: impl FnMut(Vec<String>)) -> Result<(), ApiError> {
    let response = start("GET", path, None, "application/json, */*", Some(signal)).await?;
    let Some(stream) = response.body() else { return Ok(()) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut rest = Lines::default();
    loop {
        let failed = |_| if signal.aborted() { ApiError::Aborted } else { ApiError::Unreachable };
        let piece = JsFuture::from(reader.read()).await.map_err(failed)?;
        if Reflect::get(&piece, &JsValue::from_str("done")).is_ok_and(|d| d.is_truthy()) {
            break;
        }
        let value = Reflect::get(&piece, &JsValue::from_str("value")).map_err(|_| ApiError::Unreachable)?;
        let complete = rest.push(&Uint8Array::new(&value).to_vec());
        if !complete.is_empty() {
            take(complete);
        }
    }
    if let Some(last) = rest.end() {
        take(vec![last]);
    }
    Ok(())
}

async fn start(method: &str, path: &str, body: Option<Body<'_>>, accept: &str, signal: Option<&AbortSignal>) -> Result<Response, ApiError> {
    let unreachable = |_| ApiError::Unreachable;
    let init = RequestInit::new();
    init.set_method(method);
    init.set_signal(signal);
    let headers = Headers::new().map_err(unreachable)?;
    headers.set("Accept", accept).map_err(unreachable)?;
    if let Some(body) = body {
        headers.set("Content-Type", body.content_type).map_err(unreachable)?;
        init.set_body(&JsValue::from_str(&body.text));
    }
    init.set_headers(&headers);
    let window = web_sys::window().ok_or(ApiError::Unreachable)?;
    let answer = JsFuture::from(window.fetch_with_str_and_init(path, &init)).await;
    let failed = |_| if signal.is_some_and(AbortSignal::aborted) { ApiError::Aborted } else { ApiError::Unreachable };
    let response: Response = answer.map_err(failed)?.unchecked_into();
    if response.ok() {
        return Ok(response);
    }
    let text = JsFuture::from(response.text().map_err(unreachable)?).await.map_err(unreachable)?.as_string().unwrap_or_default();
    let status = serde_json::from_str::<Status>(&text).ok().filter(|s| s.code != 0);
    let status = status.unwrap_or_else(|| Status::failure(response.status(), Reason::Unknown, text.trim().to_string()));
    // A browser drops a cookie that has run out: then nobody asks, and nobody is refused.
    let nobody = status.code == 401 || status.code == 403 && status.message.contains("\"system:anonymous\"");
    if nobody && path != "/login" {
        session_lost();
    }
    Err(ApiError::Refused(Box::new(status)))
}

fn json(text: &[u8]) -> Result<Value, ApiError> {
    shared::json::without_managed_fields(text)
        .map_err(|e| ApiError::Refused(Box::new(Status::internal(format!("the answer is not JSON: {e}")))))
}
