//! A service proxy that only remembers: for simulated nodes and for tests.
use super::{ProxyError, ServiceProxy};
use async_trait::async_trait;
use logic::proxy::RuleSet;
use parking_lot::Mutex;

/// Holds the last rule set that was applied.
#[derive(Default)]
pub struct RecordingProxy {
    applied: Mutex<RuleSet>,
}

impl RecordingProxy {
    pub fn applied(&self) -> RuleSet {
        self.applied.lock().clone()
    }
}

#[async_trait]
impl ServiceProxy for RecordingProxy {
    async fn apply(&self, rules: &RuleSet) -> Result<(), ProxyError> {
        *self.applied.lock() = rules.clone();
        Ok(())
    }

    async fn check(&self) -> Result<(), ProxyError> {
        Ok(())
    }

    async fn remove_all(&self) -> Result<(), ProxyError> {
        *self.applied.lock() = RuleSet::default();
        Ok(())
    }
}
