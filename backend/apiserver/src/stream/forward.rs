//! port-forward: pairs of SPDY streams, or pairs of WebSocket channels, to ports of a pod.
use super::channels::{Dialect, goodbye};
use super::spdy::{self, Stream};
use crate::streams::{Connection, PodStreams, Target};
use axum::extract::ws::{Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use shared::status::Status;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// Streams that wait for the other one of their pair.
const WAITING_MAX: usize = 256;
const CHUNK_BYTES: usize = 32 * 1024;
const QUEUE_MESSAGES: usize = 32;
/// Ports of one WebSocket: channels are numbered in one byte, two for each port.
pub const PORTS_MAX: usize = 127;

/// Serves the streams of one SPDY connection until it ends.
pub async fn serve(mut streams: mpsc::Receiver<Stream>, pods: Arc<dyn PodStreams>, target: Target, stop: CancellationToken) {
    let mut waiting: HashMap<String, Stream> = HashMap::new();
    loop {
        let stream = tokio::select! {
            stream = streams.recv() => stream,
            () = stop.cancelled() => return,
        };
        let Some(stream) = stream else { return };
        let data = match stream.headers.get("streamtype").map(String::as_str) {
            Some("data") => true,
            Some("error") => false,
            _ => {
                let _ = stream.writer.reset(stream.id).await;
                continue;
            }
        };
        if stream.writer.reply(stream.id).await.is_err() {
            return;
        }
        // Old clients give no number; their data stream follows their error stream.
        let pair = stream
            .headers
            .get("requestid")
            .cloned()
            .unwrap_or_else(|| format!("#{}", if data { stream.id.saturating_sub(2) } else { stream.id }));
        match waiting.remove(&pair) {
            Some(other) => {
                let (data, error) = if data { (stream, other) } else { (other, stream) };
                tokio::spawn(forward(data, error, pods.clone(), target.clone(), stop.clone()));
            }
            None if waiting.len() < WAITING_MAX => drop(waiting.insert(pair, stream)),
            None => return,
        }
    }
}

async fn forward(data: Stream, error: Stream, pods: Arc<dyn PodStreams>, target: Target, stop: CancellationToken) {
    let port = data.headers.get("port").and_then(|p| p.parse::<u16>().ok()).filter(|p| *p > 0);
    let connection = match port {
        Some(port) => pods.connect(&target, port).await.map_err(|s| refusal(&target, port, &s)),
        None => Err("the port to forward to is missing or no port number".into()),
    };
    match connection {
        Ok(connection) => {
            tokio::select! {
                () = copy(data, connection) => {}
                () = stop.cancelled() => {}
            }
        }
        Err(message) => {
            let _ = error.writer.data(error.id, message.into()).await;
            let _ = data.writer.finish(data.id).await;
        }
    }
    let _ = error.writer.finish(error.id).await;
}

fn refusal(target: &Target, port: u16, status: &Status) -> String {
    format!("error forwarding port {port} to pod {}, uid : {}", target.pod, status.message)
}

async fn copy(stream: Stream, connection: Box<dyn Connection>) {
    let Stream { id, mut data, writer, .. } = stream;
    let (mut read, mut write) = tokio::io::split(connection);
    let inward = async {
        while let Some(bytes) = data.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    let outward = async {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        loop {
            buffer.reserve(CHUNK_BYTES);
            match read.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) if writer.data(id, buffer.split().freeze()).await.is_err() => break,
                Ok(_) => {}
            }
        }
        let _ = writer.finish(id).await;
    };
    // Once the pod has closed its side nothing that the client sends can matter.
    tokio::pin!(inward, outward);
    tokio::select! {
        () = &mut outward => {}
        () = &mut inward => outward.await,
    }
}

/// Carries SPDY in binary messages of a WebSocket, as kubectl does since 1.31.
pub async fn tunnel(socket: WebSocket, pods: Arc<dyn PodStreams>, target: Target, stop: CancellationToken) {
    let (near, far) = tokio::io::duplex(4 * CHUNK_BYTES);
    let streams = spdy::serve(far);
    let (mut sink, mut source) = socket.split();
    let (mut read, mut write) = tokio::io::split(near);
    let inward = async move {
        while let Some(Ok(message)) = source.next().await {
            match message {
                Message::Binary(bytes) if write.write_all(&bytes).await.is_ok() => {}
                Message::Ping(_) | Message::Pong(_) => {}
                _ => break,
            }
        }
        let _ = write.shutdown().await;
    };
    let outward = async move {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        loop {
            buffer.reserve(CHUNK_BYTES);
            match read.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) if sink.send(Message::Binary(buffer.split().freeze())).await.is_err() => break,
                Ok(_) => {}
            }
        }
        let _ = sink.send(goodbye()).await;
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
        () = serve(streams, pods, target, stop) => {}
    }
}

type Shared = Arc<Mutex<SplitSink<WebSocket, Message>>>;

/// Two channels per port: data, and what went wrong. Each begins with its port, low byte first.
pub async fn channels(
    socket: WebSocket,
    dialect: Dialect,
    ports: Vec<u16>,
    pods: Arc<dyn PodStreams>,
    target: Target,
    stop: CancellationToken,
) {
    let (sink, mut source) = socket.split();
    let sink: Shared = Arc::new(Mutex::new(sink));
    let mut inputs = Vec::new();
    let done = CancellationToken::new();
    for (n, port) in ports.iter().copied().enumerate().take(PORTS_MAX) {
        let channel = u8::try_from(2 * n).unwrap_or(u8::MAX);
        for c in [channel, channel.saturating_add(1)] {
            let _ = sink.lock().await.send(dialect.encode(c, &port.to_le_bytes())).await;
        }
        let (to, from) = mpsc::channel(QUEUE_MESSAGES);
        inputs.push(to);
        let (pods, target, sink, done) = (pods.clone(), target.clone(), sink.clone(), done.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = channel_pair(channel, port, from, dialect, sink, pods, target) => {}
                () = done.cancelled() => {}
            }
        });
    }
    let _end = done.drop_guard();
    loop {
        let message = tokio::select! {
            message = source.next() => message,
            () = stop.cancelled() => return,
        };
        let Some(Ok(message)) = message else { return };
        if matches!(message, Message::Close(_)) {
            return;
        }
        if let Some((channel, bytes)) = dialect.decode(message)
            && channel % 2 == 0
            && let Some(input) = inputs.get(usize::from(channel / 2))
        {
            let _ = input.send(bytes).await;
        }
    }
}

async fn channel_pair(
    channel: u8,
    port: u16,
    mut input: mpsc::Receiver<Bytes>,
    dialect: Dialect,
    sink: Shared,
    pods: Arc<dyn PodStreams>,
    target: Target,
) {
    let connection = match pods.connect(&target, port).await {
        Ok(connection) => connection,
        Err(status) => {
            let message = dialect.encode(channel.saturating_add(1), refusal(&target, port, &status).as_bytes());
            let _ = sink.lock().await.send(message).await;
            return;
        }
    };
    let (mut read, mut write) = tokio::io::split(connection);
    let inward = async {
        while let Some(bytes) = input.recv().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let outward = async {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match read.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) if sink.lock().await.send(dialect.encode(channel, &buffer[..n])).await.is_err() => return,
                Ok(_) => {}
            }
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}
