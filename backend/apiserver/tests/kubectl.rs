//! Real kubectl, every version that this machine has, against the server.
mod harness;
use harness::Cluster;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// kubectl binaries on PATH or beside gcloud's.
fn kubectls() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    dirs.push("/usr/lib/google-cloud-sdk/bin".into());
    let mut found = Vec::new();
    for entry in dirs.iter().filter_map(|d| std::fs::read_dir(d).ok()).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let versioned = name.strip_prefix("kubectl.1.").is_some_and(|v| v.parse::<u8>().is_ok());
        if versioned && !found.contains(&entry.path()) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

struct Kubectl<'a> {
    binary: PathBuf,
    cluster: &'a Cluster,
}

impl Kubectl<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        let home = self.cluster.dir.path().join("home");
        command.arg("--kubeconfig").arg(&self.cluster.handle.admin_kubeconfig).args(arguments).env("HOME", home);
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn try_run(&self, arguments: &[&str], stdin: &str) -> (i32, String) {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let done = tokio::time::timeout(std::time::Duration::from_secs(30), child.wait_with_output()).await;
        let output = done.unwrap_or_else(|_| panic!("{:?} {arguments:?} hangs", self.binary)).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    }

    async fn run(&self, arguments: &[&str], stdin: &str) -> String {
        let (code, text) = self.try_run(arguments, stdin).await;
        assert_eq!(code, 0, "{:?} {arguments:?}: {text}", self.binary);
        text
    }
}

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\nspec: {nodeName: n1, containers: [{name: c, image: busybox}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_kubectl_here_does_its_daily_work() {
    for binary in kubectls() {
        let cluster = Cluster::start().await;
        let k = Kubectl { binary, cluster: &cluster };
        let version = k.run(&["version"], "").await;
        assert!(version.contains("Server Version") && version.contains("33"), "{version}");
        assert!(k.run(&["api-resources"], "").await.contains("replicationcontrollers"));
        assert!(k.run(&["create", "-f", "-"], POD).await.contains("pod/web created"));
        let wide = k.run(&["get", "pods", "-o", "wide"], "").await;
        assert!(wide.contains("NOMINATED NODE") && wide.contains("0/1") && wide.contains("n1"), "{wide}");
        assert!(
            k.run(&["get", "pods"], "").await.lines().next().unwrap().split_whitespace().eq(["NAME", "READY", "STATUS", "RESTARTS", "AGE"])
        );
        assert!(k.run(&["apply", "-f", "-"], POD).await.contains("pod/web"));
        k.run(&["label", "pod", "web", "tier=front"], "").await;
        assert!(k.run(&["get", "pod", "-l", "tier=front", "-o", "name"], "").await.contains("pod/web"));
        k.run(&["create", "configmap", "cm", "--from-literal=a=b"], "").await;
        k.run(&["create", "secret", "generic", "s", "--from-literal=a=b"], "").await;
        k.run(&["create", "namespace", "other"], "").await;
        assert!(k.run(&["get", "all"], "").await.contains("pod/web"));
        assert!(k.run(&["describe", "pod", "web"], "").await.contains("Node:"));
        assert!(k.run(&["auth", "can-i", "delete", "pods"], "").await.contains("yes"));
        assert!(k.run(&["auth", "whoami"], "").await.contains("system:admin"));
        assert!(k.run(&["explain", "pod.spec.containers"], "").await.contains("FIELD"));
        assert!(k.run(&["create", "token", "default"], "").await.starts_with("ey"));
        assert_eq!(k.run(&["logs", "web", "--tail=2"], "").await, "two\nthree\n");
        let (code, text) = k.try_run(&["get", "pod", "nonsense"], "").await;
        assert_eq!((code, text.trim()), (1, "Error from server (NotFound): pods \"nonsense\" not found"));
        k.run(&["delete", "pod", "web", "--grace-period=0", "--force"], "").await;
        cluster.handle.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kubectl_here_streams() {
    for binary in kubectls() {
        let cluster = Cluster::start().await;
        let k = Kubectl { binary, cluster: &cluster };
        k.run(&["create", "-f", "-"], POD).await;
        let echo = k.run(&["exec", "web", "--", "echo", "hello", "there"], "").await;
        assert!(echo.contains("hello there\n") && echo.contains("to stderr\n"), "{echo}");
        let (code, text) = k.try_run(&["exec", "web", "--", "exit", "3"], "").await;
        assert_eq!(code, 3, "{:?}: {text}", k.binary);
        let running = cluster.url("/api/v1/namespaces/default/pods/web/status");
        let running = cluster.admin.patch(running).header("content-type", "application/merge-patch+json");
        assert_eq!(harness::answer(running.body(r#"{"status":{"phase":"Running"}}"#)).await.0, 200);
        let mut child = k.command(&["port-forward", "pod/web", ":80"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(std::time::Duration::from_secs(20), lines.next_line()).await.expect("it forwards").unwrap();
        let Some(line) = line else {
            let output = child.wait_with_output().await.unwrap();
            panic!("{:?} forwards nothing: {}", k.binary, String::from_utf8_lossy(&output.stderr));
        };
        let port = line.split("127.0.0.1:").nth(1).and_then(|r| r.split(' ').next()).unwrap_or_else(|| panic!("{:?}: {line}", k.binary));
        for _ in 0..3 {
            let mut connection = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
            connection.write_all(b"over and back").await.unwrap();
            let mut back = [0; 13];
            let read = tokio::time::timeout(std::time::Duration::from_secs(10), connection.read_exact(&mut back)).await;
            read.unwrap_or_else(|_| panic!("{:?} forwards nothing", k.binary)).unwrap();
            assert_eq!(&back, b"over and back");
        }
        child.kill().await.unwrap();
        cluster.handle.shutdown().await;
    }
}
