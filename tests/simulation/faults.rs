//! What goes wrong between the parts: a disk that refuses or loses answers, a server that dies, a network that is cut.
use async_trait::async_trait;
use node::api::{NodeApi, NodeWatch};
use parking_lot::{Mutex, RwLock};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use registry::Registry;
use registry::caller::Caller;
use registry::options::{DeleteOptions, ListOptions, Patch, Preconditions, WatchOptions, WriteOptions};
use serde_json::Value;
use shared::kinds::{Kind, POD};
use shared::selector::FieldSelector;
use shared::status::Status;
use shared::watch::WatchEvent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{Error, Event, Op, Range, Record, Revision, Snapshot, Store, Watch};
use tokio::sync::watch;

/// One server's hold on the disk. A dead server writes nothing any more; a living one may meet faults.
pub struct Disk {
    inner: Arc<dyn Store>,
    dead: AtomicBool,
    faults: Arc<AtomicBool>,
    chance: Mutex<SmallRng>,
}

impl Disk {
    pub fn new(inner: Arc<dyn Store>, faults: Arc<AtomicBool>, seed: u64) -> Disk {
        Disk { inner, dead: AtomicBool::new(false), faults, chance: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    fn alive(&self) -> Result<(), Error> {
        if self.dead.load(Ordering::SeqCst) { Err(Error::Unavailable("this server is dead".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Disk {
    fn space(&self) -> store::Space {
        self.inner.space()
    }
    fn revision(&self) -> Revision {
        self.inner.revision()
    }
    fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.inner.get(key)
    }
    fn list(&self, range: &Range) -> Result<Snapshot, Error> {
        self.inner.list(range)
    }
    async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Error> {
        let dice = if self.faults.load(Ordering::SeqCst) { self.chance.lock().random_range(0..100) } else { 99 };
        if dice < 10 {
            tokio::time::sleep(Duration::from_millis(dice)).await;
        }
        self.alive()?;
        if dice == 0 {
            return Err(Error::Unavailable("injected: refused".into()));
        }
        let outcome = self.inner.commit(ops).await;
        self.alive()?;
        if dice == 1 { Err(Error::Unavailable("injected: the answer is lost".into())) } else { outcome }
    }
    fn watch(&self, from: Revision) -> Result<Box<dyn Watch>, Error> {
        self.inner.watch(from)
    }
    fn history(&self, after: Revision, upto: Revision) -> Result<Vec<Event>, Error> {
        self.inner.history(after, upto)
    }
    async fn compact(&self, upto: Revision) -> Result<(), Error> {
        self.inner.compact(upto).await
    }
    async fn close(&self) {}
}

/// The server that answers now; it changes when one dies and the next one starts.
pub struct Door {
    registry: RwLock<Registry>,
    /// Counts servers: a connection to an earlier one is broken.
    turn: watch::Sender<u64>,
}

impl Door {
    pub fn new(registry: Registry) -> Door {
        Door { registry: RwLock::new(registry), turn: watch::Sender::new(0) }
    }

    pub fn registry(&self) -> Registry {
        self.registry.read().clone()
    }

    pub fn open(&self, registry: Registry) {
        *self.registry.write() = registry;
        self.turn.send_modify(|n| *n += 1);
    }
}

/// A node's connection to the server.
pub struct Link {
    door: Arc<Door>,
    cut: watch::Sender<bool>,
    caller: Caller,
}

impl Link {
    pub fn new(door: Arc<Door>) -> Link {
        Link { door, cut: watch::Sender::new(false), caller: Caller::system("node") }
    }

    pub fn set_cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    fn registry(&self) -> Result<Registry, Status> {
        if *self.cut.borrow() { Err(Status::unavailable("the network is cut")) } else { Ok(self.door.registry()) }
    }

    /// What has been done stays done when the network is cut before the answer.
    fn answer<T>(&self, outcome: Result<T, Status>) -> Result<T, Status> {
        self.registry()?;
        outcome
    }
}

struct LinkWatch {
    inner: registry::Watch,
    turn: watch::Receiver<u64>,
    cut: watch::Receiver<bool>,
}

#[async_trait]
impl NodeWatch for LinkWatch {
    async fn next(&mut self) -> Result<WatchEvent<Value>, Status> {
        loop {
            let item = tokio::select! {
                biased;
                _ = self.turn.changed() => return Err(Status::unavailable("the server is gone")),
                _ = self.cut.changed() => return Err(Status::unavailable("the network is cut")),
                item = self.inner.next() => item?,
            };
            if let Some(object) = item.object {
                return Ok(WatchEvent { event_type: item.event_type, object: object.value() });
            }
        }
    }
}

fn fields(text: &str) -> FieldSelector {
    FieldSelector::parse(text).expect("agents select by fields that exist")
}

#[async_trait]
impl NodeApi for Link {
    async fn list(&self, kind: &'static Kind, selector: &str) -> Result<(Vec<Value>, u64), Status> {
        let list = self.registry()?.list(&self.caller, kind, None, &ListOptions { fields: fields(selector), ..ListOptions::default() })?;
        Ok((list.items.iter().map(registry::object::Object::value).collect(), list.revision))
    }

    async fn watch(&self, kind: &'static Kind, selector: &str, from: u64) -> Result<Box<dyn NodeWatch>, Status> {
        let (mut turn, mut cut) = (self.door.turn.subscribe(), self.cut.subscribe());
        turn.mark_unchanged();
        cut.mark_unchanged();
        let options = WatchOptions { fields: fields(selector), from: Some(from), ..WatchOptions::default() };
        let inner = self.registry()?.watch(&self.caller, kind, None, &options)?;
        Ok(Box::new(LinkWatch { inner, turn, cut }))
    }

    async fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
        self.registry()?.get(&self.caller, kind, namespace, name).map(|o| o.value())
    }

    async fn create(&self, kind: &'static Kind, namespace: Option<&str>, body: Value) -> Result<Value, Status> {
        let outcome = self.registry()?.create(&self.caller, kind, namespace, body, &WriteOptions::default()).await;
        self.answer(outcome.map(|w| w.object.value()))
    }

    async fn update(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, body: Value) -> Result<Value, Status> {
        let outcome = self.registry()?.update(&self.caller, kind, namespace, name, "", body, &WriteOptions::default()).await;
        self.answer(outcome.map(|w| w.object.value()))
    }

    async fn patch_status(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, patch: Value) -> Result<Value, Status> {
        let (registry, patch) = (self.registry()?, Patch::Strategic(patch));
        let outcome = registry.patch(&self.caller, kind, namespace, name, "status", patch, &WriteOptions::default()).await;
        self.answer(outcome.map(|w| w.object.value()))
    }

    async fn delete_pod(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Status> {
        let preconditions = Some(Preconditions { uid: Some(uid.into()), resource_version: None });
        let options = DeleteOptions { grace_period_seconds: Some(0), preconditions, ..DeleteOptions::default() };
        let outcome = self.registry()?.delete(&self.caller, &POD, Some(namespace), name, &options).await;
        self.answer(outcome.map(|_| ()))
    }

    async fn service_account_token(&self, _: &str, _: &str, _: &str, _: &str, _: &str, _: i64) -> Result<String, Status> {
        self.registry().map(|_| "token".into())
    }
}
