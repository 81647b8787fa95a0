//! The command line of `openshift`, checked once. Every flag has an environment variable.
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Parser, Debug)]
#[command(
    name = "openshift",
    version,
    about = "A whole container cluster in one binary: Kubernetes' API with OpenShift's projects, on Docker"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start the cluster: API, controllers, scheduler and the node agent of this machine, in the foreground
    Start(Box<StartCommand>),
    /// Work on projects, policy and this host (`ex new-project`, `ex policy`, `ex clean`)
    Ex {
        #[command(subcommand)]
        what: Ex,
    },
    /// Print the versions
    Version,
}

#[derive(Subcommand, Debug)]
pub enum Ex {
    /// Remove every container, chain and file that the cluster made on this host, and nothing else
    Clean(Clean),
    /// Write the whole cluster at one moment, with its keys, to a file; the server may be running
    Backup(Backup),
    /// Make a data directory from a backup, whole or not at all
    Restore(Restore),
    /// Look a data directory (of a server that does not run) or a backup through; exit code 0: sound, 1: faults, 2: cannot look
    Verify(Verify),
    /// Make a token by which another machine becomes a node, and print the command to run there
    NodeToken(NodeToken),
    /// Say what is wrong with this host and how to mend it; takes the flags of 'start'
    Diagnostics(Box<Diagnostics>),
}

/// Which container engine runs the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuntimeKind {
    Docker,
    Simulated,
}

/// What programs the kernel with service rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyMode {
    Iptables,
    Nftables,
    None,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StartCommand {
    #[command(subcommand)]
    pub role: Option<Role>,
    #[command(flatten)]
    pub all_in_one: Start,
}

/// Which part of a cluster this machine is.
#[derive(Subcommand, Clone, Debug)]
pub enum Role {
    /// Everything on this machine, as 'start' alone
    #[command(name = "all-in-one")]
    AllInOne(Box<Start>),
    /// API, controllers and scheduler without a node: pods run on other machines only
    Master(Box<Start>),
    /// The node agent alone, for a server on another machine; 'openshift ex node-token' there prints the whole command
    Node(Box<StartNode>),
}

/// Flags of a machine that runs pods for a server elsewhere.
#[derive(Args, Clone, Debug)]
pub struct StartNode {
    /// URL of the server, such as https://192.168.1.10:8443; later starts remember it
    #[arg(long, env = "OPENSHIFT_MASTER", default_value = "", hide_default_value = true)]
    pub master: String,
    /// Token of 'openshift ex node-token', ID.SECRET@sha256:HASH; needed once, until the node has its certificate
    #[arg(long, env = "OPENSHIFT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Where the node's key and certificate and its pods' volumes lie [default: /var/lib/openshift, or below $XDG_DATA_HOME for others than root]
    #[arg(long, env = "OPENSHIFT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Name of this node [default: the lower-cased host name]
    #[arg(long, env = "OPENSHIFT_HOSTNAME")]
    pub hostname: Option<String>,
    /// Address by which other machines reach this one [default: that of the way to the server]
    #[arg(long, env = "OPENSHIFT_NODE_IP")]
    pub node_ip: Option<std::net::IpAddr>,
    /// Network of the services' addresses, as the server has it
    #[arg(long, env = "OPENSHIFT_PORTAL_NET", default_value = "172.30.0.0/16")]
    pub portal_net: ipnet::Ipv4Net,
    /// Docker's socket
    #[arg(long, env = "OPENSHIFT_DOCKER", default_value = "unix:///var/run/docker.sock")]
    pub docker: String,
    #[arg(long, env = "OPENSHIFT_RUNTIME", value_enum, default_value = "docker")]
    pub runtime: RuntimeKind,
    #[arg(long, env = "OPENSHIFT_PROXY_MODE", value_enum, default_value = "iptables")]
    pub proxy_mode: ProxyMode,
    /// Level or filter of the log, such as `info` or `info,node=debug`
    #[arg(long, env = "OPENSHIFT_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Form of the log: lines for people (and the journal), or JSON
    #[arg(long, env = "OPENSHIFT_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Args, Clone, Debug)]
pub struct NodeToken {
    /// How long machines may join by it
    #[arg(long, default_value = "24h", value_parser = parse_seconds)]
    pub ttl: i64,
    /// Administrator's kubeconfig of the server [default: as for osc]
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct Start {
    /// Address of the API; the console is on the next port
    #[arg(long, env = "OPENSHIFT_LISTEN", default_value = "https://127.0.0.1:8443", value_parser = parse_url)]
    pub listen: SocketAddr,
    /// Address of the console [default: the API's, next port]
    #[arg(long, env = "OPENSHIFT_CONSOLE_LISTEN", value_parser = parse_url)]
    pub console_listen: Option<SocketAddr>,
    /// URL that clients are told [default: https:// and the API's address]
    #[arg(long, env = "OPENSHIFT_MASTER", default_value = "")]
    pub master: String,
    /// Where all state, certificates and keys lie [default: /var/lib/openshift, or below $XDG_DATA_HOME for others than root]
    #[arg(long, env = "OPENSHIFT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Name of this node [default: the lower-cased host name]
    #[arg(long, env = "OPENSHIFT_HOSTNAME")]
    pub hostname: Option<String>,
    /// Network of the services' addresses
    #[arg(long, env = "OPENSHIFT_PORTAL_NET", default_value = "172.30.0.0/16")]
    pub portal_net: ipnet::Ipv4Net,
    /// Docker's socket
    #[arg(long, env = "OPENSHIFT_DOCKER", default_value = "unix:///var/run/docker.sock")]
    pub docker: String,
    #[arg(long, env = "OPENSHIFT_RUNTIME", value_enum, default_value = "docker")]
    pub runtime: RuntimeKind,
    /// What programs the kernel with services; nftables changes in milliseconds however many there are
    #[arg(long, env = "OPENSHIFT_PROXY_MODE", value_enum, default_value = "iptables")]
    pub proxy_mode: ProxyMode,
    /// How much the objects of the cluster may take, in memory and on disk; what would be more is refused
    #[arg(long, env = "OPENSHIFT_STORE_MAX", default_value = "2Gi", value_parser = parse_bytes)]
    pub store_max: usize,
    /// A node that says nothing for so long counts as lost
    #[arg(long, env = "OPENSHIFT_NODE_GRACE", default_value = "40s", value_parser = parse_seconds)]
    pub node_grace: i64,
    /// Level or filter of the log, such as `info` or `info,node=debug`
    #[arg(long, env = "OPENSHIFT_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Form of the log: lines for people (and the journal), or JSON
    #[arg(long, env = "OPENSHIFT_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Args, Clone, Debug)]
pub struct Clean {
    /// The cluster's data directory, removed with everything in it
    #[arg(long, env = "OPENSHIFT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    #[arg(long, env = "OPENSHIFT_DOCKER", default_value = "unix:///var/run/docker.sock")]
    pub docker: String,
}

#[derive(Args, Clone, Debug)]
pub struct Backup {
    /// The file to write
    pub file: PathBuf,
    /// Back up this data directory instead of asking the server of the kubeconfig; if a server runs on it, that one is asked
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Administrator's kubeconfig of the server [default: as for osc]
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Diagnostics {
    /// Judge this machine as one that is to be a node of the server at --master
    #[arg(long, requires = "master")]
    pub node: bool,
    #[command(flatten)]
    pub start: Start,
}

#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The backup
    pub file: PathBuf,
    /// The directory to make
    #[arg(long, env = "OPENSHIFT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Move what is in the directory aside
    #[arg(long)]
    pub replace: bool,
    /// Give the cluster a new id, so that it can run on one host beside the one that was backed up
    #[arg(long)]
    pub copy: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The data directory
    #[arg(long, env = "OPENSHIFT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Look at this backup instead
    #[arg(long, value_name = "FILE")]
    pub backup: Option<PathBuf>,
}

/// The whole command line with what the client adds, for manual pages and completion.
pub fn whole_command() -> clap::Command {
    use shared::client::cli;
    let client = cli::command().name("cli").about("The client, as osc");
    Cli::command()
        .mut_subcommand("ex", |ex| cli::ex_command().get_subcommands().fold(ex, |ex, sub| ex.subcommand(sub.clone())))
        .subcommand(client)
}

/// Parses the command line.
pub fn parse(arguments: Vec<String>) -> Result<Command, clap::Error> {
    Cli::try_parse_from(arguments).map(|cli| cli.command)
}

fn parse_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse::<shared::quantity::Quantity>().ok().and_then(|q| usize::try_from(q.units()).ok());
    bytes.filter(|b| *b >= STORE_MIN).ok_or_else(|| format!("{text:?} is no amount of bytes such as 512Mi or 2Gi, 1Mi at least"))
}

/// `90s`, `30m`, `24h`, `7d`.
fn parse_seconds(text: &str) -> Result<i64, String> {
    let unit = |suffix: char| match suffix {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let seconds = text.char_indices().last().and_then(|(at, suffix)| text[..at].parse::<i64>().ok()?.checked_mul(unit(suffix)?));
    seconds.filter(|s| *s > 0).ok_or_else(|| format!("{text:?} is no time such as 90s, 30m, 24h or 7d"))
}

/// What a cluster begins with needs some of this.
const STORE_MIN: usize = 1 << 20;

fn parse_url(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    address.parse().map_err(|_| format!("{text:?} is not an address such as https://127.0.0.1:8443"))
}

impl Start {
    pub fn console(&self) -> SocketAddr {
        self.console_listen.unwrap_or_else(|| SocketAddr::new(self.listen.ip(), self.listen.port().wrapping_add(1)))
    }
}

/// The data directory: as given, or the user's usual place.
pub fn data_dir(given: Option<&PathBuf>) -> PathBuf {
    if let Some(dir) = given {
        return dir.clone();
    }
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/openshift");
    }
    let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/share");
    base.unwrap_or_else(home).join("openshift")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(words: &[&str]) -> Result<Command, clap::Error> {
        parse(["openshift", "start"].iter().chain(words).map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_the_fixed_names() {
        let Ok(Command::Start(s)) = start(&[]) else { panic!("start parses") };
        let s = s.all_in_one;
        assert_eq!((s.listen.to_string().as_str(), s.console().port()), ("127.0.0.1:8443", 8444));
        assert_eq!(s.portal_net.to_string(), "172.30.0.0/16");
    }

    #[test]
    fn a_machine_is_one_of_three_things() {
        let role = |words: &[&str]| match start(words) {
            Ok(Command::Start(s)) => s.role,
            other => panic!("{words:?}: {other:?}"),
        };
        assert!(role(&["--listen=https://10.0.0.1:8443"]).is_none());
        assert!(matches!(role(&["all-in-one", "--hostname=a"]), Some(Role::AllInOne(s)) if s.hostname.as_deref() == Some("a")));
        assert!(matches!(role(&["master", "--listen=https://10.0.0.1:8443"]), Some(Role::Master(s)) if s.listen.port() == 8443));
        let node = role(&["node", "--master=https://10.0.0.1:8443", "--token=a"]);
        assert!(matches!(node, Some(Role::Node(n)) if n.token.as_deref() == Some("a")));
        assert!(start(&["node", "--listen=https://10.0.0.1:8443"]).is_err(), "a node serves nothing");
        assert!(start(&["nonsense"]).is_err());
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!((parse_seconds("90s"), parse_seconds("24h")), (Ok(90), Ok(86_400)));
        for bad in ["", "5", "s", "-1s", "0s", "5µ", "99999999999999999999d", "9223372036854775807d"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_values_are_refused_with_what_was_expected() {
        let error = start(&["--listen=here"]).unwrap_err().to_string();
        assert!(error.contains("https://127.0.0.1:8443"), "{error}");
        assert!(start(&["--no-such-flag"]).is_err());
        assert!(start(&["--portal-net=1.2.3.4/99"]).is_err());
    }
}
