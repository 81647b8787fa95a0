//! A cluster's API in memory, as much of it as a node agent asks for.
use async_trait::async_trait;
use node::api::{NodeApi, NodeWatch};
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::kinds::Kind;
use shared::status::Status;
use shared::watch::{EventType, WatchEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Longest that any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

type Key = (&'static str, String, String);

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    revision: u64,
    /// Status patches to refuse.
    refuse: u32,
    status_writes: u32,
    calls: u32,
}

#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    changes: broadcast::Sender<(&'static str, WatchEvent<Value>)>,
}

struct FakeWatch(&'static str, broadcast::Receiver<(&'static str, WatchEvent<Value>)>);

#[async_trait]
impl NodeWatch for FakeWatch {
    async fn next(&mut self) -> Result<WatchEvent<Value>, Status> {
        loop {
            let (plural, event) = self.1.recv().await.map_err(|e| Status::expired(e.to_string()))?;
            if plural == self.0 {
                return Ok(event);
            }
        }
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(members) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in members {
        if key == "conditions" {
            let old = into[key].as_array().cloned().unwrap_or_default();
            let new = value.as_array().cloned().unwrap_or_default();
            let kept = old.into_iter().filter(|o| !new.iter().any(|n| n["type"] == o["type"]));
            into[key] = kept.chain(new.iter().cloned()).collect();
        } else if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

impl FakeApi {
    pub fn new() -> FakeApi {
        FakeApi { state: Arc::default(), changes: broadcast::channel(4096).0 }
    }

    pub fn put(&self, kind: &'static Kind, namespace: &str, mut body: Value) -> Value {
        let name = body["metadata"]["name"].as_str().unwrap().to_string();
        let mut state = self.state.lock();
        state.revision += 1;
        body["metadata"]["namespace"] = json!(namespace);
        body["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        let old = state.objects.insert((kind.plural, namespace.into(), name), body.clone());
        let event_type = if old.is_some() { EventType::Modified } else { EventType::Added };
        let _ = self.changes.send((kind.plural, WatchEvent { event_type, object: body.clone() }));
        body
    }

    pub fn take(&self, kind: &'static Kind, namespace: &str, name: &str) {
        let old = self.state.lock().objects.remove(&(kind.plural, namespace.into(), name.into()));
        if let Some(object) = old {
            let _ = self.changes.send((kind.plural, WatchEvent { event_type: EventType::Deleted, object }));
        }
    }

    pub fn object(&self, kind: &'static Kind, namespace: &str, name: &str) -> Option<Value> {
        self.state.lock().objects.get(&(kind.plural, namespace.into(), name.into())).cloned()
    }

    pub fn all(&self, kind: &'static Kind) -> Vec<Value> {
        self.state.lock().objects.iter().filter(|((p, ..), _)| *p == kind.plural).map(|(_, v)| v.clone()).collect()
    }

    pub fn refuse_status(&self, times: u32) {
        self.state.lock().refuse = times;
    }

    pub fn status_writes(&self) -> u32 {
        self.state.lock().status_writes
    }
}

#[async_trait]
impl NodeApi for FakeApi {
    async fn list(&self, kind: &'static Kind, _fields: &str) -> Result<(Vec<Value>, u64), Status> {
        let revision = self.state.lock().revision;
        Ok((self.all(kind), revision))
    }

    async fn watch(&self, kind: &'static Kind, _fields: &str, _from: u64) -> Result<Box<dyn NodeWatch>, Status> {
        Ok(Box::new(FakeWatch(kind.plural, self.changes.subscribe())))
    }

    async fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
        self.state.lock().calls += 1;
        self.object(kind, namespace.unwrap_or_default(), name).ok_or_else(|| Status::not_found(kind, name))
    }

    async fn create(&self, kind: &'static Kind, namespace: Option<&str>, body: Value) -> Result<Value, Status> {
        Ok(self.put(kind, namespace.unwrap_or_default(), body))
    }

    async fn update(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, body: Value) -> Result<Value, Status> {
        self.get(kind, namespace, name).await?;
        Ok(self.put(kind, namespace.unwrap_or_default(), body))
    }

    async fn patch_status(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, patch: Value) -> Result<Value, Status> {
        let mut object = self.get(kind, namespace, name).await?;
        {
            let mut state = self.state.lock();
            state.status_writes += u32::from(kind.plural == "pods");
            if state.refuse > 0 && kind.plural == "pods" {
                state.refuse -= 1;
                return Err(Status::unavailable("refused for a test"));
            }
        }
        merge(&mut object["status"], &patch["status"]);
        Ok(self.put(kind, namespace.unwrap_or_default(), object))
    }

    async fn delete_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Status> {
        if self.object(&shared::kinds::POD, namespace, name).is_some_and(|p| p["metadata"]["uid"] == uid) {
            self.take(&shared::kinds::POD, namespace, name);
        }
        Ok(())
    }

    async fn service_account_token(&self, _: &str, name: &str, _: &str, _: &str, _: &str, _: i64) -> Result<String, Status> {
        Ok(format!("token-of-{name}"))
    }
}

/// Waits until the condition holds; says what was waited for when it never does.
pub async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
