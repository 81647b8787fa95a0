//! `metrics.k8s.io`: what nodes and pods use at present, for `kubectl top` and the console's curves.
use super::Call;
use crate::negotiate;
use crate::respond::{self, Response};
use crate::router::Resource;
use crate::usage::{Key, Measured, Rate};
use http::StatusCode;
use registry::AccessRequest;
use registry::object::Object;
use registry::options::ListOptions;
use serde_json::{Value, json};
use shared::kinds::{NODE, POD, POD_METRICS};
use shared::status::Status;
use std::time::Duration;

/// Answers get and list.
pub async fn serve(call: Call, target: Resource) -> Result<Response, Status> {
    let query = call.query()?;
    if !call.reads() || target.watch || query.flag("watch")? {
        return Err(respond::method_not_allowed());
    }
    let form = negotiate::choose(call.accept(), negotiate::PLAIN)?;
    let (namespace, name) = (target.namespace.as_deref(), target.name.as_deref());
    let verb = if name.is_some() { "get" } else { "list" };
    let request = AccessRequest::resource(verb, target.kind, namespace, name.unwrap_or_default(), "");
    call.app.registry.authorise(&call.caller, &request)?;
    let options = ListOptions { limit: 0, ..query.list()? };
    let (of_pods, registry) = (*target.kind == POD_METRICS, &call.app.registry);
    let nodes: Vec<String> = registry.all(&NODE, None).1.iter().map(|n| n.name().to_string()).collect();
    let measured = call.app.usage.now(call.app.streams.as_ref(), &nodes).await;
    let one = |object: &Object| if of_pods { pod(object, &measured) } else { node(object, &measured) };
    let subject = if of_pods { &POD } else { &NODE };
    let value = if let Some(name) = name {
        let object = registry.get(&call.app.myself, subject, namespace, name).map_err(|_| Status::not_found(target.kind, name))?;
        one(&object).ok_or_else(|| Status::not_found(target.kind, name))?
    } else {
        let list = registry.list(&call.app.myself, subject, namespace, &options)?;
        let items: Vec<Value> = list.items.iter().filter_map(one).collect();
        json!({"kind": format!("{}List", target.kind.kind), "apiVersion": target.kind.api_version(), "metadata": {}, "items": items})
    };
    respond::document(StatusCode::OK, &form, query.flag("pretty").unwrap_or(false), value.to_string().into())
}

fn usage(rate: &Rate) -> Value {
    json!({"cpu": format!("{}n", rate.cpu_nanocores), "memory": format!("{}Ki", rate.memory_bytes / 1024)})
}

fn metadata(object: &Object, at: &str) -> Value {
    let mut metadata = json!({"name": object.name(), "creationTimestamp": at});
    if !object.namespace().is_empty() {
        metadata["namespace"] = object.namespace().into();
    }
    let value = object.value();
    if let Some(labels) = value.pointer("/metadata/labels") {
        metadata["labels"] = labels.clone();
    }
    metadata
}

/// As Go prints durations.
fn seconds(window: Duration) -> String {
    format!("{:.3}s", window.as_secs_f64())
}

fn time(measured: &Measured) -> String {
    jiff::Timestamp::try_from(measured.at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn node(object: &Object, measured: &Measured) -> Option<Value> {
    let key = Key { namespace: String::new(), name: object.name().into(), container: String::new() };
    let (rate, at) = (measured.rates.get(&key)?, time(measured));
    Some(json!({"kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": metadata(object, &at), "timestamp": at,
        "window": seconds(rate.window), "usage": usage(rate)}))
}

/// `None` for pods of which nothing runs, or not for long enough.
fn pod(object: &Object, measured: &Measured) -> Option<Value> {
    let first = Key { namespace: object.namespace().into(), name: object.name().into(), container: String::new() };
    let own = measured.rates.range(first..).take_while(|(k, _)| k.namespace == object.namespace() && k.name == object.name());
    let own: Vec<(&Key, &Rate)> = own.filter(|(k, _)| !k.container.is_empty() && k.container != "POD").collect();
    let window = own.first()?.1.window;
    let containers: Vec<Value> = own.iter().map(|(k, rate)| json!({"name": k.container, "usage": usage(rate)})).collect();
    let at = time(measured);
    Some(json!({"kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": metadata(object, &at), "timestamp": at,
        "window": seconds(window), "containers": containers}))
}
