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
use std::collections::BTreeMap;
use std::fmt::Write;

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
    format!("{PREFIX_ANY}{}-", &hash(&[cluster])[..4])
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
    let prefix = &options.prefix;
    let mut out = Chains::new();
    let mut services = Vec::new();
    let mut node_ports = Vec::new();
    let mut reject = Vec::new();
    for (key, rule) in &rules.ports {
        if rule.backends.is_empty() {
            reject_rules(key, rule, &mut reject);
            continue;
        }
        let chain = format!("{prefix}S-{}", hash(&[&key.namespace, &key.service, &key.port_name, &rule.protocol]));
        for destination in std::iter::once(&rule.cluster_ip).chain(&rule.external_ips) {
            services.push(format!(
                "-d {destination}/32 -p {p} -m {p} --dport {} {} -j {chain}",
                rule.port,
                comment(key),
                p = rule.protocol
            ));
        }
        if rule.node_port != 0 {
            let matching = format!("-p {p} -m {p} --dport {} {}", rule.node_port, comment(key), p = rule.protocol);
            node_ports.push(format!("{matching} -j MARK --set-xmark {MARK}"));
            node_ports.push(format!("{matching} -j {chain}"));
        }
        service_chain(&mut out, prefix, &chain, key, rule);
    }
    // Last, since a node port is asked for only when no service address matched.
    services.push(format!("-m addrtype --dst-type LOCAL -j {prefix}NODEPORTS"));
    let mut postrouting = vec![format!("-m mark --mark {MARK} -j MASQUERADE")];
    if let Some(net) = &options.masquerade_within {
        postrouting.push(format!("-s {net} -d {net} -m conntrack --ctstate DNAT -j MASQUERADE"));
    }
    out.insert((Table::Nat, format!("{prefix}SERVICES")), services);
    out.insert((Table::Nat, format!("{prefix}NODEPORTS")), node_ports);
    out.insert((Table::Nat, format!("{prefix}POSTROUTING")), postrouting);
    out.insert((Table::Filter, format!("{prefix}REJECT")), reject);
    out.insert((Table::Filter, format!("{prefix}FORWARD")), forward_rules());
    out
}

/// Docker drops what enters a bridge from elsewhere; what we sent from a node port to a pod must pass.
fn forward_rules() -> Vec<String> {
    vec![format!("-m mark --mark {MARK} -j ACCEPT")]
}

fn reject_rules(key: &PortKey, rule: &ServiceRule, out: &mut Vec<String>) {
    let text = format!("-m comment --comment \"{}/{}:{} has no endpoints\"", key.namespace, key.service, key.port_name);
    for destination in std::iter::once(&rule.cluster_ip).chain(&rule.external_ips) {
        out.push(format!(
            "-d {destination}/32 -p {p} -m {p} --dport {} {text} -j REJECT --reject-with icmp-port-unreachable",
            rule.port,
            p = rule.protocol
        ));
    }
    if rule.node_port != 0 {
        let matching = format!("-p {p} -m {p} -m addrtype --dst-type LOCAL --dport {} {text}", rule.node_port, p = rule.protocol);
        out.push(format!("{matching} -j REJECT --reject-with icmp-port-unreachable"));
    }
}

fn service_chain(out: &mut Chains, prefix: &str, chain: &str, key: &PortKey, rule: &ServiceRule) {
    let endpoints: Vec<(String, &String)> = rule
        .backends
        .iter()
        .map(|backend| (format!("{prefix}E-{}", hash(&[&key.namespace, &key.service, &key.port_name, &rule.protocol, backend])), backend))
        .collect();
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
        let ip = backend.split(':').next().unwrap_or_default();
        let sticky = if rule.affinity_seconds.is_some() { format!("-m recent --name {endpoint} --set ") } else { String::new() };
        // A pod that meets itself behind a service must see another source, or it would answer itself directly.
        let rules = vec![
            format!("-s {ip}/32 -j MARK --set-xmark {MARK}"),
            format!("{sticky}-p {p} -m {p} -j DNAT --to-destination {backend}", p = rule.protocol),
        ];
        out.insert((Table::Nat, endpoint), rules);
    }
    out.insert((Table::Nat, chain.to_string()), rules);
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

    fn rule(ip: &str, backends: &[&str]) -> ServiceRule {
        ServiceRule {
            cluster_ip: ip.into(),
            external_ips: vec![],
            protocol: "tcp".into(),
            port: 27017,
            node_port: 0,
            affinity_seconds: None,
            backends: backends.iter().map(ToString::to_string).collect(),
        }
    }

    fn options() -> Options {
        Options { prefix: prefix("test"), masquerade_within: None }
    }

    fn set(entries: &[(&str, ServiceRule)]) -> RuleSet {
        let key = |name: &str| PortKey { namespace: "hack".into(), service: name.into(), port_name: String::new() };
        RuleSet { ports: entries.iter().map(|(n, r)| (key(n), r.clone())).collect() }
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
        let (old, new) = (chains(&set(&before), &options()), chains(&set(&after), &options()));
        let input = restore_input(&old, &new).unwrap();
        assert_eq!(input.lines().filter(|l| l.starts_with(':')).count(), 2, "{input}");
        assert_eq!(input.lines().filter(|l| l.starts_with("-X")).count(), 1);
        assert_eq!(restore_input(&new, &new), None);
    }

    #[test]
    fn a_service_without_backends_is_rejected_and_not_translated() {
        let chains = chains(&set(&[("a", rule("172.30.0.9", &[]))]), &options());
        let reject = &chains[&(Table::Filter, format!("{}REJECT", prefix("test")))];
        assert_eq!(reject.len(), 1);
        assert!(reject[0].contains("-d 172.30.0.9/32") && reject[0].contains("--dport 27017"));
        assert!(chains.keys().all(|(_, c)| !c.contains("-S-")));
    }
}
