//! What a pod's containers find in `/etc/hosts` and `/etc/resolv.conf`.
//!
//! Sources: <https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/>,
//! <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy>, resolv.conf(5).
use crate::dns::DOMAIN;
use shared::objects::pod::Pod;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// What the resolver asks when a host names no server that a pod can reach; the engine's own choice.
const SERVERS_ELSEWHERE: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
/// Names with fewer dots are looked for in the cluster first, as Kubernetes has it: `_port._proto.service.namespace.svc` has five labels.
const DOTS: &str = "ndots:5";

/// `/etc/hosts` of a pod with a network of its own.
pub fn hosts(pod: &Pod, hostname: &str, ip: &str) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    let _ = match pod.spec.subdomain.as_str() {
        "" => writeln!(text, "{ip}\t{hostname}"),
        subdomain => writeln!(text, "{ip}\t{hostname}.{subdomain}.{}.svc.{DOMAIN}\t{hostname}", pod.metadata.namespace),
    };
    if !pod.spec.host_aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in &pod.spec.host_aliases {
            let _ = writeln!(text, "{}\t{}", alias.ip, alias.hostnames.join("\t"));
        }
    }
    text
}

/// Does the pod ask the cluster's DNS? One with the host's network does so only if it says it in so many words.
pub fn asks_cluster(pod: &Pod) -> bool {
    match pod.spec.dns_policy.as_str() {
        "ClusterFirstWithHostNet" => true,
        "None" | "Default" => false,
        _ => !pod.spec.host_network,
    }
}

/// `/etc/resolv.conf` of a pod: the cluster's DNS (`cluster`, where there is one), the host's resolver without servers that only the
/// host reaches, or nothing (`dnsPolicy: None`); then what the pod's `dnsConfig` adds. `host` is the text of the host's file.
pub fn resolv_conf(pod: &Pod, host: &str, cluster: Option<Ipv4Addr>) -> String {
    let (mut servers, mut searches, mut options) = match (pod.spec.dns_policy.as_str(), cluster.filter(|_| asks_cluster(pod))) {
        ("None", _) => Default::default(),
        (_, Some(server)) => {
            let namespace = &pod.metadata.namespace;
            let mut searches = vec![format!("{namespace}.svc.{DOMAIN}"), format!("svc.{DOMAIN}"), DOMAIN.to_string()];
            searches.extend(of_host(host).1);
            (vec![server.to_string()], searches, vec![DOTS.to_string()])
        }
        (_, None) => of_host(host),
    };
    if let Some(config) = &pod.spec.dns_config {
        let texts = |member: &str| config[member].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(String::from));
        servers.extend(texts("nameservers"));
        searches.extend(texts("searches"));
        for option in config["options"].as_array().into_iter().flatten() {
            let Some(name) = option["name"].as_str() else { continue };
            options.retain(|o: &String| o.split(':').next() != Some(name));
            options.push(option["value"].as_str().map_or_else(|| name.to_string(), |value| format!("{name}:{value}")));
        }
    }
    let mut text = String::new();
    for server in without_repetition(servers) {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (word, values) in [("search", without_repetition(searches)), ("options", options)] {
        if !values.is_empty() {
            let _ = writeln!(text, "{word} {}", values.join(" "));
        }
    }
    text
}

/// Servers, search domains and options of a host's file. The last `search` or `domain` line counts, as resolv.conf(5) has it.
fn of_host(text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut servers: Vec<String> = servers(text).filter(|server| !is_loopback(server)).map(String::from).collect();
    let (mut searches, mut options) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("search" | "domain") => searches = words.map(String::from).collect(),
            Some("options") => options.extend(words.map(String::from)),
            _ => {}
        }
    }
    if servers.is_empty() {
        servers = SERVERS_ELSEWHERE.map(String::from).to_vec();
    }
    (servers, searches, options)
}

/// The servers that a host's file names, as it writes them.
pub fn servers(host: &str) -> impl Iterator<Item = &str> {
    host.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver").and(words.next())
    })
}

/// Does the host's file name servers, but none that a pod could reach? (A local resolver, such as systemd's stub.)
pub fn only_local(host: &str) -> bool {
    let mut servers = servers(host).peekable();
    servers.peek().is_some() && servers.all(is_loopback)
}

fn is_loopback(server: &str) -> bool {
    server.split('%').next().and_then(|s| s.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback())
}

fn without_repetition(values: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "hack"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_pod_finds_itself_and_its_aliases() {
        let plain = hosts(&pod(json!({"containers": []})), "web", "10.1.2.3");
        assert!(plain.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        assert!(plain.ends_with("10.1.2.3\tweb\n"), "{plain}");
        let aliased = json!({"containers": [], "subdomain": "db", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["foo", "foo.example"]}]});
        let aliased = hosts(&pod(aliased), "web", "10.1.2.3");
        assert!(aliased.contains("10.1.2.3\tweb.db.hack.svc.cluster.local\tweb\n"), "{aliased}");
        assert!(aliased.ends_with("# Entries added by HostAliases.\n1.2.3.4\tfoo\tfoo.example\n"), "{aliased}");
    }

    #[test]
    fn the_hosts_resolver_is_the_pods_unless_only_the_host_reaches_it() {
        let p = pod(json!({"containers": [], "dnsPolicy": "ClusterFirst"}));
        let host = "# by hand\nnameserver 10.0.0.53\nnameserver 127.0.0.1\nsearch a.example b.example\noptions ndots:2 edns0\n";
        assert_eq!(resolv_conf(&p, host, None), "nameserver 10.0.0.53\nsearch a.example b.example\noptions ndots:2 edns0\n");
        assert_eq!(resolv_conf(&p, "nameserver 127.0.0.53\n", None), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        assert!(only_local("nameserver 127.0.0.53\noptions edns0\n") && only_local("nameserver ::1\n"));
        assert!(!only_local("") && !only_local("nameserver 127.0.0.1\nnameserver 10.0.0.1\n"));
    }

    #[test]
    fn names_of_the_cluster_come_first_where_it_has_a_server() {
        let (server, host) = (Some(Ipv4Addr::new(172, 30, 0, 10)), "nameserver 10.0.0.53\nsearch a.example\noptions edns0\n");
        let text = |spec| resolv_conf(&pod(spec), host, server);
        let cluster = "nameserver 172.30.0.10\nsearch hack.svc.cluster.local svc.cluster.local cluster.local a.example\noptions ndots:5\n";
        let hosts = "nameserver 10.0.0.53\nsearch a.example\noptions edns0\n";
        for (policy, host_network, wanted) in [
            ("ClusterFirst", false, cluster),
            ("", false, cluster),
            ("ClusterFirst", true, hosts),
            ("ClusterFirstWithHostNet", true, cluster),
            ("ClusterFirstWithHostNet", false, cluster),
            ("Default", false, hosts),
            ("None", false, ""),
        ] {
            let spec = json!({"containers": [], "dnsPolicy": policy, "hostNetwork": host_network});
            assert_eq!(text(spec), wanted, "{policy} {host_network}");
        }
        let config = json!({"options": [{"name": "ndots", "value": "2"}], "nameservers": ["1.1.1.1"]});
        let own = text(json!({"containers": [], "dnsPolicy": "ClusterFirst", "dnsConfig": config}));
        assert!(own.starts_with("nameserver 172.30.0.10\nnameserver 1.1.1.1\n") && own.ends_with("options ndots:2\n"), "{own}");
    }

    #[test]
    fn dns_config_adds_to_the_policys_part_or_stands_alone() {
        let config = json!({"nameservers": ["1.1.1.1", "10.0.0.53"], "searches": ["c.example"],
            "options": [{"name": "ndots", "value": "5"}, {"name": "rotate"}]});
        let alone = pod(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": config}));
        assert_eq!(
            resolv_conf(&alone, "nameserver 9.9.9.9\n", None),
            "nameserver 1.1.1.1\nnameserver 10.0.0.53\nsearch c.example\noptions ndots:5 rotate\n"
        );
        let added = pod(json!({"containers": [], "dnsPolicy": "Default", "dnsConfig": config}));
        assert_eq!(
            resolv_conf(&added, "nameserver 10.0.0.53\noptions ndots:2 edns0\nsearch a.example\n", None),
            "nameserver 10.0.0.53\nnameserver 1.1.1.1\nsearch a.example c.example\noptions edns0 ndots:5 rotate\n"
        );
    }
}
