//! What the machine as a whole uses, as the kernel counts it.
use crate::runtime::Stats;

/// The kernel's unit of CPU times for programs, whatever its own clock is.
const TICK_NS: u64 = 10_000_000;

/// CPU time since the start and memory that is not available; zeros where `/proc` does not say.
pub(crate) fn stats() -> Stats {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    Stats { cpu_usage_ns: cpu(&read("/proc/stat")), memory_bytes: memory(&read("/proc/meminfo")) }
}

/// Everything but idling and waiting for disks (proc(5): user nice system idle iowait irq softirq steal).
fn cpu(stat: &str) -> u64 {
    let times = stat.lines().find_map(|l| l.strip_prefix("cpu "));
    let busy = times.into_iter().flat_map(str::split_whitespace).take(8).enumerate().filter(|(i, _)| !matches!(i, 3 | 4));
    busy.filter_map(|(_, t)| t.parse::<u64>().ok()).sum::<u64>() * TICK_NS
}

fn memory(meminfo: &str) -> u64 {
    let of = |name: &str| meminfo.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    of("MemTotal:").saturating_sub(of("MemAvailable:")) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(cpu("cpu  10 1 5 1000 7 2 3 0 0 0\ncpu0 1 1 1 1\n"), 21 * TICK_NS);
        assert_eq!(memory("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n"), 600 * 1024);
        assert!(stats().memory_bytes > 0 && stats().cpu_usage_ns > 0);
    }
}
