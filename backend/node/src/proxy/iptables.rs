//! Applies rule sets with `iptables-restore`: one atomic, minimal change of our own chains.
use super::tool::Tool;
use super::{ProxyError, ServiceProxy, forget_flows, nftables};
use async_trait::async_trait;
use logic::proxy::RuleSet;
use logic::proxy::flows::Stale;
use logic::proxy::iptables::{Chains, Options, chains, change_input, jumps, prefix};
use tokio::sync::Mutex;

/// The iptables implementation. One instance for each cluster on a host: it owns every chain with the cluster's prefix.
pub struct IptablesProxy {
    cluster: String,
    options: Options,
    tool: Tool,
    /// What the kernel holds; `None` until the first change has been made, and when nobody knows.
    applied: Mutex<Option<RuleSet>>,
}

impl IptablesProxy {
    /// `cluster`: whose chains these are. `pod_network`: the bridge network of the pods, such as `172.17.0.0/16`.
    pub fn new(cluster: &str, pod_network: &str) -> IptablesProxy {
        let masquerade_within = super::bridged_packets_bypass().then(|| pod_network.to_string());
        let options = Options { prefix: prefix(cluster), masquerade_within };
        IptablesProxy { cluster: cluster.into(), options, tool: Tool::new(cluster), applied: Mutex::new(None) }
    }

    async fn take_over(&self, rules: &RuleSet) -> Result<(), ProxyError> {
        self.tool.replace(self.tool.existing().await?, &chains(rules, &self.options)).await?;
        self.tool.ensure(&jumps(&self.options.prefix)).await?;
        // An earlier run may have used the other mode; where nftables cannot be had, it has not.
        let _ = nftables::remove_table(&self.cluster).await;
        if self.tool.has_others().await {
            super::warn_of_others();
        }
        Ok(())
    }
}

#[async_trait]
impl ServiceProxy for IptablesProxy {
    async fn apply(&self, rules: &RuleSet) -> Result<(), ProxyError> {
        let mut applied = self.applied.lock().await;
        // Taken: after a failure nobody knows what the kernel holds.
        let stale = match applied.take() {
            Some(old) => {
                if let Some(input) = change_input(&old, rules, &self.options) {
                    self.tool.restore(&input).await?;
                }
                Stale::after(&old, rules)
            }
            None => {
                self.take_over(rules).await?;
                Stale::at_start(rules)
            }
        };
        *applied = Some(rules.clone());
        forget_flows(stale).await;
        Ok(())
    }

    async fn check(&self) -> Result<(), ProxyError> {
        let mut applied = self.applied.lock().await;
        let Some(rules) = applied.clone() else { return Ok(()) };
        let wanted = chains(&rules, &self.options);
        let existing = self.tool.existing().await?;
        let mut whole = existing.len() == wanted.len() && wanted.keys().all(|key| existing.contains(key));
        if whole {
            whole = self.tool.rule_count().await? == wanted.values().map(Vec::len).sum::<usize>();
        }
        if !whole {
            tracing::warn!("service rules were changed by somebody else; writing them again");
            *applied = None;
            self.tool.replace(existing, &wanted).await?;
            *applied = Some(rules);
        }
        self.tool.ensure(&jumps(&self.options.prefix)).await
    }

    async fn remove_all(&self) -> Result<(), ProxyError> {
        let mut applied = self.applied.lock().await;
        *applied = None;
        self.tool.remove_except(&[], &Chains::new()).await
    }
}
