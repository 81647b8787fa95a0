//! What this host's network looks like to pods: the Docker bridge and the address they reach the host by.
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The bridge of Docker's default network.
pub const DOCKER_BRIDGE: &str = "docker0";

/// The Docker bridge's address on this host and its network, if Docker has made it.
pub fn docker_bridge() -> Option<ipnet::Ipv4Net> {
    interfaces().find(|(name, _)| name == DOCKER_BRIDGE).map(|(_, net)| net)
}

fn interfaces() -> impl Iterator<Item = (String, ipnet::Ipv4Net)> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    all.filter_map(|i| {
        let ip = i.address?.as_sockaddr_in()?.ip();
        let mask = i.netmask?.as_sockaddr_in()?.ip();
        Some((i.interface_name, ipnet::Ipv4Net::with_netmask(ip, mask).ok()?))
    })
}

/// Every IPv4 address of this machine.
pub fn addresses() -> impl Iterator<Item = Ipv4Addr> {
    interfaces().map(|(_, net)| net.addr())
}

/// The address by which others would reach this host; nothing is sent.
pub fn primary_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.255:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}
