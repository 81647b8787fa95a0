//! Probes and hooks: commands, HTTP and TCP checks against a running container.
use crate::runtime::Runtime;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use shared::objects::IntOrString;
use shared::objects::pod::{Container, ExecAction, HttpGetAction, LifecycleHandler, Probe};
use std::sync::Arc;
use std::time::Duration;

/// Output that is kept of a failing probe, and bytes that are read of an HTTP answer.
const OUTPUT_BYTES_MAX: usize = 10 << 10;

/// Where a container can be reached.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) id: String,
    pub(crate) ip: String,
    pub(crate) container: Container,
}

/// Runs the check once. `Err` says what was wrong.
pub(crate) async fn probe(target: &Target, probe: &Probe) -> Result<(), String> {
    let limit = Duration::from_secs(u64::try_from(probe.timeout_seconds.max(1)).unwrap_or(1));
    let check = async {
        if let Some(exec) = &probe.exec {
            run(target, exec).await
        } else if let Some(get) = &probe.http_get {
            http_get(target, get).await
        } else if let Some(tcp) = &probe.tcp_socket {
            let host = if tcp.host.is_empty() { &target.ip } else { &tcp.host };
            connect(host, port(target, &tcp.port)?).await.map(|_| ())
        } else if let Some(grpc) = &probe.grpc {
            // The port answering at all is checked; gRPC's own health protocol is not spoken here.
            connect(&target.ip, u16::try_from(grpc.port).unwrap_or(0)).await.map(|_| ())
        } else {
            Ok(())
        }
    };
    tokio::time::timeout(limit, check).await.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

/// Runs a postStart or preStop hook.
pub(crate) async fn hook(target: &Target, handler: &LifecycleHandler, limit: Duration) -> Result<(), String> {
    let work = async {
        if let Some(exec) = &handler.exec {
            run(target, exec).await
        } else if let Some(get) = &handler.http_get {
            http_get(target, get).await
        } else if let Some(sleep) = &handler.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
            Ok(())
        } else {
            Ok(())
        }
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(format!("the hook did not end within {} s", limit.as_secs())))
}

async fn run(target: &Target, exec: &ExecAction) -> Result<(), String> {
    let mut process = target.runtime.exec(&target.id, &exec.command, false, false, "").await.map_err(|e| e.to_string())?;
    let mut text = Vec::new();
    while let Some(Ok(output)) = process.output.next().await {
        let (crate::runtime::Output::Stdout(bytes) | crate::runtime::Output::Stderr(bytes)) = output;
        text.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_BYTES_MAX.saturating_sub(text.len()))]);
    }
    drop(process.output);
    match process.exit.await {
        Ok(0) => Ok(()),
        Ok(code) => Err(format!("command {:?} ended with code {code}: {}", exec.command.join(" "), String::from_utf8_lossy(&text).trim())),
        Err(error) => Err(error.to_string()),
    }
}

fn port(target: &Target, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(n) => Some(*n),
        IntOrString::String(name) => {
            target.container.ports.iter().find(|p| p.name == *name).map(|p| p.container_port).or_else(|| name.parse().ok())
        }
    };
    number.and_then(|n| u16::try_from(n).ok()).ok_or_else(|| format!("the container has no port {port}"))
}

async fn connect(host: &str, port: u16) -> Result<tokio::net::TcpStream, String> {
    tokio::net::TcpStream::connect((host, port)).await.map_err(|e| format!("dial tcp {host}:{port}: {e}"))
}

async fn http_get(target: &Target, get: &HttpGetAction) -> Result<(), String> {
    let host = if get.host.is_empty() { target.ip.clone() } else { get.host.clone() };
    let number = port(target, &get.port)?;
    if get.scheme.eq_ignore_ascii_case("https") {
        // Certificates of pods are not checked by probes; that the port speaks at all is.
        return connect(&host, number).await.map(|_| ());
    }
    let stream = connect(&host, number).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let mut request = hyper::Request::get(path)
        .header("Host", format!("{host}:{number}"))
        .header("User-Agent", "kube-probe/1.33")
        .header("Accept", "*/*");
    for h in &get.http_headers {
        request = request.header(&h.name, &h.value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(|e| format!("Get \"http://{host}:{number}\": {e}"))?;
    let status = response.status();
    let mut body = response.into_body();
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > OUTPUT_BYTES_MAX {
            break;
        }
    }
    driver.abort();
    // A redirect counts as success and is not followed (CVE-2020-8559's class).
    if status.as_u16() < 400 { Ok(()) } else { Err(format!("HTTP probe failed with statuscode: {}", status.as_u16())) }
}
