//! The service proxy behind the agent: a whole rule set in, one atomic minimal change out.
//!
//! Sets are persistent maps: an implementation keeps the one that it applied, and what leads to the next one is found at
//! the cost of what differs. So the seam stays level-triggered, without lists of changes that could be lost.
pub mod iptables;
pub mod recording;

use async_trait::async_trait;
use logic::proxy::RuleSet;

/// Why the kernel's rules could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot apply service rules: {0}")]
pub struct ProxyError(pub String);

/// Held as `Arc<dyn ServiceProxy>`: iptables, nftables (later), recording.
#[async_trait]
pub trait ServiceProxy: Send + Sync {
    /// Makes the kernel serve exactly this set. Only our own chains change, in one transaction.
    async fn apply(&self, rules: &RuleSet) -> Result<(), ProxyError>;
    /// Looks whether somebody removed or changed our chains; repairs them.
    async fn check(&self) -> Result<(), ProxyError>;
    /// Removes every chain and rule that is ours, and nothing else.
    async fn remove_all(&self) -> Result<(), ProxyError>;
}
