//! `openshift ex diagnostics`: asks this host what `logic::host` judges, and prints what is wrong and how to mend it.
use crate::config::{Diagnostics, ProxyMode, Start, data_dir};
use logic::host::{DataDir, Docker, Host, Port, PortState, Problem, problems};
use shared::client::ClientError;
use shared::client::config::{self, Overrides, Target};
use shared::client::http::Client;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// No question takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest answer of Docker to `/version`.
const VERSION_BYTES_MAX: u64 = 1 << 20;
/// A disk with less free is full.
const NOTHING_BYTES: u64 = 1 << 20;
/// Small durable writes that are timed; the median counts.
const SYNCS: usize = 5;

/// Prints one line per question that was answered well, and two per problem. Whether the cluster can run here.
pub async fn run(options: &Diagnostics) -> bool {
    let (host, running) = look(options).await;
    let found = problems(&host);
    if let Some((address, Docker::Answers { version, api })) = &host.docker {
        println!("Docker {version} answers at {address} (API {api})");
    }
    if let Some(server) = running {
        println!("a server answers at {server}");
    }
    if let Some(free) = host.data_dir.free_bytes {
        let speed = host.data_dir.sync_millis.map(|millis| format!(", a durable write takes {millis} ms")).unwrap_or_default();
        println!("{}: {} MiB free{speed}", host.data_dir.path, free >> 20);
    }
    for problem in &found {
        println!("{} {problem}\n      mend: {}", if problem.is_fatal() { "WRONG" } else { "note " }, problem.mend());
    }
    let fatal = found.iter().filter(|problem| problem.is_fatal()).count();
    match fatal {
        0 => println!("nothing is wrong that would stop a cluster here"),
        1 => println!("one thing is wrong"),
        more => println!("{more} things are wrong"),
    }
    fatal == 0
}

/// What the host says, and the server that is running already.
async fn look(options: &Diagnostics) -> (Host, Option<String>) {
    let start = &options.start;
    let found = if options.node { Err(String::new()) } else { server(start).await.ok_or_else(String::new) };
    let master = if options.node { Some(clock_at(&start.master).await) } else { None };
    let skew_seconds = found.as_ref().ok().map(|(_, skew)| *skew).or_else(|| master.as_ref()?.as_ref().ok().copied());
    let running = found.ok().map(|(server, _)| server);
    // A server of ours holds its ports rightly, and a node listens on none.
    let numbers = if running.is_some() || options.node { Vec::new() } else { vec![start.listen, start.console()] };
    let socket = start.docker.strip_prefix("unix://").unwrap_or(&start.docker).to_owned();
    let host = Host {
        docker: Some((start.docker.clone(), docker(&socket).await)),
        ports: numbers.into_iter().map(port).collect(),
        root: nix::unistd::geteuid().is_root(),
        iptables: has_iptables(start.proxy_mode),
        nftables: no_nftables(start.proxy_mode),
        ip_forward: text("/proc/sys/net/ipv4/ip_forward"),
        forward_rules: output("iptables", &["-w", "5", "-S", "FORWARD"]).await,
        input_rules: output("iptables", &["-w", "5", "-S", "INPUT"]).await,
        routes: text("/proc/net/route"),
        resolv_conf: text("/etc/resolv.conf"),
        cgroup_controllers: controllers(),
        server: master.map(|outcome| (start.master.clone(), outcome.err())),
        skew_seconds,
        data_dir: directory(&data_dir(start.data_dir.as_ref())),
        portal_net: start.portal_net.to_string(),
    };
    (host, running)
}

fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

async fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let run = tokio::process::Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(ANSWER_MAX, run).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks Docker for its version, with nothing but its socket.
pub async fn docker(socket: &str) -> Docker {
    match tokio::time::timeout(ANSWER_MAX, version(socket)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Docker::Absent,
            ErrorKind::PermissionDenied => Docker::Forbidden,
            _ => Docker::Silent(error.to_string()),
        },
        Err(_) => Docker::Silent(format!("no answer within {} s", ANSWER_MAX.as_secs())),
    }
}

async fn version(socket: &str) -> std::io::Result<Docker> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(VERSION_BYTES_MAX).read_to_end(&mut answer).await?;
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(&answer[..0], |at| &answer[at + 4..]);
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|_| std::io::Error::other("its answer is not Docker's"))?;
    let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Ok(Docker::Answers { version: word("Version"), api: word("ApiVersion") })
}

fn port(address: SocketAddr) -> Port {
    let state = match TcpListener::bind(address) {
        Ok(_) => PortState::Free,
        Err(error) => refused(address.port(), &error),
    };
    Port { number: address.port(), state }
}

fn refused(port: u16, error: &std::io::Error) -> PortState {
    if error.kind() == ErrorKind::AddrInUse { PortState::Taken(holder(port)) } else { PortState::Refused(error.to_string()) }
}

/// Who listens on a port: the socket's inode in the kernel's table, then the process that has it open.
fn holder(port: u16) -> Option<(String, u32)> {
    let tables = [text("/proc/net/tcp"), text("/proc/net/tcp6")];
    let inodes: Vec<String> = tables.iter().flatten().flat_map(|table| table.lines()).filter_map(|line| listener(line, port)).collect();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        for descriptor in std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
            let target = std::fs::read_link(descriptor.path()).unwrap_or_default();
            if inodes.iter().any(|inode| target == Path::new(&format!("socket:[{inode}]"))) {
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                return Some((name.trim().to_owned(), pid));
            }
        }
    }
    None
}

/// The inode, if this line of `/proc/net/tcp` is a socket that listens on the port.
fn listener(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, at) = fields.get(1)?.rsplit_once(':')?;
    (fields.get(3) == Some(&"0A") && u16::from_str_radix(at, 16) == Ok(port)).then(|| fields.get(9).map(ToString::to_string))?
}

fn controllers() -> Option<Vec<String>> {
    if let Some(all) = text("/sys/fs/cgroup/cgroup.controllers") {
        return Some(all.split_whitespace().map(str::to_owned).collect());
    }
    let entries = std::fs::read_dir("/sys/fs/cgroup").ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // Version 1 joins some: `cpu,cpuacct`.
    let found: Vec<String> = names.flat_map(|name| name.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    (!found.is_empty()).then_some(found)
}

/// The data directory, or where it would be made.
fn directory(dir: &Path) -> DataDir {
    let shown = dir.display().to_string();
    let existing = dir.ancestors().find(|path| path.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
    let free = free_bytes(&existing);
    match sync_millis(&existing) {
        Ok(millis) => DataDir { path: shown, refused: None, free_bytes: free, sync_millis: Some(millis) },
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            DataDir { path: shown, refused: None, free_bytes: Some(0), sync_millis: None }
        }
        Err(error) => DataDir { path: shown, refused: Some(error.to_string()), free_bytes: free, sync_millis: None },
    }
}

fn free_bytes(dir: &Path) -> Option<u64> {
    nix::sys::statvfs::statvfs(dir).ok().map(|s| s.blocks_available().saturating_mul(s.fragment_size()))
}

fn sync_millis(dir: &Path) -> std::io::Result<u64> {
    let mut file = tempfile::tempfile_in(dir)?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(u64::try_from(times[SYNCS / 2].as_millis()).unwrap_or(u64::MAX))
}

/// A running server's address, and by how much our clock is ahead of its.
async fn server(start: &Start) -> Option<(String, i64)> {
    let kubeconfig = start.data_dir.as_ref().map(|dir| dir.join("admin.kubeconfig")).filter(|path| path.exists());
    let target = config::load(&Overrides { kubeconfig, ..Overrides::default() }).ok()?;
    let client = Client::new(target).ok()?.with_deadline(Some(ANSWER_MAX));
    let theirs = client.clock().await?;
    Some((client.target.server.clone(), jiff::Timestamp::now().as_second() - theirs))
}

/// By how much our clock is ahead of that of a server that need not be known; nothing is shown to it.
async fn clock_at(server: &str) -> Result<i64, String> {
    let target = Target { server: server.trim_end_matches('/').into(), insecure: true, ..Target::default() };
    let client = Client::new(target).map_err(|e| e.to_string())?.with_deadline(Some(ANSWER_MAX));
    // A refusal is an answer too; only what is no answer says why.
    if let Err(ClientError::Connect(why) | ClientError::Transport(why)) = client.get("/version").await {
        return Err(why);
    }
    let theirs = client.clock().await.ok_or("it does not say what time it is")?;
    Ok(jiff::Timestamp::now().as_second() - theirs)
}

/// Why the server cannot listen, in the words of the diagnostics.
pub fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> String {
    let port = address.port();
    said(&match refused(port, error) {
        PortState::Taken(by) => Problem::PortTaken { port, by },
        PortState::Refused(why) => Problem::PortRefused { port, why },
        PortState::Free => Problem::PortRefused { port, why: error.to_string() },
    })
}

/// Why the data directory cannot be used, in the words of the diagnostics.
pub fn cannot_keep_data(dir: &Path, error: &std::io::Error) -> String {
    let path = dir.display().to_string();
    said(&match error.kind() {
        ErrorKind::StorageFull => Problem::DiskFull { path, free_bytes: 0 },
        _ => Problem::DataDirRefused { path, why: error.to_string() },
    })
}

/// Why the store in this directory cannot be opened, and what to do about it where the disk is the reason.
pub fn cannot_open(dir: &Path, why: String) -> String {
    match free_bytes(dir).filter(|free| *free < NOTHING_BYTES) {
        Some(free_bytes) => format!("{why}; {}", said(&Problem::DiskFull { path: dir.display().to_string(), free_bytes })),
        None => why,
    }
}

/// What would keep pods from each other, or services from leading anywhere, although the server runs; said at the start.
pub fn network_problem(mode: ProxyMode) -> Option<String> {
    let ip_forward = text("/proc/sys/net/ipv4/ip_forward");
    let host = Host { root: true, iptables: has_iptables(mode), nftables: no_nftables(mode), ip_forward, ..Host::default() };
    problems(&host).first().map(said)
}

/// Whether the mode that is chosen has its programs.
fn has_iptables(mode: ProxyMode) -> bool {
    mode != ProxyMode::Iptables || on_path("iptables-restore")
}

fn no_nftables(mode: ProxyMode) -> Option<String> {
    (mode == ProxyMode::Nftables).then(node::proxy::nftables::unavailable).flatten()
}

/// Why pods cannot run here, if Docker is the reason; asked when the node does not become ready.
pub async fn docker_problem(address: &str) -> Option<String> {
    let answer = docker(address.strip_prefix("unix://").unwrap_or(address)).await;
    let host = Host { docker: Some((address.to_owned(), answer)), root: true, iptables: true, ..Host::default() };
    problems(&host).first().map(said)
}

fn said(problem: &Problem) -> String {
    format!("{problem}; {}", problem.mend())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_port_is_found() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let PortState::Taken(Some((_, pid))) = port(address).state else { panic!("it is taken, by us") };
        assert_eq!(pid, std::process::id());
        let words = cannot_listen(address, &ErrorKind::AddrInUse.into());
        assert!(words.contains(&format!("port {} is taken by", address.port())) && words.contains("kill "), "{words}");
        drop(taken);
        assert_eq!(port(address).state, PortState::Free);
    }

    #[tokio::test]
    async fn an_engine_is_known_by_its_answer() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let path = socket.to_str().unwrap();
        assert_eq!(docker(path).await, Docker::Absent);
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let answer = tokio::spawn(async move {
            for body in [r#"{"Version":"20.10.24","ApiVersion":"1.41"}"#, "no"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 512];
                let _ = stream.read(&mut asked).await.unwrap();
                stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{body}").as_bytes()).await.unwrap();
            }
        });
        assert_eq!(docker(path).await, Docker::Answers { version: "20.10.24".into(), api: "1.41".into() });
        assert_eq!(docker(path).await, Docker::Silent("its answer is not Docker's".into()));
        answer.await.unwrap();
        assert_eq!(docker(path).await, Docker::Absent, "a socket that nobody listens on");
        assert!(docker_problem(&format!("unix://{path}")).await.unwrap().contains("systemctl start docker"));
    }

    #[test]
    fn a_directory_that_is_to_be_made_is_judged_by_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let found = directory(&dir.path().join("a/b"));
        assert!(found.refused.is_none() && found.free_bytes.is_some() && found.sync_millis.is_some(), "{found:?}");
    }
}
