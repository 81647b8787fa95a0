//! What the registry promises to those above it, tried by many callers at once on a store in memory.
mod addresses;
mod deletion;
mod lists;
mod quotas;
mod watches;
mod writes;

use registry::caller::Caller;
use registry::object::Object;
use registry::options::{DeleteOptions, ListOptions, Patch, WriteOptions};
use registry::{Config, Registry};
use serde_json::{Value, json};
use shared::kinds::{Kind, NAMESPACE};
use shared::status::Status;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::memory::MemoryStore;

/// Nothing here takes nearly so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A registry with the namespace `n`, and one who may do everything in it.
#[derive(Clone)]
struct Fixture {
    registry: Registry,
    store: Arc<dyn Store>,
    caller: Caller,
}

impl Fixture {
    async fn new() -> Fixture {
        Fixture::with(Arc::new(MemoryStore::new()), Config::default()).await
    }

    async fn with(store: Arc<dyn Store>, config: Config) -> Fixture {
        let registry = Registry::new(store.clone(), config);
        let fixture = Fixture { registry, store, caller: Caller::system("test") };
        fixture.create(&NAMESPACE, json!({"metadata": {"name": "n"}})).await.unwrap();
        fixture
    }

    fn place(kind: &Kind) -> Option<&'static str> {
        kind.namespaced().then_some("n")
    }

    async fn create(&self, kind: &'static Kind, body: Value) -> Result<Value, Status> {
        self.create_with(kind, body, &WriteOptions::default()).await
    }

    async fn create_with(&self, kind: &'static Kind, body: Value, options: &WriteOptions) -> Result<Value, Status> {
        self.registry.create(&self.caller, kind, Self::place(kind), body, options).await.map(|w| w.object.value())
    }

    async fn update(&self, kind: &'static Kind, subresource: &str, body: Value) -> Result<Value, Status> {
        let name = body["metadata"]["name"].as_str().unwrap().to_string();
        let options = WriteOptions::default();
        self.registry.update(&self.caller, kind, Self::place(kind), &name, subresource, body, &options).await.map(|w| w.object.value())
    }

    async fn merge(&self, kind: &'static Kind, name: &str, patch: Value) -> Result<Value, Status> {
        self.patch(kind, name, "", Patch::Merge(patch)).await
    }

    async fn patch(&self, kind: &'static Kind, name: &str, subresource: &str, patch: Patch) -> Result<Value, Status> {
        let options = WriteOptions::default();
        self.registry.patch(&self.caller, kind, Self::place(kind), name, subresource, patch, &options).await.map(|w| w.object.value())
    }

    fn get(&self, kind: &'static Kind, name: &str) -> Result<Value, Status> {
        self.registry.get(&self.caller, kind, Self::place(kind), name).map(|o| o.value())
    }

    fn list(&self, kind: &'static Kind) -> Vec<Object> {
        self.registry.list(&self.caller, kind, None, &ListOptions::default()).unwrap().items
    }

    /// Whether it is gone at once.
    async fn delete(&self, kind: &'static Kind, name: &str, options: &DeleteOptions) -> Result<bool, Status> {
        self.registry.delete(&self.caller, kind, Self::place(kind), name, options).await.map(|d| d.gone)
    }
}

/// Runs them all at the same time on all threads.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(work: impl Iterator<Item = F>) -> Vec<T> {
    let tasks: Vec<_> = work.map(tokio::spawn).collect();
    let all = async {
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    };
    tokio::time::timeout(DEADLINE, all).await.expect("the work ends")
}

fn dry_run() -> WriteOptions {
    WriteOptions { dry_run: true, ..WriteOptions::default() }
}

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

/// The fields that the refusal names.
fn fields(status: &Status) -> Vec<String> {
    status.details.iter().flat_map(|d| d.causes.iter().map(|c| c.field.clone())).collect()
}
