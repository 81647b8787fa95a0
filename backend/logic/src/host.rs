//! What can be wrong with a host, told as a sentence with the command that mends it; and how it is seen in what the host says.
use crate::pod::resolver;
use std::fmt;

/// The oldest API of Docker that has what pods need (Docker 19.03).
pub const DOCKER_API_MIN: (u32, u32) = (1, 40);
/// Less free space than this and writes will soon fail.
const FREE_BYTES_MIN: u64 = 512 << 20;
/// A disk that takes longer for one small durable write slows everything down.
const SYNC_MILLIS_MAX: u64 = 100;
/// Clocks further apart than this break certificates, tokens and leases.
const SKEW_SECONDS_MAX: i64 = 30;

/// Everything that is looked at. `None`: it could not be found out, which is no fault by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The engine's address, and what came of asking it; absent if no engine is wanted.
    pub docker: Option<(String, Docker)>,
    pub ports: Vec<Port>,
    pub root: bool,
    pub iptables: bool,
    /// Why nftables cannot be had, where it is wanted.
    pub nftables: Option<String>,
    /// `/proc/sys/net/ipv4/ip_forward`
    pub ip_forward: Option<String>,
    /// What `iptables -S FORWARD` prints.
    pub forward_rules: Option<String>,
    /// What `iptables -S INPUT` prints.
    pub input_rules: Option<String>,
    /// `/proc/net/route`
    pub routes: Option<String>,
    /// `/etc/resolv.conf`
    pub resolv_conf: Option<String>,
    /// Controllers of version 2, or the directories of version 1.
    pub cgroup_controllers: Option<Vec<String>>,
    /// The server that this machine is to be a node of, and why it is not reached, if it is not.
    pub server: Option<(String, Option<String>)>,
    /// Our clock less the server's.
    pub skew_seconds: Option<i64>,
    pub data_dir: DataDir,
    pub portal_net: String,
}

/// What came of asking the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Docker {
    #[default]
    Absent,
    Forbidden,
    Silent(String),
    Answers {
        version: String,
        api: String,
    },
}

/// A port that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub number: u16,
    pub state: PortState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    Free,
    /// By whom, if that can be seen: name and process id.
    Taken(Option<(String, u32)>),
    Refused(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataDir {
    pub path: String,
    /// Why nothing can be written there.
    pub refused: Option<String>,
    pub free_bytes: Option<u64>,
    pub sync_millis: Option<u64>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    DockerAbsent { address: String },
    DockerForbidden { address: String },
    DockerSilent { address: String, why: String },
    DockerOld { version: String, api: String },
    PortTaken { port: u16, by: Option<(String, u32)> },
    PortRefused { port: u16, why: String },
    NotRoot,
    NoIptables,
    NoNftables { why: String },
    ForwardingOff,
    ForwardDropped,
    InputDropped,
    NoDefaultRoute { portal_net: String },
    NoNameServer,
    NoController { name: &'static str },
    ClockOff { seconds: i64 },
    ServerAway { server: String, why: String },
    DataDirRefused { path: String, why: String },
    DiskFull { path: String, free_bytes: u64 },
    DiskSlow { path: String, millis: u64 },
}

impl Problem {
    /// The cluster cannot work with it; else it only works less well.
    pub fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Problem::DiskSlow { .. }
                | Problem::NoController { .. }
                | Problem::NoNameServer
                | Problem::NoDefaultRoute { .. }
                | Problem::InputDropped
        )
    }

    /// What to do about it, as a command where one does.
    pub fn mend(&self) -> String {
        match self {
            Problem::DockerAbsent { .. } => {
                "systemctl start docker   (not installed: apt-get install docker.io; elsewhere: --docker=unix:///PATH)".into()
            }
            Problem::DockerForbidden { .. } => "run as root, or: usermod -aG docker $USER, then log in again".into(),
            Problem::DockerSilent { .. } => "systemctl restart docker; journalctl -u docker tells why it hangs".into(),
            Problem::DockerOld { .. } => "apt-get install docker.io, or Docker's own packages, 19.03 or newer".into(),
            Problem::PortTaken { by: Some((name, pid)), .. } if name == "openshift" => {
                format!("a cluster is running already; use it, or end it with: kill {pid}")
            }
            Problem::PortTaken { by: Some((_, pid)), .. } => format!("kill {pid}, or start with --listen=https://127.0.0.1:PORT"),
            Problem::PortTaken { port, by: None } => {
                format!("ss -ltnp 'sport = :{port}' names who has it; or start with --listen=https://127.0.0.1:PORT")
            }
            Problem::PortRefused { .. } => "start with --listen=https://ADDRESS:PORT, with an address of this machine".into(),
            Problem::NotRoot => "run as root (sudo), or start with --proxy-mode=none, without services".into(),
            Problem::NoIptables => "apt-get install iptables".into(),
            Problem::NoNftables { .. } => "modprobe nf_tables (Linux 5.6 or newer), or start with --proxy-mode=iptables".into(),
            Problem::ForwardingOff => "sysctl -w net.ipv4.ip_forward=1   (to keep it: a line in /etc/sysctl.d)".into(),
            Problem::ForwardDropped => "systemctl restart docker   (it adds its rules again), or: iptables -P FORWARD ACCEPT".into(),
            Problem::InputDropped => "iptables -I INPUT -i docker0 -j ACCEPT   (with ufw: ufw allow in on docker0)".into(),
            Problem::NoDefaultRoute { portal_net } => format!("ip route add {portal_net} dev docker0"),
            Problem::NoNameServer => "echo nameserver 1.1.1.1 >>/etc/resolv.conf, or the one of your network".into(),
            Problem::NoController { name } => format!("boot with cgroup_enable={name}   (kernel command line)"),
            Problem::ServerAway { .. } => {
                "start the server with --listen=https://ADDRESS:PORT, an address that this machine reaches; look for a firewall between"
                    .into()
            }
            Problem::ClockOff { .. } => "timedatectl set-ntp true, on both machines".into(),
            Problem::DataDirRefused { path, .. } => format!("mkdir -p {path} && chown $(id -u) {path}, or name another with --data-dir"),
            Problem::DiskFull { path, .. } => format!("df -h {path}; docker system prune frees what images and dead containers hold"),
            Problem::DiskSlow { .. } => "put the data directory on a faster disk with --data-dir".into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::DockerAbsent { address } => write!(f, "no Docker answers at {address}"),
            Problem::DockerForbidden { address } => write!(f, "this user may not use Docker at {address}"),
            Problem::DockerSilent { address, why } => write!(f, "Docker at {address} does not answer as it should: {why}"),
            Problem::DockerOld { version, api } => {
                write!(f, "Docker {version} is too old: it speaks API {api}, {}.{} is needed", DOCKER_API_MIN.0, DOCKER_API_MIN.1)
            }
            Problem::PortTaken { port, by: Some((name, pid)) } => write!(f, "port {port} is taken by {name} (process {pid})"),
            Problem::PortTaken { port, by: None } => write!(f, "port {port} is taken"),
            Problem::PortRefused { port, why } => write!(f, "port {port} cannot be had: {why}"),
            Problem::NotRoot => write!(f, "only root can program services"),
            Problem::NoIptables => write!(f, "iptables is not installed: services would lead nowhere"),
            Problem::NoNftables { why } => write!(f, "nftables cannot be used ({why}): services would lead nowhere"),
            Problem::ForwardingOff => write!(f, "the kernel does not forward packets: pods reach nobody"),
            Problem::ForwardDropped => {
                write!(f, "the firewall drops forwarded packets and nothing lets Docker's through: pods reach nobody")
            }
            Problem::InputDropped => {
                write!(f, "the firewall drops what pods send to this host: they reach neither the API nor the cluster's DNS")
            }
            Problem::NoDefaultRoute { portal_net } => {
                write!(f, "no route leads to {portal_net}: services cannot be reached from this host")
            }
            Problem::NoNameServer => write!(f, "no name server is set in /etc/resolv.conf: names outside the cluster are not found"),
            Problem::NoController { name } => write!(f, "the kernel has no {name} control group: limits on {name} are not kept"),
            Problem::ClockOff { seconds } => {
                let (way, by) = if *seconds > 0 { ("ahead of", *seconds) } else { ("behind", -seconds) };
                write!(f, "this machine's clock is {by} s {way} the server's")
            }
            Problem::ServerAway { server, why } => write!(f, "the server at {server} is not reached: {why}"),
            Problem::DataDirRefused { path, why } => write!(f, "the data directory {path} cannot be used: {why}"),
            Problem::DiskFull { path, free_bytes } => write!(f, "the disk of {path} is nearly full: {} MiB are free", free_bytes >> 20),
            Problem::DiskSlow { path, millis } => write!(f, "the disk of {path} is slow: one durable write takes {millis} ms"),
        }
    }
}

/// Everything that is wrong, the gravest first.
pub fn problems(host: &Host) -> Vec<Problem> {
    let mut found: Vec<Problem> = host.docker.iter().filter_map(|(address, docker)| of_docker(address, docker)).collect();
    found.extend(host.ports.iter().filter_map(of_port));
    found.extend(of_data_dir(&host.data_dir));
    found.extend(of_network(host));
    if let Some((server, Some(why))) = &host.server {
        found.push(Problem::ServerAway { server: server.clone(), why: why.clone() });
    }
    if let Some(seconds) = host.skew_seconds.filter(|seconds| seconds.abs() > SKEW_SECONDS_MAX) {
        found.push(Problem::ClockOff { seconds });
    }
    if let Some(controllers) = &host.cgroup_controllers {
        let missing = ["memory", "cpu"].into_iter().filter(|name| !controllers.iter().any(|c| c == name));
        found.extend(missing.map(|name| Problem::NoController { name }));
    }
    found.sort_by_key(|problem| !problem.is_fatal());
    found
}

fn of_docker(address: &str, docker: &Docker) -> Option<Problem> {
    let address = address.to_owned();
    match docker {
        Docker::Absent => Some(Problem::DockerAbsent { address }),
        Docker::Forbidden => Some(Problem::DockerForbidden { address }),
        Docker::Silent(why) => Some(Problem::DockerSilent { address, why: why.clone() }),
        Docker::Answers { version, api } => {
            let parts = api.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            let old = parts.is_none_or(|parts: (u32, u32)| parts < DOCKER_API_MIN);
            old.then(|| Problem::DockerOld { version: version.clone(), api: api.clone() })
        }
    }
}

fn of_port(port: &Port) -> Option<Problem> {
    match &port.state {
        PortState::Free => None,
        PortState::Taken(by) => Some(Problem::PortTaken { port: port.number, by: by.clone() }),
        PortState::Refused(why) => Some(Problem::PortRefused { port: port.number, why: why.clone() }),
    }
}

fn of_data_dir(dir: &DataDir) -> Vec<Problem> {
    let path = || dir.path.clone();
    let mut found = Vec::new();
    if let Some(why) = &dir.refused {
        found.push(Problem::DataDirRefused { path: path(), why: why.clone() });
    }
    if let Some(free_bytes) = dir.free_bytes.filter(|free| *free < FREE_BYTES_MIN && dir.refused.is_none()) {
        found.push(Problem::DiskFull { path: path(), free_bytes });
    }
    if let Some(millis) = dir.sync_millis.filter(|millis| *millis > SYNC_MILLIS_MAX) {
        found.push(Problem::DiskSlow { path: path(), millis });
    }
    found
}

fn of_network(host: &Host) -> Vec<Problem> {
    let mut found = Vec::new();
    if !host.root {
        found.push(Problem::NotRoot);
    }
    if !host.iptables {
        found.push(Problem::NoIptables);
    }
    found.extend(host.nftables.iter().map(|why| Problem::NoNftables { why: why.clone() }));
    if host.ip_forward.as_deref().is_some_and(|value| value.trim() == "0") {
        found.push(Problem::ForwardingOff);
    }
    if host.forward_rules.as_deref().is_some_and(drops_forwarded) {
        found.push(Problem::ForwardDropped);
    }
    if host.input_rules.as_deref().is_some_and(drops_from_pods) {
        found.push(Problem::InputDropped);
    }
    if host.routes.as_deref().is_some_and(|routes| !has_default_route(routes)) {
        found.push(Problem::NoDefaultRoute { portal_net: host.portal_net.clone() });
    }
    if host.resolv_conf.as_deref().is_some_and(|text| resolver::servers(text).next().is_none()) {
        found.push(Problem::NoNameServer);
    }
    found
}

/// Docker itself sets the policy to DROP and lets its own packets through; without its rules that is a wall.
fn drops_forwarded(rules: &str) -> bool {
    drops(rules, "FORWARD", |rule| rule.contains("-j DOCKER-FORWARD") || rule.contains("-o docker0") && rule.contains("-j ACCEPT"))
}

fn drops_from_pods(rules: &str) -> bool {
    drops(rules, "INPUT", |rule| rule.contains("-i docker0") && rule.contains("-j ACCEPT"))
}

/// Is there a wall in a chain before a rule that is a gate? The first rule that is for all packets decides, and after them the policy.
fn drops(rules: &str, chain: &str, gate: impl Fn(&str) -> bool) -> bool {
    let policy = rules.lines().any(|line| line.trim_end() == format!("-P {chain} DROP"));
    let of_chain = format!("-A {chain} ");
    let deciding = rules.lines().filter_map(|line| line.trim_end().strip_prefix(&of_chain)).find_map(|rule| match rule {
        "-j DROP" => Some(true),
        "-j ACCEPT" => Some(false),
        reject if reject.starts_with("-j REJECT") => Some(true),
        rule => gate(rule).then_some(false),
    });
    deciding.unwrap_or(policy)
}

/// A line of `/proc/net/route` whose destination and mask are 0 and that is up.
fn has_default_route(routes: &str) -> bool {
    routes.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let up = fields.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).is_some_and(|flags| flags & 1 == 1);
        up && fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Host {
        Host {
            docker: Some(("unix:///d".into(), Docker::Answers { version: "20.10.24".into(), api: "1.41".into() })),
            ports: vec![Port { number: 8443, state: PortState::Free }],
            root: true,
            iptables: true,
            nftables: None,
            ip_forward: Some("1\n".into()),
            forward_rules: Some(
                "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
                    .into(),
            ),
            input_rules: Some("-P INPUT ACCEPT\n".into()),
            routes: Some(
                "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0100090A\t0003\t0\t0\t0\t00000000\t0\n"
                    .into(),
            ),
            resolv_conf: Some("search x\nnameserver 10.0.0.1\n".into()),
            cgroup_controllers: Some(vec!["cpu".into(), "memory".into()]),
            server: None,
            skew_seconds: Some(3),
            data_dir: DataDir { path: "/d".into(), refused: None, free_bytes: Some(1 << 40), sync_millis: Some(4) },
            portal_net: "172.30.0.0/16".into(),
        }
    }

    fn only(change: impl FnOnce(&mut Host)) -> Vec<Problem> {
        let mut host = sound();
        change(&mut host);
        problems(&host)
    }

    #[test]
    fn a_sound_host_and_one_that_says_nothing_have_no_problems() {
        assert_eq!(only(|_| {}), []);
        let mute = Host { root: true, iptables: true, ..Host::default() };
        assert_eq!(problems(&mute), []);
    }

    #[test]
    fn each_fault_is_seen_alone() {
        let address = || "unix:///d".to_string();
        let docker = |state: Docker| only(|h| h.docker = Some((address(), state)));
        assert_eq!(docker(Docker::Absent), [Problem::DockerAbsent { address: address() }]);
        assert_eq!(docker(Docker::Forbidden), [Problem::DockerForbidden { address: address() }]);
        assert_eq!(docker(Docker::Silent("x".into())), [Problem::DockerSilent { address: address(), why: "x".into() }]);
        let old = docker(Docker::Answers { version: "1.9".into(), api: "1.9".into() });
        assert_eq!(old, [Problem::DockerOld { version: "1.9".into(), api: "1.9".into() }], "1.9 is less than 1.40");
        assert_eq!(docker(Docker::Answers { version: "29".into(), api: "2.0".into() }), []);
        assert_eq!(only(|h| h.server = Some(("s".into(), None))), []);
        let away = Problem::ServerAway { server: "s".into(), why: "w".into() };
        assert_eq!(only(|h| h.server = Some(("s".into(), Some("w".into())))), [away]);
        assert_eq!(only(|h| h.ip_forward = Some("0\n".into())), [Problem::ForwardingOff]);
        assert_eq!(only(|h| h.forward_rules = Some("-P FORWARD DROP\n".into())), [Problem::ForwardDropped]);
        assert_eq!(only(|h| h.forward_rules = Some("-P FORWARD DROP\n-A FORWARD -j ACCEPT\n".into())), []);
        assert_eq!(only(|h| h.forward_rules = Some("-P FORWARD ACCEPT\n".into())), []);
        assert_eq!(only(|h| h.input_rules = Some("-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n".into())), [Problem::InputDropped]);
        assert_eq!(only(|h| h.input_rules = Some("-P INPUT DROP\n-A INPUT -i docker0 -j ACCEPT\n".into())), []);
        assert_eq!(only(|h| h.input_rules = Some("-P INPUT ACCEPT\n-A INPUT -j LIBVIRT_INP\n".into())), []);
        let wall = "-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n-A FORWARD -o docker0 -j ACCEPT\n";
        assert_eq!(
            only(|h| h.forward_rules = Some(wall.into())),
            [Problem::ForwardDropped],
            "what comes after a wall lets nothing through"
        );
        let behind = "-P FORWARD DROP\n-A FORWARD -o docker0 -j ACCEPT\n-A FORWARD -j DROP\n";
        assert_eq!(only(|h| h.forward_rules = Some(behind.into())), []);
        assert_eq!(only(|h| h.routes = Some("Iface\n".into())), [Problem::NoDefaultRoute { portal_net: "172.30.0.0/16".into() }]);
        assert_eq!(only(|h| h.resolv_conf = Some("# nameserver 1.1.1.1\n".into())), [Problem::NoNameServer]);
        assert_eq!(only(|h| h.cgroup_controllers = Some(vec!["cpu".into()])), [Problem::NoController { name: "memory" }]);
        assert_eq!(only(|h| h.skew_seconds = Some(-31)), [Problem::ClockOff { seconds: -31 }]);
        assert_eq!(only(|h| h.data_dir.free_bytes = Some(1 << 20)), [Problem::DiskFull { path: "/d".into(), free_bytes: 1 << 20 }]);
        assert_eq!(only(|h| h.data_dir.sync_millis = Some(500)), [Problem::DiskSlow { path: "/d".into(), millis: 500 }]);
        assert_eq!(only(|h| h.root = false), [Problem::NotRoot]);
        assert_eq!(only(|h| h.iptables = false), [Problem::NoIptables]);
        assert_eq!(only(|h| h.nftables = Some("no".into())), [Problem::NoNftables { why: "no".into() }]);
    }

    #[test]
    fn a_taken_port_names_its_holder_and_grave_things_come_first() {
        let by = Some(("nginx".to_string(), 12));
        let found = only(|h| {
            h.data_dir.sync_millis = Some(900);
            h.ports = vec![Port { number: 8443, state: PortState::Taken(by.clone()) }];
        });
        assert_eq!(found[0], Problem::PortTaken { port: 8443, by });
        assert_eq!(found[0].to_string(), "port 8443 is taken by nginx (process 12)");
        assert!(found[0].mend().starts_with("kill 12, or start with --listen"));
        assert_eq!(found.len(), 2);
    }
}
