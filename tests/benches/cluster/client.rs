//! The bytes of requests, made before the clock starts; `e2e::lean` sends them, so that the load costs little beside the server.

/// The bytes of a request.
pub fn request(method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length =
        if body.is_empty() { String::new() } else { format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n{length}\r\n{body}").into_bytes()
}
