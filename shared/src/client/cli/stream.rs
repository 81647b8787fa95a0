//! Commands that run inside a pod's container: exec, rsh, attach.
use super::pods;
use crate::client::http::{Client, encode};
use crate::client::socket::{self, Receiver, Sender};
use crate::client::terminal;
use crate::client::{ClientError, Result};
use clap::Args;
use serde_json::Value;
use std::io::Write;
use tokio::signal::unix::{SignalKind, signal};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

#[derive(Args, Debug)]
pub(super) struct ExecArgs {
    /// POD [--] COMMAND [ARGUMENT…]
    #[arg(required = true, trailing_var_arg = true)]
    words: Vec<String>,
    /// The pod, as the client of 2015 was told it
    #[arg(short, long)]
    pod: Option<String>,
    /// Container, if the pod has several
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
}

#[derive(Args, Debug)]
pub(super) struct RshArgs {
    /// POD [COMMAND [ARGUMENT…]]
    #[arg(required = true, trailing_var_arg = true)]
    words: Vec<String>,
    #[arg(short, long)]
    container: Option<String>,
    /// No terminal, even if there is one
    #[arg(short = 'T', long)]
    no_tty: bool,
}

#[derive(Args, Debug)]
pub(super) struct AttachArgs {
    pod: String,
    #[arg(short, long)]
    container: Option<String>,
    #[arg(short = 'i', long)]
    stdin: bool,
    #[arg(short, long)]
    tty: bool,
}

/// What a stream connects.
struct Wanted {
    pod: String,
    container: Option<String>,
    /// Empty: attach to what runs already.
    command: Vec<String>,
    stdin: bool,
    tty: bool,
}

pub(super) async fn exec(client: &Client, args: ExecArgs) -> Result<()> {
    let (pod, command) = match args.pod {
        Some(pod) => (pod, args.words),
        None => (args.words[0].clone(), args.words[1..].to_vec()),
    };
    let command: Vec<String> = match command.split_first() {
        Some((first, rest)) if first == "--" => rest.to_vec(),
        _ => command,
    };
    if command.is_empty() {
        return Err(ClientError::usage("you must say what to run: osc exec POD -- COMMAND"));
    }
    run(client, Wanted { pod, container: args.container, command, stdin: args.stdin, tty: args.tty }).await
}

pub(super) async fn rsh(client: &Client, args: RshArgs) -> Result<()> {
    let mut command: Vec<String> = args.words[1..].iter().skip_while(|w| *w == "--").cloned().collect();
    if command.is_empty() {
        command = vec!["/bin/sh".into()];
    }
    let tty = !args.no_tty && terminal::stdin_is_terminal();
    run(client, Wanted { pod: args.words[0].clone(), container: args.container, command, stdin: true, tty }).await
}

pub(super) async fn attach(client: &Client, args: AttachArgs) -> Result<()> {
    run(client, Wanted { pod: args.pod, container: args.container, command: Vec::new(), stdin: args.stdin, tty: args.tty }).await
}

async fn run(client: &Client, mut wanted: Wanted) -> Result<()> {
    if wanted.tty && !(wanted.stdin && terminal::stdin_is_terminal()) {
        if wanted.stdin {
            eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        wanted.tty = wanted.tty && !wanted.stdin;
    }
    let pod = pods::one(client, &wanted.pod).await?;
    let path = path(&pods::path(client, &pod), &wanted);
    let (sender, mut receiver) = socket::open(client, &path).await?;
    let raw = (wanted.tty && wanted.stdin).then(terminal::Raw::enter).flatten();
    let outcome = tokio::select! {
        outcome = outputs(&mut receiver) => outcome,
        () = inputs(sender, wanted.stdin, raw.is_some()) => Err(ClientError::Transport("the connection to the server broke".into())),
    };
    drop(raw);
    outcome
}

fn path(pod: &str, wanted: &Wanted) -> String {
    let verb = if wanted.command.is_empty() { "attach" } else { "exec" };
    let mut path = format!("{pod}/{verb}?stdout=true&stdin={}&tty={}&stderr={}", wanted.stdin, wanted.tty, !wanted.tty);
    if let Some(container) = &wanted.container {
        path.push_str(&format!("&container={}", encode(container)));
    }
    for word in &wanted.command {
        path.push_str(&format!("&command={}", encode(word)));
    }
    path
}

/// Sends what is typed, and the window's size when it changes. Ends only when the connection is gone.
async fn inputs(mut sender: Sender, stdin: bool, raw: bool) {
    let mut typed = stdin.then(terminal::input);
    let mut resized = if raw { signal(SignalKind::window_change()).ok() } else { None };
    let size = || terminal::size().map(|(width, height)| format!("{{\"Width\":{width},\"Height\":{height}}}"));
    if let Some(size) = raw.then(size).flatten() {
        sender.send(RESIZE, size.as_bytes()).await;
    }
    loop {
        let piece = async {
            match &mut typed {
                Some(typed) => typed.recv().await,
                None => std::future::pending().await,
            }
        };
        let change = async {
            match &mut resized {
                Some(resized) => resized.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            piece = piece => match piece {
                Some(bytes) if !sender.send(STDIN, &bytes).await => return,
                Some(_) => {}
                None => {
                    typed = None;
                    sender.end(STDIN).await;
                }
            },
            _ = change => {
                if let Some(size) = size() {
                    sender.send(RESIZE, size.as_bytes()).await;
                }
            }
        }
    }
}

/// Prints what comes, until the server says how it ended.
async fn outputs(receiver: &mut Receiver) -> Result<()> {
    let mut ended = None;
    while let Some((channel, bytes)) = receiver.next().await {
        let written = match channel {
            STDOUT => write(std::io::stdout().lock(), &bytes),
            STDERR => write(std::io::stderr().lock(), &bytes),
            ERROR if !bytes.is_empty() => {
                ended = Some(outcome(&bytes));
                Ok(())
            }
            _ => Ok(()),
        };
        if written.is_err() {
            return Err(ClientError::Exit(0));
        }
    }
    ended.unwrap_or_else(|| Err(ClientError::Transport("the connection ended before the command did".into())))
}

fn write(mut to: impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).and_then(|()| to.flush())
}

/// What the error channel says: success, the command's own exit code, or why it did not run.
fn outcome(bytes: &[u8]) -> Result<()> {
    // The stream's Status leaves out kind and version, so it is read as plain JSON.
    let Ok(status) = serde_json::from_slice::<Value>(bytes) else {
        return Err(ClientError::Transport(String::from_utf8_lossy(bytes).trim().to_string()));
    };
    if status["status"] == "Success" {
        return Ok(());
    }
    let mut causes = status["details"]["causes"].as_array().into_iter().flatten();
    let code = causes.find(|c| c["reason"] == "ExitCode").and_then(|c| c["message"].as_str()?.parse::<u8>().ok());
    match (code, status["message"].as_str()) {
        (Some(code), _) => Err(ClientError::Exit(code)),
        (None, message) => Err(ClientError::Transport(message.unwrap_or("the command failed").to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_the_command_is_the_programs() {
        assert!(outcome(br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}"#).is_ok());
        let three =
            br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"command terminated with exit code 3",
            "reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        assert!(matches!(outcome(three), Err(ClientError::Exit(3))));
        let gone = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"container not found"}"#;
        assert_eq!(outcome(gone).expect_err("fails").to_string(), "container not found");
    }

    #[test]
    fn words_of_the_command_are_encoded_one_by_one() {
        let wanted =
            Wanted { pod: "p".into(), container: None, command: vec!["sh".into(), "-c".into(), "a & b".into()], stdin: false, tty: false };
        assert_eq!(
            path("/api/v1/namespaces/n/pods/p", &wanted),
            "/api/v1/namespaces/n/pods/p/exec?stdout=true&stdin=false&tty=false&stderr=true&command=sh&command=-c&command=a%20%26%20b"
        );
    }
}
