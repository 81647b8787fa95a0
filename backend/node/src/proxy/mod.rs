//! The service proxy behind the agent: a whole rule set in, one atomic minimal change out.
//!
//! Sets are persistent maps: an implementation keeps the one that it applied, and what leads to the next one is found at
//! the cost of what differs. So the seam stays level-triggered, without lists of changes that could be lost.
pub mod iptables;
pub mod nftables;
pub mod recording;
pub(crate) mod tool;

use async_trait::async_trait;
use logic::proxy::RuleSet;
use logic::proxy::flows::Stale;

/// Why the kernel's rules could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot apply service rules: {0}")]
pub struct ProxyError(pub String);

/// Held as `Arc<dyn ServiceProxy>`: iptables, nftables, recording. `tests/proxy` holds all that touch the kernel to this.
#[async_trait]
pub trait ServiceProxy: Send + Sync {
    /// Makes the kernel serve exactly this set. Only what is ours changes, in one transaction; established connections go
    /// on, and UDP flows whose backend is gone are translated anew. The first call takes over what an earlier run left,
    /// in whichever mode.
    async fn apply(&self, rules: &RuleSet) -> Result<(), ProxyError>;
    /// Looks whether somebody removed or changed what is ours; repairs it.
    async fn check(&self) -> Result<(), ProxyError>;
    /// Removes everything that is ours, and nothing else.
    async fn remove_all(&self) -> Result<(), ProxyError>;
}

/// Removes what any implementation made for a cluster; those that cannot be had here made nothing.
pub async fn remove_all(cluster: &str) -> Result<(), ProxyError> {
    if tool::Tool::is_installed() {
        iptables::IptablesProxy::new(cluster, "").remove_all().await?;
    }
    match nftables::unavailable() {
        Some(_) => Ok(()),
        None => nftables::remove_table(cluster).await,
    }
}

/// Where bridged packets do not pass the rules of the layer above.
fn bridged_packets_bypass() -> bool {
    !std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|v| v.trim() == "1")
}

fn warn_of_others() {
    tracing::warn!("another cluster has service rules on this host; if both use the same --portal-net, their addresses collide");
}

/// Failing costs clients of UDP that never pause, until their flows end; the rules themselves are right.
async fn forget_flows(stale: Stale) {
    if stale.is_empty() {
        return;
    }
    match tokio::task::spawn_blocking(move || crate::netfilter::flows::forget(&stale)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(flows)) => tracing::debug!(flows, "forgot UDP flows whose backend is gone"),
        Ok(Err(error)) => tracing::warn!(%error, "UDP flows whose backend is gone are not forgotten"),
        Err(_) => {}
    }
}
