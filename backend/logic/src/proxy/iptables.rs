//! RuleSet → iptables chains, and the smallest `iptables-restore --noflush` input that leads from one state to the next.
//!
//! ```text
//! nat  PREROUTING,OUTPUT ─► PILOTHOUSE-TTTT-SERVICES ─► …-S-xxx ─► …-E-yyy (DNAT to one backend)
//!                                                   └─► …-NODEPORTS ─► …-S-xxx
//! nat  POSTROUTING       ─► …-POSTROUTING (masquerade what was marked)
//! filter FORWARD,OUTPUT,INPUT ─► …-REJECT (services without backends), …-FORWARD (let DNATed traffic pass)
//! ```
//! TTTT stands for the cluster, so that two on one host never touch each other's chains. Only chains with our prefix are
//! written; the jumps into them are the doer's (`node::proxy::iptables`).
use super::{PortKey, RuleSet, ServiceRule};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What the chains of every cluster start with.
pub const PREFIX_ANY: &str = "PILOTHOUSE-";
/// Packet mark that asks for masquerading; one bit, so that others' marks survive.
pub const MARK: &str = "0x80000/0x80000";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Nat,
    Filter,
}

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Table::Nat => "nat",
            Table::Filter => "filter",
        }
    }
}

/// Chain → its rules, each as iptables prints it after `-A CHAIN`.
pub type Chains = BTreeMap<(Table, String), Vec<String>>;

/// What the chains of one cluster start with; `cluster` is its id.
pub fn prefix(cluster: &str) -> String {
    format!("{PREFIX_ANY}{}-", short(cluster))
}

/// Four letters that stand for a cluster.
pub(super) fn short(cluster: &str) -> String {
    hash(&[cluster])[..4].to_string()
}

/// A jump from a built-in chain into one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jump {
    pub table: Table,
    pub from: &'static str,
    pub to: String,
    /// The match in front of the jump.
    pub matching: &'static str,
}

/// Where the base chains are hooked in.
pub fn jumps(prefix: &str) -> Vec<Jump> {
    const NEW: &str = "-m conntrack --ctstate NEW";
    let jump = |table, from, to, matching| Jump { table, from, to: format!("{prefix}{to}"), matching };
    vec![
        jump(Table::Nat, "PREROUTING", "SERVICES", ""),
        jump(Table::Nat, "OUTPUT", "SERVICES", ""),
        jump(Table::Nat, "POSTROUTING", "POSTROUTING", ""),
        jump(Table::Filter, "FORWARD", "FORWARD", ""),
        jump(Table::Filter, "FORWARD", "REJECT", NEW),
        jump(Table::Filter, "OUTPUT", "REJECT", NEW),
        jump(Table::Filter, "INPUT", "REJECT", NEW),
    ]
}

/// What nftables mode needs of iptables: Docker's closed FORWARD chain ends what no rule of its own table lets pass, and
/// an accept elsewhere does not change that. So what was marked is let pass where Docker would drop it.
pub fn passage(prefix: &str) -> (Vec<Jump>, Chains) {
    let chain = (Table::Filter, format!("{prefix}FORWARD"));
    let jumps = jumps(prefix).into_iter().filter(|jump| (jump.table, &jump.to) == (chain.0, &chain.1)).collect();
    (jumps, Chains::from([(chain, forward_rules())]))
}

/// What differs between clusters and hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// From [`prefix`].
    pub prefix: String,
    /// Set where bridged packets bypass iptables: traffic from this network back into it must be masqueraded, or the
    /// answers would take the short way over the bridge and never be translated back.
    pub masquerade_within: Option<String>,
}

/// The chains that serve the rule set.
pub fn chains(rules: &RuleSet, options: &Options) -> Chains {
    let mut out = Chains::new();
    for (key, rule) in rules.ports() {
        out.extend(chains_of_port(key, rule, options));
    }
    let mut postrouting = vec![format!("-m mark --mark {MARK} -j MASQUERADE")];
    if let Some(net) = &options.masquerade_within {
        postrouting.push(format!("-s {net} -d {net} -m conntrack --ctstate DNAT -j MASQUERADE"));
    }
    out.insert((Table::Nat, format!("{}POSTROUTING", options.prefix)), postrouting);
    out.insert((Table::Filter, format!("{}FORWARD", options.prefix)), forward_rules());
    out.extend(List::ALL.map(|list| (list.chain(options), list.rules(rules, options))));
    out
}

/// Docker drops what enters a bridge from elsewhere; what we sent from a node port to a pod must pass.
fn forward_rules() -> Vec<String> {
    vec![format!("-m mark --mark {MARK} -j ACCEPT")]
}

/// The chains in which every service has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Services,
    NodePorts,
    Reject,
}

impl List {
    const ALL: [List; 3] = [List::Services, List::NodePorts, List::Reject];

    fn chain(self, options: &Options) -> (Table, String) {
        let (table, name) = match self {
            List::Services => (Table::Nat, "SERVICES"),
            List::NodePorts => (Table::Nat, "NODEPORTS"),
            List::Reject => (Table::Filter, "REJECT"),
        };
        (table, format!("{}{name}", options.prefix))
    }

    fn rules(self, rules: &RuleSet, options: &Options) -> Vec<String> {
        let mut out = Vec::new();
        let all = |out: &mut Vec<String>, address: Address| {
            rules.ports().for_each(|(key, rule)| out.extend(self.of_port(key, rule, address, options)))
        };
        all(&mut out, Address::Cluster);
        // After all cluster addresses: nobody takes another's by naming it as external.
        all(&mut out, Address::External);
        if self == List::Services {
            // Last, since a node port is asked for only when no service address matched. On loopback it could not work:
            // the kernel takes no answer from elsewhere for such a source.
            out.push(format!("! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j {}NODEPORTS", options.prefix));
        }
        out
    }

    /// What one port has in this chain.
    fn of_port(self, key: &PortKey, rule: &ServiceRule, address: Address, options: &Options) -> Vec<String> {
        match (self, rule.backends.is_empty()) {
            (List::Services, false) => {
                let chain = service_chain_name(key, rule, options);
                address.of(rule).iter().map(|ip| format!("{} {} -j {chain}", destination(*ip, rule), comment(key))).collect()
            }
            (List::NodePorts, false) if rule.node_port != 0 && address == Address::Cluster => {
                let matching = format!("-p {p} -m {p} --dport {} {}", rule.node_port, comment(key), p = rule.protocol);
                let chain = service_chain_name(key, rule, options);
                vec![format!("{matching} -j MARK --set-xmark {MARK}"), format!("{matching} -j {chain}")]
            }
            (List::Reject, true) => reject_rules(key, rule, address),
            _ => Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    Cluster,
    External,
}

impl Address {
    fn of(self, rule: &ServiceRule) -> &[Ipv4Addr] {
        match self {
            Address::Cluster => std::slice::from_ref(&rule.cluster_ip),
            Address::External => &rule.external_ips,
        }
    }
}

fn destination(ip: Ipv4Addr, rule: &ServiceRule) -> String {
    format!("-d {ip}/32 -p {p} -m {p} --dport {}", rule.port, p = rule.protocol)
}

fn reject_rules(key: &PortKey, rule: &ServiceRule, address: Address) -> Vec<String> {
    let text = format!("-m comment --comment \"{}/{}:{} has no endpoints\"", key.namespace, key.service, key.port_name);
    let reject = "-j REJECT --reject-with icmp-port-unreachable";
    let mut out: Vec<String> = address.of(rule).iter().map(|ip| format!("{} {text} {reject}", destination(*ip, rule))).collect();
    if rule.node_port != 0 && address == Address::Cluster {
        let matching = format!("-p {p} -m {p} -m addrtype --dst-type LOCAL --dport {} {text}", rule.node_port, p = rule.protocol);
        out.push(format!("{matching} {reject}"));
    }
    out
}

fn service_chain_name(key: &PortKey, rule: &ServiceRule, options: &Options) -> String {
    format!("{}S-{}", options.prefix, hash(&[&key.namespace, &key.service, &key.port_name, rule.protocol.name()]))
}

/// The chains that are one port's alone.
fn chains_of_port(key: &PortKey, rule: &ServiceRule, options: &Options) -> Chains {
    let mut out = Chains::new();
    if rule.backends.is_empty() {
        return out;
    }
    let name = |backend: &SocketAddrV4| {
        let parts = [&key.namespace, &key.service, &key.port_name, rule.protocol.name(), &backend.to_string()];
        format!("{}E-{}", options.prefix, hash(&parts))
    };
    let endpoints: Vec<(String, &SocketAddrV4)> = rule.backends.iter().map(|backend| (name(backend), backend)).collect();
    let mut rules = Vec::new();
    if let Some(seconds) = rule.affinity_seconds {
        for (endpoint, _) in &endpoints {
            rules.push(format!("-m recent --name {endpoint} --rcheck --seconds {seconds} --reap -j {endpoint}"));
        }
    }
    for (i, (endpoint, _)) in endpoints.iter().enumerate() {
        match endpoints.len() - i {
            1 => rules.push(format!("-j {endpoint}")),
            left => rules.push(format!("-m statistic --mode random --probability {:.10} -j {endpoint}", 1.0 / left as f64)),
        }
    }
    for (endpoint, backend) in endpoints {
        let sticky = if rule.affinity_seconds.is_some() { format!("-m recent --name {endpoint} --set ") } else { String::new() };
        // A pod that meets itself behind a service must see another source, or it would answer itself directly.
        let rules = vec![
            format!("-s {}/32 -j MARK --set-xmark {MARK}", backend.ip()),
            format!("{sticky}-p {p} -m {p} -j DNAT --to-destination {backend}", p = rule.protocol),
        ];
        out.insert((Table::Nat, endpoint), rules);
    }
    out.insert((Table::Nat, service_chain_name(key, rule, options)), rules);
    out
}

/// Input for `iptables-restore --noflush` that leads from one set to the next; made at the cost of what differs.
pub fn change_input(old: &RuleSet, new: &RuleSet, options: &Options) -> Option<String> {
    let (mut before, mut after) = (Chains::new(), Chains::new());
    let mut lists = BTreeSet::new();
    for change in old.changes_to(new) {
        let chains = |rule: Option<&ServiceRule>| rule.map(|rule| chains_of_port(change.key, rule, options)).unwrap_or_default();
        before.extend(chains(change.old));
        after.extend(chains(change.new));
        for (index, list) in List::ALL.iter().enumerate() {
            let lines = |rule: Option<&ServiceRule>| {
                let of = |address| rule.map(|rule| list.of_port(change.key, rule, address, options)).unwrap_or_default();
                [of(Address::Cluster), of(Address::External)]
            };
            if lines(change.old) != lines(change.new) {
                lists.insert(index);
            }
        }
    }
    after.extend(lists.into_iter().map(|index| (List::ALL[index].chain(options), List::ALL[index].rules(new, options))));
    restore_input(&before, &after)
}

fn comment(key: &PortKey) -> String {
    let port = if key.port_name.is_empty() { String::new() } else { format!(":{}", key.port_name) };
    format!("-m comment --comment \"{}/{}{port}\"", key.namespace, key.service)
}

/// Ten base-32 characters of FNV-1a/64: chain names have at most 28 characters.
fn hash(parts: &[&str]) -> String {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    (0..10).map(|i| char::from(alphabet[(h >> (5 * i) & 31) as usize])).collect()
}

/// Input for `iptables-restore --noflush` that turns `old` into `new`, touching only chains that differ.
/// `None` when nothing differs. Each table is one atomic change.
pub fn restore_input(old: &Chains, new: &Chains) -> Option<String> {
    let mut text = String::new();
    for table in [Table::Nat, Table::Filter] {
        let (mut declare, mut rules, mut delete) = (String::new(), String::new(), String::new());
        for ((_, chain), wanted) in new.iter().filter(|((t, _), _)| *t == table) {
            if old.get(&(table, chain.clone())) != Some(wanted) {
                let _ = writeln!(declare, ":{chain} - [0:0]");
                for rule in wanted {
                    let _ = writeln!(rules, "-A {chain} {rule}");
                }
            }
        }
        for (_, chain) in old.keys().filter(|k| k.0 == table && !new.contains_key(k)) {
            // Emptied first: a chain that still jumps elsewhere would keep others alive.
            let _ = writeln!(declare, ":{chain} - [0:0]");
            let _ = writeln!(delete, "-X {chain}");
        }
        if !declare.is_empty() {
            let _ = write!(text, "*{}\n{declare}{rules}{delete}COMMIT\n", table.name());
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Protocol;
    use proptest::prelude::*;

    fn rule(ip: &str, backends: &[&str]) -> ServiceRule {
        ServiceRule {
            cluster_ip: ip.parse().unwrap(),
            external_ips: vec![],
            protocol: Protocol::Tcp,
            port: 27017,
            node_port: 0,
            affinity_seconds: None,
            backends: backends.iter().map(|b| b.parse().unwrap()).collect(),
        }
    }

    fn options() -> Options {
        Options { prefix: prefix("test"), masquerade_within: None }
    }

    fn set(entries: &[(&str, ServiceRule)]) -> RuleSet {
        let key = |name: &str| PortKey { namespace: "hack".into(), service: name.into(), port_name: String::new() };
        entries.iter().map(|(n, r)| (key(n), r.clone())).collect()
    }

    #[test]
    fn every_jump_leads_to_a_chain_that_exists() {
        let mut sticky = rule("172.30.0.5", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]);
        sticky.affinity_seconds = Some(60);
        sticky.node_port = 30001;
        let chains = chains(&set(&[("a", sticky), ("b", rule("172.30.0.6", &[]))]), &options());
        for ((table, _), rules) in &chains {
            for target in
                rules.iter().filter_map(|r| r.split("-j ").nth(1)).filter_map(|t| t.split(' ').next()).filter(|t| t.starts_with(PREFIX_ANY))
            {
                assert!(chains.contains_key(&(*table, target.to_string())), "{target}");
            }
        }
        assert!(chains.keys().all(|(_, c)| c.starts_with(&prefix("test")) && c.len() <= 28));
    }

    #[test]
    fn one_changed_endpoint_touches_only_its_own_chains() {
        let many: Vec<(String, ServiceRule)> =
            (0..100).map(|i| (format!("s{i}"), rule(&format!("172.30.1.{i}"), &["10.0.0.1:80", "10.0.0.2:80"]))).collect();
        let before: Vec<(&str, ServiceRule)> = many.iter().map(|(n, r)| (n.as_str(), r.clone())).collect();
        let mut after = before.clone();
        after[7].1.backends.pop();
        let (old, new) = (set(&before), set(&after));
        let input = change_input(&old, &new, &options()).unwrap();
        assert_eq!(Some(&input), restore_input(&chains(&old, &options()), &chains(&new, &options())).as_ref());
        assert_eq!(input.lines().filter(|l| l.starts_with(':')).count(), 2, "{input}");
        assert_eq!(input.lines().filter(|l| l.starts_with("-X")).count(), 1);
        assert_eq!(change_input(&new, &new.clone(), &options()), None);
    }

    #[test]
    fn a_service_without_backends_is_rejected_and_not_translated() {
        let chains = chains(&set(&[("a", rule("172.30.0.9", &[]))]), &options());
        let reject = &chains[&(Table::Filter, format!("{}REJECT", prefix("test")))];
        assert_eq!(reject.len(), 1);
        assert!(reject[0].contains("-d 172.30.0.9/32") && reject[0].contains("--dport 27017"));
        assert!(chains.keys().all(|(_, c)| !c.contains("-S-")));
    }

    #[test]
    fn an_external_address_takes_no_cluster_address() {
        let mut thief = rule("172.30.0.5", &["10.0.0.1:1"]);
        thief.external_ips = vec!["172.30.0.6".parse().unwrap()];
        let chains = chains(&set(&[("a", thief), ("z", rule("172.30.0.6", &["10.0.0.2:1"]))]), &options());
        let services = &chains[&(Table::Nat, format!("{}SERVICES", prefix("test")))];
        let first = services.iter().find(|rule| rule.contains("-d 172.30.0.6/32")).unwrap();
        assert!(first.contains("hack/z"), "{services:?}");
    }

    fn any_rule() -> impl Strategy<Value = ServiceRule> {
        let backends = prop::collection::btree_set((1..4u8, 1..3u16), 0..3);
        (1..3u8, prop::collection::vec(1..3u8, 0..2), any::<bool>(), 0..2u16, prop::option::of(Just(60)), backends).prop_map(
            |(ip, external, udp, node_port, affinity_seconds, backends)| ServiceRule {
                cluster_ip: Ipv4Addr::new(172, 30, 0, ip),
                external_ips: external.into_iter().map(|ip| Ipv4Addr::new(198, 51, 100, ip)).collect(),
                protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
                port: 80,
                node_port,
                affinity_seconds,
                backends: backends.into_iter().map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, ip), port)).collect(),
            },
        )
    }

    fn any_set() -> impl Strategy<Value = RuleSet> {
        let key = |index: u8| PortKey { namespace: "x".into(), service: format!("s{index}"), port_name: String::new() };
        prop::collection::btree_map(0..4u8, any_rule(), 0..4).prop_map(move |all| all.into_iter().map(|(i, rule)| (key(i), rule)).collect())
    }

    proptest! {
        /// What is computed from the differences is what comparing all chains gives.
        #[test]
        fn a_change_costs_less_and_says_the_same(old in any_set(), new in any_set()) {
            let whole = restore_input(&chains(&old, &options()), &chains(&new, &options()));
            prop_assert_eq!(change_input(&old, &new, &options()), whole);
        }
    }
}
