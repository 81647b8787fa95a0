//! Runs a process of a container for a client, whatever protocol the client speaks.
use crate::streams::{Output, Process};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use shared::status::Status;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long the exit code may take to arrive after the output has ended.
const EXIT_DEADLINE: Duration = Duration::from_secs(30);

/// What the client sends.
pub struct Input {
    pub stdin: mpsc::Receiver<Bytes>,
    pub resize: mpsc::Receiver<(u16, u16)>,
    /// Cancelled when the client is gone.
    pub gone: CancellationToken,
}

/// Where output goes. Errors mean that the client is gone.
#[async_trait]
pub trait Sink: Send {
    async fn output(&mut self, output: Output) -> Result<(), ()>;
    /// The last word: how it ended.
    async fn finish(&mut self, outcome: &Outcome);
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Exit(i32),
    Failed(Status),
}

impl Outcome {
    /// The Status that protocols of version 4 and later end with.
    pub fn status(&self) -> Value {
        match self {
            Outcome::Exit(0) => json!({"metadata": {}, "status": "Success"}),
            Outcome::Exit(code) => json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": format!("command terminated with non-zero exit code: exit status {code}"),
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Outcome::Failed(status) => serde_json::to_value(status).unwrap_or_default(),
        }
    }

    /// What older protocols end with; nothing when all went well.
    pub fn text(&self) -> String {
        match self {
            Outcome::Exit(0) => String::new(),
            Outcome::Exit(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Outcome::Failed(status) => status.message.clone(),
        }
    }
}

/// `{"Width":80,"Height":24}` as columns and rows.
pub fn parse_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let number = |name: &str| value.get(name)?.as_u64().and_then(|n| u16::try_from(n).ok());
    Some((number("Width")?, number("Height")?))
}

/// Moves bytes until the process ends or the client goes away.
pub async fn drive(process: Result<Process, Status>, input: Input, sink: &mut dyn Sink, stop: CancellationToken) {
    let process = match process {
        Ok(process) => process,
        Err(status) => return sink.finish(&Outcome::Failed(status)).await,
    };
    let Process { stdin, mut output, exit, resize } = process;
    let Input { stdin: mut typed, resize: mut sizes, gone } = input;
    let feed = tokio::spawn(async move {
        let Some(mut stdin) = stdin else { return };
        while let Some(bytes) = typed.recv().await {
            if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
                return;
            }
        }
        let _ = stdin.shutdown().await;
    });
    let sizing = tokio::spawn(async move {
        while let Some(size) = sizes.recv().await {
            if resize.send(size).await.is_err() {
                return;
            }
        }
    });
    let outcome = tokio::select! {
        outcome = async {
            while let Some(item) = output.next().await {
                match item {
                    Ok(bytes) => sink.output(bytes).await.map_err(|()| None)?,
                    Err(status) => return Err(Some(status)),
                }
            }
            match tokio::time::timeout(EXIT_DEADLINE, exit).await {
                Ok(code) => code.map_err(Some),
                Err(_) => Err(Some(Status::timeout("the process ended, but its exit code did not arrive"))),
            }
        } => outcome,
        () = gone.cancelled() => Err(None),
        () = stop.cancelled() => Err(Some(Status::unavailable("the server is shutting down"))),
    };
    feed.abort();
    sizing.abort();
    match outcome {
        Ok(code) => sink.finish(&Outcome::Exit(code)).await,
        Err(Some(status)) => sink.finish(&Outcome::Failed(status)).await,
        Err(None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_travel_as_causes() {
        let status = Outcome::Exit(3).status();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0]["message"], "3");
        assert_eq!(Outcome::Exit(0).status()["status"], "Success");
        assert_eq!(parse_size(br#"{"Width":80,"Height":24}"#), Some((80, 24)));
        assert_eq!(parse_size(b"{}"), None);
    }
}
