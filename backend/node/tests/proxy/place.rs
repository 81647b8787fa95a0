//! A small world of network namespaces: a host with a bridge and Docker's closed firewall, pods on the bridge, and an
//! outside. The machine's own network is never involved; everything goes with the threads that live there.
use std::process::Command;
use std::sync::mpsc;

pub const HOST_ON_BRIDGE: &str = "10.9.0.1";
pub const HOST_OUTSIDE: &str = "10.8.0.1";

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a thread that lives in it.
pub struct Place {
    jobs: mpsc::Sender<Job>,
    thread: i32,
}

pub fn command(words: &str) {
    let mut parts = words.split(' ');
    let output = Command::new(parts.next().unwrap()).args(parts).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Place {
    pub fn new() -> Place {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (say, hear) = mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may unshare the network");
            command("ip link set lo up");
            say.send(nix::unistd::gettid().as_raw()).unwrap();
            todo.iter().for_each(|job| job());
        });
        Place { jobs, thread: hear.recv().unwrap() }
    }

    /// Does something there and waits for it. Sockets, threads and programs that it makes are there as well.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (say, hear) = mpsc::channel();
        self.jobs.send(Box::new(move || drop(say.send(work())))).unwrap();
        hear.recv().expect("the work did not panic")
    }

    fn shell(&self, commands: Vec<String>) {
        self.run(move || commands.iter().for_each(|words| command(words)));
    }
}

/// A host with some pods and an outside.
pub struct World {
    pub host: Place,
    pub pods: Vec<Place>,
    pub outside: Place,
}

pub fn pod_ip(index: usize) -> String {
    format!("10.9.0.{}", index + 2)
}

impl World {
    pub fn new(pods: usize) -> World {
        let world = World { host: Place::new(), pods: (0..pods).map(|_| Place::new()).collect(), outside: Place::new() };
        let mut host = vec![
            "ip link add br0 type bridge".to_string(),
            format!("ip addr add {HOST_ON_BRIDGE}/24 dev br0"),
            "ip link set br0 up".into(),
            format!("ip link add out type veth peer name eth0 netns {}", world.outside.thread),
            format!("ip addr add {HOST_OUTSIDE}/24 dev out"),
            "ip link set out up".into(),
        ];
        for (index, pod) in world.pods.iter().enumerate() {
            host.push(format!("ip link add pod{index} type veth peer name eth0 netns {}", pod.thread));
            // What is translated while it is bridged leaves by the port it came from only where that is allowed.
            host.push(format!("ip link set pod{index} master br0 up"));
            host.push(format!("ip link set pod{index} type bridge_slave hairpin on"));
        }
        world.host.shell(host);
        let inside = |ip: &str, gateway: &str| {
            vec![format!("ip addr add {ip}/24 dev eth0"), "ip link set eth0 up".into(), format!("ip route add default via {gateway}")]
        };
        world.outside.shell(inside("10.8.0.2", HOST_OUTSIDE));
        for (index, pod) in world.pods.iter().enumerate() {
            pod.shell(inside(&pod_ip(index), HOST_ON_BRIDGE));
        }
        world.host.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        // As Docker leaves it: pods may go out and get answers, nothing else passes.
        world.host.shell(vec![
            "ip route add default via 10.8.0.2".into(),
            "iptables -P FORWARD DROP".into(),
            "iptables -A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".into(),
            "iptables -A FORWARD -i br0 -j ACCEPT".into(),
        ]);
        world
    }

    /// Whether packets that the bridge forwards pass the rules of the layer above: `1` or `0`. Proxies look once.
    pub fn bridged_packets_pass(&self, pass: &'static str) {
        self.host.run(move || std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", pass).unwrap());
    }
}
