//! Follows collections of the API: services for the environment, services and endpoints for the proxy and the names of the cluster.
use crate::agent::Node;
use crate::api::NodeApi;
use crate::dns::Dns;
use crate::metrics;
use crate::proxy::ServiceProxy;
use logic::dns;
use logic::proxy::RuleSet;
use logic::proxy::rules::Rules;
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::kinds::{ENDPOINTS, Kind, SERVICE};
use shared::objects::endpoints::Endpoints;
use shared::objects::service::Service;
use shared::watch::EventType;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const AGAIN: Duration = Duration::from_millis(500);
/// Somebody may remove our chains; they are looked at this often.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Containers that start first must find the services that are there; a cluster that does not answer must not stop them.
const SERVICES_WITHIN: Duration = Duration::from_secs(5);

/// Namespace and name.
type Name = (String, String);

fn name(object: &Value) -> Name {
    let text = |m: &str| object["metadata"][m].as_str().unwrap_or_default().to_string();
    (text("namespace"), text("name"))
}

/// What a collection that is followed says.
enum News<T> {
    /// These are all there are.
    All(Vec<T>),
    Is(T),
    Gone(Name),
}

/// Lists and watches for ever; each piece of news costs what it says, however large the collection is.
fn follow<T: DeserializeOwned + Send + 'static>(
    api: Arc<dyn NodeApi>,
    kind: &'static Kind,
    stop: CancellationToken,
    mut tell: impl FnMut(News<T>) + Send + 'static,
) {
    tokio::spawn(async move {
        let work = async {
            loop {
                if let Err(error) = once(&*api, kind, &mut tell).await {
                    tracing::debug!(kind = kind.plural, %error, "watch ended; listing again");
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = work => {}
        }
    });
}

async fn once<T: DeserializeOwned>(
    api: &dyn NodeApi,
    kind: &'static Kind,
    tell: &mut (impl FnMut(News<T>) + Send),
) -> Result<(), shared::status::Status> {
    let (items, revision) = api.list(kind, "").await?;
    let decode = |v: Value| serde_json::from_value::<T>(v).ok();
    tell(News::All(items.into_iter().filter_map(decode).collect()));
    let mut watch = api.watch(kind, "", revision).await?;
    loop {
        let event = watch.next().await?;
        match event.event_type {
            EventType::Deleted => tell(News::Gone(name(&event.object))),
            EventType::Added | EventType::Modified => {
                if let Some(object) = decode(event.object) {
                    tell(News::Is(object));
                }
            }
            EventType::Bookmark | EventType::Error => {}
        }
    }
}

/// The services of the cluster, which new containers get as environment.
#[derive(Default)]
pub(crate) struct Services {
    all: RwLock<BTreeMap<Name, Service>>,
    listed: Notify,
}

impl Services {
    /// What pods of a namespace are told of: its own services, and the cluster's two API services.
    pub(crate) fn seen_from(&self, namespace: &str) -> Vec<Service> {
        let all = self.all.read();
        let own = all.range((namespace.to_string(), String::new())..).take_while(|((n, _), _)| n == namespace).map(|(_, s)| s);
        let api = ["kubernetes", "kubernetes-ro"].into_iter().filter(|_| namespace != "default");
        own.chain(api.filter_map(|name| all.get(&("default".to_string(), name.to_string())))).cloned().collect()
    }

    fn hear(&self, news: News<Service>) {
        let name = |s: &Service| (s.metadata.namespace.clone(), s.metadata.name.clone());
        match news {
            News::All(services) => {
                *self.all.write() = services.into_iter().map(|s| (name(&s), s)).collect();
                self.listed.notify_one();
            }
            News::Is(service) => {
                self.all.write().insert(name(&service), service);
            }
            News::Gone(name) => {
                self.all.write().remove(&name);
            }
        }
    }
}

/// The rules as services and endpoints now make them. What happens while the kernel is being told is one change afterwards.
#[derive(Default)]
struct Wanted {
    rules: Mutex<Rules>,
    changed: Notify,
}

impl Wanted {
    fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.rules.lock());
        self.changed.notify_one();
    }

    fn hear_of_services(&self, news: &News<Service>) {
        self.change(|rules| match news {
            News::All(services) => rules.services_are(services),
            News::Is(service) => rules.service_is(service),
            News::Gone((namespace, name)) => rules.service_gone(namespace, name),
        });
    }

    fn hear_of_endpoints(&self, news: &News<Endpoints>) {
        self.change(|rules| match news {
            News::All(endpoints) => rules.endpoints_are(endpoints),
            News::Is(endpoints) => rules.endpoints_are_now(endpoints),
            News::Gone((namespace, name)) => rules.endpoints_gone(namespace, name),
        });
    }

    fn set(&self) -> Option<RuleSet> {
        self.rules.lock().set()
    }
}

fn hear_of_services(dns: &Dns, news: &News<Service>) {
    let mut zone = dns.zone.write();
    match news {
        News::All(services) => zone.services_are(services),
        News::Is(service) => zone.service_is(service),
        News::Gone((namespace, name)) => zone.service_gone(namespace, name),
    }
}

fn hear_of_endpoints(dns: &Dns, news: &News<Endpoints>) {
    let mut zone = dns.zone.write();
    match news {
        News::All(endpoints) => zone.endpoints_are(endpoints),
        News::Is(endpoints) => zone.endpoints_are_now(endpoints),
        News::Gone((namespace, name)) => zone.endpoints_gone(namespace, name),
    }
}

/// Keeps the agent's list of services, the proxy's rules, and the cluster's names.
pub(crate) async fn start(node: &Arc<Node>, proxy: Option<Arc<dyn ServiceProxy>>, stop: CancellationToken) {
    let wanted = proxy.as_ref().map(|_| Arc::new(Wanted::default()));
    let (services, told) = (node.clone(), wanted.clone());
    follow(node.api.clone(), &SERVICE, stop.clone(), move |news| {
        if let Some(wanted) = &told {
            wanted.hear_of_services(&news);
        }
        if let Some(dns) = &services.dns {
            hear_of_services(dns, &news);
        }
        services.services.hear(news);
    });
    if let (Some(proxy), Some(wanted)) = (proxy, wanted) {
        let (told, dns) = (wanted.clone(), node.dns.clone());
        follow(node.api.clone(), &ENDPOINTS, stop.clone(), move |news| {
            told.hear_of_endpoints(&news);
            if let Some(dns) = &dns {
                hear_of_endpoints(dns, &news);
            }
        });
        if let Some(dns) = &node.dns {
            let told = wanted.clone();
            let tell = move |at| told.change(|rules| rules.answered_here(dns::NAMESPACE, dns::SERVICE, at));
            tokio::spawn(dns.clone().run(tell, stop.clone()));
        }
        tokio::spawn(serve(proxy, wanted, stop));
    }
    let _ = tokio::time::timeout(SERVICES_WITHIN, node.services.listed.notified()).await;
}

/// Applies the rules whenever services or endpoints changed, until it is stopped.
async fn serve(proxy: Arc<dyn ServiceProxy>, wanted: Arc<Wanted>, stop: CancellationToken) {
    let work = async {
        let mut check = tokio::time::interval(CHECK_EVERY);
        check.tick().await;
        loop {
            tokio::select! {
                biased;
                () = wanted.changed.notified() => {}
                _ = check.tick() => {
                    if let Err(error) = proxy.check().await {
                        tracing::warn!(%error, "service rules could not be checked");
                    }
                    continue;
                }
            }
            // Always the newest: what changed while an attempt failed is in the next one.
            while let Some(set) = wanted.set() {
                if apply(&*proxy, &set).await {
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn apply(proxy: &dyn ServiceProxy, set: &RuleSet) -> bool {
    let began = Instant::now();
    let outcome = proxy.apply(set).await;
    metrics::RULES_SYNC.since(began);
    metrics::SERVICE_PORTS.set(set.len());
    metrics::BACKENDS.set(set.backends());
    if let Err(error) = &outcome {
        metrics::RULES_FAILED.inc();
        tracing::warn!(%error, "service rules not applied; trying again");
    }
    outcome.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NodeWatch;
    use crate::proxy::recording::RecordingProxy;
    use async_trait::async_trait;
    use serde_json::json;
    use shared::status::Status;
    use shared::watch::WatchEvent;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::mpsc;

    /// Lists once what a test hands it, then watches what it sends; the rest is not asked for.
    struct Scripted {
        lists: Mutex<BTreeMap<&'static str, Vec<Result<Vec<Value>, Status>>>>,
        watches: Mutex<BTreeMap<&'static str, mpsc::UnboundedReceiver<WatchEvent<Value>>>>,
    }

    struct ScriptedWatch(mpsc::UnboundedReceiver<WatchEvent<Value>>);

    #[async_trait]
    impl NodeWatch for ScriptedWatch {
        async fn next(&mut self) -> Result<WatchEvent<Value>, Status> {
            self.0.recv().await.ok_or_else(|| Status::expired("the script is over"))
        }
    }

    #[async_trait]
    impl NodeApi for Scripted {
        async fn list(&self, kind: &'static Kind, _: &str) -> Result<(Vec<Value>, u64), Status> {
            self.lists.lock().get_mut(kind.plural).and_then(Vec::pop).unwrap_or_else(|| Err(Status::unavailable("no"))).map(|all| (all, 1))
        }
        async fn watch(&self, kind: &'static Kind, _: &str, _: u64) -> Result<Box<dyn NodeWatch>, Status> {
            let watch = self.watches.lock().remove(kind.plural);
            Ok(Box::new(ScriptedWatch(watch.ok_or_else(|| Status::unavailable("no"))?)))
        }
        async fn get(&self, _: &'static Kind, _: Option<&str>, _: &str) -> Result<Value, Status> {
            Err(Status::unavailable("not asked for"))
        }
        async fn create(&self, _: &'static Kind, _: Option<&str>, _: Value) -> Result<Value, Status> {
            Err(Status::unavailable("not asked for"))
        }
        async fn update(&self, _: &'static Kind, _: Option<&str>, _: &str, _: Value) -> Result<Value, Status> {
            Err(Status::unavailable("not asked for"))
        }
        async fn patch_status(&self, _: &'static Kind, _: Option<&str>, _: &str, _: Value) -> Result<Value, Status> {
            Err(Status::unavailable("not asked for"))
        }
        async fn delete_pod(&self, _: &str, _: &str, _: &str) -> Result<(), Status> {
            Err(Status::unavailable("not asked for"))
        }
        async fn service_account_token(&self, _: &str, _: &str, _: &str, _: &str, _: &str, _: i64) -> Result<String, Status> {
            Err(Status::unavailable("not asked for"))
        }
    }

    /// Counts what is applied, and refuses as often as it is told to.
    #[derive(Default)]
    struct Counting {
        inner: RecordingProxy,
        sizes: Mutex<Vec<usize>>,
        refuse: AtomicU32,
    }

    #[async_trait]
    impl ServiceProxy for Counting {
        async fn apply(&self, rules: &RuleSet) -> Result<(), crate::proxy::ProxyError> {
            // Slow, so that changes meet a proxy that is busy.
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.sizes.lock().push(rules.len());
            if self.refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(crate::proxy::ProxyError("refused for a test".into()));
            }
            self.inner.apply(rules).await
        }
        async fn check(&self) -> Result<(), crate::proxy::ProxyError> {
            Ok(())
        }
        async fn remove_all(&self) -> Result<(), crate::proxy::ProxyError> {
            Ok(())
        }
    }

    fn service(index: usize) -> Value {
        json!({"metadata": {"namespace": "x", "name": format!("s{index}")},
            "spec": {"clusterIP": format!("172.30.{}.{}", index / 200, index % 200 + 1), "ports": [{"port": 80}]}})
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let mut left = 3000;
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            left -= 1;
            assert!(left > 0, "never came: {what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_applied_on_doubt_and_a_burst_is_few_changes() {
        let (send, events) = mpsc::unbounded_channel();
        let failing = || Err(Status::unavailable("not yet"));
        let lists = BTreeMap::from([
            ("services", vec![Ok(vec![service(0)])]),
            // In reverse: popped from the end.
            ("endpoints", vec![Ok(vec![]), failing(), failing()]),
        ]);
        let (_endpoints, none) = mpsc::unbounded_channel();
        let watches = BTreeMap::from([("services", events), ("endpoints", none)]);
        let api: Arc<dyn NodeApi> = Arc::new(Scripted { lists: Mutex::new(lists), watches: Mutex::new(watches) });
        let (proxy, wanted, stop) = (Arc::new(Counting::default()), Arc::new(Wanted::default()), CancellationToken::new());
        proxy.refuse.store(1, Ordering::Relaxed);
        let told = wanted.clone();
        follow(api.clone(), &SERVICE, stop.clone(), move |news| told.hear_of_services(&news));
        let told = wanted.clone();
        follow(api, &ENDPOINTS, stop.clone(), move |news| told.hear_of_endpoints(&news));
        tokio::spawn(serve(proxy.clone(), wanted, stop.clone()));

        until("the first set", || proxy.inner.applied().len() == 1).await;
        assert_eq!(*proxy.sizes.lock(), [1, 1], "never an empty one, and again after a refusal");
        for index in 1..1000 {
            send.send(WatchEvent { event_type: EventType::Added, object: service(index) }).unwrap();
        }
        until("all of them", || proxy.inner.applied().len() == 1000).await;
        assert!(proxy.sizes.lock().len() < 10, "a thousand changes, applied in {} steps", proxy.sizes.lock().len());
        send.send(WatchEvent { event_type: EventType::Deleted, object: service(7) }).unwrap();
        until("one fewer", || proxy.inner.applied().len() == 999).await;
        stop.cancel();
    }
}
