//! A pod and one of its containers as the engine is asked to make them.
use crate::names;
use crate::runtime::{ContainerSpec, PublishedPort};
use logic::pod::hash;
use logic::pod::plan::INFRA;
use logic::pod::values::expand;
use shared::objects::pod::{Container, Pod};
use shared::quantity::Quantity;
use std::collections::BTreeMap;
use std::path::Path;

/// The infra container's image, made from our own program.
pub(crate) const INFRA_IMAGE: &str = "openshift/origin-pod:v0.4.1";
/// A container's label that says how many came before it, so that the count outlives the dead ones and the agent.
pub(crate) const LABEL_ATTEMPT: &str = "io.kubernetes.container.restartCount";
/// Nobody, as Kubernetes' own sandboxes run.
const INFRA_USER: &str = "65535:65535";
/// Cheap enough to lose last when memory runs out.
const INFRA_OOM_SCORE: i64 = -100;

fn labels(pod: &Pod, container: &str, attempt: i32) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("io.kubernetes.pod.name".into(), pod.metadata.name.clone()),
        ("io.kubernetes.pod.namespace".into(), pod.metadata.namespace.clone()),
        ("io.kubernetes.pod.uid".into(), pod.metadata.uid.clone()),
        ("io.kubernetes.container.name".into(), container.into()),
        (LABEL_ATTEMPT.into(), attempt.to_string()),
    ])
}

pub(crate) fn hostname(pod: &Pod) -> String {
    let name = if pod.spec.hostname.is_empty() { &pod.metadata.name } else { &pod.spec.hostname };
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_string()
}

pub(crate) fn infra(pod: &Pod) -> ContainerSpec {
    let hash = hash::of_infra(INFRA_IMAGE, &pod.spec.containers);
    let meta = &pod.metadata;
    let ports = pod.spec.containers.iter().flat_map(|c| &c.ports).filter(|p| p.host_port > 0 && !pod.spec.host_network);
    ContainerSpec {
        name: names::build(INFRA, hash, &meta.name, &meta.namespace, &meta.uid, crate::clock::random()),
        image: INFRA_IMAGE.into(),
        labels: labels(pod, INFRA, 0),
        hostname: hostname(pod),
        network: pod.spec.host_network.then(|| "host".to_string()),
        ports: ports
            .map(|p| PublishedPort {
                container_port: u16::try_from(p.container_port).unwrap_or(0),
                host_port: u16::try_from(p.host_port).unwrap_or(0),
                host_ip: p.host_ip.clone(),
                protocol: if p.protocol.is_empty() { "tcp".into() } else { p.protocol.to_lowercase() },
            })
            .collect(),
        ipc: Some(if pod.spec.host_ipc { "host".into() } else { "shareable".into() }),
        oom_score_adj: Some(INFRA_OOM_SCORE),
        only_waits: true,
        read_only_root: true,
        no_new_privileges: true,
        capabilities_drop: vec!["ALL".into()],
        user: INFRA_USER.into(),
        sysctls: pod.spec.security_context.sysctls.iter().map(|s| (s.name.clone(), s.value.clone())).collect(),
        extra_hosts: pod
            .spec
            .host_aliases
            .iter()
            .filter(|_| pod.spec.host_network)
            .flat_map(|a| a.hostnames.iter().map(move |h| format!("{h}:{}", a.ip)))
            .collect(),
        ..ContainerSpec::default()
    }
}

/// What was resolved for the container beforehand.
pub(crate) struct Resolved {
    pub(crate) env: Vec<String>,
    pub(crate) known: BTreeMap<String, String>,
    pub(crate) binds: Vec<String>,
    pub(crate) tmpfs: BTreeMap<String, String>,
}

pub(crate) fn container(pod: &Pod, c: &Container, infra_id: &str, attempt: i32, r: Resolved, termination: &Path) -> ContainerSpec {
    let meta = &pod.metadata;
    let joined = format!("container:{infra_id}");
    let security = c.security_context.clone().unwrap_or_default();
    let of_pod = &pod.spec.security_context;
    let user = security.run_as_user.or(of_pod.run_as_user).map(|u| u.to_string());
    let group = security.run_as_group.or(of_pod.run_as_group);
    let user = match (user, group) {
        (Some(u), Some(g)) => format!("{u}:{g}"),
        (Some(u), None) => u,
        (None, _) => String::new(),
    };
    let mut binds = r.binds;
    if !c.termination_message_path.is_empty() {
        binds.push(format!("{}:{}", termination.display(), c.termination_message_path));
    }
    let words = |list: &[String]| list.iter().map(|w| expand(w, &r.known)).collect();
    ContainerSpec {
        name: names::build(&c.name, hash::of_container(c), &meta.name, &meta.namespace, &meta.uid, crate::clock::random()),
        image: c.image.clone(),
        entrypoint: words(&c.command),
        args: words(&c.args),
        working_dir: c.working_dir.clone(),
        env: r.env,
        labels: labels(pod, &c.name, attempt),
        network: Some(joined.clone()),
        ipc: Some(if pod.spec.host_ipc { "host".into() } else { joined.clone() }),
        pid: if pod.spec.host_pid { Some("host".into()) } else { pod.spec.share_process_namespace.filter(|s| *s).map(|_| joined) },
        binds,
        tmpfs: r.tmpfs,
        cpu_shares: cpu_shares(c),
        cpu_millis_max: amount(c.resources.limits.get("cpu"), Quantity::millis),
        memory_bytes_max: amount(c.resources.limits.get("memory"), Quantity::units),
        privileged: security.privileged == Some(true),
        user,
        read_only_root: security.read_only_root_filesystem == Some(true),
        capabilities_add: security.capabilities.add,
        capabilities_drop: security.capabilities.drop,
        group_add: of_pod.fs_group.iter().chain(&of_pod.supplemental_groups).map(ToString::to_string).collect(),
        no_new_privileges: security.allow_privilege_escalation == Some(false),
        tty: c.tty,
        stdin: c.stdin,
        stdin_once: c.stdin_once,
        ..ContainerSpec::default()
    }
}

fn amount(text: Option<&String>, read: fn(&Quantity) -> i64) -> i64 {
    text.and_then(|t| t.parse::<Quantity>().ok()).map_or(0, |q| read(&q))
}

/// A thousandth of a core is 1.024 shares; never fewer than two.
fn cpu_shares(c: &Container) -> i64 {
    let millis = amount(c.resources.requests.get("cpu").or(c.resources.limits.get("cpu")), Quantity::millis);
    if millis == 0 { 2 } else { (millis * 1024 / 1000).max(2) }
}
