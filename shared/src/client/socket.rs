//! WebSockets to the API server, for exec, attach and port-forward: numbered channels in binary messages.
use super::http::Client;
use super::{ClientError, Result};
use crate::status::Status;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(20);
/// Channel of a message that closes another one, from version 5 of the protocol on.
const CLOSE: u8 = 255;
const PROTOCOLS: &str = "v5.channel.k8s.io, v4.channel.k8s.io";

/// What a WebSocket runs over: TCP or TLS.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}
type Stream = WebSocketStream<Box<dyn Wire>>;

/// The half that receives.
pub struct Receiver(SplitStream<Stream>);
/// The half that sends.
pub struct Sender {
    sink: SplitSink<Stream, Message>,
    closes: bool,
}

impl Receiver {
    /// The next message's channel and bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let bytes = match self.0.next().await? {
                Ok(Message::Binary(bytes)) => bytes.to_vec(),
                Ok(Message::Text(text)) => text.as_bytes().to_vec(),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => continue,
            };
            if let Some((channel, rest)) = bytes.split_first() {
                return Some((*channel, rest.to_vec()));
            }
        }
    }
}

impl Sender {
    pub async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        self.sink.send(Message::Binary(message.into())).await.is_ok()
    }

    /// Tells the server that a channel gets no more input.
    pub async fn end(&mut self, channel: u8) {
        if self.closes {
            self.send(CLOSE, &[channel]).await;
        }
    }

    pub async fn close(mut self) {
        let _ = self.sink.close().await;
    }
}

/// Opens a WebSocket at a path of the server.
pub async fn open(client: &Client, path: &str) -> Result<(Sender, Receiver)> {
    tokio::time::timeout(HANDSHAKE_DEADLINE, handshake(client, path))
        .await
        .map_err(|_| ClientError::Connect(format!("the server {} did not answer in time", client.target.server)))?
}

async fn handshake(client: &Client, path: &str) -> Result<(Sender, Receiver)> {
    let target = &client.target;
    let unreachable = |e: std::io::Error| ClientError::Connect(format!("cannot reach the server {} ({e})", target.server));
    let (scheme, rest) = target.server.split_once("://").unwrap_or(("https", &target.server));
    let authority = rest.split('/').next().unwrap_or(rest);
    let secure = scheme == "https";
    let (host, port) = match authority.rsplit_once(':').filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit())) {
        Some((host, port)) => (host, port.parse().unwrap_or(443)),
        None => (authority, if secure { 443 } else { 80 }),
    };
    let host = host.trim_matches(['[', ']']);
    let tcp = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    let _ = tcp.set_nodelay(true);
    let wire: Box<dyn Wire> = if secure {
        let name = target.tls_server_name.clone().unwrap_or_else(|| host.to_string());
        let name = ServerName::try_from(name).map_err(|e| ClientError::usage(format!("the server's name {host:?}: {e}")))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(super::tls::config(target)?));
        Box::new(connector.connect(name, tcp).await.map_err(unreachable)?)
    } else {
        Box::new(tcp)
    };
    let url = format!("{}{path}", target.server.replacen("http", "ws", 1));
    let broken = |e: Error| ClientError::Transport(format!("the exchange with {} failed: {e}", target.server));
    let mut request = url.into_client_request().map_err(broken)?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOLS));
    if let Some(token) = &target.token
        && let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}"))
    {
        request.headers_mut().insert("authorization", value);
    }
    let (stream, response) = client_async(request, wire).await.map_err(refusal)?;
    let closes = response.headers().get("sec-websocket-protocol").is_some_and(|p| p.as_bytes().starts_with(b"v5"));
    let (sink, source) = stream.split();
    Ok((Sender { sink, closes }, Receiver(source)))
}

/// The server's own words when it answers something else than a WebSocket.
fn refusal(error: Error) -> ClientError {
    let Error::Http(response) = error else {
        return ClientError::Transport(format!("the server opened no stream: {error}"));
    };
    let body = response.body().clone().unwrap_or_default();
    match serde_json::from_slice::<Status>(&body) {
        Ok(status) if !status.message.is_empty() => ClientError::Status(Box::new(status)),
        _ => ClientError::Transport(format!("the server answered {} instead of opening a stream", response.status())),
    }
}
