//! A cluster of its own, with simulated pods, as a process that can be stopped and started again.
use super::driver::Outcome;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const START_MAX: Duration = Duration::from_secs(60);

pub struct Server {
    child: Child,
    binary: PathBuf,
    data: tempfile::TempDir,
    /// Where the console is, without a slash at the end.
    pub console: String,
    listen: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn start(binary: &Path) -> Outcome<Server> {
        let data = tempfile::tempdir().map_err(|e| e.to_string())?;
        // The console listens on the port after the API's.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let port = if port > 65_000 { 28_443 } else { port };
        let listen = format!("https://127.0.0.1:{port}");
        let (child, console) = run(binary, data.path(), &listen)?;
        Ok(Server { child, binary: binary.into(), data, console, listen })
    }

    /// Kills the server and starts it again where it was.
    pub fn restart(&mut self) -> Outcome<()> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|e| e.to_string())?;
        (self.child, self.console) = run(&self.binary, self.data.path(), &self.listen)?;
        Ok(())
    }

    /// Runs the command line as the cluster's administrator.
    pub fn osc(&self, arguments: &[&str]) -> Outcome<String> {
        self.osc_with(arguments, "")
    }

    /// The same with something to read.
    pub fn osc_with(&self, arguments: &[&str], input: &str) -> Outcome<String> {
        let kubeconfig = self.data.path().join("admin.kubeconfig");
        let mut child = Command::new(&self.binary)
            .arg("cli")
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        // Dropped at once: the command reads to its end.
        child.stdin.take().ok_or("no input")?.write_all(input.as_bytes()).map_err(|e| e.to_string())?;
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("osc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

fn run(binary: &Path, data: &Path, listen: &str) -> Outcome<(Child, String)> {
    let mut child = Command::new(binary)
        .args(["start", "--runtime=simulated", "--proxy-mode=none", "--hostname=master"])
        .arg(format!("--listen={listen}"))
        .arg(format!("--data-dir={}", data.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("the server does not start: {e}"))?;
    let (tell, told) = mpsc::channel();
    let output = child.stdout.take().ok_or("no output")?;
    // Reads to the end, so that the server never waits for somebody to listen.
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some((_, console)) = line.split_once("console ") {
                let _ = tell.send(console.trim_end_matches('/').to_string());
            }
        }
    });
    match told.recv_timeout(START_MAX) {
        Ok(console) => Ok((child, console)),
        Err(_) => {
            let _ = child.kill();
            Err("the server is not ready in time".into())
        }
    }
}
