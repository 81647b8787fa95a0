//! The console's files as they were built, compressed, with what keeps browsers and other sites in bounds.
use crate::respond::Response;
use axum::Router;
use axum::body::Body;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, VARY,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};

/// Path on the server and brotli bytes; empty when the console was not built before the server.
static ASSETS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console_assets.rs"));

const PAGE: &str = "/index.html";
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Decompressed for clients without brotli, which browsers have; a file is never larger than this.
const PLAIN_BYTES_MAX: usize = 16 << 20;
const NOT_BUILT: &str = "<!doctype html><html lang=en><title>Pilothouse</title><h1>This build has no console</h1>\
    <p>The API answers here. <code>make console</code>, then <code>make build</code>, puts the console into the program.";

/// What the console's listener serves at every path that is none of the API's.
pub fn router() -> Router {
    Router::new().fallback(|request: Request<Body>| async move { serve(ASSETS, &request) })
}

fn serve(assets: &[(&'static str, &'static [u8])], request: &Request<Body>) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", Body::from("GET only\n"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    let find = |wanted: &str| assets.iter().find(|(p, _)| *p == wanted);
    // Every other path is a page of the console: the program in the browser knows which.
    let found = if path.starts_with("/assets/") { find(path) } else { find(PAGE) };
    let Some((name, bytes)) = found else {
        return if path.starts_with("/assets/") {
            plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", Body::from("no such file\n"))
        } else {
            plain(StatusCode::OK, "text/html; charset=utf-8", Body::from(NOT_BUILT))
        };
    };
    let accepts = request.headers().get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let brotli = accepts.split(',').any(|e| e.split(';').next().unwrap_or_default().trim() == "br");
    let body = if brotli { Body::from(*bytes) } else { Body::from(decompressed(bytes)) };
    let mut response = plain(StatusCode::OK, content_type(name), body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if brotli {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    if *name != PAGE {
        // The name has the hash of the content.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    }
    response
}

fn decompressed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut plain = vec![];
    // In memory and made by our own build: it cannot fail, and an empty file would be seen at once.
    let _ = brotli::Decompressor::new(bytes, 4096).take(PLAIN_BYTES_MAX as u64).read_to_end(&mut plain);
    plain
}

fn plain(code: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = code;
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> &'static [(&'static str, &'static [u8])] {
        let mut hi = vec![];
        brotli::BrotliCompress(&mut &b"hi"[..], &mut hi, &Default::default()).unwrap();
        let hi: &'static [u8] = hi.leak();
        vec![("/assets/a-1.js", hi), ("/index.html", hi)].leak()
    }

    fn get(assets: &[(&'static str, &'static [u8])], path: &str, encoding: &str) -> Response {
        serve(assets, &Request::get(path).header(ACCEPT_ENCODING, encoding).body(Body::empty()).unwrap())
    }

    #[tokio::test]
    async fn pages_are_always_asked_for_again_and_files_never() {
        for (path, code, cache) in [
            ("/projects/a/pods", 200, "no-cache"),
            ("/assets/a-1.js", 200, "public, max-age=31536000, immutable"),
            ("/assets/a-2.js", 404, "no-cache"),
        ] {
            let response = get(some(), path, "gzip, br;q=1");
            assert_eq!((response.status().as_u16(), response.headers()["cache-control"].to_str().unwrap()), (code, cache), "{path}");
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"));
        }
        let plain = get(some(), "/assets/a-1.js", "gzip");
        assert!(!plain.headers().contains_key("content-encoding"));
        assert_eq!(&axum::body::to_bytes(plain.into_body(), 10).await.unwrap()[..], b"hi");
    }

    #[tokio::test]
    async fn a_build_without_console_says_how_to_get_it() {
        let page = axum::body::to_bytes(get(&[], "/", "br").into_body(), 1000).await.unwrap();
        assert!(String::from_utf8_lossy(&page).contains("make console"));
    }
}
