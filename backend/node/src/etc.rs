//! Files that every container of a pod finds in `/etc`: who is who, and whom to ask.
use crate::spec;
use logic::pod::resolver;
use shared::objects::pod::{Container, Pod};
use std::net::Ipv4Addr;
use std::path::Path;

/// The host's resolver, and the one behind a local one.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const RESOLV_CONF_BEHIND: &str = "/run/systemd/resolve/resolv.conf";

/// Writes them into the pod's directory; answers how they are bound (`HOST:CONTAINER[:ro]`). A container that mounts something
/// there itself gets that instead. `dns` is the cluster's DNS service, where there is one.
pub(crate) fn binds(pod: &Pod, container: &Container, dir: &Path, ip: &str, dns: Option<Ipv4Addr>) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    let network = !pod.spec.host_network;
    if network {
        files.push(("etc-hosts", "/etc/hosts", resolver::hosts(pod, &spec::hostname(pod), ip)));
    }
    if network || pod.spec.dns_config.is_some() || pod.spec.dns_policy == "None" || resolver::asks_cluster(pod) {
        files.push(("resolv.conf", RESOLV_CONF, resolver::resolv_conf(pod, &host(), dns)));
    }
    let read_only = container.security_context.as_ref().is_some_and(|s| s.read_only_root_filesystem == Some(true));
    let mut binds = Vec::new();
    for (name, path, text) in files {
        if container.volume_mounts.iter().any(|m| m.mount_path == path) {
            continue;
        }
        let file = dir.join(name);
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(dir)?;
            // Only what is new: containers that run see the same file.
            if std::fs::read_to_string(&file).ok().as_deref() != Some(&text) { std::fs::write(&file, &text) } else { Ok(()) }
        };
        write().map_err(|e| format!("{}: {e}", file.display()))?;
        binds.push(format!("{}:{path}{}", file.display(), if read_only { ":ro" } else { "" }));
    }
    Ok(binds)
}

fn host() -> String {
    let own = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    if resolver::only_local(&own) { std::fs::read_to_string(RESOLV_CONF_BEHIND).unwrap_or(own) } else { own }
}
