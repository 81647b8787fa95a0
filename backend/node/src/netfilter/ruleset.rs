//! Tables, chains, rules, maps and their elements as nftables' messages; numbers as in `linux/netfilter/nf_tables.h`.
use super::attribute::{self, Message};
use super::{CREATE, EXCLUSIVE, NFTABLES, Netfilter, NetfilterError, Result};
use logic::proxy::nftables::program::{Chain, ChainType, Rule, Step};
use logic::proxy::nftables::{By, Elements, Map, Value, Words};

const NEW_TABLE: u8 = 0;
const GET_TABLE: u8 = 1;
const DELETE_TABLE: u8 = 2;
const NEW_CHAIN: u8 = 3;
const GET_CHAIN: u8 = 4;
const NEW_RULE: u8 = 6;
const GET_RULE: u8 = 7;
const NEW_SET: u8 = 9;
const NEW_ELEMENTS: u8 = 12;
const GET_ELEMENTS: u8 = 13;
const DELETE_ELEMENTS: u8 = 14;
const GET_GENERATION: u8 = 16;

/// An attribute, and so the list of elements in one message, has at most 64 KiB.
const ELEMENTS_BYTES_MAX: usize = 60_000;
/// Clients that stick to backends at the same time; beyond them, new ones are balanced anew each time.
const AFFINITY_MAX: u32 = 65_536;

const ADD_RULE_AT_END: u16 = 0x800;

/// An element of a map that packets fill.
pub(crate) struct Remembered {
    pub(crate) key: Words,
    pub(crate) value: Words,
    pub(crate) timeout_ms: u64,
    pub(crate) left_ms: u64,
}

/// Makes the table exist.
pub(crate) fn add_table(table: &str) -> Message {
    let mut m = Message::new(NFTABLES, NEW_TABLE, CREATE);
    m.text(1, table);
    m
}

pub(crate) fn delete_table(table: &str) -> Message {
    let mut m = Message::new(NFTABLES, DELETE_TABLE, 0);
    m.text(1, table);
    m
}

pub(crate) fn add_chain(table: &str, chain: &Chain) -> Message {
    let mut m = Message::new(NFTABLES, NEW_CHAIN, CREATE | EXCLUSIVE);
    m.text(1, table);
    m.text(3, &chain.name);
    if let Some((kind, hook, priority)) = chain.base {
        m.nest(4, |m| {
            m.number(1, hook as u32);
            m.bytes(2, &priority.to_be_bytes());
        });
        m.text(7, if kind == ChainType::Nat { "nat" } else { "filter" });
    }
    m
}

pub(crate) fn add_rule(table: &str, chain: &str, rule: &Rule) -> Message {
    let mut m = Message::new(NFTABLES, NEW_RULE, CREATE | ADD_RULE_AT_END);
    m.text(1, table);
    m.text(2, chain);
    m.nest(4, |m| rule.steps.iter().for_each(|step| expression(m, step)));
    // As nft keeps comments: kind, length, text.
    let mut comment = vec![0, u8::try_from(rule.comment.len() + 1).unwrap_or(u8::MAX)];
    comment.extend(rule.comment.bytes().take(usize::from(u8::MAX) - 1).chain([0]));
    m.bytes(7, &comment);
    m
}

/// Type numbers of nft, by which it shows elements: six bits for each word.
fn shown(words: &[u32]) -> u32 {
    words.iter().fold(0, |all, word| all << 6 | word)
}

const ADDRESS: u32 = 7;
const PROTOCOL: u32 = 12;
const SERVICE: u32 = 13;
const INTEGER: u32 = 4;
const CLASS: u32 = 23;
const VERDICT: u32 = 0xffff_ff00;

const IS_MAP: u32 = 8;
const HAS_TIMEOUT: u32 = 0x10;
const BY_PACKETS: u32 = 0x20;

/// The words of a map's key and value.
fn form(map: Map) -> (Vec<u32>, Vec<u32>) {
    let front = |by: By| if by == By::Address { vec![ADDRESS, PROTOCOL, SERVICE] } else { vec![PROTOCOL, SERVICE] };
    let backend = vec![ADDRESS, SERVICE];
    match map {
        Map::Sizes(by) => (front(by), vec![CLASS]),
        Map::Picks => (vec![CLASS], vec![VERDICT]),
        Map::Backends(by) => ([front(by), vec![INTEGER]].concat(), backend),
        Map::Ids(by) => ([front(by), vec![INTEGER]].concat(), vec![CLASS]),
        Map::Members(by) => ([front(by), vec![CLASS]].concat(), backend),
        Map::Affinity(by) => ([vec![ADDRESS], front(by)].concat(), vec![CLASS]),
        Map::Hairpins => (vec![ADDRESS, ADDRESS], vec![]),
        Map::Rejected(by) => (front(by), vec![]),
    }
}

/// What nft keeps beside a map to show it as it was written, byte for byte: whether key and value are in the order of this
/// machine; and, since a random number has no type of its own, from which expressions such a key is made:
/// `typeof ip daddr . meta l4proto . th dport . numgen random mod 2`.
fn shown_as(map: Map) -> Option<Vec<u8>> {
    const KEY: &str = "036000040d00000001580014000407000000010c00040c00000001040c000000010e000409000000010600041000000002\
        14000407000000010c00040b000000010402000000031a0004170000000112000401000000010402000000020400000000";
    const NODE_KEY: &str = "034a00040d0000000142000e00040900000001060004100000000114000407000000010c00040b00000001040200000002\
        1a0004170000000112000401000000010402000000020400000000";
    const BACKEND: &str = "043400040d000000012c0014000407000000010c00040c00000001040c0000000114000407000000010c00040b000000010402000000";
    const PRIORITY: &str = "040e0004090000000106000402000000";
    const KEY_IS_OURS: [&str; 2] = ["000400000000", "000401000000"];
    const VALUE_IS_OURS: [&str; 2] = ["010400000000", "010401000000"];
    let key = |by| if by == By::Address { KEY } else { NODE_KEY };
    let parts = match map {
        Map::Sizes(_) | Map::Affinity(_) => vec![KEY_IS_OURS[0], VALUE_IS_OURS[1]],
        Map::Picks => vec![KEY_IS_OURS[1], VALUE_IS_OURS[0]],
        Map::Backends(by) => vec![KEY_IS_OURS[0], VALUE_IS_OURS[0], key(by), BACKEND, "060400000000"],
        Map::Ids(by) => vec![KEY_IS_OURS[0], VALUE_IS_OURS[1], key(by), PRIORITY, "060400000000"],
        Map::Members(_) | Map::Hairpins | Map::Rejected(_) => return None,
    };
    let text = parts.concat();
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

pub(crate) fn add_map(table: &str, map: Map, id: u32) -> Message {
    let (key, value) = form(map);
    let bytes = |words: &[u32]| u32::try_from(words.len() * 4).unwrap_or(u32::MAX);
    let by_packets = matches!(map, Map::Affinity(_));
    let mut m = Message::new(NFTABLES, NEW_SET, CREATE | EXCLUSIVE);
    m.text(1, table);
    m.text(2, map.name());
    m.number(3, if value.is_empty() { 0 } else { IS_MAP } | if by_packets { HAS_TIMEOUT | BY_PACKETS } else { 0 });
    m.number(4, shown(&key));
    m.number(5, bytes(&key));
    if value == [VERDICT] {
        m.number(6, VERDICT);
    } else if !value.is_empty() {
        m.number(6, shown(&value));
        m.number(7, bytes(&value));
    }
    if by_packets {
        m.nest(9, |m| m.number(1, AFFINITY_MAX));
    }
    m.number(10, id);
    shown_as(map).into_iter().for_each(|bytes| m.bytes(13, &bytes));
    m
}

fn value_of(m: &mut Message, value: &Value) {
    match value {
        Value::Member => {}
        Value::Data(words) => m.nest(2, |m| m.bytes(1, words.bytes())),
        Value::Goto(chain) => m.nest(2, |m| {
            m.nest(2, |m| {
                m.bytes(1, &(-4_i32).to_be_bytes());
                m.text(2, chain);
            });
        }),
    }
}

/// As few messages as hold the elements, of one map each, in the order given.
fn in_groups<T>(table: &str, kind: u8, flags: u16, all: &[T], map: impl Fn(&T) -> Map, write: impl Fn(&mut Message, &T)) -> Vec<Message> {
    let mut out = Vec::new();
    let mut rest = all.iter().peekable();
    while let Some(first) = rest.peek() {
        let of = map(first);
        let mut m = Message::new(NFTABLES, kind, flags);
        m.text(1, table);
        m.text(2, of.name());
        m.nest(3, |m| {
            while m.len() < ELEMENTS_BYTES_MAX
                && let Some(element) = rest.next_if(|e| map(e) == of)
            {
                m.nest(1, |m| write(m, element));
            }
        });
        out.push(m);
    }
    out
}

pub(crate) fn add_elements(table: &str, all: &[(Map, Words, Value)]) -> Vec<Message> {
    in_groups(
        table,
        NEW_ELEMENTS,
        CREATE | EXCLUSIVE,
        all,
        |e| e.0,
        |m, (_, key, value)| {
            m.nest(1, |m| m.bytes(1, key.bytes()));
            value_of(m, value);
        },
    )
}

pub(crate) fn delete_elements(table: &str, all: &[(Map, Words)]) -> Vec<Message> {
    in_groups(table, DELETE_ELEMENTS, 0, all, |e| e.0, |m, (_, key)| m.nest(1, |m| m.bytes(1, key.bytes())))
}

pub(crate) fn remember(table: &str, map: Map, all: &[Remembered]) -> Vec<Message> {
    in_groups(
        table,
        NEW_ELEMENTS,
        CREATE,
        all,
        |_| map,
        |m, e| {
            m.nest(1, |m| m.bytes(1, e.key.bytes()));
            m.nest(2, |m| m.bytes(1, e.value.bytes()));
            m.long(4, e.timeout_ms);
            m.long(5, e.left_ms);
        },
    )
}

fn expression(m: &mut Message, step: &Step) {
    // The registers of four bytes come after the four of sixteen.
    let register = |r: u8| u32::from(r) + 8;
    let mut add = |name: &str, fill: &dyn Fn(&mut Message)| {
        m.nest(1, |m| {
            m.text(1, name);
            m.nest(2, |m| fill(m));
        });
    };
    let numbers = |m: &mut Message, all: &[(u16, u32)]| all.iter().for_each(|(number, value)| m.number(*number, *value));
    let payload = |to: u8, base: u32, offset: u32, length: u32| {
        move |m: &mut Message| numbers(m, &[(1, register(to)), (2, base), (3, offset), (4, length)])
    };
    let bits = |at: u8, mask: [u8; 4], xor: [u8; 4]| {
        move |m: &mut Message| {
            numbers(m, &[(1, register(at)), (2, register(at)), (3, 4)]);
            m.nest(4, |m| m.bytes(1, &mask));
            m.nest(5, |m| m.bytes(1, &xor));
        }
    };
    let compare = |at: u8, operation: u32, value: [u8; 4]| {
        move |m: &mut Message| {
            numbers(m, &[(1, register(at)), (2, operation)]);
            m.nest(3, |m| m.bytes(1, &value));
        }
    };
    let lookup = |map: Map, key: u8, to: Option<u32>| {
        move |m: &mut Message| {
            m.text(1, map.name());
            m.number(2, register(key));
            to.into_iter().for_each(|to| m.number(3, to));
        }
    };
    match *step {
        Step::Source(to) => add("payload", &payload(to, 1, 12, 4)),
        Step::Destination(to) => add("payload", &payload(to, 1, 16, 4)),
        Step::DestinationPort(to) => add("payload", &payload(to, 2, 2, 2)),
        Step::ProtocolTo(to) => add("meta", &|m| numbers(m, &[(1, register(to)), (2, 16)])),
        Step::MarkTo(to) => add("meta", &|m| numbers(m, &[(1, register(to)), (2, 3)])),
        Step::SetMark(from) => add("meta", &|m| numbers(m, &[(3, register(from)), (2, 3)])),
        Step::PriorityTo(to) => add("meta", &|m| numbers(m, &[(1, register(to)), (2, 2)])),
        Step::SetPriority(from) => add("meta", &|m| numbers(m, &[(3, register(from)), (2, 2)])),
        Step::Number(to, number) => add("immediate", &|m| {
            m.number(1, register(to));
            m.nest(2, |m| m.bytes(1, &number.to_ne_bytes()));
        }),
        Step::DestinationTypeTo(to) => add("fib", &|m| numbers(m, &[(1, register(to)), (2, 3), (3, 2)])),
        Step::ConnectionStateTo(to) => add("ct", &|m| numbers(m, &[(1, register(to)), (2, 0)])),
        Step::ConnectionStatusTo(to) => add("ct", &|m| numbers(m, &[(1, register(to)), (2, 2)])),
        Step::Bits { register: at, mask, xor } => add("bitwise", &bits(at, mask.to_ne_bytes(), xor.to_ne_bytes())),
        Step::NetworkBits { register: at, mask } => add("bitwise", &bits(at, mask.to_be_bytes(), [0; 4])),
        Step::Equal(at, value) => add("cmp", &compare(at, 0, value)),
        Step::Unequal(at, value) => add("cmp", &compare(at, 1, value)),
        Step::Random { below, to } => add("numgen", &|m| numbers(m, &[(1, register(to)), (2, below), (3, 1), (4, 0)])),
        Step::Member { map, key } => add("lookup", &lookup(map, key, None)),
        Step::Lookup { map, key, to } => add("lookup", &lookup(map, key, Some(register(to)))),
        Step::Dispatch { map, key } => add("lookup", &lookup(map, key, Some(0))),
        Step::Remember { map, key, value, seconds } => add("dynset", &|m| {
            m.text(1, map.name());
            numbers(m, &[(3, 1), (4, register(key)), (5, register(value))]);
            m.long(6, u64::from(seconds) * 1000);
        }),
        Step::Forget { map, key, value } => add("dynset", &|m| {
            m.text(1, map.name());
            numbers(m, &[(3, 2), (4, register(key)), (5, register(value))]);
        }),
        Step::TranslateTo { address, port } => add("nat", &|m| numbers(m, &[(1, 1), (2, 2), (3, register(address)), (5, register(port))])),
        Step::Masquerade => add("masq", &|_| {}),
        Step::Refuse => add("reject", &|m| {
            m.number(1, 0);
            m.bytes(2, &[3]);
        }),
    }
}

impl Netfilter {
    /// Which transaction of anybody's was the last one.
    pub(crate) fn generation(&mut self) -> Result<u32> {
        let answer = self.ask(Message::new(NFTABLES, GET_GENERATION, 0))?;
        let id = attribute::find(&answer, &[1]).and_then(|b| b.first_chunk::<4>()).ok_or(NetfilterError::Garbled)?;
        Ok(u32::from_be_bytes(*id))
    }

    /// The names of all IPv4 tables.
    pub(crate) fn tables(&mut self) -> Result<Vec<String>> {
        let all = self.dump(&Message::new(NFTABLES, GET_TABLE, 0))?;
        Ok(all.iter().filter_map(|table| attribute::find(table, &[1])).map(name).collect())
    }

    /// Chains and rules of a table, such that equal ones mean that nobody touched them.
    pub(crate) fn structure(&mut self, table: &str) -> Result<Vec<Vec<u8>>> {
        let mut rules = Message::new(NFTABLES, GET_RULE, 0);
        rules.text(1, table);
        let mut found = self.dump(&rules)?;
        for chain in self.dump(&Message::new(NFTABLES, GET_CHAIN, 0))? {
            // Without what counts who refers to it.
            if attribute::find(&chain, &[1]).map(name).as_deref() == Some(table) {
                found.push([3, 4, 5].iter().filter_map(|number| attribute::find(&chain, &[*number])).flatten().copied().collect());
            }
        }
        Ok(found)
    }

    fn raw_elements(&mut self, table: &str, map: Map, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut question = Message::new(NFTABLES, GET_ELEMENTS, 0);
        question.text(1, table);
        question.text(2, map.name());
        for message in self.dump(&question)? {
            let list = attribute::find(&message, &[3]).unwrap_or_default();
            attribute::read(list).for_each(|(_, element)| each(element));
        }
        Ok(())
    }

    /// What a map holds.
    pub(crate) fn elements(&mut self, table: &str, map: Map, into: &mut Elements) -> Result<()> {
        self.raw_elements(table, map, |element| {
            let words = |path: &[u16]| attribute::find(element, path).and_then(Words::read);
            let Some(key) = words(&[1, 1]) else { return };
            let value = match (words(&[2, 1]), attribute::find(element, &[2, 2, 2])) {
                (Some(data), _) => Value::Data(data),
                (None, Some(chain)) => Value::Goto(name(chain)),
                (None, None) => Value::Member,
            };
            into.insert((map, key), value);
        })
    }

    /// Which clients stick to which backends.
    pub(crate) fn remembered(&mut self, table: &str, map: Map) -> Result<Vec<Remembered>> {
        let mut found = Vec::new();
        self.raw_elements(table, map, |element| {
            let words = |path: &[u16]| attribute::find(element, path).and_then(Words::read);
            let long = |number: u16| attribute::find(element, &[number]).and_then(|b| b.first_chunk::<8>()).map(|b| u64::from_be_bytes(*b));
            if let (Some(key), Some(value), Some(timeout_ms), Some(left_ms)) = (words(&[1, 1]), words(&[2, 1]), long(4), long(5)) {
                found.push(Remembered { key, value, timeout_ms, left_ms });
            }
        })?;
        Ok(found)
    }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string()
}
