//! Which UDP flows the kernel remembers that must be forgotten: those that would go on to a backend that is no more.
//!
//! A flow keeps its translation as long as packets come, and a client of UDP never ends: without this it would talk to a
//! dead pod for ever. TCP connections end by themselves, and to a pod that only leaves the service they may go on.
use super::{Change, Protocol, RuleSet, ServiceRule};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

/// A flow as connection tracking remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where the client sends to.
    pub asked: SocketAddrV4,
    /// Who answers: the backend, once translated.
    pub answers: SocketAddrV4,
}

/// What is known of the UDP services whose flows are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Address of a service → those who may answer.
    live: BTreeMap<SocketAddrV4, BTreeSet<SocketAddrV4>>,
    /// Node port → backends that it has lost. Others may use this number elsewhere; only ours are known by the answerer.
    lost: BTreeMap<u16, BTreeSet<SocketAddrV4>>,
}

impl Stale {
    /// After a change that is known.
    pub fn after(old: &RuleSet, new: &RuleSet) -> Stale {
        let mut out = Stale::default();
        old.changes_to(new).for_each(|change| out.note(change));
        out
    }

    /// After a start: all services, whatever was before.
    pub fn at_start(new: &RuleSet) -> Stale {
        Stale::after(&RuleSet::default(), new)
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.lost.is_empty()
    }

    pub fn contains(&self, flow: &Flow) -> bool {
        let by_address = self.live.get(&flow.asked).is_some_and(|live| !live.contains(&flow.answers));
        by_address || self.lost.get(&flow.asked.port()).is_some_and(|lost| lost.contains(&flow.answers))
    }

    fn note(&mut self, change: Change<'_>) {
        let udp = |rule: &&ServiceRule| rule.protocol == Protocol::Udp;
        let (old, new) = (change.old.filter(udp), change.new.filter(udp));
        if let (Some(old), Some(new)) = (old, new)
            && is_more(old, new)
        {
            return;
        }
        for rule in [old, new].into_iter().flatten() {
            for ip in addresses(rule) {
                self.live.entry(SocketAddrV4::new(ip, rule.port)).or_default();
            }
        }
        if let Some(rule) = new {
            for ip in addresses(rule) {
                self.live.entry(SocketAddrV4::new(ip, rule.port)).or_default().extend(&rule.backends);
            }
        }
        if let Some(old) = old.filter(|rule| rule.node_port != 0) {
            let stays = |b: &&SocketAddrV4| new.is_some_and(|new| new.node_port == old.node_port && new.backends.contains(b));
            let lost: Vec<SocketAddrV4> = old.backends.iter().filter(|b| !stays(b)).copied().collect();
            if !lost.is_empty() {
                self.lost.entry(old.node_port).or_default().extend(lost);
            }
        }
    }
}

/// Only more backends where there were some: whoever answered goes on, and nothing needs to be looked at.
fn is_more(old: &ServiceRule, new: &ServiceRule) -> bool {
    let same = ServiceRule { backends: new.backends.clone(), ..old.clone() } == *new;
    same && !old.backends.is_empty() && old.backends.iter().all(|backend| new.backends.contains(backend))
}

fn addresses(rule: &ServiceRule) -> impl Iterator<Item = Ipv4Addr> {
    std::iter::once(rule.cluster_ip).chain(rule.external_ips.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::PortKey;

    fn address(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    fn set(protocol: Protocol, node_port: u16, backends: &[&str]) -> RuleSet {
        let rule = ServiceRule {
            cluster_ip: Ipv4Addr::new(172, 30, 0, 1),
            external_ips: vec![],
            protocol,
            port: 53,
            node_port,
            affinity_seconds: None,
            backends: backends.iter().map(|b| address(b)).collect(),
        };
        let key = PortKey { namespace: "x".into(), service: "dns".into(), port_name: String::new() };
        RuleSet::from_iter([(key, rule)])
    }

    fn flow(asked: &str, answers: &str) -> Flow {
        Flow { asked: address(asked), answers: address(answers) }
    }

    #[test]
    fn a_flow_to_a_lost_backend_is_stale_and_one_to_a_live_backend_is_not() {
        let (old, new) = (set(Protocol::Udp, 0, &["10.0.0.1:53", "10.0.0.2:53"]), set(Protocol::Udp, 0, &["10.0.0.2:53"]));
        let stale = Stale::after(&old, &new);
        assert!(stale.contains(&flow("172.30.0.1:53", "10.0.0.1:53")));
        assert!(!stale.contains(&flow("172.30.0.1:53", "10.0.0.2:53")));
        assert!(!stale.contains(&flow("8.8.8.8:53", "10.0.0.1:53")), "the pod asked directly, or by somebody else's rule");
        assert!(Stale::after(&new, &new.clone()).is_empty());
        assert!(Stale::after(&new, &old).is_empty(), "one more takes nobody's place");
    }

    #[test]
    fn a_flow_that_began_before_its_service_had_backends_is_stale() {
        let stale = Stale::after(&set(Protocol::Udp, 0, &[]), &set(Protocol::Udp, 0, &["10.0.0.1:53"]));
        assert!(stale.contains(&flow("172.30.0.1:53", "172.30.0.1:53")));
        assert!(Stale::at_start(&set(Protocol::Udp, 0, &["10.0.0.1:53"])).contains(&flow("172.30.0.1:53", "10.0.0.9:53")));
    }

    #[test]
    fn by_node_port_only_lost_backends_count() {
        let (old, new) = (set(Protocol::Udp, 30053, &["10.0.0.1:53", "10.0.0.2:53"]), set(Protocol::Udp, 30053, &["10.0.0.2:53"]));
        let stale = Stale::after(&old, &new);
        assert!(stale.contains(&flow("192.0.2.1:30053", "10.0.0.1:53")));
        assert!(!stale.contains(&flow("192.0.2.1:30053", "192.0.2.1:30053")), "somebody else's server with that number");
    }

    #[test]
    fn tcp_connections_are_left_alone() {
        assert!(Stale::after(&set(Protocol::Tcp, 0, &["10.0.0.1:53"]), &set(Protocol::Tcp, 0, &[])).is_empty());
    }
}
