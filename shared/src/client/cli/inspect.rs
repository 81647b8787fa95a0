//! Commands that look: describe, logs, versions, kinds.
use super::args::Cli;
use super::print;
use crate::client::http::{Client, with_query};
use crate::client::output::describe::{Related, describe as text_of};
use crate::client::{Result, resources};
use crate::kinds::{ENDPOINTS, EVENT, KINDS, LIMIT_RANGE, POD, REPLICATION_CONTROLLER, RESOURCE_QUOTA, Storage};
use clap::CommandFactory;
use serde_json::Value;

pub(super) async fn items(client: &Client, path: String) -> Vec<Value> {
    match client.get(&path).await {
        Ok(mut list) => list["items"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        // What may not be seen is left out of a description.
        Err(_) => Vec::new(),
    }
}

pub(super) async fn describe(client: &Client, words: &[String]) -> Result<()> {
    // A kind alone means every object of it.
    let names = super::write::chosen(client, words, None, true).await?;
    if names.is_empty() {
        return print("No resources found\n");
    }
    for (i, named) in names.into_iter().enumerate() {
        if i > 0 {
            print("\n\n")?;
        }
        let namespace = client.target.namespace.clone();
        let object = client.get(&resources::path(named.kind, &namespace, &named.name)).await?;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_string();
        let within = if named.kind.namespaced() { namespace.as_str() } else { "" };
        let fields = format!("involvedObject.uid={uid}");
        let mut related = Related {
            events: items(client, with_query(&resources::path(&EVENT, within, ""), &[("fieldSelector", &fields)])).await,
            ..Related::default()
        };
        match named.kind.plural {
            "pods" => related.controllers = items(client, resources::path(&REPLICATION_CONTROLLER, &namespace, "")).await,
            "replicationcontrollers" => related.pods = items(client, resources::path(&POD, &namespace, "")).await,
            "services" => related.endpoints = client.get(&resources::path(&ENDPOINTS, &namespace, &named.name)).await.ok(),
            "nodes" => {
                related.pods = items(
                    client,
                    with_query(&resources::path(&POD, "", ""), &[("fieldSelector", &format!("spec.nodeName={}", named.name))]),
                )
                .await
            }
            "namespaces" | "projects" => {
                related.quotas = items(client, resources::path(&RESOURCE_QUOTA, &named.name, "")).await;
                related.limits = items(client, resources::path(&LIMIT_RANGE, &named.name, "")).await;
            }
            _ => {}
        }
        print(&text_of(named.kind, &object, &related))?;
    }
    Ok(())
}

pub(super) async fn version(client: Option<Client>) -> Result<()> {
    let server = match client {
        Some(client) => client.get("/version").await.ok(),
        None => None,
    };
    let kubernetes = server.as_ref().and_then(|v| v["gitVersion"].as_str()).unwrap_or(crate::version::KUBERNETES);
    print(&format!("osc v{}\nkubernetes {kubernetes}\n", env!("CARGO_PKG_VERSION")))
}

pub(super) fn api_resources() -> Result<()> {
    let mut text = format!("{:<28}{:<14}{:<34}{:<12}{}\n", "NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND");
    for kind in KINDS.iter().filter(|k| k.storage != Storage::Virtual) {
        text.push_str(&format!(
            "{:<28}{:<14}{:<34}{:<12}{}\n",
            kind.plural,
            kind.short_names.join(","),
            kind.api_version(),
            kind.namespaced(),
            kind.kind
        ));
    }
    print(&text)
}

pub(super) fn options() -> Result<()> {
    let mut text = String::from("The following flags can be passed to every command:\n\n");
    let command = Cli::command();
    for argument in command.get_arguments().filter(|a| a.is_global_set() && a.get_help().is_some()) {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  --{:<26}{help}\n", argument.get_long().unwrap_or_default()));
    }
    print(&text)
}
