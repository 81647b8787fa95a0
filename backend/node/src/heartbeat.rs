//! The node's own object: registered at the start, kept true, and a lease that says the node lives.
use crate::agent::Node;
use crate::runtime::EngineInfo;
use crate::worker::now_text;
use serde_json::{Value, json};
use shared::kinds::{LEASE, NODE};
use shared::version::{ARCHITECTURE, KUBERNETES};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LEASE_EVERY: Duration = Duration::from_secs(10);
const LEASE_AGAIN: Duration = Duration::from_secs(2);
/// The engine is asked this often whether it lives.
const CHECK_EVERY: Duration = Duration::from_secs(10);
const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: i64 = 40;

fn conditions(engine: Result<&EngineInfo, &str>, before: &Value, now: &str) -> Vec<Value> {
    let since = |name: &str, status: &str| {
        let old = before["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == name && c["status"] == status);
        old.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(now).to_string()
    };
    let one = |name: &str, status: &str, reason: &str, message: &str| json!({"type": name, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now, "lastTransitionTime": since(name, status)});
    let ready = match engine {
        Ok(_) => one("Ready", "True", "KubeletReady", "the node agent and Docker are ready"),
        Err(why) => one("Ready", "False", "KubeletNotReady", why),
    };
    vec![
        one("MemoryPressure", "False", "KubeletHasSufficientMemory", "the node has sufficient memory available"),
        one("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node has no disk pressure"),
        one("PIDPressure", "False", "KubeletHasSufficientPID", "the node has sufficient PID available"),
        ready,
    ]
}

fn status(node: &Node, engine: Result<&EngineInfo, &str>, before: &Value) -> Value {
    let config = &node.config;
    let resources = json!({"cpu": (node.capacity.0 / 1000).to_string(), "memory": format!("{}Ki", node.capacity.1 / 1024), "pods": config.pods_max.to_string()});
    let mut out = json!({
        "capacity": resources, "allocatable": resources, "conditions": conditions(engine, before, &now_text()),
        "addresses": [{"type": "InternalIP", "address": config.address}, {"type": "Hostname", "address": config.node_name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    });
    if let Ok(info) = engine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_string();
        let architecture = match info.architecture.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        out["nodeInfo"] = json!({"machineID": read("/etc/machine-id"), "systemUUID": read("/etc/machine-id"), "bootID": read("/proc/sys/kernel/random/boot_id"),
            "kernelVersion": info.kernel_version, "osImage": info.os_image, "containerRuntimeVersion": format!("{}://{}", info.name, info.version),
            "kubeletVersion": KUBERNETES, "kubeProxyVersion": KUBERNETES, "operatingSystem": "linux", "architecture": architecture});
    }
    out
}

/// Listings in the manner of 2015 leave these labels out: nobody had set them by hand.
fn own_labels(name: &str) -> [(&'static str, &str); 3] {
    [("kubernetes.io/hostname", name), ("kubernetes.io/os", "linux"), ("kubernetes.io/arch", ARCHITECTURE)]
}

/// Makes the node known and ready; tries until the API takes it.
pub(crate) async fn register(node: &Arc<Node>, engine: Result<&EngineInfo, &str>) {
    let name = &node.config.node_name;
    let arch = ARCHITECTURE;
    loop {
        let outcome = match node.api.get(&NODE, None, name).await {
            Ok(existing) if existing["metadata"]["labels"]["kubernetes.io/arch"] != arch => {
                // Made by the control plane, which cannot know what this machine is.
                let mut body = existing;
                for (name, value) in own_labels(name) {
                    body["metadata"]["labels"][name] = value.into();
                }
                match node.api.update(&NODE, None, name, body).await {
                    Ok(_) => continue,
                    Err(error) => Err(error),
                }
            }
            Ok(existing) => {
                let patch = json!({"status": status(node, engine, &existing["status"])});
                node.api.patch_status(&NODE, None, name, patch).await
            }
            Err(error) if error.is_not_found() => {
                let labels: BTreeMap<&str, &str> = own_labels(name).into();
                let body = json!({"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status(node, engine, &Value::Null)});
                node.api.create(&NODE, None, body).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(_) => return,
            Err(error) => tracing::warn!(node = name, %error, "node not registered; trying again"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

pub(crate) fn start(node: Arc<Node>, stop: CancellationToken) {
    let (leased, leased_stop) = (node.clone(), stop.clone());
    tokio::spawn(async move {
        loop {
            // What failed is tried again soon: a node is lost after four that did not come.
            let wait = if renew(&leased).await { LEASE_EVERY } else { LEASE_AGAIN };
            tokio::select! {
                biased;
                () = leased_stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
    tokio::spawn(async move {
        let mut healthy = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            let engine = node.runtime.info().await;
            let lost = match node.api.get(&NODE, None, &node.config.node_name).await {
                Ok(object) => !object["status"]["conditions"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|c| c["type"] == "Ready" && c["status"] == if engine.is_ok() { "True" } else { "False" }),
                Err(error) => error.is_not_found(),
            };
            // Written only when something changed: an idle node makes no noise but its lease.
            if engine.is_ok() != healthy || lost {
                healthy = engine.is_ok();
                let why = engine.as_ref().err().map(|e| format!("Docker does not answer: {e}"));
                register(&node, engine.as_ref().map_err(|_| why.as_deref().unwrap_or_default())).await;
            }
        }
    });
}

/// Whether the lease is renewed.
async fn renew(node: &Node) -> bool {
    let name = &node.config.node_name;
    let now = crate::clock::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now});
    let body = json!({"metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec});
    let outcome = match node.api.update(&LEASE, Some(LEASE_NAMESPACE), name, body.clone()).await {
        Err(error) if error.is_not_found() => node.api.create(&LEASE, Some(LEASE_NAMESPACE), body).await,
        other => other,
    };
    if let Err(error) = &outcome {
        tracing::warn!(node = name, %error, "lease not renewed");
    }
    outcome.is_ok()
}
