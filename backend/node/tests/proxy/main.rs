//! What every service proxy must do in the real kernel, in a world of network namespaces: real connections, real datagrams.
mod place;
mod traffic;

use logic::proxy::{PortKey, Protocol, RuleSet, ServiceRule};
use node::proxy::ServiceProxy;
use node::proxy::iptables::IptablesProxy;
use node::proxy::nftables::NftablesProxy;
use place::{HOST_ON_BRIDGE, HOST_OUTSIDE, World, command};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use traffic::{Connection, Datagrams, ask, backend, serve};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Iptables,
    Nftables,
}

const PORTAL: &str = "172.30.17.186:27017";
const NODE_PORT: u16 = 30061;

/// A proxy that is asked from wherever a test is, and works on the host.
#[derive(Clone)]
struct Proxy(Arc<dyn ServiceProxy>, Arc<tokio::runtime::Runtime>);

impl Proxy {
    fn new(world: &World, mode: Mode, cluster: &'static str) -> Proxy {
        // Everything that the runtime starts is on the host, as the thread is that makes it.
        world.host.run(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let proxy: Arc<dyn ServiceProxy> = match mode {
                Mode::Iptables => Arc::new(IptablesProxy::new(cluster, "10.9.0.0/24")),
                Mode::Nftables => Arc::new(NftablesProxy::new(cluster, "10.9.0.0/24")),
            };
            Proxy(proxy, Arc::new(runtime))
        })
    }

    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.1.block_on(self.1.spawn(work)).unwrap()
    }

    fn apply(&self, rules: RuleSet) {
        let proxy = self.0.clone();
        self.wait(async move { proxy.apply(&rules).await }).unwrap();
    }

    fn check(&self) {
        let proxy = self.0.clone();
        self.wait(async move { proxy.check().await }).unwrap();
    }

    fn remove_all(&self) {
        let proxy = self.0.clone();
        self.wait(async move { proxy.remove_all().await }).unwrap();
    }
}

fn key(name: &str) -> PortKey {
    PortKey { namespace: "hack".into(), service: name.into(), port_name: String::new() }
}

fn rule(protocol: Protocol, pods: &[usize]) -> ServiceRule {
    ServiceRule {
        cluster_ip: "172.30.17.186".parse().unwrap(),
        external_ips: vec![],
        protocol,
        port: 27017,
        node_port: NODE_PORT,
        affinity_seconds: None,
        backends: pods.iter().map(|pod| backend(*pod)).collect(),
    }
}

/// The same service by TCP and UDP.
fn rules(pods: &[usize]) -> RuleSet {
    [(key("tcp"), rule(Protocol::Tcp, pods)), (key("udp"), rule(Protocol::Udp, pods))].into_iter().collect()
}

fn sticky(pods: &[usize]) -> RuleSet {
    rules(pods).ports().map(|(key, rule)| (key.clone(), ServiceRule { affinity_seconds: Some(600), ..rule.clone() })).collect()
}

/// How often each pod answers.
fn answers(times: usize, ask: impl Fn() -> usize) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    (0..times).for_each(|_| *found.entry(ask()).or_default() += 1);
    found
}

/// All that the kernel shows of any cluster of ours.
fn traces(world: &World) -> Vec<String> {
    world.host.run(|| {
        let mut lines = Vec::new();
        for (program, arguments) in [("iptables-save", &[][..]), ("nft", &["list", "ruleset", "ip"])] {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            // Without the packet counters, which go on counting.
            let ours = text.lines().filter(|l| l.to_lowercase().contains("pilothouse"));
            lines.extend(
                ours.map(|l| l.split([' ', '\t']).filter(|w| !w.contains('[')).collect::<Vec<_>>().join(" "))
                    .filter(|l| !l.contains("counter")),
            );
        }
        lines
    })
}

fn services_are_reached_from_everywhere_and_balanced(mode: Mode) {
    let world = World::new(3);
    serve(&world.pods);
    let proxy = Proxy::new(&world, mode, "one");
    proxy.apply(rules(&[0, 1, 2]));
    for place in [&world.host, &world.pods[0]] {
        let found = place.run(|| answers(300, || ask(PORTAL).unwrap()));
        assert!(found.len() == 3 && found.values().all(|n| (50..150).contains(n)), "balanced: {found:?}");
        let found = place.run(|| answers(100, || Datagrams::to(PORTAL).ask().unwrap()));
        assert_eq!(found.len(), 3, "datagrams are balanced: {found:?}");
    }
    let node_port = format!("{HOST_OUTSIDE}:{NODE_PORT}");
    let (tcp, udp) = (node_port.clone(), node_port.clone());
    assert_eq!(world.outside.run(move || answers(100, || ask(&tcp).unwrap())).len(), 3, "through Docker's firewall");
    assert_eq!(world.outside.run(move || answers(100, || Datagrams::to(&udp).ask().unwrap())).len(), 3);
    let here = node_port.clone();
    assert!(world.host.run(move || ask(&here)).is_ok());
    let there = format!("{HOST_ON_BRIDGE}:{NODE_PORT}");
    assert!(world.pods[1].run(move || ask(&there)).is_ok());
    let loopback = world.host.run(|| ask(&format!("127.0.0.1:{NODE_PORT}")).unwrap_err().kind());
    assert_eq!(loopback, ErrorKind::ConnectionRefused, "not on loopback");
    // What is no service is not ours.
    assert!(world.host.run(|| ask(&traffic::backend(0).to_string())).is_ok());
}

fn a_pod_meets_itself(mode: Mode) {
    let world = World::new(1);
    serve(&world.pods);
    for bridged in ["1", "0"] {
        world.bridged_packets_pass(bridged);
        let proxy = Proxy::new(&world, mode, "one");
        proxy.apply(rules(&[0]));
        assert_eq!(world.pods[0].run(|| ask(PORTAL)).unwrap(), 0);
        assert_eq!(world.pods[0].run(|| Datagrams::to(PORTAL).ask()).unwrap(), 0);
        assert_eq!(world.pods[0].run(|| ask(&format!("{HOST_ON_BRIDGE}:{NODE_PORT}"))).unwrap(), 0);
    }
}

fn services_without_backends_refuse_at_once(mode: Mode) {
    let world = World::new(1);
    let proxy = Proxy::new(&world, mode, "one");
    proxy.apply(rules(&[]));
    let refused = |place: &place::Place, address: String| {
        place.run(move || {
            let began = Instant::now();
            let kinds = [ask(&address).unwrap_err().kind(), Datagrams::to(&address).ask().unwrap_err().kind()];
            assert!(began.elapsed() < Duration::from_secs(1), "at once");
            kinds
        })
    };
    // The kernel tells a local sender of datagrams at once, in its own word.
    assert_eq!(refused(&world.host, PORTAL.into()), [ErrorKind::ConnectionRefused, ErrorKind::PermissionDenied]);
    assert_eq!(refused(&world.pods[0], PORTAL.into()), [ErrorKind::ConnectionRefused; 2]);
    assert_eq!(refused(&world.outside, format!("{HOST_OUTSIDE}:{NODE_PORT}")), [ErrorKind::ConnectionRefused; 2]);
    // And serve as soon as they have one.
    serve(&world.pods);
    proxy.apply(rules(&[0]));
    assert_eq!(world.host.run(|| ask(PORTAL)).unwrap(), 0);
}

fn clients_stick(mode: Mode) {
    let world = World::new(3);
    serve(&world.pods);
    let proxy = Proxy::new(&world, mode, "one");
    proxy.apply(sticky(&[0, 1, 2]));
    let first = world.host.run(|| ask(PORTAL)).unwrap();
    let again = world.host.run(|| answers(20, || ask(PORTAL).unwrap()));
    assert_eq!(again, BTreeMap::from([(first, 20)]), "one client, one backend");
    // Whatever happens to the others, and whoever serves.
    let other = (first + 1) % 3;
    let mut two = [first, other];
    two.sort_unstable();
    proxy.apply(sticky(&two));
    assert_eq!(world.host.run(|| answers(10, || ask(PORTAL).unwrap())), BTreeMap::from([(first, 10)]));
    let next = Proxy::new(&world, mode, "one");
    next.apply(sticky(&[0, 1, 2]));
    assert_eq!(world.host.run(|| answers(10, || ask(PORTAL).unwrap())), BTreeMap::from([(first, 10)]), "a new server changes nothing");
    // Nobody sticks to what is gone.
    next.apply(sticky(&[other]));
    assert_eq!(world.host.run(|| answers(10, || ask(PORTAL).unwrap())), BTreeMap::from([(other, 10)]));
    let node_port = format!("{HOST_OUTSIDE}:{NODE_PORT}");
    next.apply(sticky(&[0, 1, 2]));
    assert_eq!(world.outside.run(move || answers(20, || ask(&node_port).unwrap())).len(), 1, "by node port as well");
}

fn what_somebody_took_away_comes_back(mode: Mode) {
    let world = World::new(2);
    serve(&world.pods);
    let proxy = Proxy::new(&world, mode, "one");
    proxy.apply(rules(&[0, 1]));
    proxy.check();
    let table = logic::proxy::nftables::table("one");
    let services = format!("{}SERVICES", logic::proxy::iptables::prefix("one"));
    let mut damages = vec!["iptables -F FORWARD".to_string()];
    match mode {
        Mode::Iptables => damages.extend([format!("iptables -t nat -F {services}"), "iptables -t nat -F OUTPUT".into()]),
        Mode::Nftables => damages.extend([
            format!("nft delete table ip {table}"),
            format!("nft flush chain ip {table} output"),
            format!("nft flush chain ip {table} pick-2"),
            format!("nft flush map ip {table} backends"),
            format!("nft add chain ip {table} strange"),
            format!("nft add element ip {table} rejected {{ 172.30.17.186 . tcp . 27017 }}"),
        ]),
    }
    let node_port = format!("{HOST_OUTSIDE}:{NODE_PORT}");
    for damage in damages {
        let done = damage.clone();
        world.host.run(move || command(&done));
        proxy.check();
        assert!(world.host.run(|| ask(PORTAL)).is_ok(), "repaired after {damage}");
        let address = node_port.clone();
        assert!(damage.ends_with("FORWARD") || world.outside.run(move || ask(&address)).is_ok(), "repaired after {damage}");
        // The test's own part of the firewall.
        if damage.ends_with("FORWARD") {
            world.host.run(|| {
                command("iptables -A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
                command("iptables -A FORWARD -i br0 -j ACCEPT");
            });
        }
    }
    if mode == Mode::Nftables {
        // A change that builds on what is gone does not need to wait for the next look.
        world.host.run(move || command(&format!("nft delete table ip {table}")));
        proxy.apply(rules(&[1]));
        assert_eq!(world.host.run(|| answers(10, || ask(PORTAL).unwrap())), BTreeMap::from([(1, 10)]));
    }
}

fn a_new_instance_takes_over_from_either_mode(mode: Mode) {
    let world = World::new(2);
    serve(&world.pods);
    let other = if mode == Mode::Iptables { Mode::Nftables } else { Mode::Iptables };
    for before in [mode, other] {
        Proxy::new(&world, before, "one").apply(rules(&[0]));
        assert_eq!(world.host.run(|| ask(PORTAL)).unwrap(), 0);
        let next = Proxy::new(&world, mode, "one");
        next.apply(rules(&[1]));
        assert_eq!(world.host.run(|| answers(10, || ask(PORTAL).unwrap())), BTreeMap::from([(1, 10)]), "after {before:?}");
        let node_port = format!("{HOST_OUTSIDE}:{NODE_PORT}");
        assert_eq!(world.outside.run(move || ask(&node_port)).unwrap(), 1);
        let left = traces(&world);
        let of_iptables = left.iter().filter(|l| l.contains("-SERVICES")).count();
        let of_nftables = left.iter().filter(|l| l.contains(&logic::proxy::nftables::table("one"))).count();
        match mode {
            Mode::Iptables => assert!(of_iptables > 0 && of_nftables == 0, "{left:?}"),
            Mode::Nftables => assert!(of_iptables == 0 && of_nftables > 0, "{left:?}"),
        }
    }
}

fn two_clusters_do_not_touch_each_other_and_leave_no_trace(mode: Mode) {
    let world = World::new(2);
    serve(&world.pods);
    let proxy = Proxy::new(&world, mode, "one");
    proxy.apply(rules(&[0]));
    for other_mode in [Mode::Iptables, Mode::Nftables] {
        let before = traces(&world);
        let other = Proxy::new(&world, other_mode, "two");
        let mut theirs = rule(Protocol::Tcp, &[1]);
        theirs.cluster_ip = "172.31.0.1".parse().unwrap();
        theirs.node_port = 0;
        other.apply([(key("theirs"), theirs)].into_iter().collect());
        assert_eq!(world.host.run(|| ask("172.31.0.1:27017")).unwrap(), 1);
        assert_eq!(world.pods[1].run(|| ask(PORTAL)).unwrap(), 0);
        other.remove_all();
        assert_eq!(traces(&world), before);
        assert_eq!(world.pods[1].run(|| ask(PORTAL)).unwrap(), 0);
    }
    proxy.remove_all();
    assert_eq!(traces(&world), Vec::<String>::new());
    // As for a cluster that another process left.
    proxy.apply(rules(&[0]));
    let gone = proxy.clone();
    gone.wait(async { node::proxy::remove_all("one").await }).unwrap();
    assert_eq!(traces(&world), Vec::<String>::new());
}

fn datagrams_leave_a_backend_that_is_gone(mode: Mode) {
    let world = World::new(2);
    serve(&world.pods);
    let proxy = Proxy::new(&world, mode, "one");
    for (place, address) in [(&world.host, PORTAL.to_string()), (&world.outside, format!("{HOST_OUTSIDE}:{NODE_PORT}"))] {
        proxy.apply(rules(&[0]));
        let (client, first) = place.run(move || {
            let client = Datagrams::to(&address);
            let first = client.ask().unwrap();
            (client, first)
        });
        assert_eq!(first, 0);
        proxy.apply(rules(&[0, 1]));
        let (client, still) = place.run(move || {
            let still = client.ask().unwrap();
            (client, still)
        });
        assert_eq!(still, 0, "a flow stays where it is as long as it can");
        proxy.apply(rules(&[1]));
        assert_eq!(place.run(move || client.ask()).unwrap(), 1, "the same client, the other backend");
    }
}

/// Established connections go on, and no new one is refused, while rules change a thousand times.
fn nothing_is_dropped_while_rules_change(mode: Mode) {
    let world = World::new(3);
    serve(&world.pods);
    let proxy = Proxy::new(&world, mode, "one");
    proxy.apply(rules(&[0, 1, 2]));
    let mut established: Vec<Connection> = world.host.run(|| (0..8).map(|_| Connection::open(PORTAL).unwrap()).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let until = stop.clone();
    let (say, hear) = std::sync::mpsc::channel::<std::io::Result<u32>>();
    world.pods[0].run(move || {
        std::thread::spawn(move || {
            let mut count = 0;
            let outcome = loop {
                match ask(PORTAL) {
                    Ok(_) => count += 1,
                    Err(error) => break Err(error),
                }
                if until.load(Ordering::Relaxed) {
                    break Ok(count);
                }
            };
            say.send(outcome).unwrap();
        })
    });
    let sets: [&[usize]; 6] = [&[0, 1, 2], &[0, 1], &[1], &[1, 2], &[2], &[0, 2]];
    for round in 0..1000 {
        proxy.apply(rules(sets[round % sets.len()]));
        let index = round % established.len();
        established[index].ping().unwrap_or_else(|e| panic!("an established connection, at change {round}: {e}"));
    }
    stop.store(true, Ordering::Relaxed);
    let opened = hear.recv().unwrap();
    assert!(opened.as_ref().is_ok_and(|n| *n > 100), "new connections: {opened:?}");
    established.iter_mut().for_each(|connection| connection.ping().unwrap());
}

/// A service with more backends than most, and as many services as show that nothing depends on their number.
fn many_backends_are_all_used(mode: Mode) {
    let world = World::new(1);
    world.pods[0].run(|| {
        for port in 9000..9040 {
            let listener = std::net::TcpListener::bind(("10.9.0.2", port)).unwrap();
            std::thread::spawn(move || {
                use std::io::Write;
                listener.incoming().flatten().for_each(|mut s| drop(s.write_all(format!("{port}\n").as_bytes())));
            });
        }
    });
    let proxy = Proxy::new(&world, mode, "one");
    let mut rule = rule(Protocol::Tcp, &[]);
    for count in [1_u16, 40, 39, 20] {
        rule.backends = (9000..9000 + count).map(|port| format!("10.9.0.2:{port}").parse().unwrap()).collect();
        proxy.apply([(key("many"), rule.clone())].into_iter().collect());
        let found = world.host.run(|| answers(600, || ask(PORTAL).unwrap()));
        assert_eq!(found.len(), usize::from(count), "each of {count} is used, and no other: {found:?}");
        assert!(found.keys().all(|port| *port < usize::from(9000 + count)));
    }
}

/// Administrators look at rules with nft, and keep what it shows: it must not choke on ours.
#[test]
fn what_nft_shows_of_the_table_it_can_load() {
    let world = World::new(2);
    serve(&world.pods);
    let proxy = Proxy::new(&world, Mode::Nftables, "one");
    proxy.apply(sticky(&[0, 1]));
    let first = world.host.run(|| ask(PORTAL)).unwrap();
    let table = logic::proxy::nftables::table("one");
    world.host.run(move || {
        let listed = Command::new("nft").args(["list", "table", "ip", &table]).output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.status.success() && text.contains("172.30.17.186 . tcp . 27017 : 0:1"), "{text}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        command(&format!("nft delete table ip {table}"));
        command(&format!("nft -f {}", file.path().display()));
    });
    assert_eq!(world.host.run(|| answers(10, || ask(PORTAL).unwrap())), BTreeMap::from([(first, 10)]), "clients that stick included");
    let next = format!("{HOST_OUTSIDE}:{NODE_PORT}");
    assert!(world.outside.run(move || ask(&next)).is_ok());
}

macro_rules! conformance {
    ($($name:ident),+ $(,)?) => {
        mod iptables { $(#[test] fn $name() { super::$name(super::Mode::Iptables); })+ }
        mod nftables { $(#[test] fn $name() { super::$name(super::Mode::Nftables); })+ }
    };
}

conformance!(
    services_are_reached_from_everywhere_and_balanced,
    a_pod_meets_itself,
    services_without_backends_refuse_at_once,
    clients_stick,
    what_somebody_took_away_comes_back,
    a_new_instance_takes_over_from_either_mode,
    two_clusters_do_not_touch_each_other_and_leave_no_trace,
    datagrams_leave_a_backend_that_is_gone,
    nothing_is_dropped_while_rules_change,
    many_backends_are_all_used,
);
