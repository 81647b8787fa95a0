//! May this process plug sandboxes in, and would it reach the right ones?
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Linux's numbers, capabilities(7).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Capability {
    NetAdmin = 12,
    SysAdmin = 21,
    SysResource = 24,
}

/// Does this process have the capability now?
pub(crate) fn has(capability: Capability) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|caps| caps & (1 << capability as u64) != 0)
}

/// Entering a network namespace takes SYS_ADMIN, changing it NET_ADMIN; and the engine's process numbers must be ours, or another
/// process than the sandbox's would be meant: the kernel shows a process that we cannot see as 0.
/// `None` while the engine cannot be asked.
pub(super) fn may_plug_in(engine: &Path) -> Option<bool> {
    let socket = UnixStream::connect(engine).ok()?;
    let engine_pid = getsockopt(&socket, PeerCredentials).ok()?.pid();
    Some(has(Capability::SysAdmin) && has(Capability::NetAdmin) && engine_pid > 0)
}

/// Is there such a process?
pub(super) fn alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
