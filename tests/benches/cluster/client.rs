//! The leanest HTTPS client there is, so that the load generator costs little beside the server that it measures.
use rustls::pki_types::ServerName;
use shared::client::config::{Kubeconfig, Overrides};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[derive(Clone)]
pub struct Endpoint {
    address: String,
    connector: TlsConnector,
}

impl Endpoint {
    pub fn of(kubeconfig: &Path) -> Result<Endpoint, String> {
        let target = Kubeconfig::read(kubeconfig).and_then(|k| k.target(&Overrides::default())).map_err(|e| e.to_string())?;
        let address = target.server.trim_start_matches("https://").trim_end_matches('/').to_string();
        let config = shared::client::tls::config(&target).map_err(|e| e.to_string())?;
        Ok(Endpoint { address, connector: TlsConnector::from(Arc::new(config)) })
    }

    pub async fn connect(&self) -> Result<Connection, String> {
        let tcp = TcpStream::connect(&self.address).await.map_err(|e| format!("{}: {e}", self.address))?;
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(h, _)| h).to_string();
        let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
        let stream = self.connector.connect(name, tcp).await.map_err(|e| e.to_string())?;
        Ok(Connection { stream, buffer: Vec::with_capacity(64 * 1024), body: 0..0 })
    }
}

pub struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    body: std::ops::Range<usize>,
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length =
        if body.is_empty() { String::new() } else { format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n{length}\r\n{body}").into_bytes()
}

impl Connection {
    /// Sends a request and reads the whole answer; its status.
    pub async fn send(&mut self, request: &[u8]) -> Result<u16, String> {
        self.write(request).await?;
        self.buffer.clear();
        let (status, head, length) = self.head().await?;
        let Some(length) = length else { return Err("the answer has no length".into()) };
        while self.buffer.len() < head + length {
            self.fill().await?;
        }
        self.body = head..head + length;
        Ok(status)
    }

    /// Sends a request whose answer goes on for ever; reads its head only.
    pub async fn open_stream(&mut self, request: &[u8]) -> Result<u16, String> {
        self.write(request).await?;
        self.buffer.clear();
        let (status, head, _) = self.head().await?;
        self.buffer.drain(..head);
        Ok(status)
    }

    /// Waits until the stream has brought a line with `text`; what came before is dropped.
    pub async fn wait_for(&mut self, text: &[u8]) -> Result<(), String> {
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

    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    async fn write(&mut self, request: &[u8]) -> Result<(), String> {
        self.stream.write_all(request).await.map_err(|e| e.to_string())?;
        self.stream.flush().await.map_err(|e| e.to_string())
    }

    async fn fill(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Status, length of the head, length of the body if it is said.
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
