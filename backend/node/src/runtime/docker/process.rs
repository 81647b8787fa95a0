//! Processes in containers: exec and attach, with their streams, sizes and exit codes.
use super::{CHANGE_SECONDS_MAX, LOOK_SECONDS_MAX, call, translate};
use crate::runtime::{Output, Process, Result, RuntimeError};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::{AttachContainerOptions, ResizeContainerTTYOptions, ResizeExecOptions, WaitContainerOptions};
use futures::{FutureExt, StreamExt};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Window sizes that may wait; only the last counts.
const RESIZES_MAX: usize = 8;
/// How often the exit code is asked for after the streams have ended.
const EXIT_TRIES: u32 = 50;

/// What an ended container had written may take this long to arrive.
const DRAIN: Duration = Duration::from_millis(500);

pub(super) fn output(item: std::result::Result<LogOutput, bollard::errors::Error>) -> Result<Output> {
    match item.map_err(translate)? {
        LogOutput::StdErr { message } => Ok(Output::Stderr(message)),
        LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => Ok(Output::Stdout(message)),
    }
}

pub(super) async fn exec(docker: &Docker, id: &str, command: &[String], tty: bool, stdin: bool, user: &str) -> Result<Process> {
    let config = ExecConfig {
        attach_stdin: Some(stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(!tty),
        tty: Some(tty),
        cmd: Some(command.to_vec()),
        user: (!user.is_empty()).then(|| user.to_string()),
        ..ExecConfig::default()
    };
    let exec = call("create exec", CHANGE_SECONDS_MAX, docker.create_exec(id, config)).await?.id;
    let options = StartExecOptions { detach: false, tty, output_capacity: None };
    let started = call("start exec", CHANGE_SECONDS_MAX, docker.start_exec(&exec, Some(options))).await?;
    let StartExecResults::Attached { output: stream, input } = started else {
        return Err(RuntimeError::Engine("the engine did not attach to the process".into()));
    };
    let (resize, mut sizes) = mpsc::channel::<(u16, u16)>(RESIZES_MAX);
    let (resizer, exec_id) = (docker.clone(), exec.clone());
    tokio::spawn(async move {
        while let Some((columns, rows)) = sizes.recv().await {
            let options = ResizeExecOptions { h: i32::from(rows), w: i32::from(columns) };
            // The process may have ended; its window does not matter then.
            let _ = call("resize", LOOK_SECONDS_MAX, resizer.resize_exec(&exec_id, options)).await;
        }
    });
    let (ended, end) = oneshot::channel();
    let waiter = docker.clone();
    let exit = async move {
        // The output's end, or its reader's going away, is the process' end or as good as that.
        let _ = end.await;
        for _ in 0..EXIT_TRIES {
            let state = call("inspect exec", LOOK_SECONDS_MAX, waiter.inspect_exec(&exec)).await?;
            if state.running != Some(true) {
                return Ok(i32::try_from(state.exit_code.unwrap_or(0)).unwrap_or(-1));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(RuntimeError::Deadline { call: "exec", seconds: 1 })
    };
    Ok(Process {
        stdin: stdin.then_some(Box::new(input) as _),
        output: until_end(stream.map(output).boxed(), ended),
        exit: exit.boxed(),
        resize,
    })
}

pub(super) async fn attach(docker: &Docker, id: &str, tty: bool, stdin: bool) -> Result<Process> {
    let container = call("inspect", LOOK_SECONDS_MAX, docker.inspect_container(id, None)).await?;
    if !container.state.and_then(|s| s.running).unwrap_or(false) {
        return Err(RuntimeError::NotFound(format!("container {id} is not running")));
    }
    // A program that reads one client's input (`kubectl run -i`) began before its client could be there:
    // that client is shown what it missed, as `docker run -i` would have shown it. The engine opens the stream
    // before it reads the log: what is written in between comes twice, but nothing is lost.
    let logs = container.config.is_some_and(|c| c.open_stdin == Some(true) && c.stdin_once == Some(true));
    let options = AttachContainerOptions { stream: true, stdout: true, stderr: !tty, stdin, logs, ..AttachContainerOptions::default() };
    let attached = call("attach", CHANGE_SECONDS_MAX, docker.attach_container(id, Some(options))).await?;
    let (resize, mut sizes) = mpsc::channel::<(u16, u16)>(RESIZES_MAX);
    let (resizer, container) = (docker.clone(), id.to_string());
    tokio::spawn(async move {
        while let Some((columns, rows)) = sizes.recv().await {
            let options = ResizeContainerTTYOptions { h: i32::from(rows), w: i32::from(columns) };
            let _ = call("resize", LOOK_SECONDS_MAX, resizer.resize_container_tty(&container, options)).await;
        }
    });
    let (ended, end) = oneshot::channel();
    let (waiter, container) = (docker.clone(), id.to_string());
    let exit = async move {
        let _ = end.await;
        let state = call("inspect", LOOK_SECONDS_MAX, waiter.inspect_container(&container, None)).await?.state.unwrap_or_default();
        Ok(i32::try_from(state.exit_code.unwrap_or(0)).unwrap_or(-1))
    };
    // The engine keeps the streams of a container open that ended just before they were opened.
    let (watcher, container) = (docker.clone(), id.to_string());
    let over = async move {
        let options = WaitContainerOptions { condition: "not-running".into() };
        let _ = watcher.wait_container(&container, Some(options)).next().await;
        tokio::time::sleep(DRAIN).await;
    };
    let output_stream = until_end(attached.output.map(output).take_until(Box::pin(over)).boxed(), ended);
    Ok(Process { stdin: stdin.then_some(Box::new(attached.input) as _), output: output_stream, exit: exit.boxed(), resize })
}

type Stream = futures::stream::BoxStream<'static, Result<Output>>;

/// The same stream, dropping the sender when it ends or is dropped.
fn until_end(stream: Stream, ended: oneshot::Sender<()>) -> Stream {
    futures::stream::unfold((stream, ended), |(mut stream, ended)| async move {
        let item = stream.next().await?;
        Some((item, (stream, ended)))
    })
    .boxed()
}
