//! What the kernel knows of a container by its control group: a process in it, and what it has used.
//!
//! The engine counts the network's bytes as well, and counts nothing at all where it does not know the network: that of sandboxes
//! which the agent plugged in. Sources: cgroups(7), the kernel's cgroup-v1/cpuacct, cgroup-v1/memory and cgroup-v2.
use crate::runtime::Stats;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// CPU time and memory in use (bytes) of the group of container `id`, in which process `pid` is. `None` where it cannot be seen from here.
pub(crate) fn stats(pid: u32, id: &str) -> Option<Stats> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok().filter(|text| text.contains(id))?;
    in_hierarchies(&groups).or_else(|| in_one(&groups))
}

/// A process of container `id`, if its group is where engines make them: `docker/ID`, or a scope of systemd's.
pub(crate) fn process(id: &str) -> Option<u32> {
    let hierarchies = [Path::new(ROOT).join("pids"), PathBuf::from(ROOT)];
    let groups = [format!("docker/{id}"), format!("system.slice/docker-{id}.scope")];
    let mut files = hierarchies.iter().flat_map(|root| groups.iter().map(move |group| root.join(group).join("cgroup.procs")));
    files.find_map(|file| std::fs::read_to_string(file).ok()?.lines().next()?.parse().ok())
}

/// The directory of a controller's group: lines are `number:controllers:path`.
fn directory(groups: &str, controller: &str) -> Option<PathBuf> {
    let mut lines = groups.lines().filter_map(|l| l.split_once(':')?.1.split_once(':'));
    let (_, path) = lines.find(|(controllers, _)| controllers.split(',').any(|c| c == controller))?;
    Some(Path::new(ROOT).join(controller).join(path.trim_start_matches('/')))
}

/// Version 1: a hierarchy for each controller.
fn in_hierarchies(groups: &str) -> Option<Stats> {
    let (cpu, memory) = (directory(groups, "cpuacct")?, directory(groups, "memory")?);
    let cpu_usage_ns = number(&cpu.join("cpuacct.usage"))?;
    let spare = member(&memory.join("memory.stat"), "total_inactive_file").unwrap_or(0);
    Some(Stats { cpu_usage_ns, memory_bytes: number(&memory.join("memory.usage_in_bytes"))?.saturating_sub(spare) })
}

/// Version 2: one hierarchy for all.
fn in_one(groups: &str) -> Option<Stats> {
    let path = groups.lines().find_map(|l| l.strip_prefix("0::"))?;
    let group = Path::new(ROOT).join(path.trim_start_matches('/'));
    let cpu_usage_ns = member(&group.join("cpu.stat"), "usage_usec")?.saturating_mul(1000);
    let spare = member(&group.join("memory.stat"), "inactive_file").unwrap_or(0);
    Some(Stats { cpu_usage_ns, memory_bytes: number(&group.join("memory.current"))?.saturating_sub(spare) })
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn member(file: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controllers_group_is_found_among_all() {
        let groups = "12:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/system.slice\n";
        assert_eq!(directory(groups, "cpuacct"), Some(PathBuf::from("/sys/fs/cgroup/cpuacct/docker/abc")));
        assert_eq!(directory(groups, "memory"), Some(PathBuf::from("/sys/fs/cgroup/memory/docker/abc")));
        assert_eq!(directory("0::/x\n", "memory"), None);
    }
}
