//! Applies rule sets with `iptables-restore`: one atomic, minimal change of our own chains.
use super::{ProxyError, ServiceProxy};
use async_trait::async_trait;
use logic::proxy::RuleSet;
use logic::proxy::iptables::{Chains, Jump, Options, PREFIX_ANY, Table, chains, change_input, jumps, prefix, restore_input};
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

/// No iptables call takes longer than this, even with ten thousand services.
const CALL_SECONDS_MAX: u64 = 30;
/// How long iptables waits for another program that changes rules.
const LOCK_SECONDS_MAX: &str = "10";

/// The iptables implementation. One instance for each cluster on a host: it owns every chain with the cluster's prefix.
pub struct IptablesProxy {
    options: Options,
    /// What the kernel holds; `None` until the first change has been made.
    applied: Mutex<Option<RuleSet>>,
}

impl IptablesProxy {
    /// `cluster`: whose chains these are. `pod_network`: the bridge network of the pods, such as `172.17.0.0/16`.
    pub fn new(cluster: &str, pod_network: &str) -> IptablesProxy {
        let bridged = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|v| v.trim() == "1");
        let masquerade_within = (!bridged).then(|| pod_network.to_string());
        IptablesProxy { options: Options { prefix: prefix(cluster), masquerade_within }, applied: Mutex::new(None) }
    }

    /// Chains of this cluster that the kernel holds, by name only: what an earlier run left behind.
    async fn existing(&self) -> Result<BTreeSet<(Table, String)>, ProxyError> {
        let mut found = BTreeSet::new();
        for table in [Table::Nat, Table::Filter] {
            let saved = run("iptables-save", &["-t", table.name()], None).await?;
            for line in saved.lines() {
                let chain = line.strip_prefix(':').and_then(|l| l.split(' ').next());
                if let Some(chain) = chain.filter(|c| c.starts_with(&self.options.prefix)) {
                    found.insert((table, chain.to_string()));
                }
            }
        }
        Ok(found)
    }

    /// Two clusters may share a host, but not a service address.
    async fn warn_of_others(&self) {
        let Ok(saved) = run("iptables-save", &["-t", "nat"], None).await else { return };
        let services = |l: &&str| l.starts_with(&format!(":{PREFIX_ANY}")) && l.contains("-SERVICES ");
        if saved.lines().filter(services).any(|l| !l[1..].starts_with(&self.options.prefix)) {
            tracing::warn!("another cluster has service rules on this host; if both use the same --portal-net, their addresses collide");
        }
    }

    async fn ensure_jumps(&self) -> Result<(), ProxyError> {
        // Inserted at the top, in reverse, so that they stand in the order of the table, before Docker's own.
        for jump in jumps(&self.options.prefix).iter().rev() {
            if run("iptables", &arguments("-C", jump), None).await.is_err() {
                run("iptables", &arguments("-I", jump), None).await?;
            }
        }
        Ok(())
    }

    async fn restore(&self, input: &str) -> Result<(), ProxyError> {
        run("iptables-restore", &["--noflush", "-w", LOCK_SECONDS_MAX], Some(input)).await.map(|_| ())
    }
}

fn arguments<'a>(verb: &'a str, jump: &'a Jump) -> Vec<&'a str> {
    let start = ["-w", LOCK_SECONDS_MAX, "-t", jump.table.name(), verb, jump.from];
    start.into_iter().chain(jump.matching.split_whitespace()).chain(["-j", &jump.to]).collect()
}

/// Chains by name, as if empty: comparing with them rewrites or removes each.
fn as_unknown(names: BTreeSet<(Table, String)>) -> Chains {
    // A rule that is never printed, so that no wanted chain is taken for already present.
    names.into_iter().map(|key| (key, vec![String::new()])).collect()
}

#[async_trait]
impl ServiceProxy for IptablesProxy {
    async fn apply(&self, rules: &RuleSet) -> Result<(), ProxyError> {
        let mut applied = self.applied.lock().await;
        // Taken: after a failure nobody knows what the kernel holds.
        let old = applied.take();
        match &old {
            Some(old) => {
                if let Some(input) = change_input(old, rules, &self.options) {
                    self.restore(&input).await?;
                }
            }
            None => {
                let existing = as_unknown(self.existing().await?);
                if let Some(input) = restore_input(&existing, &chains(rules, &self.options)) {
                    self.restore(&input).await?;
                }
                self.ensure_jumps().await?;
                self.warn_of_others().await;
            }
        }
        *applied = Some(rules.clone());
        Ok(())
    }

    async fn check(&self) -> Result<(), ProxyError> {
        let mut applied = self.applied.lock().await;
        let Some(rules) = applied.clone() else { return Ok(()) };
        let wanted = chains(&rules, &self.options);
        let existing = self.existing().await?;
        let mut whole = existing.iter().all(|key| wanted.contains_key(key)) && wanted.keys().all(|key| existing.contains(key));
        if whole {
            whole = self.rule_count().await? == wanted.values().map(Vec::len).sum::<usize>();
        }
        if !whole {
            tracing::warn!("service rules were changed by somebody else; writing them again");
            *applied = None;
            if let Some(input) = restore_input(&as_unknown(existing), &wanted) {
                self.restore(&input).await?;
            }
            *applied = Some(rules);
        }
        self.ensure_jumps().await
    }

    async fn remove_all(&self) -> Result<(), ProxyError> {
        let mut applied = self.applied.lock().await;
        for jump in jumps(&self.options.prefix) {
            // Deleted until it is no longer there: an earlier crash may have left it twice.
            while run("iptables", &arguments("-D", &jump), None).await.is_ok() {}
        }
        let existing = as_unknown(self.existing().await?);
        *applied = None;
        match restore_input(&existing, &Chains::new()) {
            Some(input) => self.restore(&input).await,
            None => Ok(()),
        }
    }
}

impl IptablesProxy {
    async fn rule_count(&self) -> Result<usize, ProxyError> {
        let mut count = 0;
        for table in [Table::Nat, Table::Filter] {
            let saved = run("iptables-save", &["-t", table.name()], None).await?;
            count += saved.lines().filter(|l| l.strip_prefix("-A ").is_some_and(|r| r.starts_with(&self.options.prefix))).count();
        }
        Ok(count)
    }
}

async fn run(program: &str, args: &[&str], input: Option<&str>) -> Result<String, ProxyError> {
    let fail = |why: String| ProxyError(format!("{program} {}: {why}", args.join(" ")));
    let work = async {
        let mut child = Command::new(program)
            .args(args)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| fail(e.to_string()))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let (Some(mut stdin), Some(text)) = (stdin, input) {
                // A refused input shows in the exit code; a broken pipe here would hide the reason.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let (_, output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(|e| fail(e.to_string()))?;
        if !output.status.success() {
            return Err(fail(String::from_utf8_lossy(&output.stderr).trim().to_string()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(CALL_SECONDS_MAX), work)
        .await
        .map_err(|_| fail(format!("no answer within {CALL_SECONDS_MAX} s")))?
}
