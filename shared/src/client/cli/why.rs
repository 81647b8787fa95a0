//! `osc why`: reads what stands around an object and prints what `shared::why` makes of it.
use super::inspect::items;
use super::print;
use crate::client::http::Client;
use crate::client::resources::{self, Selection};
use crate::client::{ClientError, Result};
use crate::kinds::{EVENT, NODE, POD, RESOURCE_QUOTA, SERVICE};
use crate::why::{Around, explain};

/// Exit code 0 whether the object is well or not: the answer is what was asked for.
pub(super) async fn run(client: &Client, words: &[String]) -> Result<()> {
    let Selection::Names(names) = resources::select(client, words).await? else {
        return Err(ClientError::usage("name the object: osc why RESOURCE/NAME"));
    };
    for named in names {
        let namespace = client.target.namespace.as_str();
        let object = client.get(&resources::path(named.kind, namespace, &named.name)).await?;
        let within = if named.kind.namespaced() { namespace } else { "" };
        let events = items(client, resources::path(&EVENT, within, "")).await;
        let (mut pods, mut services, mut quotas, mut nodes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        if named.kind.namespaced() {
            pods = items(client, resources::path(&POD, namespace, "")).await;
            services = items(client, resources::path(&SERVICE, namespace, "")).await;
            quotas = items(client, resources::path(&RESOURCE_QUOTA, namespace, "")).await;
            nodes = items(client, resources::path(&NODE, "", "")).await;
        }
        let around = Around { events: &events, pods: &pods, services: &services, quotas: &quotas, nodes: &nodes };
        print(&explain(named.kind, &object, &around).to_string())?;
    }
    Ok(())
}
