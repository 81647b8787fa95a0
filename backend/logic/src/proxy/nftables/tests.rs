//! Tests of the differences: complete, small, and right when services contest an address.
use super::*;
use proptest::prelude::*;

fn key(name: &str) -> PortKey {
    PortKey { namespace: "x".into(), service: name.into(), port_name: String::new() }
}

fn rule(ip: u8, backends: &[(u8, u16)]) -> ServiceRule {
    ServiceRule {
        cluster_ip: Ipv4Addr::new(172, 30, 0, ip),
        external_ips: vec![],
        protocol: Protocol::Tcp,
        port: 80,
        node_port: 0,
        affinity_seconds: None,
        backends: backends.iter().map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, *ip), *port)).collect(),
    }
}

fn set(rules: &[(&str, ServiceRule)]) -> RuleSet {
    rules.iter().map(|(name, rule)| (key(name), rule.clone())).collect()
}

/// Does to a table what the kernel would, and refuses what it would refuse.
fn perform(table: &mut Elements, difference: &Difference) {
    for key in &difference.delete {
        assert!(table.remove(key).is_some(), "{key:?} is not there");
    }
    for (map, key, value) in &difference.add {
        assert!(table.insert((*map, *key), value.clone()).is_none(), "{map:?} {key:?} is there already");
    }
}

#[test]
fn a_change_costs_what_changes_however_many_backends_there_are() {
    let many: Vec<(u8, u16)> = (1..200).map(|ip| (ip, 80)).collect();
    let mut state = State::default();
    state.advance(&set(&[("a", rule(1, &many)), ("b", rule(2, &many))]));
    let mut fewer = many.clone();
    fewer.remove(3);
    let difference = state.advance(&set(&[("a", rule(1, &fewer)), ("b", rule(2, &many))]));
    // The gap is filled by the last one: two places and the size.
    assert_eq!(difference.picks.len(), 1, "the first of so many");
    let (deleted, added) = (difference.delete.len(), difference.add.len());
    assert!(deleted <= 5 && added <= 4, "places, size, hairpin: {difference:?}");
    let mut moved = fewer;
    moved[0].1 = 81;
    let difference = state.advance(&set(&[("a", rule(1, &moved)), ("b", rule(2, &many))]));
    assert_eq!((difference.delete.len(), difference.add.len()), (1, 1), "one place, whose pod is the same");
    assert_eq!(state.advance(&state.set().clone()), Difference::default());
}

#[test]
fn own_addresses_win_over_external_ones_and_the_loser_gets_it_afterwards() {
    let mut thief = rule(1, &[(1, 1)]);
    thief.external_ips = vec![Ipv4Addr::new(172, 30, 0, 2)];
    let mut state = State::default();
    state.advance(&set(&[("a", thief.clone()), ("z", rule(2, &[(2, 2)]))]));
    let front = Front::Address(Ipv4Addr::new(172, 30, 0, 2), Protocol::Tcp, 80);
    let first = |state: &State| state.elements().get(&(Map::Backends(By::Address), front.key().number(0))).cloned();
    let backend = |ip, port| Some(Value::Data(Words::default().backend(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, ip), port))));
    assert_eq!(first(&state), backend(2, 2));
    state.advance(&set(&[("a", thief)]));
    assert_eq!(first(&state), backend(1, 1));
}

#[test]
fn clients_stick_to_ids_that_outlive_restarts_and_others() {
    let sticky = |backends| ServiceRule { affinity_seconds: Some(60), ..rule(1, backends) };
    let front = Front::Address(Ipv4Addr::new(172, 30, 0, 1), Protocol::Tcp, 80);
    let client = Words::read(&[&[192, 0, 2, 1], front.key().bytes()].concat()).unwrap();
    let id_of = |state: &State, host: u8| {
        let backend = Value::Data(Words::default().backend(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), u16::from(host))));
        let found = state.elements().into_iter().find(|((map, _), value)| *map == Map::Members(By::Address) && *value == backend);
        found.map(|((_, key), _)| Words::read(&key.bytes()[12..]).unwrap())
    };
    let mut state = State::default();
    state.advance(&set(&[("a", sticky(&[(1, 1), (2, 2), (3, 3)]))]));
    let two = id_of(&state, 2).unwrap();
    assert!(state.holds(By::Address, &client, &two) && !state.holds(By::NodePort, &client, &two));
    state.advance(&set(&[("a", sticky(&[(2, 2), (4, 4)]))]));
    assert_eq!(id_of(&state, 2), Some(two));
    let mut restarted = State::default();
    restarted.advance(state.set());
    assert_eq!(id_of(&restarted, 2), Some(two));
    state.advance(&set(&[("a", sticky(&[(4, 4)]))]));
    assert!(!state.holds(By::Address, &client, &two));
    // Ids are numbers below every queue's class, and no two backends of a service share one.
    let many: Vec<SocketAddrV4> = (0..5000).map(|i| SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + i), 80)).collect();
    let all = ids(&many);
    assert!(all.iter().all(|id| (1..=0xffff).contains(id)));
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), many.len());
}

#[test]
fn registers_do_not_overlap_what_is_still_needed() {
    let options = program::Options { table: table("t"), masquerade_within: Some((Ipv4Addr::new(172, 17, 0, 0), 16)) };
    let sticky = Pick { by: By::Address, backends: 3, sticky_seconds: 60 };
    let mut chains = program::base(&options);
    chains.extend([program::pick(sticky), program::pick(Pick { by: By::NodePort, ..sticky })]);
    for rule in chains.iter().flat_map(|c| &c.rules) {
        let sets = rule.steps.iter().filter(|s| matches!(s, program::Step::SetPriority(_))).count();
        let ends =
            |step: &program::Step| matches!(step, program::Step::TranslateTo { .. } | program::Step::Masquerade | program::Step::Refuse);
        let decided = rule.steps.iter().position(ends);
        assert!(decided.is_none_or(|at| at + 1 == rule.steps.len()), "{}: nothing follows a decision", rule.comment);
        assert!(sets <= 1 && rule.comment.len() < 128);
    }
    assert_eq!(options.table.len(), "pilothouse-".len() + 4);
    assert_eq!(sticky.chain(), "pick-3-sticky-60");
}

#[test]
fn pods_that_are_gone_are_known_for_a_while_and_then_forgotten() {
    let mut state = State::default();
    state.advance(&set(&[("a", rule(1, &[(1, 80)]))]));
    let knows = |state: &State, ip: Ipv4Addr| state.elements().contains_key(&hairpin(ip).0);
    let first = Ipv4Addr::new(10, 0, 0, 1);
    let with = |ip: Ipv4Addr| {
        let backends = vec![SocketAddrV4::new(ip, 80)];
        set(&[("a", ServiceRule { backends, ..rule(1, &[]) })])
    };
    let mut table = state.elements();
    let next = |n: usize| Ipv4Addr::from(0x0a01_0000 + u32::try_from(n).unwrap());
    for n in 0..3 * GONE_MAX {
        perform(&mut table, &state.advance(&with(next(n))));
        assert_eq!(knows(&state, first), n < GONE_MAX, "{n}");
    }
    assert_eq!(table, state.elements());
    assert!(state.pods.len() <= GONE_MAX + 1 && state.gone.len() <= GONE_MAX);
    // One that goes and comes is never taken for gone.
    for n in 0..3 * GONE_MAX {
        perform(&mut table, &state.advance(&with(if n % 2 == 0 { first } else { next(n) })));
        assert!(n % 2 == 1 || knows(&state, first));
    }
}

fn any_rule() -> impl Strategy<Value = ServiceRule> {
    let backends = prop::collection::btree_set((1..5u8, 1..3u16), 0..4);
    (1..4u8, prop::collection::btree_set(1..5u8, 0..3), any::<bool>(), 0..3u16, prop::option::of(59..61u32), backends).prop_map(
        |(ip, external, udp, node_port, affinity_seconds, backends)| ServiceRule {
            external_ips: external.into_iter().map(|ip| Ipv4Addr::new(172, 30, 0, ip)).collect(),
            protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
            node_port,
            affinity_seconds,
            ..rule(ip, &backends.into_iter().collect::<Vec<_>>())
        },
    )
}

fn any_set() -> impl Strategy<Value = RuleSet> {
    prop::collection::btree_map("[a-d]", any_rule(), 0..4).prop_map(|all| all.into_iter().map(|(name, rule)| (key(&name), rule)).collect())
}

/// Where each front leads, whatever the places: what packets notice.
fn behaviour(elements: &Elements) -> BTreeMap<(Map, Words), BTreeSet<String>> {
    let mut out: BTreeMap<(Map, Words), BTreeSet<String>> = BTreeMap::new();
    for ((map, key), value) in elements {
        match map {
            Map::Backends(_) | Map::Ids(_) => {
                let front = Words::read(&key.bytes()[..key.bytes().len() - 4]).unwrap();
                out.entry((*map, front)).or_default().insert(format!("{value:?}"));
            }
            Map::Sizes(_) => {
                let Value::Data(number) = value else { panic!("a number") };
                out.entry((*map, *key)).or_default().insert(format!("{:?}", elements[&(Map::Picks, *number)]));
            }
            Map::Picks => {}
            _ => drop(out.entry((*map, *key)).or_default().insert(format!("{value:?}"))),
        }
    }
    out
}

proptest! {
    /// Along any history each difference can be performed, leaves the table as the state says, and packets fare as if the
    /// last set had been programmed from nothing.
    #[test]
    fn every_history_leads_to_the_table_of_its_last_set(sets in prop::collection::vec(any_set(), 1..8)) {
        let (mut state, mut table) = (State::default(), Elements::new());
        for set in sets {
            let difference = state.advance(&set);
            perform(&mut table, &difference);
            prop_assert_eq!(&table, &state.elements());
            let mut fresh = State::default();
            fresh.advance(&set);
            let (mut now, wanted) = (behaviour(&table), behaviour(&fresh.elements()));
            // Pods that are gone may still be known.
            now.retain(|key, _| key.0 != Map::Hairpins || wanted.contains_key(key));
            prop_assert_eq!(now, wanted);
            // Each number has its chain.
            let goes = |number: &Words| table.contains_key(&(Map::Picks, *number));
            prop_assert!(table.iter().all(|((map, _), value)| !matches!((map, value), (Map::Sizes(_), Value::Data(n)) if !goes(n))));
            // The places of each front are without a gap, and so many as its chain takes.
            for front in state.claims.iter().map(|(front, ..)| *front) {
                let places = (0..).take_while(|i| table.contains_key(&(Map::Backends(front.by()), front.key().number(*i)))).count();
                prop_assert_eq!(places, state.pick(front).map_or(0, |pick| pick.backends as usize));
            }
        }
    }
}
