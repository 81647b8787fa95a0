//! Services and endpoints → the rules a node needs, independent of the tool that applies them.
pub mod flows;
pub mod iptables;
pub mod nftables;
pub mod rules;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// One port of one service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortKey {
    pub namespace: String,
    pub service: String,
    /// Empty for the only port.
    pub port_name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// As iptables and nft call it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    /// As IANA counts them.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRule {
    pub cluster_ip: Ipv4Addr,
    pub external_ips: Vec<Ipv4Addr>,
    pub protocol: Protocol,
    pub port: u16,
    /// 0: none.
    pub node_port: u16,
    /// Sticky for this many seconds per client address.
    pub affinity_seconds: Option<u32>,
    /// Sorted, without duplicates; empty: reject at once.
    pub backends: Vec<SocketAddrV4>,
}

/// Everything a node's proxy has to do. A clone costs nothing and shares what neither side changes afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    ports: OrdMap<PortKey, Arc<ServiceRule>>,
    backends: usize,
}

/// One service port that differs between two sets; one side may be absent, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    pub key: &'a PortKey,
    pub old: Option<&'a ServiceRule>,
    pub new: Option<&'a ServiceRule>,
}

impl RuleSet {
    pub fn ports(&self) -> impl Iterator<Item = (&PortKey, &ServiceRule)> {
        self.ports.iter().map(|(key, rule)| (key, &**rule))
    }

    pub fn get(&self, key: &PortKey) -> Option<&ServiceRule> {
        self.ports.get(key).map(|rule| &**rule)
    }

    /// How many service ports there are.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// How many backends there are behind all ports together.
    pub fn backends(&self) -> usize {
        self.backends
    }

    pub fn insert(&mut self, key: PortKey, rule: ServiceRule) {
        self.backends += rule.backends.len();
        if let Some(old) = self.ports.insert(key, Arc::new(rule)) {
            self.backends -= old.backends.len();
        }
    }

    pub fn remove(&mut self, key: &PortKey) {
        if let Some(old) = self.ports.remove(key) {
            self.backends -= old.backends.len();
        }
    }

    /// The ports of one service.
    pub fn of_service(&self, namespace: &str, service: &str) -> impl Iterator<Item = (&PortKey, &ServiceRule)> {
        let first = PortKey { namespace: namespace.into(), service: service.into(), port_name: String::new() };
        let (namespace, service) = (first.namespace.clone(), first.service.clone());
        let of_it = move |key: &PortKey| key.namespace == namespace && key.service == service;
        self.ports.range(first..).take_while(move |(key, _)| of_it(key)).map(|(key, rule)| (key, &**rule))
    }

    /// What leads from this set to `new`, in order. Costs what differs, when one was made from a clone of the other.
    pub fn changes_to<'a>(&'a self, new: &'a RuleSet) -> impl Iterator<Item = Change<'a>> {
        self.ports.diff(&new.ports).map(|item| match item {
            DiffItem::Add(key, rule) => Change { key, old: None, new: Some(rule) },
            DiffItem::Update { old, new } => Change { key: new.0, old: Some(old.1), new: Some(new.1) },
            DiffItem::Remove(key, rule) => Change { key, old: Some(rule), new: None },
        })
    }
}

impl FromIterator<(PortKey, ServiceRule)> for RuleSet {
    fn from_iter<I: IntoIterator<Item = (PortKey, ServiceRule)>>(ports: I) -> RuleSet {
        let mut set = RuleSet::default();
        ports.into_iter().for_each(|(key, rule)| set.insert(key, rule));
        set
    }
}
