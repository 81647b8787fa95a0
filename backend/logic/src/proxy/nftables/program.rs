//! The chains and rules of a cluster's nftables table: what packets go through, the same for any number of services.
//!
//! What one lookup finds and another needs is carried in the packet's priority, as the only place that rules may write and
//! that means nothing yet: forwarding sets it anew, and only the first packet of a connection comes here at all. The
//! kernel could look up a result directly, but nft could neither read such a rule nor show it: version 1.0.6 dies of it.
use super::{By, Map, Pick};
use std::net::Ipv4Addr;

/// Just before everybody else's translation, Docker's in particular; the first to decide wins.
const BEFORE: i32 = -1;
const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_SRCNAT: i32 = 100;
const PRIORITY_FILTER: i32 = 0;

/// Packet mark that asks for masquerading and passage: the same bit as in iptables mode, where
/// `-m mark --mark 0x80000/0x80000 -j ACCEPT` lets it pass Docker's closed FORWARD chain.
const MARK: u32 = 0x80000;

/// What differs between clusters and hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// From [`super::table`].
    pub table: String,
    /// Set where bridged packets bypass the rules: traffic from this network (address, bits) back into it must be
    /// masqueraded, or the answers would take the short way over the bridge and never be translated back.
    pub masquerade_within: Option<(Ipv4Addr, u8)>,
}

/// Where the kernel enters a table; numbers as in `linux/netfilter.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainType {
    Nat,
    Filter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub name: String,
    /// `None`: only others lead there.
    pub base: Option<(ChainType, Hook, i32)>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Shown by `nft list ruleset`.
    pub comment: &'static str,
    pub steps: Vec<Step>,
}

/// A four-byte register, from 0 to 15.
pub type Register = u8;

/// One of the kernel's expressions. A step that finds nothing ends the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Source(Register),
    Destination(Register),
    /// Of the layer above IP.
    ProtocolTo(Register),
    DestinationPort(Register),
    /// Where the packet's destination is, seen from the routing table.
    DestinationTypeTo(Register),
    MarkTo(Register),
    SetMark(Register),
    PriorityTo(Register),
    SetPriority(Register),
    Number(Register, u32),
    ConnectionStateTo(Register),
    ConnectionStatusTo(Register),
    /// `register = (register & mask) ^ xor`, in the order of this machine.
    Bits {
        register: Register,
        mask: u32,
        xor: u32,
    },
    /// The same with network order.
    NetworkBits {
        register: Register,
        mask: u32,
    },
    Equal(Register, [u8; 4]),
    Unequal(Register, [u8; 4]),
    /// A number below.
    Random {
        below: u32,
        to: Register,
    },
    /// Is it a member?
    Member {
        map: Map,
        key: Register,
    },
    Lookup {
        map: Map,
        key: Register,
        to: Register,
    },
    /// Goes where the map says.
    Dispatch {
        map: Map,
        key: Register,
    },
    /// Remembers for a while; refreshes only the time if the key is there.
    Remember {
        map: Map,
        key: Register,
        value: Register,
        seconds: u32,
    },
    /// Ends what is remembered.
    Forget {
        map: Map,
        key: Register,
        value: Register,
    },
    TranslateTo {
        address: Register,
        port: Register,
    },
    Masquerade,
    /// ICMP port unreachable, which a connecting program sees as "connection refused".
    Refuse,
}

/// As the kernel numbers them: `linux/rtnetlink.h`, `linux/netfilter/nf_conntrack_common.h`.
const RTN_LOCAL: u32 = 2;
const STATE_NEW: u32 = 8;
const STATUS_DST_NAT: u32 = 1 << 5;

/// The chains that are always there.
pub fn base(options: &Options) -> Vec<Chain> {
    let nat =
        |name: &str, hook, priority: i32, rules| Chain { name: name.into(), base: Some((ChainType::Nat, hook, priority + BEFORE)), rules };
    let filter = |name: &str, hook| Chain {
        name: name.into(),
        base: Some((ChainType::Filter, hook, PRIORITY_FILTER + BEFORE)),
        rules: vec![refuse(By::Address), refuse(By::NodePort)],
    };
    let services = || vec![dispatch(By::Address), dispatch(By::NodePort)];
    vec![
        nat("prerouting", Hook::Prerouting, PRIORITY_DSTNAT, services()),
        nat("output", Hook::Output, PRIORITY_DSTNAT, services()),
        nat("postrouting", Hook::Postrouting, PRIORITY_SRCNAT, masquerade(options)),
        filter("refuse-input", Hook::Input),
        filter("refuse-forward", Hook::Forward),
        filter("refuse-output", Hook::Output),
    ]
}

/// A register that holds `mask` or nothing of it.
fn has(register: Register, load: Step, mask: u32) -> [Step; 3] {
    [load, Step::Bits { register, mask, xor: 0 }, Step::Unequal(register, [0; 4])]
}

/// Loads what a front's key is made of, from `register` on, and says which register follows.
fn front(by: By, register: Register, steps: &mut Vec<Step>) -> Register {
    let mut next = register;
    if by == By::Address {
        steps.push(Step::Destination(next));
        next += 1;
    }
    steps.extend([Step::ProtocolTo(next), Step::DestinationPort(next + 1)]);
    next + 2
}

/// Only addresses of this node, and none of loopback: the kernel takes no answer from elsewhere for such a source, and
/// what listens there is meant for the node alone (CVE-2020-8558).
fn on_node(by: By) -> Vec<Step> {
    match by {
        By::Address => Vec::new(),
        By::NodePort => vec![
            Step::DestinationTypeTo(0),
            Step::Equal(0, RTN_LOCAL.to_ne_bytes()),
            Step::Destination(0),
            Step::NetworkBits { register: 0, mask: 0xff00_0000 },
            Step::Unequal(0, [127, 0, 0, 0]),
        ],
    }
}

fn dispatch(by: By) -> Rule {
    let mut steps = on_node(by);
    front(by, 0, &mut steps);
    steps.extend([Step::Lookup { map: Map::Sizes(by), key: 0, to: 0 }, Step::SetPriority(0)]);
    // In the same rule, so that nobody else's priority leads anywhere.
    steps.extend([Step::PriorityTo(0), Step::Dispatch { map: Map::Picks, key: 0 }]);
    let comment = match by {
        By::Address => "services by address: how many backends, then the chain that picks one of so many",
        By::NodePort => "services by node port",
    };
    Rule { comment, steps }
}

fn refuse(by: By) -> Rule {
    let mut steps = has(0, Step::ConnectionStateTo(0), STATE_NEW).to_vec();
    if by == By::NodePort {
        steps.extend([Step::DestinationTypeTo(0), Step::Equal(0, RTN_LOCAL.to_ne_bytes())]);
    }
    front(by, 0, &mut steps);
    steps.extend([Step::Member { map: Map::Rejected(by), key: 0 }, Step::Refuse]);
    Rule { comment: "services without backends", steps }
}

fn masquerade(options: &Options) -> Vec<Rule> {
    let translated = || has(0, Step::ConnectionStatusTo(0), STATUS_DST_NAT).to_vec();
    let mut marked = has(0, Step::MarkTo(0), MARK).to_vec();
    marked.push(Step::Masquerade);
    let mut hairpin = translated();
    hairpin.extend([Step::Source(0), Step::Destination(1), Step::Member { map: Map::Hairpins, key: 0 }, Step::Masquerade]);
    let mut rules = vec![
        Rule { comment: "what came by a node port", steps: marked },
        Rule { comment: "a pod that meets itself behind a service would answer itself directly", steps: hairpin },
    ];
    if let Some((network, bits)) = options.masquerade_within {
        let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
        let within = (u32::from(network) & mask).to_be_bytes();
        let of = |load: Step| [load, Step::NetworkBits { register: 0, mask }, Step::Equal(0, within)];
        let mut steps = translated();
        steps.extend(of(Step::Source(0)));
        steps.extend(of(Step::Destination(0)));
        steps.push(Step::Masquerade);
        rules.push(Rule { comment: "the answer of a neighbour would take the short way over the bridge", steps });
    }
    rules
}

/// The chain that picks one of so many backends.
pub fn pick(pick: Pick) -> Chain {
    let by = pick.by;
    let mut rules = Vec::new();
    if by == By::NodePort {
        let steps = vec![Step::MarkTo(0), Step::Bits { register: 0, mask: !MARK, xor: MARK }, Step::SetMark(0)];
        rules.push(Rule { comment: "masquerade, and let pass", steps });
    }
    if pick.sticky_seconds > 0 {
        rules.extend(stick(pick));
    }
    rules.push(Rule { comment: "no longer needed", steps: vec![Step::Number(0, 0), Step::SetPriority(0)] });
    rules.push(Rule { comment: "one of so many", steps: translate(by, pick.backends) });
    // A packet may see the size of one moment and the backends of the next, and find no such index; the first is there.
    rules.push(Rule { comment: "the first, if the set has just shrunk", steps: translate(by, 1) });
    Chain { name: pick.chain(), base: None, rules }
}

/// Finds a place at random, and what a map has there, from register 0 on.
fn choose(by: By, below: u32, map: Map) -> Vec<Step> {
    let mut steps = Vec::new();
    let to = front(by, 0, &mut steps);
    steps.extend([Step::Random { below, to }, Step::Lookup { map, key: 0, to: 0 }]);
    steps
}

fn translate(by: By, below: u32) -> Vec<Step> {
    let mut steps = choose(by, below, Map::Backends(by));
    steps.push(Step::TranslateTo { address: 0, port: 1 });
    steps
}

/// A client that is known goes where it went, and its time begins anew; one whose backend is gone is a new one. When the
/// memory is full, it goes anywhere.
fn stick(pick: Pick) -> Vec<Rule> {
    let by = pick.by;
    let (map, key, value) = (Map::Affinity(by), 0, 4);
    let client = || {
        let mut steps = vec![Step::Source(key)];
        front(by, key + 1, &mut steps);
        steps
    };
    let carry = |mut steps: Vec<Step>| {
        steps.push(Step::SetPriority(0));
        steps
    };
    let with_id = |last: Step| {
        let mut steps = client();
        steps.extend([Step::PriorityTo(value), last]);
        steps
    };
    let go = || {
        let mut steps = Vec::new();
        let next = front(by, 0, &mut steps);
        steps.extend([Step::PriorityTo(next), Step::Lookup { map: Map::Members(by), key: 0, to: 0 }]);
        steps.push(Step::TranslateTo { address: 0, port: 1 });
        steps
    };
    let mut recall = client();
    recall.push(Step::Lookup { map, key, to: 0 });
    let choose = || Rule { comment: "the id of one of so many", steps: carry(choose(by, pick.backends, Map::Ids(by))) };
    let remember = |comment| Rule { comment, steps: with_id(Step::Remember { map, key, value, seconds: pick.sticky_seconds }) };
    vec![
        choose(),
        remember("a new client gets it, a known one its time anew"),
        Rule { comment: "what the client got", steps: carry(recall) },
        Rule { comment: "goes there", steps: go() },
        Rule { comment: "unless it is gone", steps: with_id(Step::Forget { map, key, value }) },
        choose(),
        remember("then it gets another"),
        Rule { comment: "and goes there", steps: go() },
    ]
}
