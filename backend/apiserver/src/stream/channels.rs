//! exec and attach over WebSocket: each message begins with the number of its channel.
use super::command::{Input, Outcome, Sink, parse_size};
use crate::streams::Output;
use async_trait::async_trait;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
pub const ERROR: u8 = 3;
pub const RESIZE: u8 = 4;
/// Version 5: the client closes the channel named in the next byte.
const CLOSE: u8 = 255;
const QUEUE_MESSAGES: usize = 32;
/// A client that does not answer a ping within this time is served all the same.
const LISTENING_MAX: Duration = Duration::from_millis(100);

/// The subprotocols offered, best first.
pub const PROTOCOLS: [&str; 6] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", ""];

/// What a subprotocol's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub base64: bool,
    /// The error channel carries a Status, always one.
    pub status: bool,
}

impl Dialect {
    pub fn of(protocol: &str) -> Dialect {
        Dialect { base64: protocol.contains("base64."), status: protocol.starts_with("v4.") || protocol.starts_with("v5.") }
    }

    /// One message for a channel.
    pub fn encode(self, channel: u8, bytes: &[u8]) -> Message {
        if self.base64 {
            return Message::Text(format!("{}{}", char::from(b'0' + channel), STANDARD.encode(bytes)).into());
        }
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.put_u8(channel);
        message.put_slice(bytes);
        Message::Binary(message.freeze())
    }

    /// The channel of a message and what it carries.
    pub fn decode(self, message: Message) -> Option<(u8, Bytes)> {
        let bytes: Bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            _ => return None,
        };
        let channel = *bytes.first()?;
        if self.base64 {
            return Some((channel.checked_sub(b'0')?, STANDARD.decode(&bytes[1..]).ok()?.into()));
        }
        Some((channel, bytes.slice(1..)))
    }
}

/// The end of a stream that went as it should: clients take a close without a code for an accident.
pub fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))
}

/// The sending half of a client's WebSocket.
pub struct Channels {
    socket: SplitSink<WebSocket, Message>,
    dialect: Dialect,
}

/// Splits a socket into where output goes and what the client sends, and waits until the client reads: kubectl
/// drops what comes for a stream that it has not made yet (kubernetes/kubernetes#131203). It makes them while its
/// reader starts, so that a pong of this reader leaves microseconds for that fault instead of a round trip.
pub async fn open(socket: WebSocket, dialect: Dialect, outputs: &[u8]) -> (Channels, Input) {
    let (sink, source) = socket.split();
    let mut channels = Channels { socket: sink, dialect };
    // An empty message per channel tells the client that they are there.
    for channel in outputs {
        let _ = channels.socket.send(dialect.encode(*channel, b"")).await;
    }
    let _ = channels.socket.send(Message::Ping(Bytes::new())).await;
    let (stdin_to, stdin) = mpsc::channel(QUEUE_MESSAGES);
    let (resize_to, resize) = mpsc::channel(QUEUE_MESSAGES);
    let gone = CancellationToken::new();
    let (listening, listens) = oneshot::channel();
    tokio::spawn(receive(source, dialect, stdin_to, resize_to, gone.clone(), listening));
    let _ = tokio::time::timeout(LISTENING_MAX, listens).await;
    (channels, Input { stdin, resize, gone })
}

async fn receive(
    mut source: SplitStream<WebSocket>,
    dialect: Dialect,
    stdin: mpsc::Sender<Bytes>,
    resize: mpsc::Sender<(u16, u16)>,
    gone: CancellationToken,
    listening: oneshot::Sender<()>,
) {
    let (mut stdin, mut listening) = (Some(stdin), Some(listening));
    while let Some(Ok(message)) = source.next().await {
        match message {
            Message::Close(_) => break,
            // Whatever a client says shows that it is there.
            _ => drop(listening.take()),
        }
        match dialect.decode(message) {
            Some((STDIN, bytes)) => {
                if let Some(stdin) = &stdin
                    && !bytes.is_empty()
                {
                    let _ = stdin.send(bytes).await;
                }
            }
            Some((RESIZE, bytes)) => {
                if let Some(size) = parse_size(&bytes) {
                    let _ = resize.send(size).await;
                }
            }
            Some((CLOSE, bytes)) if bytes.first() == Some(&STDIN) => stdin = None,
            _ => {}
        }
    }
    gone.cancel();
}

#[async_trait]
impl Sink for Channels {
    async fn output(&mut self, output: Output) -> Result<(), ()> {
        let message = match &output {
            Output::Stdout(bytes) => self.dialect.encode(STDOUT, bytes),
            Output::Stderr(bytes) => self.dialect.encode(STDERR, bytes),
        };
        self.socket.send(message).await.map_err(|_| ())
    }

    async fn finish(&mut self, outcome: &Outcome) {
        let text = if self.dialect.status { outcome.status().to_string() } else { outcome.text() };
        if !text.is_empty() {
            let _ = self.socket.send(self.dialect.encode(ERROR, text.as_bytes())).await;
        }
        let _ = self.socket.send(goodbye()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_come_back() {
        for protocol in PROTOCOLS {
            let dialect = Dialect::of(protocol);
            let message = dialect.encode(STDERR, b"\x00text\xff");
            assert_eq!(dialect.decode(message).unwrap(), (STDERR, Bytes::from_static(b"\x00text\xff")), "{protocol}");
        }
        assert!(Dialect::of("v4.base64.channel.k8s.io").base64 && Dialect::of("v5.channel.k8s.io").status);
    }
}
