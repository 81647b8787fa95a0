//! The node's API in the same process: straight to the registry, as the node's own identity.
use apiserver::App;
use apiserver::authn::tokens::{AUDIENCES, Bound, Reference};
use async_trait::async_trait;
use node::api::{NodeApi, NodeWatch};
use registry::Registry;
use registry::caller::{Caller, GROUP_AUTHENTICATED, GROUP_MASTERS, Identity};
use registry::options::{DeleteOptions, FieldValidation, ListOptions, Patch, Preconditions, WatchOptions, WriteOptions};
use serde_json::Value;
use shared::kinds::{Kind, POD, SERVICE_ACCOUNT};
use shared::selector::FieldSelector;
use shared::status::Status;
use shared::watch::WatchEvent;
use std::sync::Arc;

pub struct LocalApi {
    registry: Registry,
    app: Arc<App>,
    caller: Caller,
}

impl LocalApi {
    pub fn new(registry: Registry, app: Arc<App>, node: &str) -> LocalApi {
        let groups = vec![GROUP_MASTERS.into(), GROUP_AUTHENTICATED.into(), "system:nodes".into()];
        let identity = Identity { name: format!("system:node:{node}"), groups, agent: "kubelet".into(), ..Identity::default() };
        LocalApi { registry, app, caller: Caller(Arc::new(identity)) }
    }

    fn options() -> WriteOptions {
        WriteOptions { field_validation: FieldValidation::Ignore, ..WriteOptions::default() }
    }
}

fn fields(text: &str) -> Result<FieldSelector, Status> {
    FieldSelector::parse(text).map_err(|e| Status::bad_request(e.to_string()))
}

struct LocalWatch(registry::Watch);

#[async_trait]
impl NodeWatch for LocalWatch {
    async fn next(&mut self) -> Result<WatchEvent<Value>, Status> {
        loop {
            let item = self.0.next().await?;
            if let Some(object) = item.object {
                return Ok(WatchEvent { event_type: item.event_type, object: object.value() });
            }
        }
    }
}

#[async_trait]
impl NodeApi for LocalApi {
    async fn list(&self, kind: &'static Kind, selector: &str) -> Result<(Vec<Value>, u64), Status> {
        let list = self.registry.list(&self.caller, kind, None, &ListOptions { fields: fields(selector)?, ..ListOptions::default() })?;
        Ok((list.items.iter().map(registry::object::Object::value).collect(), list.revision))
    }

    async fn watch(&self, kind: &'static Kind, selector: &str, from: u64) -> Result<Box<dyn NodeWatch>, Status> {
        let options = WatchOptions { fields: fields(selector)?, from: Some(from), ..WatchOptions::default() };
        Ok(Box::new(LocalWatch(self.registry.watch(&self.caller, kind, None, &options)?)))
    }

    async fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
        self.registry.get(&self.caller, kind, namespace, name).map(|o| o.value())
    }

    async fn create(&self, kind: &'static Kind, namespace: Option<&str>, body: Value) -> Result<Value, Status> {
        self.registry.create(&self.caller, kind, namespace, body, &Self::options()).await.map(|w| w.object.value())
    }

    async fn update(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, body: Value) -> Result<Value, Status> {
        self.registry.update(&self.caller, kind, namespace, name, "", body, &Self::options()).await.map(|w| w.object.value())
    }

    async fn patch_status(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, patch: Value) -> Result<Value, Status> {
        let patch = Patch::Strategic(patch);
        self.registry.patch(&self.caller, kind, namespace, name, "status", patch, &Self::options()).await.map(|w| w.object.value())
    }

    async fn delete_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Status> {
        let preconditions = Some(Preconditions { uid: Some(uid.into()), resource_version: None });
        let options = DeleteOptions { grace_period_seconds: Some(0), preconditions, ..DeleteOptions::default() };
        self.registry.delete(&self.caller, &POD, Some(namespace), name, &options).await.map(|_| ())
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
        let account = self.registry.get(&self.caller, &SERVICE_ACCOUNT, Some(namespace), name)?;
        let bound = Bound {
            namespace: namespace.into(),
            serviceaccount: Reference { name: name.into(), uid: account.index().meta.uid.clone() },
            pod: Some(Reference { name: pod.into(), uid: pod_uid.into() }),
            secret: None,
            node: None,
        };
        let audiences = if audience.is_empty() { AUDIENCES.iter().map(ToString::to_string).collect() } else { vec![audience.to_string()] };
        apiserver::handlers::token::issue(&self.app, bound, audiences, seconds).map(|(token, _)| token)
    }
}
