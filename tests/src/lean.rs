//! A lean HTTPS client over raw TLS: what it costs stands little in the way of what it measures, and it can misbehave.
use rustls::pki_types::ServerName;
use shared::client::config::{Kubeconfig, Overrides, Target};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where the server is, and as whom to call it.
#[derive(Clone)]
pub struct Endpoint {
    pub address: String,
    connector: TlsConnector,
    authorization: String,
}

impl Endpoint {
    fn new(target: &Target, alpn: &[&[u8]], token: &str) -> Endpoint {
        let address = target.server.trim_start_matches("https://").trim_end_matches('/').to_string();
        let mut config = shared::client::tls::config(target).expect("a TLS configuration");
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        // Each handshake is a whole one.
        config.resumption = rustls::client::Resumption::disabled();
        let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        Endpoint { address, connector: TlsConnector::from(Arc::new(config)), authorization }
    }

    fn target(kubeconfig: &Path) -> Target {
        Kubeconfig::read(kubeconfig).and_then(|k| k.target(&Overrides::default())).expect("the administrator's kubeconfig")
    }

    /// The administrator, by certificate.
    pub fn admin(kubeconfig: &Path) -> Endpoint {
        Endpoint::new(&Endpoint::target(kubeconfig), &[b"http/1.1"], "")
    }

    /// Somebody with a token, or with nothing.
    pub fn bearer(kubeconfig: &Path, token: &str) -> Endpoint {
        Endpoint::new(&Target { client_pem: None, ..Endpoint::target(kubeconfig) }, &[b"http/1.1"], token)
    }

    pub fn http2(kubeconfig: &Path) -> Endpoint {
        Endpoint::new(&Target { client_pem: None, ..Endpoint::target(kubeconfig) }, &[b"h2"], "")
    }

    pub async fn tcp(&self) -> Result<TcpStream, String> {
        let tcp = TcpStream::connect(&self.address).await.map_err(|e| e.to_string())?;
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        Ok(tcp)
    }

    pub async fn tls(&self) -> Result<TlsStream<TcpStream>, String> {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(h, _)| h).to_string();
        let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
        self.connector.connect(name, self.tcp().await?).await.map_err(|e| e.to_string())
    }

    pub async fn connect(&self) -> Result<Connection, String> {
        Ok(Connection { stream: self.tls().await?, buffer: Vec::new(), body: 0..0 })
    }

    /// The bytes of a request.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let length = if body.is_empty() && method == "GET" {
            String::new()
        } else {
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
        };
        format!("{method} {path} HTTP/1.1\r\nhost: floods\r\naccept: application/json\r\n{}{length}\r\n{body}", self.authorization)
            .into_bytes()
    }
}

pub struct Connection {
    pub stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    body: std::ops::Range<usize>,
}

impl Connection {
    /// Sends a request and reads the whole answer; its status.
    pub async fn send(&mut self, request: &[u8]) -> Result<u16, String> {
        self.write(request).await?;
        self.buffer.clear();
        let (status, head, length) = self.head().await?;
        let length = length.ok_or("the answer has no length")?;
        while self.buffer.len() < head + length {
            self.fill().await?;
        }
        self.body = head..head + length;
        Ok(status)
    }

    /// Sends a request and reads the head of its answer only.
    pub async fn open(&mut self, request: &[u8]) -> Result<u16, String> {
        self.write(request).await?;
        self.buffer.clear();
        let (status, head, _) = self.head().await?;
        self.body = head..self.buffer.len();
        Ok(status)
    }

    /// Waits until an answer that goes on has brought `text`; what came before is dropped.
    pub async fn wait_for(&mut self, text: &[u8]) -> Result<(), String> {
        self.buffer.drain(..self.body.start);
        self.body = 0..0;
        loop {
            if let Some(at) = find(&self.buffer, text) {
                self.buffer.drain(..at + text.len());
                return Ok(());
            }
            let keep = self.buffer.len().min(text.len());
            self.buffer.drain(..self.buffer.len() - keep);
            self.fill().await?;
        }
    }

    /// The next line of an answer that goes on, without its end; lengths of chunks are lines as well.
    pub async fn line(&mut self) -> Result<Vec<u8>, String> {
        self.buffer.drain(..self.body.start);
        self.body = 0..0;
        let mut seen = 0;
        loop {
            if let Some(at) = self.buffer[seen..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=seen + at).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            seen = self.buffer.len();
            self.fill().await?;
        }
    }

    /// What came of the body: all of it after `send`, what came with the head after `open`.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.buffer[self.body.clone()]).unwrap_or_default()
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|e| e.to_string())?;
        self.stream.flush().await.map_err(|e| e.to_string())
    }

    async fn fill(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn head(&mut self) -> Result<(u16, usize, Option<usize>), String> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..end]).map_err(|e| e.to_string())?;
        let status = text.get(9..12).and_then(|s| s.parse().ok()).ok_or("no status line")?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Ok((status, end, length))
    }
}

/// Where bytes begin in others: looks for the first byte, which optimises better than comparing windows.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == first) {
        if bytes[from + at..].starts_with(text) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
