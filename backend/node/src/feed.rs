//! Follows collections of the API: services for the environment, services and endpoints for the proxy.
use crate::agent::Node;
use crate::api::NodeApi;
use crate::metrics;
use crate::proxy::ServiceProxy;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::kinds::{ENDPOINTS, Kind, SERVICE};
use shared::objects::endpoints::Endpoints;
use shared::objects::service::Service;
use shared::watch::EventType;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const AGAIN: Duration = Duration::from_millis(500);
/// Somebody may remove our chains; they are looked at this often.
const CHECK_EVERY: Duration = Duration::from_secs(30);

type Key = (String, String);

/// A collection as it is now.
pub(crate) type Followed<T> = watch::Receiver<Arc<BTreeMap<Key, T>>>;

fn key(object: &Value) -> Key {
    let text = |m: &str| object["metadata"][m].as_str().unwrap_or_default().to_string();
    (text("namespace"), text("name"))
}

/// Lists and watches for ever; every group of changes is one new value.
pub(crate) fn follow<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    api: Arc<dyn NodeApi>,
    kind: &'static Kind,
    stop: CancellationToken,
) -> Followed<T> {
    let (sender, receiver) = watch::channel(Arc::new(BTreeMap::new()));
    tokio::spawn(async move {
        let work = async {
            loop {
                if let Err(error) = once(&*api, kind, &sender).await {
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
    receiver
}

async fn once<T: DeserializeOwned + Clone>(
    api: &dyn NodeApi,
    kind: &'static Kind,
    sender: &watch::Sender<Arc<BTreeMap<Key, T>>>,
) -> Result<(), shared::status::Status> {
    let (items, revision) = api.list(kind, "").await?;
    let decode = |v: Value| serde_json::from_value::<T>(v).ok();
    let mut state: BTreeMap<Key, T> = items.into_iter().filter_map(|v| Some((key(&v), decode(v)?))).collect();
    sender.send_replace(Arc::new(state.clone()));
    let mut watch = api.watch(kind, "", revision).await?;
    loop {
        let event = watch.next().await?;
        let key = key(&event.object);
        match event.event_type {
            EventType::Deleted => {
                state.remove(&key);
            }
            EventType::Added | EventType::Modified => {
                if let Some(object) = decode(event.object) {
                    state.insert(key, object);
                }
            }
            EventType::Bookmark | EventType::Error => continue,
        }
        sender.send_replace(Arc::new(state.clone()));
    }
}

/// Keeps the agent's list of services, which new containers get as environment.
pub(crate) async fn start(node: &Arc<Node>, proxy: Option<Arc<dyn ServiceProxy>>, stop: CancellationToken) {
    let mut services: Followed<Service> = follow(node.api.clone(), &SERVICE, stop.clone());
    // Containers that start first must find the services that are there.
    let _ = tokio::time::timeout(Duration::from_secs(5), services.changed()).await;
    *node.services.write() = services.borrow().values().cloned().collect();
    if let Some(proxy) = proxy {
        let endpoints: Followed<Endpoints> = follow(node.api.clone(), &ENDPOINTS, stop.clone());
        tokio::spawn(serve(proxy, services.clone(), endpoints, stop.clone()));
    }
    let node = node.clone();
    tokio::spawn(async move {
        loop {
            let changed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = services.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let now: Vec<Service> = services.borrow_and_update().values().cloned().collect();
            *node.services.write() = now;
        }
    });
}

/// Computes and applies the rules whenever services or endpoints changed.
async fn serve(proxy: Arc<dyn ServiceProxy>, mut services: Followed<Service>, mut endpoints: Followed<Endpoints>, stop: CancellationToken) {
    let mut check = tokio::time::interval(CHECK_EVERY);
    check.tick().await;
    loop {
        let (s, e) = (services.borrow_and_update().clone(), endpoints.borrow_and_update().clone());
        let rules = logic::proxy::rules::compute(s.values(), e.values());
        let began = Instant::now();
        let outcome = proxy.apply(&rules).await;
        metrics::RULES_SYNC.since(began);
        metrics::SERVICE_PORTS.set(rules.ports.len());
        metrics::BACKENDS.set(rules.ports.values().map(|rule| rule.backends.len()).sum());
        if let Err(error) = outcome {
            metrics::RULES_FAILED.inc();
            tracing::warn!(%error, "service rules not applied; trying again");
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        loop {
            let changed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = check.tick() => {
                    if let Err(error) = proxy.check().await {
                        tracing::warn!(%error, "service rules could not be checked");
                    }
                    continue;
                }
                changed = services.changed() => changed,
                changed = endpoints.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            break;
        }
    }
}
