//! The server's end of the tunnels: which nodes are connected, and questions to them as `PodStreams` has them.
use super::wire::{Ask, End, Piece, Pieces, Stats};
use super::{QUEUE, STREAM_WINDOW, client};
use apiserver::streams::{Connection, ContainerStats, LogRequest, NodeStats, Output, PodStreams, Process, Target, Tunnels, Use};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use registry::Registry;
use shared::kinds::POD;
use shared::status::Status;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Until the node has begun to answer: an engine may be slow to start a program.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Longest refusal of a node.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Longest answer about what is used: some 200 bytes for each of a few thousand containers.
const STATS_BYTES_MAX: usize = 4 << 20;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

struct Tunnel {
    requests: SendRequest<Body>,
    end: CancellationToken,
}

/// The connected nodes, by name.
#[derive(Default)]
pub struct NodeTunnels {
    open: Mutex<HashMap<String, Tunnel>>,
}

#[async_trait]
impl Tunnels for NodeTunnels {
    async fn serve(&self, node: &str, connection: Box<dyn Connection>) {
        let Ok((requests, connection)) = client().handshake::<_, Body>(TokioIo::new(connection)).await else { return };
        let end = CancellationToken::new();
        {
            // Both at once, or the old one's end could be taken for the new one's.
            let mut open = self.open.lock();
            open.insert(node.into(), Tunnel { requests, end: end.clone() }).inspect(|old| old.end.cancel());
        }
        tracing::info!(node, "connected");
        let outcome = tokio::select! {
            biased;
            // The node has come back before its old connection was seen to be dead: what is open now is not this one.
            () = end.cancelled() => return,
            outcome = connection => outcome,
        };
        let mut open = self.open.lock();
        if !end.is_cancelled() {
            open.remove(node);
        }
        drop(open);
        tracing::info!(node, error = outcome.err().map(|e| e.to_string()), "disconnected");
    }
}

impl NodeTunnels {
    /// Ends all connections; nodes come again to the next server.
    pub fn stop(&self) {
        self.open.lock().drain().for_each(|(_, tunnel)| tunnel.end.cancel());
    }

    /// Puts a question; the answer's body, and where more input goes.
    async fn ask(&self, node: &str, ask: Ask) -> Result<(Incoming, mpsc::Sender<Bytes>), Status> {
        let lost = || Status::unavailable(format!("the node {node} is not connected to the server"));
        let mut requests = self.open.lock().get(node).map(|t| t.requests.clone()).ok_or_else(lost)?;
        let (input, pieces) = mpsc::channel::<Bytes>(QUEUE);
        let question = futures::stream::once(futures::future::ready(Piece::Ask(ask).encode()));
        let body = question.chain(tokio_stream::wrappers::ReceiverStream::new(pieces)).map(|bytes| Ok(Frame::data(bytes)));
        let request = hyper::Request::post("/").body(StreamBody::new(body).boxed_unsync()).expect("a fixed request is well formed");
        let answer = async {
            requests.ready().await.map_err(|_| lost())?;
            requests.send_request(request).await.map_err(|_| lost())
        };
        let late = || Status::timeout(format!("the node {node} did not answer within {} s", ANSWER_DEADLINE.as_secs()));
        let answer = tokio::time::timeout(ANSWER_DEADLINE, answer).await.map_err(|_| late())??;
        if answer.status().is_success() {
            return Ok((answer.into_body(), input));
        }
        let bytes = tokio::time::timeout(ANSWER_DEADLINE, collect(answer.into_body(), REFUSAL_BYTES_MAX)).await.map_err(|_| late())?;
        Err(bytes
            .ok()
            .and_then(|b| serde_json::from_slice(&b).ok())
            .unwrap_or_else(|| Status::internal(format!("the node {node} refused"))))
    }

    /// What a node and its containers use; pods by uid.
    async fn used(&self, node: &str) -> Result<Stats, Status> {
        let (body, _input) = self.ask(node, Ask::Stats).await?;
        let bytes = tokio::time::timeout(ANSWER_DEADLINE, collect(body, STATS_BYTES_MAX)).await;
        let bytes = bytes.map_err(|_| Status::timeout(format!("the node {node} did not say in time what is used")))??;
        serde_json::from_slice(&bytes).map_err(|e| Status::internal(format!("the node {node}: {e}")))
    }

    /// The same with pods by name.
    pub async fn stats_of(&self, node: &str, registry: &Registry) -> Result<NodeStats, Status> {
        let stats = self.used(node).await?;
        let of_node = registry.all(&POD, None).1.into_iter().filter(|o| o.index().field(&POD, "spec.nodeName") == node);
        let pods: HashMap<String, (String, String)> =
            of_node.map(|o| (o.index().meta.uid.clone(), (o.namespace().to_string(), o.name().to_string()))).collect();
        let containers = stats.containers.into_iter().filter_map(|(uid, container, cpu_ns, memory_bytes)| {
            let (namespace, pod) = pods.get(&uid)?.clone();
            Some(ContainerStats { namespace, pod, container, used: Use { cpu_ns, memory_bytes } })
        });
        Ok(NodeStats { node: Use { cpu_ns: stats.node.0, memory_bytes: stats.node.1 }, containers: containers.collect() })
    }

    async fn process(&self, node: &str, ask: Ask, stdin: bool) -> Result<Process, Status> {
        let (body, input) = self.ask(node, ask).await?;
        let (resize, sizes) = mpsc::channel(QUEUE);
        let (near, far) = tokio::io::duplex(STREAM_WINDOW as usize);
        tokio::spawn(feed(stdin.then_some(far), sizes, input));
        let (ended, end) = oneshot::channel();
        let lost = format!("the connection to the node {node} is lost");
        let exit = async move { end.await.unwrap_or_else(|_| Err(Status::unavailable(lost))) };
        let stdin = stdin.then(|| Box::new(near) as Box<_>);
        Ok(Process { stdin, output: output(body, ended), exit: exit.boxed(), resize })
    }
}

async fn collect(mut body: Incoming, max: usize) -> Result<Bytes, Status> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let bytes = frame.map_err(|e| Status::unavailable(e.to_string()))?.into_data().unwrap_or_default();
        if all.len() + bytes.len() > max {
            return Err(Status::internal("the node's answer is too long"));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

/// Sends what is typed, and the terminal's sizes, until there can be no more of either or the process has ended.
async fn feed(stdin: Option<DuplexStream>, mut sizes: mpsc::Receiver<(u16, u16)>, input: mpsc::Sender<Bytes>) {
    let (typing, sizing) = (input.clone(), input);
    let typed = async move {
        let Some(mut stdin) = stdin else { return };
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(STREAM_WINDOW as usize / 2);
            let piece = match stdin.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => Piece::StdinEnd,
                Ok(_) => Piece::Stdin(buffer.split().freeze()),
            };
            let last = piece == Piece::StdinEnd;
            if typing.send(piece.encode()).await.is_err() || last {
                return;
            }
        }
    };
    let sized = async move {
        loop {
            let size = tokio::select! {
                size = sizes.recv() => size,
                () = sizing.closed() => None,
            };
            let Some((columns, rows)) = size else { return };
            if sizing.send(Piece::Resize(columns, rows).encode()).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(typed, sized);
}

struct Reading {
    body: Incoming,
    pieces: Pieces,
    ended: Option<oneshot::Sender<Result<i32, Status>>>,
}

fn output(body: Incoming, ended: oneshot::Sender<Result<i32, Status>>) -> BoxStream<'static, Result<Output, Status>> {
    let reading = Reading { body, pieces: Pieces::default(), ended: Some(ended) };
    futures::stream::unfold(reading, |mut r| async move {
        loop {
            match r.pieces.next() {
                Ok(Some(Piece::Stdout(bytes))) => return Some((Ok(Output::Stdout(bytes)), r)),
                Ok(Some(Piece::Stderr(bytes))) => return Some((Ok(Output::Stderr(bytes)), r)),
                Ok(Some(Piece::End(end))) => {
                    let end = match end {
                        End::Code(code) => Ok(code),
                        End::Failed(status) => Err(*status),
                    };
                    r.ended.take().and_then(|ended| ended.send(end).err());
                    return None;
                }
                Ok(Some(_)) => {}
                Ok(None) => match r.body.frame().await {
                    Some(Ok(frame)) => r.pieces.push(&frame.into_data().unwrap_or_default()),
                    Some(Err(_)) | None => return None,
                },
                Err(error) => {
                    r.ended.take().and_then(|ended| ended.send(Err(Status::internal(error.to_string()))).err());
                    return None;
                }
            }
        }
    })
    .boxed()
}

/// Our end of a connection into a pod.
struct Near {
    stream: DuplexStream,
    _open: DropGuard,
}

impl AsyncRead for Near {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Near {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl PodStreams for NodeTunnels {
    async fn logs(&self, target: &Target, request: &LogRequest) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        let ask = Ask::Logs {
            uid: target.uid.clone(),
            container: target.container.clone(),
            previous: request.previous,
            follow: request.follow,
            tail: request.tail_lines,
            since: request.since,
            timestamps: request.timestamps,
        };
        let (body, input) = self.ask(&target.node, ask).await?;
        let bytes = body.into_data_stream().map(move |chunk| {
            // Kept as long as the log is read: its end would be the end of the question.
            let _ = &input;
            chunk.map_err(|e| Status::unavailable(e.to_string()))
        });
        Ok(bytes.boxed())
    }

    async fn exec(&self, target: &Target, command: &[String], tty: bool, stdin: bool) -> Result<Process, Status> {
        let (uid, container) = (target.uid.clone(), target.container.clone());
        self.process(&target.node, Ask::Exec { uid, container, command: command.to_vec(), tty, stdin }, stdin).await
    }

    async fn attach(&self, target: &Target, tty: bool, stdin: bool) -> Result<Process, Status> {
        let (uid, container) = (target.uid.clone(), target.container.clone());
        self.process(&target.node, Ask::Attach { uid, container, tty, stdin }, stdin).await
    }

    async fn connect(&self, target: &Target, port: u16) -> Result<Box<dyn Connection>, Status> {
        let (mut body, input) = self.ask(&target.node, Ask::Connect { uid: target.uid.clone(), port }).await?;
        let (near, far) = tokio::io::duplex(STREAM_WINDOW as usize);
        let (mut read, mut write) = tokio::io::split(far);
        tokio::spawn(async move {
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(STREAM_WINDOW as usize / 2);
                match read.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) if input.send(buffer.split().freeze()).await.is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        let closed = CancellationToken::new();
        let near = Near { stream: near, _open: closed.clone().drop_guard() };
        tokio::spawn(async move {
            let copy = async {
                while let Some(Ok(frame)) = body.frame().await {
                    if write.write_all(&frame.into_data().unwrap_or_default()).await.is_err() {
                        return;
                    }
                }
                let _ = write.shutdown().await;
            };
            tokio::select! {
                () = copy => {}
                // Nobody reads any more, which an idle pod would never show.
                () = closed.cancelled() => {}
            }
        });
        Ok(Box::new(near))
    }

    async fn stats(&self, node: &str) -> Result<NodeStats, Status> {
        let Stats { node: (cpu_ns, memory_bytes), .. } = self.used(node).await?;
        Ok(NodeStats { node: Use { cpu_ns, memory_bytes }, containers: Vec::new() })
    }
}
