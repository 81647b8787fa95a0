//! The network of pods: an address for each on the engine's bridge, and a cable from the bridge into its sandbox.
//!
//! The engine could do it too, but takes three times as long: it starts a program of its own for each container that has a
//! network. So sandboxes are made without one, and this plugs them in:
//!
//! ```text
//! host                docker0 ─┬─ veth<id>  ⇄  eth0 ─ sandbox ─ app containers (they join the sandbox's network)
//!                              └─ veth…     ⇄  eth0   a container of the engine's own
//! ```
//! Where that is impossible (the server itself in a container, an engine elsewhere) or the engine is needed for host ports, the
//! engine's network serves, with the same addresses' network and the same rules.
mod cable;
mod leases;
pub(crate) mod rights;

use crate::runtime::RuntimeError;
use ipnet::Ipv4Net;
use leases::Leases;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A container's label that says which address was given to it.
pub(crate) const LABEL_ADDRESS: &str = "io.pilothouse.address";
/// Plugging in is some ten messages to the kernel.
const ATTACH_SECONDS_MAX: u64 = 10;

/// After the first failure plugging in is not tried for so long; after each further one for twice as long, up to four hours.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
const DOUBLINGS_MAX: u32 = 8;

/// What the engine says of its bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) name: String,
    pub(crate) mtu: Option<u32>,
    /// Addresses that the engine or another cluster has given out.
    pub(crate) taken: BTreeSet<Ipv4Addr>,
}

#[derive(Default)]
struct State {
    leases: Leases,
    bridge: Option<Bridge>,
}

/// One for each engine; shared by everything that makes sandboxes on it.
pub struct PodNetwork {
    socket: PathBuf,
    state: Mutex<State>,
    permitted: OnceLock<bool>,
    /// Until when the engine's own network is used because plugging in failed, and how often it has since it last worked.
    failed: Mutex<Option<(Instant, u32)>>,
}

/// The address and network of an interface of this machine.
pub fn interface(name: &str) -> Option<Ipv4Net> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let mut addresses = all.filter(|i| i.interface_name == name).filter_map(|i| {
        let ip = i.address?.as_sockaddr_in()?.ip();
        Ipv4Net::with_netmask(ip, i.netmask?.as_sockaddr_in()?.ip()).ok()
    });
    addresses.next()
}

impl PodNetwork {
    /// `cluster` decides where in the network its addresses begin; `socket` is the engine's.
    pub fn new(cluster: &str, socket: &Path) -> PodNetwork {
        let start = cluster.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let state = State { leases: Leases::starting_at(start), bridge: None };
        PodNetwork { socket: socket.into(), state: Mutex::new(state), permitted: OnceLock::new(), failed: Mutex::default() }
    }

    /// Reserves an address for a sandbox that is about to be made. `None`: the engine's network has to serve.
    pub(crate) fn lease(&self) -> Option<Ipv4Addr> {
        if self.failed.lock().is_some_and(|(until, _)| Instant::now() < until) || !self.may_plug_in() {
            return None;
        }
        let mut state = self.state.lock();
        let State { leases, bridge } = &mut *state;
        let bridge = bridge.as_ref()?;
        leases.lease(interface(&bridge.name)?, &bridge.taken)
    }

    /// The reserved address now belongs to this container.
    pub(crate) fn held(&self, ip: Ipv4Addr, id: &str) {
        self.state.lock().leases.held(ip, id);
    }

    /// Nothing came of it.
    pub(crate) fn give_back(&self, ip: Ipv4Addr) {
        self.state.lock().leases.give_back(ip);
    }

    /// The container is gone.
    pub(crate) fn release(&self, id: &str) {
        self.state.lock().leases.release(id);
    }

    /// To be taken before the engine is listed, see [`PodNetwork::settle`].
    pub(crate) fn mark(&self) -> u64 {
        self.state.lock().leases.mark()
    }

    /// Takes over what the engine shows: containers with addresses of ours, and its bridge. Reservations younger than `mark` stay.
    /// Answers the containers whose address somebody else has as well: they have to make way.
    pub(crate) fn settle(&self, bridge: Bridge, held: &[(String, Ipv4Addr)], mark: u64) -> Vec<String> {
        let mut state = self.state.lock();
        state.leases.settle(held, mark);
        let twice = held.iter().filter(|(_, ip)| bridge.taken.contains(ip)).map(|(id, _)| id.clone()).collect();
        state.bridge = Some(bridge);
        twice
    }

    /// Plugs a running sandbox in. `pid` is a process in it.
    pub(crate) async fn attach(&self, id: &str, pid: u32, ip: Ipv4Addr) -> Result<(), RuntimeError> {
        let bridge = self.state.lock().bridge.clone();
        let bridge = bridge.ok_or_else(|| RuntimeError::Network("the engine's bridge is not known yet".into()))?;
        let net = interface(&bridge.name).ok_or_else(|| RuntimeError::Network(format!("bridge {} is gone", bridge.name)))?;
        let plug = cable::Plug { id: id.into(), pid, ip, net, bridge: bridge.name, mtu: bridge.mtu };
        let outcome = on_a_thread(move || cable::plug_in(&plug)).await;
        match &outcome {
            Ok(()) => *self.failed.lock() = None,
            Err(RuntimeError::Network(why)) if rights::alive(pid) => self.give_up_for_a_while(why),
            Err(_) => {}
        }
        outcome
    }

    /// The engine has plugged this sandbox in: its pod shall meet itself behind services all the same, where we may see to it.
    pub(crate) async fn let_back(&self, id: &str, pid: u32) {
        if self.may_plug_in() {
            let container = id.to_string();
            if let Err(error) = on_a_thread(move || cable::let_back(pid, &container)).await {
                tracing::debug!(container = id, %error, "a pod will not reach itself through its service");
            }
        }
    }

    /// What failed may work later; where it never does, few pods pay for the attempt.
    fn give_up_for_a_while(&self, why: &str) {
        let mut failed = self.failed.lock();
        let times = failed.map_or(0, |(_, times)| times);
        let pause = pause(times);
        *failed = Some((Instant::now() + pause, times + 1));
        tracing::warn!(why, ?pause, "a sandbox cannot be plugged into the pod network; the engine's own network is used for a while");
    }

    fn may_plug_in(&self) -> bool {
        if let Some(permitted) = self.permitted.get() {
            return *permitted;
        }
        // An engine that does not answer just now says nothing for later.
        let Some(permitted) = rights::may_plug_in(&self.socket) else { return false };
        *self.permitted.get_or_init(|| permitted)
    }
}

/// How long plugging in is not tried after a failure that came after so many others in a row.
fn pause(times: u32) -> Duration {
    AGAIN_AFTER * (1 << times.min(DOUBLINGS_MAX))
}

/// A thread of its own for what moves into a sandbox's network: it ends there.
async fn on_a_thread(work: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), RuntimeError> {
    let (sender, done) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("plug-in".into()).spawn(move || sender.send(work()));
    thread.map_err(|e| RuntimeError::Network(e.to_string()))?;
    match tokio::time::timeout(Duration::from_secs(ATTACH_SECONDS_MAX), done).await {
        Ok(Ok(outcome)) => outcome.map_err(RuntimeError::Network),
        Ok(Err(_)) => Err(RuntimeError::Network("the thread that plugs sandboxes in ended early".into())),
        Err(_) => Err(RuntimeError::Deadline { call: "attach to the pod network", seconds: ATTACH_SECONDS_MAX }),
    }
}

/// Is a sandbox still plugged in? It is not after somebody restarted it by hand or took its cable away.
pub(crate) fn is_attached(id: &str) -> bool {
    nix::net::if_::if_nametoindex(cable::host_end(id).as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let minutes = |times| pause(times).as_secs() / 60;
        assert_eq!([0, 1, 2, 8, 9, u32::MAX].map(minutes), [1, 2, 4, 256, 256, 256]);
    }

    #[test]
    fn what_failed_is_left_alone_for_a_while_and_tried_again() {
        let network = PodNetwork::new("test", Path::new("/none"));
        network.give_up_for_a_while("a test");
        network.give_up_for_a_while("a test");
        let (until, times) = network.failed.lock().expect("a pause");
        assert!(times == 2 && until > Instant::now() + AGAIN_AFTER && until <= Instant::now() + 2 * AGAIN_AFTER);
        assert_eq!(network.lease(), None);
    }
}
