//! The iptables proxy against the real kernel: a portal address answers, balances, rejects, and leaves no trace.
//! Runs in a network namespace of its own, so that the host's rules are never involved.
use logic::proxy::{PortKey, Protocol, RuleSet, ServiceRule};
use node::proxy::ServiceProxy;
use node::proxy::iptables::IptablesProxy;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

/// Moves this thread into a fresh network namespace with loopback up and a default route to nowhere.
fn own_network() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may unshare the network");
    let commands = [
        "link set lo up",
        "link add d0 type veth peer name d1",
        "addr add 10.9.9.9/24 dev d0",
        "link set d1 up",
        "link set d0 up",
        "route add default dev d0",
    ];
    for command in commands {
        assert!(std::process::Command::new("ip").args(command.split(' ')).status().expect("ip runs").success(), "{command}");
    }
}

/// Answers each connection with its own name.
fn backend(ip: &str, name: &'static str) -> SocketAddrV4 {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut s| s.write_all(name.as_bytes()));
        }
    });
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
    }
}

fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn rules(backends: &[SocketAddrV4], affinity: Option<u32>) -> RuleSet {
    let rule = ServiceRule {
        cluster_ip: "172.30.17.186".parse().unwrap(),
        external_ips: vec![],
        protocol: Protocol::Tcp,
        port: 27017,
        node_port: 30061,
        affinity_seconds: affinity,
        backends: backends.to_vec(),
    };
    [(PortKey { namespace: "hack".into(), service: "hello".into(), port_name: String::new() }, rule)].into_iter().collect()
}

fn saved() -> String {
    let output = std::process::Command::new("iptables-save").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn ours(saved: &str) -> Vec<String> {
    // Without the packet counters, which go on counting.
    let lines = saved.lines().filter(|l| l.contains("PILOTHOUSE"));
    lines.map(|l| l.split(" [").next().unwrap_or(l).to_string()).collect()
}

#[test]
fn a_portal_address_balances_sticks_rejects_heals_and_disappears() {
    std::thread::spawn(|| {
        own_network();
        // Children and sockets inherit the namespace of the thread that makes them: everything runs on this one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (one, two) = (backend("10.9.9.9", "one"), backend("10.9.9.9", "two"));
            let proxy = IptablesProxy::new("one", "172.17.0.0/16");
            proxy.apply(&rules(&[one, two], None)).await.unwrap();
            let seen: BTreeSet<String> = (0..60).map(|_| ask("172.30.17.186:27017").unwrap()).collect();
            assert_eq!(seen, BTreeSet::from(["one".to_string(), "two".to_string()]), "both backends are used");
            assert!(ask("10.9.9.9:30061").is_ok(), "the node port answers");

            proxy.apply(&rules(&[one, two], Some(60))).await.unwrap();
            let seen: BTreeSet<String> = (0..20).map(|_| ask("172.30.17.186:27017").unwrap()).collect();
            assert_eq!(seen.len(), 1, "one client sticks to one backend");

            proxy.apply(&rules(&[two], None)).await.unwrap();
            assert!((0..20).all(|_| ask("172.30.17.186:27017").unwrap() == "two"));

            proxy.apply(&rules(&[], None)).await.unwrap();
            let began = std::time::Instant::now();
            assert_eq!(ask("172.30.17.186:27017").unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
            assert!(began.elapsed() < Duration::from_secs(1), "rejected at once");

            proxy.apply(&rules(&[one], None)).await.unwrap();
            let services = format!("{}SERVICES", logic::proxy::iptables::prefix("one"));
            for args in [["-t", "nat", "-F", services.as_str()], ["-t", "nat", "-F", "OUTPUT"]] {
                assert!(std::process::Command::new("iptables").args(args).status().unwrap().success());
            }
            proxy.check().await.unwrap();
            assert_eq!(ask("172.30.17.186:27017").unwrap(), "one", "repaired");

            // A second instance, as after a restart, takes over without leaving stale chains.
            let next = IptablesProxy::new("one", "172.17.0.0/16");
            next.apply(&rules(&[two], None)).await.unwrap();
            assert_eq!(ask("172.30.17.186:27017").unwrap(), "two");
            assert_eq!(saved().lines().filter(|l| l.starts_with(':') && l.contains("-E-")).count(), 1);

            // Another cluster on this host comes and goes without touching the first one's rules.
            let before = ours(&saved());
            let other = IptablesProxy::new("two", "172.17.0.0/16");
            other.apply(&RuleSet::default()).await.unwrap();
            other.remove_all().await.unwrap();
            assert_eq!(ours(&saved()), before);
            assert_eq!(ask("172.30.17.186:27017").unwrap(), "two");

            next.remove_all().await.unwrap();
            assert!(!saved().contains("PILOTHOUSE"), "{}", saved());
        });
    })
    .join()
    .unwrap();
}
