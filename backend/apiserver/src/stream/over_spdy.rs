//! exec and attach over SPDY: one stream for each of stdin, stdout, stderr, error and resize.
use super::command::{self, Input, Outcome, Sink, parse_size};
use super::spdy::{self, Stream, Writer};
use super::{Streams, Wanted, spdy_handshake};
use crate::handlers::Call;
use crate::respond::Response;
use crate::streams::{Output, Target};
use async_trait::async_trait;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use shared::status::Status;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// How long the client may take to open its streams.
const STREAMS_DEADLINE: Duration = Duration::from_secs(30);
const QUEUE_SIZES: usize = 8;

/// Upgrades the connection and runs the command on it.
pub fn remote_command(mut call: Call, wanted: Wanted, target: Target, streams: Streams) -> Result<Response, Status> {
    let (response, upgraded) = spdy_handshake(&mut call, &PROTOCOLS)?;
    let protocol = response.headers().get(super::STREAM_PROTOCOL).and_then(|v| v.to_str().ok()).unwrap_or_default().to_string();
    tokio::spawn(async move {
        let Ok(io) = upgraded.await else { return };
        let mut opened = spdy::serve(TokioIo::new(io));
        // Resizing came with version 3.
        let resizes = wanted.tty && (protocol.starts_with("v3") || protocol.starts_with("v4"));
        let found = tokio::time::timeout(STREAMS_DEADLINE, collect(&mut opened, &wanted, resizes)).await;
        let Ok(Some(found)) = found else { return };
        let (mut sink, input) = wire(found, protocol.starts_with("v4"));
        // The client opens no more streams: when this ends, its connection has.
        let gone = input.gone.clone();
        tokio::spawn(async move {
            while opened.recv().await.is_some() {}
            gone.cancel();
        });
        let process = wanted.start(&streams, &target).await;
        command::drive(process, input, &mut sink, streams.stop).await;
    });
    Ok(response)
}

async fn collect(opened: &mut mpsc::Receiver<Stream>, wanted: &Wanted, resizes: bool) -> Option<BTreeMap<String, Stream>> {
    let mut needed = vec!["error"];
    needed.extend(wanted.stdin.then_some("stdin"));
    needed.extend(wanted.stdout.then_some("stdout"));
    needed.extend(wanted.stderr.then_some("stderr"));
    needed.extend(resizes.then_some("resize"));
    let mut found = BTreeMap::new();
    while found.len() < needed.len() {
        let stream = opened.recv().await?;
        let kind = stream.headers.get("streamtype").cloned().unwrap_or_default();
        if !needed.contains(&kind.as_str()) || found.contains_key(&kind) {
            stream.writer.reset(stream.id).await.ok()?;
            continue;
        }
        stream.writer.reply(stream.id).await.ok()?;
        found.insert(kind, stream);
    }
    Some(found)
}

fn wire(mut found: BTreeMap<String, Stream>, status: bool) -> (SpdySink, Input) {
    let closed = || mpsc::channel(1).1;
    let stdin = found.remove("stdin").map_or_else(closed, |s| s.data);
    let (sizes, resize) = mpsc::channel(QUEUE_SIZES);
    if let Some(mut stream) = found.remove("resize") {
        tokio::spawn(async move {
            // A frame may carry several sizes, one JSON document after another.
            while let Some(bytes) = stream.data.recv().await {
                for line in bytes.split(|b| *b == b'\n') {
                    if let Some(size) = parse_size(line)
                        && sizes.send(size).await.is_err()
                    {
                        return;
                    }
                }
            }
        });
    }
    let mut out = |name: &str| found.remove(name).map(|s| (s.id, s.writer));
    let sink = SpdySink { stdout: out("stdout"), stderr: out("stderr"), error: out("error"), status };
    (sink, Input { stdin, resize, gone: CancellationToken::new() })
}

struct SpdySink {
    stdout: Option<(u32, Writer)>,
    stderr: Option<(u32, Writer)>,
    error: Option<(u32, Writer)>,
    /// The last word is a Status, not a text.
    status: bool,
}

#[async_trait]
impl Sink for SpdySink {
    async fn output(&mut self, output: Output) -> Result<(), ()> {
        let (to, bytes) = match output {
            Output::Stdout(bytes) => (&self.stdout, bytes),
            Output::Stderr(bytes) => (&self.stderr, bytes),
        };
        match to {
            Some((id, writer)) => writer.data(*id, bytes).await.map_err(|_| ()),
            None => Ok(()),
        }
    }

    async fn finish(&mut self, outcome: &Outcome) {
        let text = if self.status { outcome.status().to_string() } else { outcome.text() };
        if let Some((id, writer)) = &self.error
            && !text.is_empty()
        {
            let _ = writer.data(*id, Bytes::from(text)).await;
        }
        for (id, writer) in [&self.stdout, &self.stderr, &self.error].into_iter().flatten() {
            let _ = writer.finish(*id).await;
        }
    }
}
