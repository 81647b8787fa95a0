//! One veth pair: an end on the bridge, the other in a sandbox as `eth0` with address and default route.
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, setns};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

/// As the engine calls it too: programs look for it.
const INSIDE: &str = "eth0";
/// Interface names have at most 15 letters.
const ID_LETTERS: usize = 11;

pub(super) struct Plug {
    /// The sandbox's container.
    pub(super) id: String,
    /// A process in it.
    pub(super) pid: u32,
    pub(super) ip: Ipv4Addr,
    /// The bridge's own address, which is the way out, and its network.
    pub(super) net: Ipv4Net,
    pub(super) bridge: String,
    pub(super) mtu: Option<u32>,
}

/// The host's end of a sandbox's cable.
pub(super) fn host_end(id: &str) -> String {
    format!("veth{}", id.get(..ID_LETTERS).unwrap_or(id))
}

/// Does it all; leaves the calling thread in the sandbox's network, where it should end.
pub(super) fn plug_in(plug: &Plug) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let sandbox = File::open(format!("/proc/{}/ns/net", plug.pid)).map_err(|e| format!("process {}: {e}", plug.pid))?;
        belongs(plug)?;
        let host = connection()?;
        lay(&host, plug, &sandbox).await.map_err(|e| format!("cable {} on bridge {}: {e}", host_end(&plug.id), plug.bridge))?;
        setns(&sandbox, CloneFlags::CLONE_NEWNET).map_err(|e| format!("entering the network of process {}: {e}", plug.pid))?;
        let inside = connection()?;
        configure(&inside, plug).await.map_err(|e| format!("address {} in the sandbox: {e}", plug.ip))
    })
}

/// A number may have been given to another process since: its control group names the container it belongs to. Looked at after the
/// namespace was opened, so that it is this container's.
fn belongs(plug: &Plug) -> Result<(), String> {
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", plug.pid)).unwrap_or_default();
    if groups.contains(&plug.id) { Ok(()) } else { Err(format!("process {} is not in container {}", plug.pid, plug.id)) }
}

/// Talks to the network namespace that this thread is in now.
fn connection() -> Result<Handle, String> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| format!("netlink: {e}"))?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn index_of(handle: &Handle, name: &str) -> Result<u32, rtnetlink::Error> {
    let found = handle.link().get().match_name(name).execute().try_next().await?;
    found.map(|link| link.header.index).ok_or(rtnetlink::Error::RequestFailed)
}

async fn lay(host: &Handle, plug: &Plug, sandbox: &File) -> Result<(), rtnetlink::Error> {
    let bridge = index_of(host, &plug.bridge).await?;
    let [a, b, c, d] = plug.ip.octets();
    // From the address, as the engine does it: a neighbour that remembers an earlier holder of the address is not misled.
    let hardware = vec![0x02, 0x42, a, b, c, d];
    let mut inner = LinkMessageBuilder::<LinkUnspec>::new().name(INSIDE).address(hardware).setns_by_fd(sandbox.as_raw_fd());
    let mut outer = LinkMessageBuilder::<LinkVeth>::new(&host_end(&plug.id), INSIDE).controller(bridge).up();
    if let Some(mtu) = plug.mtu {
        (inner, outer) = (inner.mtu(mtu), outer.mtu(mtu));
    }
    let pair = outer.set_info_data(InfoData::Veth(InfoVeth::Peer(inner.build())));
    host.link().add(pair.build()).execute().await
}

async fn configure(inside: &Handle, plug: &Plug) -> Result<(), rtnetlink::Error> {
    let up = |index| LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
    inside.link().set(up(index_of(inside, "lo").await?)).execute().await?;
    let link = index_of(inside, INSIDE).await?;
    inside.address().add(link, plug.ip.into(), plug.net.prefix_len()).execute().await?;
    inside.link().set(up(link)).execute().await?;
    inside.route().add(RouteMessageBuilder::<Ipv4Addr>::new().gateway(plug.net.addr()).build()).execute().await
}
