//! One veth pair: an end on the bridge, the other in a sandbox as `eth0` with address and default route.
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, setns};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{Handle, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::fs::File;
use std::future::Future;
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
    block_on(async {
        let sandbox = network_of(plug.pid, &plug.id)?;
        let host = connection()?;
        lay(&host, plug, &sandbox).await.map_err(|e| format!("cable {} on bridge {}: {e}", host_end(&plug.id), plug.bridge))?;
        let inside = enter(&sandbox)?;
        configure(&inside, plug).await.map_err(|e| format!("address {} in the sandbox: {e}", plug.ip))
    })
}

/// Lets packets of a sandbox that the engine has plugged in come back to it: a pod may meet itself behind a service. Leaves the
/// calling thread in the sandbox's network.
pub(super) fn let_back(pid: u32, id: &str) -> Result<(), String> {
    block_on(async {
        let sandbox = network_of(pid, id)?;
        let host = connection()?;
        let inside = enter(&sandbox)?;
        let work = async {
            let eth0 = inside.link().get().match_name(INSIDE).execute().try_next().await?;
            let other_end = eth0.into_iter().flat_map(|link| link.attributes).find_map(|a| match a {
                LinkAttribute::Link(index) => Some(index),
                _ => None,
            });
            hairpin(&host, other_end.ok_or(rtnetlink::Error::RequestFailed)?).await
        };
        work.await.map_err(|e| format!("cable of container {id}: {e}"))
    })
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?.block_on(work)
}

/// The network namespace of a container, by a process in it. A number may have been given to another process since: its control
/// group names the container it belongs to. Looked at after the namespace was opened, so that it is this container's.
fn network_of(pid: u32, id: &str) -> Result<File, String> {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).map_err(|e| format!("process {pid}: {e}"))?;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if groups.contains(id) { Ok(namespace) } else { Err(format!("process {pid} is not in container {id}")) }
}

fn enter(sandbox: &File) -> Result<Handle, String> {
    setns(sandbox, CloneFlags::CLONE_NEWNET).map_err(|e| format!("entering the sandbox's network: {e}"))?;
    connection()
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
    host.link().add(pair.build()).execute().await?;
    hairpin(host, index_of(host, &host_end(&plug.id)).await?).await
}

/// A bridge sends nothing back by the port it came from, unless told so; a pod that meets itself behind a service needs it.
async fn hairpin(host: &Handle, port: u32) -> Result<(), rtnetlink::Error> {
    host.link().set_port(LinkBridgePort::new(port).hairpin(true).build()).execute().await
}

async fn configure(inside: &Handle, plug: &Plug) -> Result<(), rtnetlink::Error> {
    let up = |index| LinkMessageBuilder::<LinkUnspec>::new().index(index).up().build();
    inside.link().set(up(index_of(inside, "lo").await?)).execute().await?;
    let link = index_of(inside, INSIDE).await?;
    // Pods have no IPv6 but on loopback. (Where the kernel has none at all, there is nothing to switch off.)
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{INSIDE}/disable_ipv6"), "1");
    inside.address().add(link, plug.ip.into(), plug.net.prefix_len()).execute().await?;
    inside.link().set(up(link)).execute().await?;
    inside.route().add(RouteMessageBuilder::<Ipv4Addr>::new().gateway(plug.net.addr()).build()).execute().await
}
