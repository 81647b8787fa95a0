//! `openshift ex clean`: removes what the cluster made on this host, and nothing else.
use crate::config::{Clean, data_dir};
use crate::network;
use node::proxy::ServiceProxy;
use node::proxy::iptables::IptablesProxy;
use node::runtime::Runtime;
use node::runtime::docker::DockerRuntime;
use std::path::Path;

/// What a data directory of ours holds; a directory without any of them is not removed.
const OURS: [&str; 4] = ["ca.crt", "ca.key", "admin.kubeconfig", "store"];

/// Containers first, then rules, then files.
pub async fn run(options: &Clean) -> Result<(), String> {
    match DockerRuntime::connect(&options.docker) {
        Ok(docker) => match docker.list().await {
            Ok(containers) => {
                for container in &containers {
                    docker.remove(&container.id).await.map_err(|e| format!("container {}: {e}", container.name))?;
                }
                println!("removed {} containers", containers.len());
            }
            Err(error) => println!("containers not removed: {error}"),
        },
        Err(error) => println!("containers not removed: {error}"),
    }
    if nix::unistd::geteuid().is_root() {
        let bridge = network::docker_bridge().map(|n| n.trunc().to_string()).unwrap_or_default();
        IptablesProxy::new(&bridge).remove_all().await.map_err(|e| e.to_string())?;
        println!("removed the service rules");
    }
    remove_data(&data_dir(options.data_dir.as_ref()))
}

fn remove_data(dir: &Path) -> Result<(), String> {
    if !dir.exists() {
        return Ok(());
    }
    if !OURS.iter().any(|name| dir.join(name).exists()) {
        return Err(format!("{} does not look like a data directory of this program; it is left alone", dir.display()));
    }
    std::fs::remove_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    println!("removed {}", dir.display());
    Ok(())
}
