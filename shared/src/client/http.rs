//! Requests to the API server over one kept connection: JSON in, JSON out, Status errors as errors, a deadline on each.
use super::config::Target;
use super::{ClientError, Result};
use crate::status::{Reason, Status};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// The server when neither a file nor a flag names one.
pub const DEFAULT_SERVER: &str = "https://localhost:8443";
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// A silent connection is asked so often whether it lives, and has so long to answer: together well below a node's grace of 40 s.
const ALIVE_EVERY: Duration = Duration::from_secs(8);
const ALIVE_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes under way: of one answer, and of all together. A reader that is slow must not hold up the others.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Longest answer that is read into memory.
const BODY_MAX: usize = 1 << 30;

/// How a patch body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            PatchKind::Json => "application/json-patch+json",
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// One server, one user, one connection.
#[derive(Clone)]
pub struct Client {
    pub target: Target,
    http: reqwest::Client,
    deadline: Option<Duration>,
}

impl Client {
    pub fn new(target: Target) -> Result<Client> {
        Client::with_redirects(target, reqwest::redirect::Policy::limited(5))
    }

    /// A client of a program that runs for ever: HTTP/2, so that all its watches share one connection, and a connection
    /// whose other end has gone without a word is noticed and replaced.
    pub fn kept_open(target: Target) -> Result<Client> {
        let mut tls = super::tls::config(&target)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let builder = reqwest::Client::builder()
            .user_agent(concat!("kubelet/v", env!("CARGO_PKG_VERSION"), " (linux) pilothouse"))
            .connect_timeout(CONNECT_DEADLINE)
            .http2_prior_knowledge()
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(ALIVE_EVERY)
            .http2_keep_alive_timeout(ALIVE_DEADLINE)
            .http2_keep_alive_while_idle(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls);
        let http = builder.build().map_err(|e| ClientError::Transport(format!("cannot set up the client: {}", chain(&e))))?;
        Ok(Client { target, http, deadline: Some(ANSWER_DEADLINE) })
    }

    /// A client that shows redirects instead of following them: the login reads its token from one.
    pub fn with_redirects(target: Target, policy: reqwest::redirect::Policy) -> Result<Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("osc/v", env!("CARGO_PKG_VERSION"), " (linux/amd64) pilothouse"))
            .connect_timeout(CONNECT_DEADLINE)
            .http1_only()
            .redirect(policy)
            .pool_max_idle_per_host(2);
        // Local servers are never behind a proxy; looking one up costs time on each start.
        if is_local(&target.server) {
            builder = builder.no_proxy();
        }
        if target.server.starts_with("https:") {
            builder = builder.tls_backend_preconfigured(super::tls::config(&target)?);
        } else {
            // A plain server needs no trust store; an empty one avoids reading the system's.
            builder = builder.tls_backend_preconfigured(super::tls::config(&Target { ca_pem: Some(Vec::new()), ..Target::default() })?);
        }
        let http = builder.build().map_err(|e| ClientError::Transport(format!("cannot set up the client: {}", chain(&e))))?;
        Ok(Client { target, http, deadline: Some(ANSWER_DEADLINE) })
    }

    /// The same connection with another limit for the wait for an answer; `None` for streams.
    pub fn with_deadline(&self, deadline: Option<Duration>) -> Client {
        Client { deadline, ..self.clone() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.target.server)
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, self.url(path)).header("accept", "application/json");
        if let Some(deadline) = self.deadline {
            request = request.timeout(deadline);
        }
        if let Some(token) = &self.target.token {
            request = request.bearer_auth(token);
        } else if let Some((name, password)) = &self.target.basic {
            request = request.basic_auth(name, Some(password));
        }
        request
    }

    /// Sends and returns the response whatever its status is.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        request.send().await.map_err(|e| unreachable_text(&self.target.server, &e))
    }

    /// Sends and returns the response if it is a success, else the server's own words.
    pub async fn checked(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let response = self.send(request).await?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let code = response.status();
        let body = read(response).await.unwrap_or_default();
        Err(ClientError::Status(Box::new(failure(code, &body))))
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let body = read(self.checked(request).await?).await?;
        serde_json::from_slice(&body).map_err(|e| ClientError::Transport(format!("the server's answer is not JSON: {e}")))
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.json(self.request(Method::GET, path)).await
    }

    /// The server's own clock, as unix seconds, from the header of any answer.
    pub async fn clock(&self) -> Option<i64> {
        let response = self.send(self.request(Method::GET, "/version")).await.ok()?;
        let date = response.headers().get("date")?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp().as_second())
    }

    pub async fn get_text(&self, path: &str) -> Result<String> {
        let body = read(self.checked(self.request(Method::GET, path).header("accept", "*/*")).await?).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, kind: PatchKind, body: &Value) -> Result<Value> {
        let bytes = body.to_string();
        self.json(self.request(Method::PATCH, path).header("content-type", kind.content_type()).body(bytes)).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.json(self.request(Method::DELETE, path).json(options)).await
    }

    /// A response whose body is read piece by piece without a limit in time: logs and watches.
    pub async fn stream(&self, path: &str) -> Result<Response> {
        let open = self.with_deadline(None);
        let request = open.request(Method::GET, path).header("accept", "*/*");
        tokio::time::timeout(ANSWER_DEADLINE, open.checked(request))
            .await
            .map_err(|_| ClientError::Transport("the server did not answer within a minute".into()))?
    }
}

pub(super) fn is_local(server: &str) -> bool {
    let host = server.split("//").nth(1).unwrap_or(server);
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

async fn read(mut response: Response) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(1 << 20) as usize);
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) if body.len() + bytes.len() > BODY_MAX => {
                return Err(ClientError::Transport("the server's answer is longer than 1 GiB; ask for less with a selector".into()));
            }
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => return Ok(body),
            Err(e) => return Err(ClientError::Transport(format!("the connection broke: {}", chain(&e)))),
        }
    }
}

/// The Status in an error body; plain text and empty bodies are made into one.
fn failure(code: StatusCode, body: &[u8]) -> Status {
    if let Ok(status) = serde_json::from_slice::<Status>(body)
        && !status.message.is_empty()
    {
        return Status { code: if status.code == 0 { code.as_u16() } else { status.code }, ..status };
    }
    let text = String::from_utf8_lossy(body);
    let text = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    let message = match (code, text) {
        (StatusCode::UNAUTHORIZED, _) => "you must log in to the server: osc login".to_string(),
        (_, "") => format!("the server answered {code}"),
        (_, text) => text.chars().take(500).collect(),
    };
    let reason = match code.as_u16() {
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        409 => Reason::Conflict,
        _ => Reason::Unknown,
    };
    Status::failure(code.as_u16(), reason, message)
}

fn unreachable_text(server: &str, error: &reqwest::Error) -> ClientError {
    let why = chain(error);
    if error.is_timeout() {
        return ClientError::Connect(format!("the server {server} did not answer in time"));
    }
    if why.contains("certificate") || why.contains("UnknownIssuer") {
        return ClientError::Connect(format!(
            "the certificate of {server} is not trusted ({why}); use the kubeconfig of that cluster, or --certificate-authority=FILE"
        ));
    }
    if error.is_connect() {
        return ClientError::Connect(format!(
            "cannot reach the server {server} ({why}); if it should run here, start it with 'openshift start', else name it with --server or --kubeconfig"
        ));
    }
    ClientError::Transport(format!("the exchange with {server} failed: {why}"))
}

/// The innermost cause: reqwest's outer words say only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let text = last.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase().replace("unknownissuer", "UnknownIssuer")
}

/// Percent-encodes one query value or path segment.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `path?k=v&k=v` of the pairs whose value is not empty.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let query: Vec<String> = pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={}", encode(v))).collect();
    match (query.is_empty(), path.contains('?')) {
        (true, _) => path.to_string(),
        (false, true) => format!("{path}&{}", query.join("&")),
        (false, false) => format!("{path}?{}", query.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_every_shape_become_one_line() {
        let status = Status::failure(404, Reason::NotFound, "pods \"x\" not found");
        let body = serde_json::to_vec(&status).expect("a Status is JSON");
        assert_eq!(failure(StatusCode::NOT_FOUND, &body), status);
        assert_eq!(failure(StatusCode::FORBIDDEN, b"Forbidden: no\nmore").message, "Forbidden: no");
        assert_eq!(failure(StatusCode::UNAUTHORIZED, b"").message, "you must log in to the server: osc login");
        assert_eq!(failure(StatusCode::BAD_GATEWAY, b"").message, "the server answered 502 Bad Gateway");
    }

    #[test]
    fn query_values_are_encoded_and_empty_ones_left_out() {
        assert_eq!(with_query("/p", &[("labelSelector", "a=b,c"), ("x", "")]), "/p?labelSelector=a%3Db%2Cc");
        assert_eq!(with_query("/p?a=1", &[("b", "2")]), "/p?a=1&b=2");
    }
}
