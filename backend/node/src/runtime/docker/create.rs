//! Our container specification in Docker's words.
use crate::network::rights::{Capability, has};
use crate::runtime::ContainerSpec;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding};
use std::collections::HashMap;
use std::sync::OnceLock;

/// The kernel takes no smaller CFS quota (microseconds in each tenth of a second).
const QUOTA_MIN: i64 = 1_000;

fn some<T>(list: &[T]) -> Option<Vec<T>>
where
    T: Clone,
{
    (!list.is_empty()).then(|| list.to_vec())
}

pub(super) fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let ports: Vec<String> = spec.ports.iter().map(|p| format!("{}/{}", p.container_port, p.protocol)).collect();
    let joins = spec.network.as_deref().is_some_and(|n| n != "bridge");
    ContainerCreateBody {
        // A container that joins another's network has that one's name.
        hostname: (!joins && !spec.hostname.is_empty()).then(|| spec.hostname.clone()),
        user: (!spec.user.is_empty()).then(|| spec.user.clone()),
        exposed_ports: some(&ports),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin),
        stdin_once: Some(spec.stdin && spec.stdin_once),
        env: some(&spec.env),
        entrypoint: some(&spec.entrypoint),
        cmd: some(&spec.args),
        image: Some(spec.image.clone()),
        working_dir: (!spec.working_dir.is_empty()).then(|| spec.working_dir.clone()),
        host_config: Some(host(spec)),
        ..ContainerCreateBody::default()
    }
}

fn host(spec: &ContainerSpec) -> HostConfig {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for p in spec.ports.iter().filter(|p| p.host_port != 0) {
        let binding = PortBinding { host_ip: (!p.host_ip.is_empty()).then(|| p.host_ip.clone()), host_port: Some(p.host_port.to_string()) };
        bindings.entry(format!("{}/{}", p.container_port, p.protocol)).or_default().get_or_insert_default().push(binding);
    }
    let quota = (spec.cpu_millis_max > 0).then_some((spec.cpu_millis_max * 100).max(QUOTA_MIN));
    let mut security = Vec::new();
    if spec.no_new_privileges {
        security.push("no-new-privileges".to_string());
    }
    if spec.only_waits {
        security.push("seccomp=unconfined".to_string());
    }
    HostConfig {
        network_mode: spec.network.clone(),
        // Shareable, or the pod's other containers could not join.
        ipc_mode: spec.ipc.clone().or_else(|| spec.network.is_none().then(|| "shareable".to_string())),
        pid_mode: spec.pid.clone(),
        port_bindings: (!bindings.is_empty()).then_some(bindings),
        binds: some(&spec.binds),
        tmpfs: (!spec.tmpfs.is_empty()).then(|| spec.tmpfs.clone().into_iter().collect()),
        cpu_shares: (spec.cpu_shares > 0).then_some(spec.cpu_shares),
        log_config: spec.only_waits.then(|| HostConfigLogConfig { typ: Some("none".into()), config: None }),
        cpu_period: quota.map(|_| 100_000),
        cpu_quota: quota,
        memory: (spec.memory_bytes_max > 0).then_some(spec.memory_bytes_max),
        memory_swap: (spec.memory_bytes_max > 0).then_some(spec.memory_bytes_max),
        oom_score_adj: spec.oom_score_adj.filter(|n| *n >= 0 || may_protect_from_oom()),
        privileged: Some(spec.privileged),
        readonly_rootfs: Some(spec.read_only_root),
        cap_add: some(&spec.capabilities_add),
        cap_drop: some(&spec.capabilities_drop),
        group_add: some(&spec.group_add),
        security_opt: some(&security),
        sysctls: (!spec.sysctls.is_empty()).then(|| spec.sysctls.clone().into_iter().collect()),
        extra_hosts: some(&spec.extra_hosts),
        ..HostConfig::default()
    }
}

/// Lowering the OOM score needs CAP_SYS_RESOURCE; without it the engine would refuse the container.
fn may_protect_from_oom() -> bool {
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    *PERMITTED.get_or_init(|| has(Capability::SysResource))
}
