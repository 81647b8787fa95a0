//! The calls a node makes to the cluster. In process on an all-in-one, over TLS on other machines.
use async_trait::async_trait;
use serde_json::Value;
use shared::kinds::Kind;
use shared::status::Status;
use shared::watch::WatchEvent;

/// A stream of changes of one collection.
#[async_trait]
pub trait NodeWatch: Send {
    /// The next change as JSON. An error ends the watch; list again.
    async fn next(&mut self) -> Result<WatchEvent<Value>, Status>;
}

/// Held as `Arc<dyn NodeApi>`.
#[async_trait]
pub trait NodeApi: Send + Sync {
    /// A whole collection and the revision it was read at. `fields` is a field selector such as `spec.nodeName=x`.
    async fn list(&self, kind: &'static Kind, fields: &str) -> Result<(Vec<Value>, u64), Status>;
    async fn watch(&self, kind: &'static Kind, fields: &str, from: u64) -> Result<Box<dyn NodeWatch>, Status>;
    async fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Result<Value, Status>;
    async fn create(&self, kind: &'static Kind, namespace: Option<&str>, body: Value) -> Result<Value, Status>;
    async fn update(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, body: Value) -> Result<Value, Status>;
    /// Strategic merge patch of `/status`.
    async fn patch_status(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, patch: Value) -> Result<Value, Status>;
    /// Removes a pod that this node has stopped: grace period 0, only if it still has this uid.
    async fn delete_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Status>;
    /// A bearer token of a service account, for the volume that pods read it from.
    async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        pod: &str,
        pod_uid: &str,
        audience: &str,
        expiration_seconds: i64,
    ) -> Result<String, Status>;
}
