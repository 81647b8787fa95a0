//! Lets packets between pods of different nodes pass the firewall as they are.
//!
//! ```text
//! filter FORWARD     ─► PODNET-TTTT   other nodes and their pods may reach ours: Docker drops what comes to its bridge
//! nat    POSTROUTING ─► PODNET-TTTT   from our pods to theirs no other address is put: Docker would put the node's
//! ```
//! Chains of our own, hooked in at the top; Docker's and other people's rules are left alone.
use crate::proxy::ProxyError;
use crate::proxy::tool::{self, LOCK_SECONDS_MAX};
use logic::pod_network::Plan;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const HOOKS: [(&str, &str); 2] = [("filter", "FORWARD"), ("nat", "POSTROUTING")];

fn chain(id: &str) -> String {
    let digest = Sha256::digest(id);
    format!("PODNET-{:02X}{:02X}{:02X}", digest[0], digest[1], digest[2])
}

/// What the two chains hold, as `iptables-restore` reads it: both are written whole, in one transaction each.
fn rules(chain: &str, plan: &Plan) -> String {
    let (mut filter, mut nat) = (String::new(), String::new());
    if let Some(own) = plan.own {
        for (net, address) in &plan.peers {
            // A string takes whatever is written to it.
            let _ = writeln!(filter, "-A {chain} -s {net} -d {own} -j ACCEPT\n-A {chain} -s {address}/32 -d {own} -j ACCEPT");
            let _ = writeln!(
                filter,
                "-A {chain} -s {own} -d {net} -j ACCEPT\n-A {chain} -s {net} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            );
            let _ = writeln!(nat, "-A {chain} -s {own} -d {net} -j ACCEPT");
        }
    }
    format!("*filter\n:{chain} - [0:0]\n{filter}COMMIT\n*nat\n:{chain} - [0:0]\n{nat}COMMIT\n")
}

/// Writes the chains and hooks them in.
pub(super) async fn apply(id: &str, plan: &Plan) -> Result<(), String> {
    let chain = chain(id);
    run("iptables-restore", &["--noflush", "-w", LOCK_SECONDS_MAX], Some(&rules(&chain, plan))).await?;
    for (table, hook) in HOOKS {
        if run("iptables", &["-w", LOCK_SECONDS_MAX, "-t", table, "-C", hook, "-j", &chain], None).await.is_err() {
            run("iptables", &["-w", LOCK_SECONDS_MAX, "-t", table, "-I", hook, "-j", &chain], None).await?;
        }
    }
    Ok(())
}

pub(super) async fn remove(id: &str) -> Result<(), String> {
    let chain = chain(id);
    for (table, hook) in HOOKS {
        // Until it is no longer there: an earlier crash may have left it twice.
        while run("iptables", &["-w", LOCK_SECONDS_MAX, "-t", table, "-D", hook, "-j", &chain], None).await.is_ok() {}
        if run("iptables", &["-w", LOCK_SECONDS_MAX, "-t", table, "-F", &chain], None).await.is_ok() {
            run("iptables", &["-w", LOCK_SECONDS_MAX, "-t", table, "-X", &chain], None).await?;
        }
    }
    Ok(())
}

/// What goes wrong is told as text; rules for pods are no service rules.
async fn run(program: &str, args: &[&str], input: Option<&str>) -> Result<(), String> {
    tool::run(program, args, input).await.map(|_| ()).map_err(|ProxyError(why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    #[test]
    fn only_other_nodes_and_their_pods_may_pass_and_only_to_our_pods() {
        let peers = BTreeMap::from([("172.18.2.0/24".parse().unwrap(), Ipv4Addr::new(10, 0, 0, 2))]);
        let text = rules("C", &Plan { own: Some("172.18.1.0/24".parse().unwrap()), peers });
        let (filter, nat) = text.split_once("*nat").unwrap();
        assert_eq!(filter.matches("-A C").count(), 4);
        assert!(filter.contains("-A C -s 172.18.2.0/24 -d 172.18.1.0/24 -j ACCEPT\n-A C -s 10.0.0.2/32 -d 172.18.1.0/24 -j ACCEPT\n"));
        assert!(nat.contains("-A C -s 172.18.1.0/24 -d 172.18.2.0/24 -j ACCEPT\n") && nat.matches("-A C").count() == 1);
        assert!(!rules("C", &Plan::default()).contains("-A"), "nothing passes before the control plane has agreed");
    }

    #[test]
    fn chains_of_two_clusters_differ_and_fit() {
        assert_ne!(chain("a"), chain("b"));
        assert!(chain("a").len() <= 28);
    }
}
