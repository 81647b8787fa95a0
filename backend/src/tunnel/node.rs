//! The node's end of the tunnel: keeps one connection to the server open, and answers what comes by it.
use super::wire::{Ask, End, Piece, Pieces, Stats};
use super::{QUEUE, STREAM_WINDOW, serving};
use apiserver::handlers::tunnel::PROTOCOL;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use logic::authz::node::TUNNEL_PATH;
use node::agent::Agent;
use node::runtime::{LogOptions, Output, Process};
use parking_lot::RwLock;
use rustls::pki_types::ServerName;
use shared::client::config::Target;
use shared::status::Status;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The question comes with the request; whoever keeps it back is no server of ours.
const ASK_DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// A connection that lasted so long was good: the next try comes at once.
const GOOD_AFTER: Duration = Duration::from_secs(30);

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

/// Connects again and again until stopped. `target` is read at each try, since the certificate is renewed.
pub async fn keep_open(target: Arc<RwLock<Target>>, agent: Arc<Agent>, stop: CancellationToken) {
    let mut wait = AGAIN.0;
    let mut told = false;
    loop {
        let began = tokio::time::Instant::now();
        let now = target.read().clone();
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            outcome = once(&now, agent.clone(), &mut told) => outcome,
        };
        if began.elapsed() > GOOD_AFTER {
            wait = AGAIN.0;
        }
        if let Err(error) = outcome
            && !told
        {
            told = true;
            tracing::warn!(server = now.server, %error, "logs and commands of this node's pods are not to be had: no connection to the server");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        // So that the nodes of a server that was restarted do not come all at the same moment.
        wait = (wait * 2).min(AGAIN.1).mul_f64(0.75 + rand::random::<f64>() / 4.0);
    }
}

/// One connection, from its beginning to its end.
async fn once(target: &Target, agent: Arc<Agent>, told: &mut bool) -> Result<(), String> {
    let io = tokio::time::timeout(CONNECT_DEADLINE, connect(target)).await.map_err(|_| "no answer in time".to_string())??;
    if std::mem::take(told) {
        tracing::info!(server = target.server, "connected again");
    }
    let service = hyper::service::service_fn(move |request| answer(agent.clone(), request));
    serving().serve_connection(TokioIo::new(io), service).await.map_err(|e| e.to_string())
}

async fn connect(target: &Target) -> Result<TokioIo<hyper::upgrade::Upgraded>, String> {
    let (host, port) = host_and_port(&target.server)?;
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|e| e.to_string())?;
    let _ = tcp.set_nodelay(true);
    let tls = shared::client::tls::config(target).map_err(|e| e.to_string())?;
    let name = ServerName::try_from(host.clone()).map_err(|e| e.to_string())?;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(|e| e.to_string())?;
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(|e| e.to_string())?;
    let connection = tokio::spawn(connection.with_upgrades());
    let request = Request::get(TUNNEL_PATH).header(HOST, format!("{host}:{port}")).header(CONNECTION, "Upgrade").header(UPGRADE, PROTOCOL);
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let response = requests.send_request(request).await.map_err(|e| e.to_string())?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        connection.abort();
        return Err(format!("the server answered {}", response.status()));
    }
    hyper::upgrade::on(response).await.map(TokioIo::new).map_err(|e| e.to_string())
}

/// Host name or address, and port, of `https://HOST[:PORT]`.
pub fn host_and_port(server: &str) -> Result<(String, u16), String> {
    let authority = server.strip_prefix("https://").and_then(|rest| rest.split('/').next()).filter(|a| !a.is_empty());
    let authority = authority.ok_or_else(|| format!("{server:?} is not an address such as https://192.168.1.10:8443"))?;
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())) {
        Some((host, port)) => (host, port.parse().map_err(|_| format!("{port} is no port"))?),
        None => (authority, 443),
    };
    Ok((host.trim_matches(['[', ']']).to_string(), port))
}

async fn answer(agent: Arc<Agent>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let outcome = match tokio::time::timeout(ASK_DEADLINE, question(request.into_body())).await {
        Ok(Ok((ask, input))) => respond(&agent, ask, input).await,
        Ok(Err(why)) => Err(Status::bad_request(why)),
        Err(_) => Err(Status::timeout("no question came")),
    };
    Ok(outcome.map(Response::new).unwrap_or_else(|status| {
        let text = serde_json::to_vec(&status).unwrap_or_default();
        let mut response = Response::new(Full::from(text).map_err(|e: Infallible| match e {}).boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }))
}

/// What comes after the question.
struct Input {
    body: Incoming,
    pieces: Pieces,
}

async fn question(mut body: Incoming) -> Result<(Ask, Input), String> {
    let mut pieces = Pieces::default();
    loop {
        match pieces.next().map_err(|e| e.to_string())? {
            Some(Piece::Ask(ask)) => return Ok((ask, Input { body, pieces })),
            Some(_) => return Err("the first piece is no question".into()),
            None => {}
        }
        let frame = body.frame().await.ok_or("no question came")?.map_err(|e| e.to_string())?;
        pieces.push(&frame.into_data().unwrap_or_default());
    }
}

async fn respond(agent: &Agent, ask: Ask, input: Input) -> Result<Body, Status> {
    match ask {
        Ask::Logs { uid, container, previous, follow, tail, since, timestamps } => {
            let options = LogOptions { follow, tail, since, timestamps };
            let lines = agent.logs(&uid, &container, previous, &options).await?;
            let bytes = lines.map(|line| match line {
                Ok(Output::Stdout(bytes) | Output::Stderr(bytes)) => Ok(Frame::data(bytes)),
                Err(error) => Err(std::io::Error::other(error.to_string())),
            });
            Ok(StreamBody::new(bytes).boxed_unsync())
        }
        Ask::Exec { uid, container, command, tty, stdin } => Ok(process(agent.exec(&uid, &container, &command, tty, stdin).await?, input)),
        Ask::Attach { uid, container, tty, stdin } => Ok(process(agent.attach(&uid, &container, tty, stdin).await?, input)),
        Ask::Connect { uid, port } => Ok(forward(agent.connect(&uid, port).await?, input)),
        Ask::Stats => {
            let used = agent.host_stats();
            let containers = agent.stats().await.into_iter().map(|(uid, container, s)| (uid, container, s.cpu_usage_ns, s.memory_bytes));
            let stats = Stats { node: (used.cpu_usage_ns, used.memory_bytes), containers: containers.collect() };
            let json = serde_json::to_vec(&stats).map_err(|e| Status::internal(e.to_string()))?;
            Ok(Full::from(json).map_err(|e: Infallible| match e {}).boxed_unsync())
        }
    }
}

fn process(process: Process, input: Input) -> Body {
    let Process { stdin, output, exit, resize } = process;
    let typing = tokio::spawn(typed(input, stdin, resize));
    let pieces = output.map(|item| match item {
        Ok(Output::Stdout(bytes)) => Piece::Stdout(bytes),
        Ok(Output::Stderr(bytes)) => Piece::Stderr(bytes),
        Err(error) => Piece::End(End::Failed(Box::new(Status::internal(error.to_string())))),
    });
    let end = exit.map(|code| {
        Piece::End(match code {
            Ok(code) => End::Code(code),
            Err(error) => End::Failed(Box::new(Status::internal(error.to_string()))),
        })
    });
    // Typing ends with the body: the server has the exit code, or is gone.
    let guard = AbortOnDrop(typing);
    let all = pieces.chain(futures::stream::once(end)).map(move |piece| {
        let _ = &guard;
        Ok(Frame::data(piece.encode()))
    });
    StreamBody::new(all).boxed_unsync()
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn typed(mut input: Input, mut stdin: Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>>, resize: mpsc::Sender<(u16, u16)>) {
    loop {
        match input.pieces.next() {
            Ok(Some(Piece::Stdin(bytes))) => {
                if let Some(open) = &mut stdin
                    && (open.write_all(&bytes).await.is_err() || open.flush().await.is_err())
                {
                    stdin = None;
                }
            }
            Ok(Some(Piece::StdinEnd)) => {
                if let Some(mut open) = stdin.take() {
                    let _ = open.shutdown().await;
                }
            }
            Ok(Some(Piece::Resize(columns, rows))) => drop(resize.send((columns, rows)).await),
            Ok(Some(_)) | Err(_) => return,
            Ok(None) => match input.body.frame().await {
                Some(Ok(frame)) => input.pieces.push(&frame.into_data().unwrap_or_default()),
                Some(Err(_)) => return,
                None => {
                    // Whoever asked has nothing more to say; the process may still go on.
                    if let Some(mut open) = stdin.take() {
                        let _ = open.shutdown().await;
                    }
                    return;
                }
            },
        }
    }
}

fn forward(connection: Box<dyn node::runtime::Connection>, input: Input) -> Body {
    let (mut read, mut write) = tokio::io::split(connection);
    let Input { mut body, pieces } = input;
    let inward = tokio::spawn(async move {
        let mut bytes = pieces.rest();
        loop {
            if !bytes.is_empty() && (write.write_all(&bytes).await.is_err() || write.flush().await.is_err()) {
                return;
            }
            match body.frame().await {
                Some(Ok(frame)) => bytes = frame.into_data().unwrap_or_default(),
                Some(Err(_)) => return,
                None => break,
            }
        }
        let _ = write.shutdown().await;
    });
    let guard = AbortOnDrop(inward);
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let _guard = guard;
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(STREAM_WINDOW as usize / 2);
            let bytes = tokio::select! {
                n = read.read_buf(&mut buffer) => match n {
                    Ok(0) | Err(_) => return,
                    Ok(_) => buffer.split().freeze(),
                },
                () = sender.closed() => return,
            };
            if sender.send(Ok(Frame::data(bytes))).await.is_err() {
                return;
            }
        }
    });
    StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver)).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let of = |text: &str| host_and_port(text).ok();
        assert_eq!(of("https://10.0.0.1:8443"), Some(("10.0.0.1".into(), 8443)));
        assert_eq!(of("https://master.example/"), Some(("master.example".into(), 443)));
        assert_eq!(of("https://[fd00::1]:8443"), Some(("fd00::1".into(), 8443)));
        assert_eq!(of("http://10.0.0.1"), None);
        assert_eq!(of("https://"), None);
        assert_eq!(of("https://h:70000"), None);
    }
}
