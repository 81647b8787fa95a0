//! A cluster of its own, with simulated pods, as a process that can be stopped and started again.
use super::driver::Outcome;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const START_MAX: Duration = Duration::from_secs(60);

/// What runs the pods.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Simulated,
    Docker,
}

pub struct Server {
    child: Child,
    runtime: Runtime,
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
    pub fn start(binary: &Path, runtime: Runtime) -> Outcome<Server> {
        let data = tempfile::tempdir().map_err(|e| e.to_string())?;
        // The console listens on the port after the API's.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let port = if port > 65_000 { 28_443 } else { port };
        let listen = format!("https://127.0.0.1:{port}");
        let (child, console) = run(binary, data.path(), &listen, runtime)?;
        Ok(Server { child, runtime, binary: binary.into(), data, console, listen })
    }

    /// Kills the server and starts it again where it was.
    pub fn restart(&mut self) -> Outcome<()> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|e| e.to_string())?;
        (self.child, self.console) = run(&self.binary, self.data.path(), &self.listen, self.runtime)?;
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

/// Talks to the API directly, as the administrator: for many objects, and for what browsers cannot send.
pub struct Api {
    pub client: reqwest::Client,
    pub base: String,
}

impl Api {
    pub async fn create(&self, path: &str, body: &Value) -> Outcome<()> {
        let answer = self.client.post(format!("{}{path}", self.base)).json(body).send().await.map_err(|e| format!("{path}: {e}"))?;
        let good = answer.status().is_success();
        // An answer that is not read to its end is a reset of its stream.
        let text = answer.text().await.unwrap_or_default();
        if good { Ok(()) } else { Err(format!("{path}: {text}")) }
    }

    /// Many at once.
    pub async fn create_all(&self, path: &str, bodies: &[Value]) -> Outcome<()> {
        const AT_ONCE: usize = 32;
        let all = futures::stream::iter(bodies.iter().map(|b| self.create(path, b))).buffer_unordered(AT_ONCE);
        all.try_collect::<()>().await
    }
}

impl Server {
    pub fn client(&self) -> Outcome<Api> {
        let text = std::fs::read_to_string(self.data.path().join("admin.kubeconfig")).map_err(|e| e.to_string())?;
        let member =
            |name: &str| text.lines().find_map(|l| l.trim().strip_prefix(&format!("{name}: "))).map(|v| v.trim_matches('"').to_string());
        let decoded = |name: &str| -> Outcome<Vec<u8>> {
            use base64::Engine;
            let text = member(name).ok_or(format!("no {name} in admin.kubeconfig"))?;
            base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| e.to_string())
        };
        let mut identity = decoded("client-certificate-data")?;
        identity.extend(decoded("client-key-data")?);
        let identity = reqwest::Identity::from_pem(&identity).map_err(|e| e.to_string())?;
        let builder = reqwest::Client::builder().use_rustls_tls().danger_accept_invalid_certs(true).identity(identity);
        Ok(Api { client: builder.build().map_err(|e| e.to_string())?, base: self.listen.clone() })
    }

    /// Removes the containers of the cluster.
    pub fn clean(mut self) -> Outcome<()> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|e| e.to_string())?;
        let output = Command::new(&self.binary).args(["ex", "clean"]).arg(format!("--data-dir={}", self.data.path().display())).output();
        let output = output.map_err(|e| e.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

fn run(binary: &Path, data: &Path, listen: &str, runtime: Runtime) -> Outcome<(Child, String)> {
    let mut child = Command::new(binary)
        .args(["start", "--hostname=master"])
        .args(if runtime == Runtime::Simulated { ["--runtime=simulated", "--proxy-mode=none"].as_slice() } else { &[] })
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
