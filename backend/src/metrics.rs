//! What `/metrics` says of the process itself, and the page of all parts together.
use meter::{Kind, Page};
use rustix::param::{clock_ticks_per_second, page_size};
use shared::version::{ARCHITECTURE, KUBERNETES, MAJOR, MINOR};

/// Every part's families but the API server's own.
pub(crate) fn write(page: &mut Page) {
    store::metrics::write(page);
    control::metrics::write(page);
    node::metrics::write(page);
    process(page);
    let mut family = page.family("openshift_build_info", Kind::Gauge, "The program that answers; always 1");
    family.value(
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("kubernetes", KUBERNETES),
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
        ],
        1,
    );
    let mut family = page.family("kubernetes_build_info", Kind::Gauge, "The Kubernetes whose API is served; always 1");
    family.value(&[("major", MAJOR), ("minor", MINOR), ("git_version", KUBERNETES), ("platform", &format!("linux/{ARCHITECTURE}"))], 1);
}

/// Numbers of `/proc/self/stat`, counted as proc(5) does.
fn field(stat: &str, number: usize) -> Option<u64> {
    // The second field is a name in brackets that may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn process(page: &mut Page) {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let stat = read("/proc/self/stat");
    let of = |number| field(&stat, number).unwrap_or(0);
    let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
    page.family("process_cpu_seconds_total", Kind::Counter, "Time on processors").value(&[], seconds(of(14) + of(15)));
    page.number("process_threads", "Threads", of(20));
    page.number("process_virtual_memory_bytes", "Addresses that are mapped", of(23));
    page.number("process_resident_memory_bytes", "Memory in use", of(24) * page_size() as u64);
    let booted = read("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok()).unwrap_or(0);
    page.number("process_start_time_seconds", "When the process began, since 1970", booted as f64 + seconds(of(22)));
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.number("process_open_fds", "Open file descriptors", open);
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    page.number("process_max_fds", "File descriptors that may be open", most);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_confuses_nobody() {
        let stat = "12 (a) b) c) S 1 12 12 0 -1 4194560 1 0 0 0 7 8 0 0 20 0 3 0 555 1000 25";
        assert_eq!([14, 15, 20, 22, 23, 24].map(|n| field(stat, n)), [7, 8, 3, 555, 1000, 25].map(Some));
    }
}
