//! Runs iptables' programs on the chains of one cluster.
use super::ProxyError;
use logic::proxy::iptables::{Chains, Jump, PREFIX_ANY, Table, jumps, prefix, restore_input};
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// No iptables call takes longer than this. Its time grows with the square of its chains: 3,000 services with ten endpoints
/// each took 23 s at once, 10,000 take minutes; one change among them takes no longer than among few.
const CALL_SECONDS_MAX: u64 = 600;
/// How long iptables waits for another program that changes rules.
pub(crate) const LOCK_SECONDS_MAX: &str = "10";

/// The chains with the cluster's prefix, and the jumps to them.
pub(super) struct Tool {
    pub(super) prefix: String,
}

impl Tool {
    pub(super) fn new(cluster: &str) -> Tool {
        Tool { prefix: prefix(cluster) }
    }

    /// Without it there are no chains, neither ours nor Docker's.
    pub(super) fn is_installed() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join("iptables-restore").is_file())
    }

    /// Chains of this cluster that the kernel holds, by name only: what an earlier run left behind.
    pub(super) async fn existing(&self) -> Result<BTreeSet<(Table, String)>, ProxyError> {
        let mut found = BTreeSet::new();
        for table in [Table::Nat, Table::Filter] {
            let saved = run("iptables-save", &["-t", table.name()], None).await?;
            for line in saved.lines() {
                let chain = line.strip_prefix(':').and_then(|l| l.split(' ').next());
                if let Some(chain) = chain.filter(|c| c.starts_with(&self.prefix)) {
                    found.insert((table, chain.to_string()));
                }
            }
        }
        Ok(found)
    }

    /// How many rules this cluster's chains hold together.
    pub(super) async fn rule_count(&self) -> Result<usize, ProxyError> {
        let mut count = 0;
        for table in [Table::Nat, Table::Filter] {
            let saved = run("iptables-save", &["-t", table.name()], None).await?;
            count += saved.lines().filter(|l| l.strip_prefix("-A ").is_some_and(|r| r.starts_with(&self.prefix))).count();
        }
        Ok(count)
    }

    /// Two clusters may share a host, but not a service address.
    pub(super) async fn has_others(&self) -> bool {
        let Ok(saved) = run("iptables-save", &["-t", "nat"], None).await else { return false };
        let services = |l: &&str| l.starts_with(&format!(":{PREFIX_ANY}")) && l.contains("-SERVICES ");
        saved.lines().filter(services).any(|l| !l[1..].starts_with(&self.prefix))
    }

    /// Writes these chains and removes all others of ours that exist, whatever any of them holds now.
    pub(super) async fn replace(&self, existing: BTreeSet<(Table, String)>, wanted: &Chains) -> Result<(), ProxyError> {
        // A rule that is never printed, so that no wanted chain is taken for already present.
        let unknown = existing.into_iter().map(|key| (key, vec![String::new()])).collect();
        match restore_input(&unknown, wanted) {
            Some(input) => self.restore(&input).await,
            None => Ok(()),
        }
    }

    pub(super) async fn restore(&self, input: &str) -> Result<(), ProxyError> {
        run("iptables-restore", &["--noflush", "-w", LOCK_SECONDS_MAX], Some(input)).await.map(|_| ())
    }

    /// Inserted at the top, in reverse, so that they stand in the order given, before Docker's own.
    pub(super) async fn ensure(&self, jumps: &[Jump]) -> Result<(), ProxyError> {
        for jump in jumps.iter().rev() {
            if !self.has(jump).await {
                run("iptables", &arguments("-I", jump), None).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn has(&self, jump: &Jump) -> bool {
        run("iptables", &arguments("-C", jump), None).await.is_ok()
    }

    /// The rules of one chain, as they are listed; `None` if it does not exist.
    pub(super) async fn rules(&self, (table, chain): &(Table, String)) -> Option<Vec<String>> {
        let listed = run("iptables", &["-w", LOCK_SECONDS_MAX, "-t", table.name(), "-S", chain], None).await.ok()?;
        Some(listed.lines().filter_map(|line| line.strip_prefix(&format!("-A {chain} "))).map(String::from).collect())
    }

    /// Removes every jump and every chain of ours except these.
    pub(super) async fn remove_except(&self, kept: &[Jump], chains: &Chains) -> Result<(), ProxyError> {
        let existing = self.existing().await?;
        if existing.iter().all(|chain| chains.contains_key(chain)) {
            return Ok(());
        }
        for jump in jumps(&self.prefix).iter().filter(|jump| !kept.contains(jump)) {
            // Deleted until it is no longer there: an earlier crash may have left it twice.
            while run("iptables", &arguments("-D", jump), None).await.is_ok() {}
        }
        self.replace(existing, chains).await
    }
}

fn arguments<'a>(verb: &'a str, jump: &'a Jump) -> Vec<&'a str> {
    let start = ["-w", LOCK_SECONDS_MAX, "-t", jump.table.name(), verb, jump.from];
    start.into_iter().chain(jump.matching.split_whitespace()).chain(["-j", &jump.to]).collect()
}

/// One call of a program of iptables; what it prints.
pub(crate) async fn run(program: &str, args: &[&str], input: Option<&str>) -> Result<String, ProxyError> {
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
