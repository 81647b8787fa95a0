//! `openshift ex clean`: removes what the cluster of one data directory made on this host, and nothing else.
use crate::cluster_id;
use crate::config::{Clean, data_dir};
use crate::neighbours;
use node::runtime::Runtime;
use node::runtime::docker::{DockerRuntime, LABEL_CLUSTER};
use std::path::Path;

/// What a data directory of ours holds; a directory without any of them is not removed.
const OURS: [&str; 6] = ["ca.crt", "ca.key", "admin.kubeconfig", "node.kubeconfig", "store", "cluster-id"];

/// Containers first, then rules, then files.
pub async fn run(options: &Clean) -> Result<(), String> {
    let dir = data_dir(options.data_dir.as_ref());
    match cluster_id::read(&dir)? {
        Some(id) => {
            remove_containers(&options.docker, &id).await?;
            remove_rules(&id).await?;
            neighbours::forget(&id);
        }
        None => {
            println!("no cluster has been started with {}: there are no containers or rules to remove", dir.display());
            println!("(a cluster whose directory is lost: docker rm -f $(docker ps -aq --filter label={LABEL_CLUSTER}))");
        }
    }
    remove_data(&dir)
}

async fn remove_containers(docker: &str, id: &str) -> Result<(), String> {
    if !Path::new(docker.strip_prefix("unix://").unwrap_or(docker)).exists() {
        println!("no Docker at {docker}: no containers to remove");
        return Ok(());
    }
    let found = match DockerRuntime::connect(docker, id) {
        Ok(docker) => docker.list().await.map(|containers| (docker, containers)),
        Err(error) => Err(error),
    };
    let (docker, containers) = found.map_err(|e| format!("containers cannot be removed, so everything is left as it is: {e}"))?;
    for container in &containers {
        docker.remove(&container.id).await.map_err(|e| format!("container {}: {e}", container.name))?;
    }
    println!("removed {} containers", containers.len());
    Ok(())
}

async fn remove_rules(id: &str) -> Result<(), String> {
    if nix::unistd::geteuid().is_root() {
        node::proxy::remove_all(id).await.map_err(|e| e.to_string())?;
        node::machines::remove_all(id).await?;
        println!("removed the service rules");
    }
    Ok(())
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
