//! One kind's objects as a map of small projections, kept equal to the store by a watch.
use parking_lot::RwLock;
use registry::Registry;
use registry::caller::Caller;
use registry::object::Object;
use registry::options::WatchOptions;
use shared::kinds::Kind;
use shared::watch::EventType;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Namespace (empty for cluster-scoped kinds) and name.
pub(crate) type Key = (String, String);

/// Nothing that was written should take longer to come back; if it does, the loop looks again anyway.
const OWN_WRITE_SECONDS_MAX: u64 = 5;

/// One change of one object.
pub(crate) struct Change<T> {
    pub(crate) key: Key,
    pub(crate) old: Option<Arc<T>>,
    pub(crate) new: Option<Arc<T>>,
}

type Listener<T> = Box<dyn Fn(&Change<T>) + Send + Sync>;

struct Shared<T> {
    items: RwLock<BTreeMap<Key, Arc<T>>>,
    listeners: RwLock<Vec<Listener<T>>>,
    seen: watch::Sender<u64>,
}

/// Read handles; only the watch task writes. Cheap to clone.
pub(crate) struct Cache<T>(Arc<Shared<T>>);

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Cache<T> {
        Cache(self.0.clone())
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    pub(crate) fn start(registry: &Registry, kind: &'static Kind, decode: fn(&Object) -> T, stop: &CancellationToken) -> Cache<T> {
        let cache = Cache(Arc::new(Shared { items: RwLock::default(), listeners: RwLock::default(), seen: watch::Sender::new(0) }));
        let (task, registry, stop) = (cache.clone(), registry.clone(), stop.clone());
        // The present is taken over at once, so that a loop that starts now sees it.
        task.replace_all(&registry, kind, decode);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = task.follow(&registry, kind, decode) => {}
                () = stop.cancelled() => {}
            }
        });
        cache
    }

    async fn follow(&self, registry: &Registry, kind: &'static Kind, decode: fn(&Object) -> T) {
        let caller = Caller::system("cache");
        loop {
            let from = *self.0.seen.borrow();
            let options = WatchOptions { from: Some(from), ..WatchOptions::default() };
            let Ok(mut watch) = registry.watch(&caller, kind, None, &options) else {
                self.replace_all(registry, kind, decode);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            while let Ok(item) = watch.next().await {
                let Some(object) = item.object else { continue };
                let key = (object.namespace().to_string(), object.name().to_string());
                let new = (item.event_type != EventType::Deleted).then(|| Arc::new(decode(&object)));
                self.set(key, new);
                self.0.seen.send_replace(item.revision);
            }
            // Fell behind: the whole state again, which also finds what was missed.
            self.replace_all(registry, kind, decode);
        }
    }

    fn replace_all(&self, registry: &Registry, kind: &'static Kind, decode: fn(&Object) -> T) {
        let (revision, objects) = registry.all(kind, None);
        let fresh: BTreeMap<Key, &Object> = objects.iter().map(|o| ((o.namespace().to_string(), o.name().to_string()), o)).collect();
        let gone: Vec<Key> = self.0.items.read().keys().filter(|k| !fresh.contains_key(*k)).cloned().collect();
        for key in gone {
            self.set(key, None);
        }
        for (key, object) in fresh {
            self.set(key, Some(Arc::new(decode(object))));
        }
        self.0.seen.send_replace(revision);
    }

    fn set(&self, key: Key, new: Option<Arc<T>>) {
        let old = match &new {
            Some(item) => self.0.items.write().insert(key.clone(), item.clone()),
            None => self.0.items.write().remove(&key),
        };
        let change = Change { key, old, new };
        for listener in self.0.listeners.read().iter() {
            listener(&change);
        }
    }

    /// Calls for every change from now on, and first for everything that is there.
    pub(crate) fn on_change(&self, listener: impl Fn(&Change<T>) + Send + Sync + 'static) {
        let mut listeners = self.0.listeners.write();
        for (key, item) in self.0.items.read().iter() {
            listener(&Change { key: key.clone(), old: None, new: Some(item.clone()) });
        }
        listeners.push(Box::new(listener));
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.0.items.read().get(key).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.0.items.read().values().cloned().collect()
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let items = self.0.items.read();
        let from = (namespace.to_string(), String::new());
        items.range(from..).take_while(|((ns, _), _)| ns == namespace).map(|(_, item)| item.clone()).collect()
    }

    /// Waits until the cache has seen a write of this kind, so that nothing is decided on the state before it.
    pub(crate) async fn has_seen(&self, revision: u64) {
        let mut seen = self.0.seen.subscribe();
        let wait = seen.wait_for(|s| *s >= revision);
        let _ = tokio::time::timeout(Duration::from_secs(OWN_WRITE_SECONDS_MAX), wait).await;
    }
}
