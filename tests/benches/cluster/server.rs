//! The program under test: the real binary with a data directory of its own.
use e2e::lean::Endpoint;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    pub child: Child,
    pub dir: PathBuf,
    /// From exec to the line that says ready: API serving and node Ready.
    pub ready: Duration,
    cleaned: bool,
}

pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let release = own.parent().and_then(Path::parent).expect("benches lie in release/deps");
    release.join(name)
}

impl Server {
    /// `simulated`: no Docker, no iptables.
    pub fn start(dir: &Path, simulated: bool) -> Result<Server, String> {
        let mut command = Command::new(binary("openshift"));
        command.args(["start", "--hostname=master"]).arg(format!("--data-dir={}", dir.display()));
        if simulated {
            command.args(["--runtime=simulated", "--proxy-mode=none"]);
        }
        let began = Instant::now();
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = spawned.map_err(|e| format!("{}: {e}; run `make build` first", binary("openshift").display()))?;
        let output = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(output).lines();
        let ready = loop {
            match lines.next() {
                Some(Ok(line)) if line.starts_with("ready after") => break began.elapsed(),
                Some(Ok(_)) => {}
                _ => return Err("the server ended before it was ready; is another one running?".into()),
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Server { child, dir: dir.to_path_buf(), ready, cleaned: simulated })
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::admin(&self.dir.join("admin.kubeconfig"))
    }

    /// Resident bytes, and CPU ticks used so far.
    pub fn usage(&self) -> (u64, u64) {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default();
        let kib = read("status").lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        (kib.unwrap_or(0) * 1024, ticks(11) + ticks(12))
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if !self.cleaned {
            let dir = format!("--data-dir={}", self.dir.display());
            let _ = Command::new(binary("openshift")).args(["ex", "clean", &dir]).stdout(Stdio::null()).status();
        }
    }
}
