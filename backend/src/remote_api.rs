//! The node's API on another machine: HTTP/2 over TLS, as the identity of the node's own certificate.
use async_trait::async_trait;
use node::api::{NodeApi, NodeWatch};
use parking_lot::RwLock;
use serde_json::{Value, json};
use shared::client::ClientError;
use shared::client::config::Target;
use shared::client::http::{Client, PatchKind, with_query};
use shared::client::watch::Watch;
use shared::kinds::{Kind, POD, SERVICE_ACCOUNT};
use shared::status::Status;
use shared::watch::{EventType, WatchEvent};
use std::sync::Arc;
use std::time::Duration;

/// A call for one object; with the next try it is still within the grace that a silent node has.
const CALL_DEADLINE: Duration = Duration::from_secs(8);
/// A whole collection, of a large cluster over a slow line.
const LIST_DEADLINE: Duration = Duration::from_secs(60);

/// Two connections, so that a large list or a burst of changes never keeps a lease waiting.
struct Clients {
    calls: Client,
    /// Lists and watches.
    streams: Client,
}

impl Clients {
    fn new(target: &Target) -> Result<Clients, ClientError> {
        let calls = Client::kept_open(target.clone())?;
        Ok(Clients {
            calls: calls.with_deadline(Some(CALL_DEADLINE)),
            streams: Client::kept_open(target.clone())?.with_deadline(Some(LIST_DEADLINE)),
        })
    }
}

pub struct RemoteApi(RwLock<Arc<Clients>>);

impl RemoteApi {
    pub fn new(target: &Target) -> Result<RemoteApi, ClientError> {
        Ok(RemoteApi(RwLock::new(Arc::new(Clients::new(target)?))))
    }

    /// Goes on with another certificate; calls under way end as they began.
    pub fn renew(&self, target: &Target) -> Result<(), ClientError> {
        *self.0.write() = Arc::new(Clients::new(target)?);
        Ok(())
    }

    fn clients(&self) -> Arc<Clients> {
        self.0.read().clone()
    }
}

fn status(error: ClientError) -> Status {
    match error {
        ClientError::Status(status) => *status,
        other => Status::unavailable(other.to_string()),
    }
}

struct RemoteWatch(Watch);

#[async_trait]
impl NodeWatch for RemoteWatch {
    async fn next(&mut self) -> Result<WatchEvent<Value>, Status> {
        loop {
            let event = self.0.next().await.map_err(status)?.ok_or_else(|| Status::unavailable("the server ended the watch"))?;
            if event.event_type != EventType::Bookmark {
                return Ok(event);
            }
        }
    }
}

#[async_trait]
impl NodeApi for RemoteApi {
    async fn list(&self, kind: &'static Kind, fields: &str) -> Result<(Vec<Value>, u64), Status> {
        let path = with_query(&kind.collection_path(None), &[("fieldSelector", fields)]);
        let mut list = self.clients().streams.get(&path).await.map_err(status)?;
        let revision = list["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse().ok());
        let revision = revision.ok_or_else(|| Status::internal("the server's list has no resourceVersion"))?;
        match list["items"].take() {
            Value::Array(items) => Ok((items, revision)),
            _ => Ok((Vec::new(), revision)),
        }
    }

    async fn watch(&self, kind: &'static Kind, fields: &str, from: u64) -> Result<Box<dyn NodeWatch>, Status> {
        let from = from.to_string();
        let query = [("watch", "true"), ("resourceVersion", from.as_str()), ("fieldSelector", fields)];
        let path = with_query(&kind.collection_path(None), &query);
        Ok(Box::new(RemoteWatch(Watch::open(&self.clients().streams, &path).await.map_err(status)?)))
    }

    async fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
        self.clients().calls.get(&kind.object_path(namespace, name)).await.map_err(status)
    }

    async fn create(&self, kind: &'static Kind, namespace: Option<&str>, body: Value) -> Result<Value, Status> {
        self.clients().calls.post(&kind.collection_path(namespace), &body).await.map_err(status)
    }

    async fn update(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, body: Value) -> Result<Value, Status> {
        self.clients().calls.put(&kind.object_path(namespace, name), &body).await.map_err(status)
    }

    async fn patch_status(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, patch: Value) -> Result<Value, Status> {
        let path = format!("{}/status", kind.object_path(namespace, name));
        self.clients().calls.patch(&path, PatchKind::Strategic, &patch).await.map_err(status)
    }

    async fn delete_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Status> {
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        self.clients().calls.delete(&POD.object_path(Some(namespace), name), &options).await.map(|_| ()).map_err(status)
    }

    async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        pod: &str,
        pod_uid: &str,
        audience: &str,
        seconds: i64,
    ) -> Result<String, Status> {
        let audiences: Vec<&str> = if audience.is_empty() { Vec::new() } else { vec![audience] };
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": pod_uid});
        let body = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound}});
        let path = format!("{}/token", SERVICE_ACCOUNT.object_path(Some(namespace), name));
        let answer = self.clients().calls.post(&path, &body).await.map_err(status)?;
        answer["status"]["token"].as_str().map(str::to_string).ok_or_else(|| Status::internal("the server's answer has no token"))
    }
}
