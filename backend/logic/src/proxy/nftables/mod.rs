//! RuleSet → the elements of a few nftables maps, and the smallest change of them that leads from one set to the next.
//!
//! ```text
//! nat prerouting, output:  address . protocol . port ─► @sizes (a number for: so many backends, sticky for so long)
//!                          ─► @picks ─► chain pick-N:  address . protocol . port . random below N ─► @backends ─► DNAT
//!                          addresses of the node: the same by protocol . port in @node-sizes … @node-backends, and a mark
//! nat postrouting:         masquerade what was marked, and pods that meet themselves (@hairpins)
//! filter hooks:            refuse @rejected (services without backends)
//! sticky:                  … random below N ─► @ids;  client . address . protocol . port ─► @affinity (an id, for a while)
//!                          address . protocol . port . id ─► @members ─► DNAT
//! ```
//! No service has a chain of its own, so that a change of one is a change of some elements, whatever else there is: the
//! kernel checks jumps of the whole table again when a verdict changes, and nothing when data do. What fills the maps is
//! decided here; chains and rules, which hardly ever change, are in [`program`].
pub mod program;

use super::{PortKey, Protocol, RuleSet, ServiceRule};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Pods that are no longer behind any service, and still known as such.
const GONE_MAX: usize = 256;

/// What the table of every cluster is called at first.
pub const TABLE_ANY: &str = "pilothouse-";

/// The table of one cluster; `cluster` is its id.
pub fn table(cluster: &str) -> String {
    format!("{TABLE_ANY}{}", super::iptables::short(cluster).to_lowercase())
}

/// By which kind of address a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A cluster or external address.
    Address,
    /// Any address of the node.
    NodePort,
}

/// The maps and sets of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Map {
    /// Front → number of the [`Pick`].
    Sizes(By),
    /// Number of a [`Pick`] → the chain that does it.
    Picks,
    /// Front and index → backend.
    Backends(By),
    /// Front and index → id of the backend; of sticky services.
    Ids(By),
    /// Front and id → backend; of sticky services.
    Members(By),
    /// Client and front → id, for a while; filled by packets.
    Affinity(By),
    /// Backend twice: a pod that meets itself.
    Hairpins,
    /// Fronts without backends.
    Rejected(By),
}

impl Map {
    pub const ALL: [Map; 14] = [
        Map::Sizes(By::Address),
        Map::Sizes(By::NodePort),
        Map::Picks,
        Map::Backends(By::Address),
        Map::Backends(By::NodePort),
        Map::Ids(By::Address),
        Map::Ids(By::NodePort),
        Map::Members(By::Address),
        Map::Members(By::NodePort),
        Map::Affinity(By::Address),
        Map::Affinity(By::NodePort),
        Map::Hairpins,
        Map::Rejected(By::Address),
        Map::Rejected(By::NodePort),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Map::Sizes(By::Address) => "sizes",
            Map::Sizes(By::NodePort) => "node-sizes",
            Map::Picks => "picks",
            Map::Backends(By::Address) => "backends",
            Map::Backends(By::NodePort) => "node-backends",
            Map::Ids(By::Address) => "ids",
            Map::Ids(By::NodePort) => "node-ids",
            Map::Members(By::Address) => "members",
            Map::Members(By::NodePort) => "node-members",
            Map::Affinity(By::Address) => "affinity",
            Map::Affinity(By::NodePort) => "node-affinity",
            Map::Hairpins => "hairpins",
            Map::Rejected(By::Address) => "rejected",
            Map::Rejected(By::NodePort) => "node-rejected",
        }
    }
}

/// Up to five words of a key or value, each padded to four bytes as the kernel's registers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Words {
    length: u8,
    words: [[u8; 4]; 5],
}

impl Words {
    fn with(mut self, word: [u8; 4]) -> Words {
        self.words[usize::from(self.length)] = word;
        self.length += 1;
        self
    }

    fn address(self, ip: Ipv4Addr) -> Words {
        self.with(ip.octets())
    }

    fn protocol(self, protocol: Protocol) -> Words {
        self.with([protocol.number(), 0, 0, 0])
    }

    fn port(self, port: u16) -> Words {
        let [high, low] = port.to_be_bytes();
        self.with([high, low, 0, 0])
    }

    /// In the order of this machine, as the kernel's own numbers are.
    fn number(self, number: u32) -> Words {
        self.with(number.to_ne_bytes())
    }

    fn backend(self, backend: SocketAddrV4) -> Words {
        self.address(*backend.ip()).port(backend.port())
    }

    /// What the kernel showed; `None` if it is no number of words, or too many.
    pub fn read(bytes: &[u8]) -> Option<Words> {
        let (words, rest) = bytes.as_chunks::<4>();
        let fits = rest.is_empty() && words.len() <= 5;
        fits.then(|| words.iter().fold(Words::default(), |all, word| all.with(*word)))
    }

    pub fn bytes(&self) -> &[u8] {
        self.words[..usize::from(self.length)].as_flattened()
    }

    /// The words behind the first.
    fn after_first(&self) -> Words {
        self.words[..usize::from(self.length)].iter().skip(1).fold(Words::default(), |all, word| all.with(*word))
    }
}

/// How one backend of many is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pick {
    pub by: By,
    /// At least 1.
    pub backends: u32,
    /// Sticky for so many seconds; 0: not.
    pub sticky_seconds: u32,
}

impl Pick {
    pub fn chain(self) -> String {
        let by = if self.by == By::NodePort { "node-" } else { "" };
        let sticky = if self.sticky_seconds > 0 { format!("-sticky-{}", self.sticky_seconds) } else { String::new() };
        format!("{by}pick-{}{sticky}", self.backends)
    }
}

/// What a key of a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a set: nothing.
    Member,
    Data(Words),
    Goto(String),
}

pub type Elements = BTreeMap<(Map, Words), Value>;

/// Where a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Front {
    Address(Ipv4Addr, Protocol, u16),
    NodePort(Protocol, u16),
}

impl Front {
    fn all(rule: &ServiceRule) -> impl Iterator<Item = (Front, Claim)> {
        let address = |ip| Front::Address(ip, rule.protocol, rule.port);
        let cluster = std::iter::once((address(rule.cluster_ip), Claim::Own));
        let external = rule.external_ips.iter().map(move |ip| (address(*ip), Claim::External));
        let node = (rule.node_port != 0).then_some((Front::NodePort(rule.protocol, rule.node_port), Claim::Own));
        cluster.chain(external).chain(node)
    }

    fn by(self) -> By {
        match self {
            Front::Address(..) => By::Address,
            Front::NodePort(..) => By::NodePort,
        }
    }

    fn key(self) -> Words {
        match self {
            Front::Address(ip, protocol, port) => Words::default().address(ip).protocol(protocol).port(port),
            Front::NodePort(protocol, port) => Words::default().protocol(protocol).port(port),
        }
    }

    fn read(by: By, key: &Words) -> Option<Front> {
        let protocol = |word: [u8; 4]| [Protocol::Tcp, Protocol::Udp].into_iter().find(|p| p.number() == word[0]);
        let port = |word: [u8; 4]| u16::from_be_bytes([word[0], word[1]]);
        match (by, &key.words[..usize::from(key.length)]) {
            (By::Address, [ip, p, number]) => Some(Front::Address(Ipv4Addr::from(*ip), protocol(*p)?, port(*number))),
            (By::NodePort, [p, number]) => Some(Front::NodePort(protocol(*p)?, port(*number))),
            _ => None,
        }
    }
}

/// With which right a service has a front: nobody takes another's address by naming it as external.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Own,
    External,
}

/// What the kernel must do to come from one set to the next, as one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Chains that are needed for the first time.
    pub picks: Vec<Pick>,
    /// In order, before anything is added.
    pub delete: Vec<(Map, Words)>,
    pub add: Vec<(Map, Words, Value)>,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.add.is_empty()
    }
}

/// What the table holds: enough to say what the next set changes.
#[derive(Clone, Debug, Default)]
pub struct State {
    set: RuleSet,
    /// Who wants each front; the first has it.
    claims: BTreeSet<(Front, Claim, PortKey)>,
    /// Each port's backends in the order of their indices: one that goes changes one other's.
    slots: BTreeMap<PortKey, Vec<SocketAddrV4>>,
    /// Pods and how many ports have them behind them; with 0 those that are gone, for a while.
    pods: BTreeMap<Ipv4Addr, usize>,
    /// Those that are gone, the longest first, some of them back.
    gone: VecDeque<Ipv4Addr>,
    /// Chains that exist, by number. Some may no longer be needed: they cost nothing, and the next service of that size finds them.
    picks: BTreeMap<Pick, u32>,
}

impl State {
    pub fn set(&self) -> &RuleSet {
        &self.set
    }

    /// Everything that the table's maps hold, except what packets put there.
    pub fn elements(&self) -> Elements {
        let mut out = Elements::new();
        let fronts: BTreeSet<Front> = self.claims.iter().map(|(front, ..)| *front).collect();
        fronts.into_iter().for_each(|front| self.of_front(front, &mut out));
        self.pods.keys().for_each(|ip| out.extend([hairpin(*ip)]));
        self.picks
            .iter()
            .for_each(|(pick, number)| out.extend([((Map::Picks, Words::default().number(*number)), Value::Goto(pick.chain()))]));
        out
    }

    /// Does this element of [`Map::Affinity`] lead to a backend that is still behind its front?
    pub fn holds(&self, by: By, key: &Words, value: &Words) -> bool {
        let behind = Front::read(by, &key.after_first()).and_then(|front| self.behind(front));
        behind.is_some_and(|(rule, slots)| {
            rule.affinity_seconds.is_some() && ids(slots).iter().any(|id| Words::default().number(*id) == *value)
        })
    }

    /// Makes this the state of `new`, and says what that takes.
    pub fn advance(&mut self, new: &RuleSet) -> Difference {
        let old = self.set.clone();
        let changes: Vec<_> = old.changes_to(new).collect();
        let fronts: BTreeSet<Front> = changes.iter().flat_map(|c| [c.old, c.new]).flatten().flat_map(Front::all).map(|(f, _)| f).collect();
        let (mut before, mut after) = (Elements::new(), Elements::new());
        fronts.iter().for_each(|front| self.of_front(*front, &mut before));
        self.set = new.clone();
        let mut ips = BTreeMap::new();
        for change in &changes {
            for (front, claim) in change.old.into_iter().flat_map(Front::all) {
                self.claims.remove(&(front, claim, change.key.clone()));
            }
            for (front, claim) in change.new.into_iter().flat_map(Front::all) {
                self.claims.insert((front, claim, change.key.clone()));
            }
            self.seat(change.key, change.new.map(|rule| &rule.backends[..]).unwrap_or_default(), &mut ips);
        }
        self.bury(&mut ips);
        for (ip, was_there) in ips {
            let both = [(was_there, &mut before), (self.pods.contains_key(&ip), &mut after)];
            both.into_iter().filter(|(there, _)| *there).for_each(|(_, elements)| elements.extend([hairpin(ip)]));
        }
        let mut out = Difference::default();
        let needed: BTreeSet<Pick> = fronts.iter().filter_map(|front| self.pick(*front)).collect();
        for pick in needed {
            let next = u32::try_from(self.picks.len()).unwrap_or(u32::MAX).saturating_add(1);
            if let Entry::Vacant(vacant) = self.picks.entry(pick) {
                out.add.push((Map::Picks, Words::default().number(*vacant.insert(next)), Value::Goto(pick.chain())));
                out.picks.push(pick);
            }
        }
        fronts.iter().for_each(|front| self.of_front(*front, &mut after));
        out.delete.extend(before.iter().filter(|(key, value)| after.get(key) != Some(value)).map(|(key, _)| *key));
        let new = after.into_iter().filter(|(key, value)| before.get(key) != Some(value));
        out.add.extend(new.map(|((map, key), value)| (map, key, value)));
        out
    }

    /// Gives a port's backends their places. Whoever stays keeps its place; gaps are for newcomers, then for the last.
    fn seat(&mut self, key: &PortKey, backends: &[SocketAddrV4], ips: &mut BTreeMap<Ipv4Addr, bool>) {
        let mut slots = self.slots.remove(key).unwrap_or_default();
        let seated: BTreeSet<SocketAddrV4> = slots.iter().copied().collect();
        let mut newcomers = backends.iter().filter(|b| !seated.contains(b)).copied();
        for index in (0..slots.len()).rev() {
            if backends.binary_search(&slots[index]).is_ok() {
                continue;
            }
            self.count(*slots[index].ip(), false, ips);
            match newcomers.next() {
                Some(backend) => {
                    self.count(*backend.ip(), true, ips);
                    slots[index] = backend;
                }
                None => drop(slots.swap_remove(index)),
            }
        }
        for backend in newcomers {
            self.count(*backend.ip(), true, ips);
            slots.push(backend);
        }
        if !slots.is_empty() {
            self.slots.insert(key.clone(), slots);
        }
    }

    /// One port more or fewer has this pod behind it; notes whether it had been known.
    fn count(&mut self, ip: Ipv4Addr, more: bool, ips: &mut BTreeMap<Ipv4Addr, bool>) {
        ips.entry(ip).or_insert(self.pods.contains_key(&ip));
        let ports = self.pods.entry(ip).or_default();
        *ports = if more { *ports + 1 } else { ports.saturating_sub(1) };
        if *ports == 0 {
            self.gone.push_back(ip);
        }
    }

    /// Forgets pods that have been gone for so many others. At once would be too soon: a packet that was translated a
    /// moment ago has yet to pass the rule that asks for the pod; and what is kept does no harm.
    fn bury(&mut self, ips: &mut BTreeMap<Ipv4Addr, bool>) {
        while self.gone.len() > GONE_MAX {
            let Some(ip) = self.gone.pop_front() else { return };
            if self.pods.get(&ip) == Some(&0) && !self.gone.contains(&ip) {
                ips.entry(ip).or_insert(true);
                self.pods.remove(&ip);
            }
        }
    }

    /// The rule that has a front, and its backends in their places.
    fn behind(&self, front: Front) -> Option<(&ServiceRule, &[SocketAddrV4])> {
        let least = (front, Claim::Own, PortKey { namespace: String::new(), service: String::new(), port_name: String::new() });
        let (_, _, key) = self.claims.range(least..).next().filter(|(f, ..)| *f == front)?;
        Some((self.set.get(key)?, self.slots.get(key).map(Vec::as_slice).unwrap_or_default()))
    }

    fn pick(&self, front: Front) -> Option<Pick> {
        let (rule, slots) = self.behind(front).filter(|(_, slots)| !slots.is_empty())?;
        let backends = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        Some(Pick { by: front.by(), backends, sticky_seconds: rule.affinity_seconds.unwrap_or(0) })
    }

    fn of_front(&self, front: Front, out: &mut Elements) {
        let (by, key) = (front.by(), front.key());
        let Some((rule, slots)) = self.behind(front) else { return };
        let Some(number) = self.pick(front).and_then(|pick| self.picks.get(&pick)) else {
            out.insert((Map::Rejected(by), key), Value::Member);
            return;
        };
        out.insert((Map::Sizes(by), key), Value::Data(Words::default().number(*number)));
        for (index, backend) in (0..).zip(slots) {
            out.insert((Map::Backends(by), key.number(index)), Value::Data(Words::default().backend(*backend)));
        }
        if rule.affinity_seconds.is_some() {
            for ((index, backend), id) in (0..).zip(slots).zip(ids(slots)) {
                out.insert((Map::Ids(by), key.number(index)), Value::Data(Words::default().number(id)));
                out.insert((Map::Members(by), key.number(id)), Value::Data(Words::default().backend(*backend)));
            }
        }
    }
}

/// A number for each backend, that it has again after a restart and whatever happens to others: clients stick to it. It has
/// 16 bits, since a packet carries it for a moment where others carry the class of a queue, and no class has so little.
fn ids(slots: &[SocketAddrV4]) -> Vec<u32> {
    let mut sorted: Vec<(usize, &SocketAddrV4)> = slots.iter().enumerate().collect();
    sorted.sort_unstable_by_key(|(_, backend)| **backend);
    let (mut out, mut taken) = (vec![0; slots.len()], BTreeSet::new());
    for (index, backend) in sorted {
        let mixed = u32::from(*backend.ip()).wrapping_mul(31).wrapping_add(u32::from(backend.port())).wrapping_mul(0x9e37_79b1);
        let mut id = (mixed >> 16).max(1);
        while !taken.insert(id) && taken.len() < usize::from(u16::MAX) {
            id = id % u32::from(u16::MAX) + 1;
        }
        out[index] = id;
    }
    out
}

fn hairpin(ip: Ipv4Addr) -> ((Map, Words), Value) {
    ((Map::Hairpins, Words::default().address(ip).address(ip)), Value::Member)
}

#[cfg(test)]
mod tests;
