//! Services and endpoints → the rules a node needs, independent of the tool that applies them.
pub mod iptables;
pub mod rules;

use std::collections::BTreeMap;

/// One port of one service at one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortKey {
    pub namespace: String,
    pub service: String,
    /// Empty for the only port.
    pub port_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRule {
    pub cluster_ip: String,
    pub external_ips: Vec<String>,
    /// `tcp` or `udp`.
    pub protocol: String,
    pub port: u16,
    /// 0: none.
    pub node_port: u16,
    /// Sticky for this many seconds per client address.
    pub affinity_seconds: Option<u32>,
    /// `IP:PORT`, sorted; empty: reject at once.
    pub backends: Vec<String>,
}

/// Everything a node's proxy has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    pub ports: BTreeMap<PortKey, ServiceRule>,
}
