//! Tells people what the node did for a pod. Best effort: an event that cannot be written is only logged.
use crate::api::NodeApi;
use parking_lot::Mutex;
use serde_json::json;
use shared::kinds::EVENT;
use shared::objects::pod::Pod;
use std::collections::HashMap;
use std::sync::Arc;

/// Events remembered for counting.
const REMEMBERED_MAX: usize = 1024;

pub(crate) struct Events {
    api: Arc<dyn NodeApi>,
    node: String,
    counts: Mutex<HashMap<(String, String, String), (String, i64, serde_json::Value)>>,
}

impl Events {
    pub(crate) fn new(api: Arc<dyn NodeApi>, node: &str) -> Events {
        Events { api, node: node.into(), counts: Mutex::default() }
    }

    /// Written in the background; the caller goes on.
    pub(crate) fn say(self: &Arc<Self>, pod: &Pod, container: Option<&str>, warning: bool, reason: &str, message: String) {
        let (events, uid) = (self.clone(), pod.metadata.uid.clone());
        let mut about = json!({"kind": "Pod", "apiVersion": "v1", "namespace": pod.metadata.namespace, "name": pod.metadata.name, "uid": uid,
            "resourceVersion": pod.metadata.resource_version});
        if let Some(container) = container {
            about["fieldPath"] = json!(format!("spec.containers{{{container}}}"));
        }
        let (namespace, name, reason) = (pod.metadata.namespace.clone(), pod.metadata.name.clone(), reason.to_string());
        tokio::spawn(async move { events.write(namespace, name, uid, about, warning, reason, message).await });
    }

    async fn write(
        &self,
        namespace: String,
        pod: String,
        uid: String,
        about: serde_json::Value,
        warning: bool,
        reason: String,
        message: String,
    ) {
        let key = (uid, reason.clone(), message.clone());
        let now = crate::worker::now_text();
        let known = {
            let mut counts = self.counts.lock();
            if counts.len() > REMEMBERED_MAX {
                counts.clear();
            }
            counts.get_mut(&key).map(|(name, count, body)| {
                *count += 1;
                body["count"] = json!(*count);
                body["lastTimestamp"] = json!(now);
                (name.clone(), body.clone())
            })
        };
        if let Some((name, body)) = known
            && self.api.update(&EVENT, Some(&namespace), &name, body).await.is_ok()
        {
            return;
        }
        let name = format!("{pod}.{:016x}", crate::clock::random::<u64>());
        let body = json!({"metadata": {"name": name, "namespace": namespace}, "involvedObject": about, "reason": reason, "message": message,
            "type": if warning { "Warning" } else { "Normal" }, "source": {"component": "kubelet", "host": self.node}, "reportingComponent": "kubelet",
            "reportingInstance": self.node, "firstTimestamp": now, "lastTimestamp": now, "count": 1});
        match self.api.create(&EVENT, Some(&namespace), body.clone()).await {
            Ok(_) => {
                self.counts.lock().insert(key, (name, 1, body));
            }
            Err(status) => tracing::debug!(error = %status, reason, "event not written"),
        }
    }
}
