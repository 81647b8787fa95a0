//! The server in a process of its own, which can be killed: this test's program started again, with what `openshift start`
//! starts. The test has a test `server_process` that calls [`serve_if_asked`].
use backend::config::{ProxyMode, RuntimeKind, Start};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Set in the process that is the server: its data directory.
const DIRECTORY: &str = "E2E_SERVER_DIRECTORY";

pub struct Server {
    child: Child,
    dir: tempfile::TempDir,
}

/// In the process that is to be the server: serves until standard input ends, with the process that started it.
pub async fn serve_if_asked() {
    let Some(dir) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    backend::descriptors::raise();
    let config = Start {
        listen: "127.0.0.1:0".parse().expect("an address"),
        console_listen: None,
        master: String::new(),
        data_dir: Some(dir),
        hostname: Some("master".into()),
        portal_net: "172.30.0.0/16".parse().expect("a network"),
        docker: "unix:///nonexistent".into(),
        runtime: RuntimeKind::Simulated,
        proxy_mode: ProxyMode::None,
        log_level: "error".into(),
        store_max: 2 << 30,
        node_grace: 40,
        log_format: backend::config::LogFormat::Text,
    };
    let cluster = backend::wiring::start(&config).await.expect("the cluster starts");
    println!("serving");
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
    cluster.stop().await;
}

fn spawn(dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this test's own program"))
        .args(["--exact", "server_process", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.by_ref().any(|l| l.is_ok_and(|l| l.contains("serving"))), "the server serves");
    std::thread::spawn(move || lines.for_each(drop));
    child
}

impl Server {
    pub fn start() -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let child = spawn(&dir.path().join("data"));
        Server { child, dir }
    }

    /// Ends the process as `kill -9` does, and starts the next one on what it left.
    pub fn kill_and_start(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
        self.child = spawn(&self.dir.path().join("data"));
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("data/admin.kubeconfig")
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join(file)).unwrap_or_default()
    }

    /// Resident memory now, in MiB.
    pub fn resident(&self) -> u64 {
        let status = self.proc("status");
        let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("the server runs") / 1024
    }

    /// Begins to measure the peak anew.
    pub fn forget_peak(&self) {
        let _ = std::fs::write(Path::new("/proc").join(self.child.id().to_string()).join("clear_refs"), "5");
    }

    /// The largest resident memory since, in MiB.
    pub fn peak(&self) -> u64 {
        let status = self.proc("status");
        let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("the server runs") / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
