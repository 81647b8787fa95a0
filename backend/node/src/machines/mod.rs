//! The node's part in the pod network over machines: it reports its own network, and has routes to those of all others.
//!
//! Kept apart from the agent: on a cluster of one machine there is nothing to do.
mod passage;
mod routes;

use crate::api::NodeApi;
use ipnet::Ipv4Net;
use logic::pod_network::{Plan, REPORTED, plan};
use serde_json::Value;
use shared::kinds::NODE;
use shared::objects::node::Node;
use shared::status::Status;
use shared::watch::EventType;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const AGAIN: Duration = Duration::from_secs(1);
/// Somebody may remove routes or rules; they are looked at this often.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// Follows the nodes until stopped. `id` tells this cluster's rules from others' on the machine; `own` is the network of the pods
/// here. What was made stays when this ends: pods go on talking.
pub async fn run(api: Arc<dyn NodeApi>, node: String, id: String, own: Ipv4Net, stop: CancellationToken) {
    let work = async {
        let mut told = String::new();
        loop {
            if let Err(error) = follow(&*api, &node, &id, own).await {
                // Once is enough while a server is away.
                if error != told {
                    tracing::info!(error, "the pod network over machines is looked at again");
                    told = error;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Removes what was made for the cluster with this id.
pub async fn remove_all(id: &str) -> Result<(), String> {
    routes::apply(&Plan::default()).await?;
    passage::remove(id).await
}

async fn follow(api: &dyn NodeApi, node: &str, id: &str, own: Ipv4Net) -> Result<(), String> {
    let said = |status: Status| status.message;
    let (nodes, revision) = api.list(&NODE, "").await.map_err(said)?;
    let mut all: BTreeMap<String, Node> = nodes.into_iter().filter_map(decode).collect();
    report(api, node, own, &all).await?;
    let mut done = plan(node, all.values());
    apply(id, &done).await?;
    let mut watch = api.watch(&NODE, "", revision).await.map_err(said)?;
    let mut check = tokio::time::interval(CHECK_EVERY);
    check.tick().await;
    loop {
        let event = tokio::select! {
            event = watch.next() => event.map_err(said)?,
            _ = check.tick() => {
                apply(id, &done).await?;
                continue;
            }
        };
        let Some((name, changed)) = decode(event.object) else { continue };
        match event.event_type {
            EventType::Deleted => drop(all.remove(&name)),
            EventType::Added | EventType::Modified => drop(all.insert(name, changed)),
            EventType::Bookmark | EventType::Error => continue,
        }
        report(api, node, own, &all).await?;
        let wanted = plan(node, all.values());
        if wanted != done {
            apply(id, &wanted).await?;
            done = wanted;
        }
    }
}

fn decode(object: Value) -> Option<(String, Node)> {
    let node: Node = serde_json::from_value(object).ok()?;
    Some((node.metadata.name.clone(), node))
}

async fn apply(id: &str, plan: &Plan) -> Result<(), String> {
    passage::apply(id, plan).await?;
    routes::apply(plan).await
}

/// Says which network the pods here are in, once the node is known.
async fn report(api: &dyn NodeApi, node: &str, own: Ipv4Net, all: &BTreeMap<String, Node>) -> Result<(), String> {
    let text = own.trunc().to_string();
    if all.get(node).is_none_or(|n| n.metadata.annotations.get(REPORTED) == Some(&text)) {
        return Ok(());
    }
    let mut body = api.get(&NODE, None, node).await.map_err(|s| s.message)?;
    body["metadata"]["annotations"][REPORTED] = text.into();
    api.update(&NODE, None, node, body).await.map(|_| ()).map_err(|s| s.message)
}
