//! Which address a pod gets on the bridge that it shares with the engine's own containers.
//!
//! ```text
//! 172.17.0.0/16    .0.1 bridge   .0.2 … .0.127 the engine fills from here up      .0.128 … .0.254 ours, taken first
//!                  .1.0 … .127.255 the engine, when it needs more                 .128.0 … .255.254 ours, when we need more
//! ```
//! The engine takes the lowest address that is free and knows nothing of ours: the two meet only when it alone has more than
//! half of a block in use.
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The first free address for a pod, searching from the `start`th of ours on (and around), so that an address is not used again
/// at once and two clusters on one bridge begin at different places. `None`: all are taken.
pub fn pick(net: Ipv4Net, taken: &BTreeSet<Ipv4Addr>, start: u32) -> Option<Ipv4Addr> {
    blocks(net).iter().find_map(|(first, last)| {
        let count = last - first + 1;
        let mut candidates = (0..count).map(|i| Ipv4Addr::from(first + (start % count + i) % count));
        candidates.find(|ip| !taken.contains(ip) && *ip != net.addr())
    })
}

/// First and last address of what is ours: the upper half of the first 256, then of the whole.
fn blocks(net: Ipv4Net) -> Vec<(u32, u32)> {
    let (network, broadcast) = (u32::from(net.network()), u32::from(net.broadcast()));
    let upper_half = |end: u32| (network + (end - network).div_ceil(2), end - 1);
    let near = broadcast.min(network + 255);
    let all = [upper_half(near), upper_half(broadcast)];
    let distinct = if near == broadcast { &all[..1] } else { &all[..] };
    distinct.iter().copied().filter(|(first, last)| first <= last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_of_ours_is_given_once_and_none_of_the_engines_first_ones() {
        for (text, count) in [("172.17.0.1/16", 127 + 32767), ("10.0.0.1/24", 127), ("10.0.0.1/28", 7), ("10.0.0.9/30", 1)] {
            let net = net(text);
            let mut taken = BTreeSet::new();
            while let Some(ip) = pick(net, &taken, 12345) {
                assert!(net.contains(&ip) && ip != net.addr() && ip != net.broadcast() && ip != net.network(), "{text} {ip}");
                assert!(taken.insert(ip), "{text} {ip} twice");
            }
            assert_eq!(taken.len(), count, "{text}");
            assert!(!taken.contains(&Ipv4Addr::from(u32::from(net.network()) + 1)));
        }
    }

    #[test]
    fn the_first_ones_look_like_the_engines() {
        let ip = pick(net("172.17.0.1/16"), &BTreeSet::new(), 0).unwrap();
        assert_eq!(ip.to_string(), "172.17.0.128");
        assert_eq!(pick(net("172.17.0.1/16"), &BTreeSet::from([ip]), 0).unwrap().to_string(), "172.17.0.129");
        assert_eq!(pick(net("172.17.0.1/16"), &BTreeSet::new(), 126).unwrap().to_string(), "172.17.0.254");
        assert_eq!(pick(net("172.17.0.1/16"), &BTreeSet::new(), 127).unwrap().to_string(), "172.17.0.128");
    }
}
