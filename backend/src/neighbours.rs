//! Other clusters on this host: what a dead one left behind goes before this one starts.
//!
//! Each running cluster holds a locked file under `/run`, named by its id, with its data directory and portal network.
//! A cluster whose directory is gone can never come back: its containers would keep host ports and its rules would catch
//! addresses. One that merely stopped keeps its containers; its rules go only if this cluster uses the same addresses.
use crate::cluster_id;
use ipnet::Ipv4Net;
use node::runtime::Runtime;
use node::runtime::docker::DockerRuntime;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CLAIMS: &str = "/run/openshift/clusters";
/// One dead neighbour is cleared away in this time or left for the next start.
const CLEAR_SECONDS_MAX: u64 = 30;

/// Held while this cluster runs; the lock goes with the process.
pub struct Claim {
    _locked: File,
}

/// What must be done about another cluster.
#[derive(Debug, PartialEq)]
enum Verdict {
    Leave,
    RemoveRules,
    RemoveAll,
}

fn verdict(running: bool, directory_is_its_own: bool, nets_overlap: bool) -> Verdict {
    match (running, directory_is_its_own, nets_overlap) {
        (true, _, _) => Verdict::Leave,
        (false, false, _) => Verdict::RemoveAll,
        (false, true, true) => Verdict::RemoveRules,
        (false, true, false) => Verdict::Leave,
    }
}

/// Clears what dead neighbours left and claims this cluster's place. Never fails a start: problems are logged.
pub async fn settle(dir: &Path, id: &str, net: Ipv4Net, docker: &str) -> Option<Claim> {
    settle_in(Path::new(CLAIMS), dir, id, net, docker).await
}

/// After a cluster has been cleaned away.
pub fn forget(id: &str) {
    let _ = std::fs::remove_file(Path::new(CLAIMS).join(id));
}

async fn settle_in(claims: &Path, dir: &Path, id: &str, net: Ipv4Net, docker: &str) -> Option<Claim> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    for path in others(claims, id) {
        let Some(name) = path.file_name().and_then(|n| n.to_str()).map(String::from) else { continue };
        let verdict = judge(&path, &name, net);
        let clearing = clear(&name, &verdict, docker);
        match tokio::time::timeout(Duration::from_secs(CLEAR_SECONDS_MAX), clearing).await {
            Ok(Ok(())) if verdict == Verdict::RemoveAll => {
                let _ = std::fs::remove_file(&path);
            }
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(cluster = name, error, "what a dead cluster left behind is not removed"),
            Err(_) => tracing::warn!(cluster = name, "what a dead cluster left behind is not removed in time"),
        }
    }
    claim(claims, dir, id, net).map_err(|error| tracing::warn!(%error, "no claim written under {}", claims.display())).ok()
}

fn others(claims: &Path, id: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(claims).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.file_name().is_some_and(|n| n != id)).collect()
}

fn judge(path: &Path, id: &str, net: Ipv4Net) -> Verdict {
    let Ok(mut file) = File::open(path) else { return Verdict::Leave };
    let running = file.try_lock().is_err();
    let mut text = String::new();
    if file.read_to_string(&mut text).is_err() {
        return Verdict::Leave;
    }
    let mut lines = text.lines();
    let Some(dir) = lines.next().filter(|d| !d.is_empty()) else { return Verdict::Leave };
    let own = match cluster_id::read(Path::new(dir)) {
        Ok(found) => found.as_deref() == Some(id),
        Err(_) => true,
    };
    let other: Option<Ipv4Net> = lines.next().and_then(|n| n.parse().ok());
    let overlap = other.is_some_and(|o| o.contains(&net.network()) || net.contains(&o.network()));
    verdict(running, own, overlap)
}

async fn clear(id: &str, verdict: &Verdict, docker: &str) -> Result<(), String> {
    if *verdict == Verdict::Leave {
        return Ok(());
    }
    if *verdict == Verdict::RemoveAll {
        let docker = DockerRuntime::connect(docker, id).map_err(|e| e.to_string())?;
        let left = docker.list().await.map_err(|e| e.to_string())?;
        for container in &left {
            docker.remove(&container.id).await.map_err(|e| format!("container {}: {e}", container.name))?;
        }
        tracing::info!(cluster = id, containers = left.len(), "removed what a cluster without a data directory left behind");
    }
    node::proxy::remove_all(id).await.map_err(|e| e.to_string())
}

fn claim(claims: &Path, dir: &Path, id: &str, net: Ipv4Net) -> std::io::Result<Claim> {
    std::fs::create_dir_all(claims)?;
    let dir = std::fs::canonicalize(dir)?;
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(claims.join(id))?;
    writeln!(file, "{}\n{net}", dir.display())?;
    file.try_lock().map_err(std::io::Error::other)?;
    Ok(Claim { _locked: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_cluster_is_left_alone_and_a_stopped_one_keeps_its_containers() {
        for (own, overlap) in [(true, true), (true, false), (false, true), (false, false)] {
            assert_eq!(verdict(true, own, overlap), Verdict::Leave);
            assert_eq!(verdict(false, own, overlap) == Verdict::RemoveAll, !own);
        }
        assert_eq!(verdict(false, true, false), Verdict::Leave);
    }

    #[test]
    fn a_claim_tells_running_stopped_and_lost_clusters_apart() {
        let (claims, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let net: Ipv4Net = "172.30.0.0/16".parse().unwrap();
        let id = cluster_id::of(data.path()).unwrap();
        let held = claim(claims.path(), data.path(), &id, net).unwrap();
        let path = claims.path().join(&id);
        assert_eq!(others(claims.path(), "another"), std::slice::from_ref(&path));
        assert!(others(claims.path(), &id).is_empty());
        assert_eq!(judge(&path, &id, net), Verdict::Leave);
        drop(held);
        assert_eq!(judge(&path, &id, net), Verdict::RemoveRules);
        assert_eq!(judge(&path, &id, "10.3.0.0/16".parse().unwrap()), Verdict::Leave);
        drop(data);
        assert_eq!(judge(&path, &id, net), Verdict::RemoveAll);
    }
}
