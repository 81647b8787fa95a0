//! Which container has which address of the pod network.
use ipnet::Ipv4Net;
use logic::pod::address;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

struct Lease {
    /// `None` while the container is being made.
    holder: Option<String>,
    born: u64,
}

/// All addresses that are given out, by this agent or one before it.
#[derive(Default)]
pub(super) struct Leases {
    given: BTreeMap<Ipv4Addr, Lease>,
    start: u32,
    count: u64,
}

impl Leases {
    pub(super) fn starting_at(start: u32) -> Leases {
        Leases { start, ..Leases::default() }
    }

    pub(super) fn lease(&mut self, net: Ipv4Net, others: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let taken: BTreeSet<Ipv4Addr> = self.given.keys().chain(others).copied().collect();
        let ip = address::pick(net, &taken, self.start)?;
        self.start = self.start.wrapping_add(1);
        self.count += 1;
        self.given.insert(ip, Lease { holder: None, born: self.count });
        Some(ip)
    }

    pub(super) fn held(&mut self, ip: Ipv4Addr, id: &str) {
        if let Some(lease) = self.given.get_mut(&ip) {
            lease.holder = Some(id.into());
        }
    }

    pub(super) fn give_back(&mut self, ip: Ipv4Addr) {
        self.given.remove(&ip);
    }

    pub(super) fn release(&mut self, id: &str) {
        self.given.retain(|_, lease| lease.holder.as_deref() != Some(id));
    }

    pub(super) fn mark(&self) -> u64 {
        self.count
    }

    pub(super) fn settle(&mut self, held: &[(String, Ipv4Addr)], mark: u64) {
        // Younger ones were made while the list was: they may be missing in it.
        self.given.retain(|_, lease| lease.born > mark);
        for (id, ip) in held {
            self.given.entry(*ip).or_insert(Lease { holder: Some(id.clone()), born: mark });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_free_again_when_its_container_is_gone_and_not_before() {
        let net: Ipv4Net = "10.0.0.1/28".parse().unwrap();
        let mut leases = Leases::starting_at(3);
        let none = BTreeSet::new();
        let all: Vec<Ipv4Addr> = std::iter::from_fn(|| leases.lease(net, &none)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 7);
        leases.held(all[0], "a");
        leases.release("b");
        assert_eq!(leases.lease(net, &none), None);
        leases.release("a");
        assert_eq!(leases.lease(net, &none), Some(all[0]));
        leases.give_back(all[5]);
        assert_eq!(leases.lease(net, &BTreeSet::from([all[5]])), None, "somebody else has it");
    }

    #[test]
    fn a_list_that_is_older_than_a_lease_does_not_end_it() {
        let net: Ipv4Net = "10.0.0.1/24".parse().unwrap();
        let mut leases = Leases::starting_at(0);
        let old = leases.lease(net, &BTreeSet::new()).unwrap();
        let mark = leases.mark();
        let young = leases.lease(net, &BTreeSet::new()).unwrap();
        let adopted: Ipv4Addr = "10.0.0.200".parse().unwrap();
        leases.settle(&[("x".into(), adopted)], mark);
        assert_eq!(leases.given.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from([young, adopted]));
        assert!(old != young);
    }
}
