//! A pod's node, set once: POST pods/NAME/binding.
use crate::caller::Caller;
use crate::clock;
use crate::encode::encode;
use crate::error::from_store;
use crate::registry_impl::Registry;
use crate::strategy;
use crate::write_path::CONFLICT_RETRIES_MAX;
use serde_json::{Value, json};
use shared::kinds::POD;
use shared::status::Status;
use store::{Change, Expect, Op};

impl Registry {
    /// POST pods/NAME/binding: sets `spec.nodeName` and the PodScheduled condition, once.
    pub async fn bind(&self, caller: &Caller, namespace: &str, pod: &str, node: &str) -> Result<(), Status> {
        self.allow(caller, "create", &POD, Some(namespace), pod, "binding")?;
        for _ in 0..CONFLICT_RETRIES_MAX {
            let current = self.load(&POD, Some(namespace), pod).ok_or_else(|| Status::not_found(&POD, pod))?;
            let mut value = current.value();
            if value["metadata"].get("deletionTimestamp").is_some() {
                return Err(Status::conflict(&POD, pod, &format!("pod {pod} is being deleted, cannot be assigned to a host")));
            }
            if let Some(bound) = value["spec"].get("nodeName").and_then(Value::as_str).filter(|n| !n.is_empty()) {
                return Err(Status::conflict(&POD, pod, &format!("pod {pod} is already assigned to node {bound:?}")));
            }
            value["spec"]["nodeName"] = json!(node);
            let condition =
                json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": clock::now_text()});
            let mut conditions: Vec<Value> = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.retain(|c| c["type"] != "PodScheduled");
            conditions.push(condition);
            value["status"]["conditions"] = conditions.into();
            strategy::drop_nulls(&mut value);
            let Value::Object(map) = value else { return Err(Status::internal("the stored pod is no object")) };
            let (bytes, at) = encode(&map);
            let op = Op {
                key: current.record.key.clone(),
                expect: Expect::Revision(current.revision()),
                change: Change::Put { value: bytes, revision_at: Some(at) },
            };
            match self.0.store.commit(vec![op]).await {
                Err(store::Error::Conflict { .. }) => {}
                other => return other.map(|_| ()).map_err(|e| from_store(e, &POD, pod)),
            }
        }
        Err(Status::modified(&POD, pod))
    }
}
