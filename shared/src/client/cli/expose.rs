//! `osc expose`: a service in front of the pods of a controller, a pod or another service.
use super::print;
use crate::client::http::Client;
use crate::client::resources::{self, Selection};
use crate::client::{ClientError, Result};
use crate::kinds::SERVICE;
use clap::Args;
use serde_json::{Map, Value, json};

#[derive(Args, Debug)]
pub(super) struct ExposeArgs {
    /// RESOURCE NAME or RESOURCE/NAME
    #[arg(required = true, value_name = "RESOURCE")]
    words: Vec<String>,
    /// Port of the service [default: those of the object]
    #[arg(long)]
    port: Option<u16>,
    /// Port of the pods, by number or name [default: the service's port]
    #[arg(long, alias = "container-port")]
    target_port: Option<String>,
    /// Name of the service [default: the object's]
    #[arg(long, alias = "service-name")]
    name: Option<String>,
    #[arg(long, default_value = "TCP", ignore_case = true, value_parser = ["TCP", "UDP", "SCTP"])]
    protocol: String,
    #[arg(long = "type", default_value = "ClusterIP", value_parser = ["ClusterIP", "NodePort", "LoadBalancer"])]
    service_type: String,
    /// KEY=VALUE,… [default: the object's own]
    #[arg(long)]
    selector: Option<String>,
    /// Labels of the service: KEY=VALUE,…
    #[arg(short = 'l', long)]
    labels: Option<String>,
}

fn pairs(text: &str) -> Result<Value> {
    let mut out = Map::new();
    for pair in text.split(',').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| ClientError::usage(format!("{pair:?} must be KEY=VALUE")))?;
        out.insert(key.into(), json!(value));
    }
    Ok(Value::Object(out))
}

fn selector(object: &Value) -> Option<Value> {
    let spec = &object["spec"]["selector"];
    let own = match object["kind"].as_str() {
        Some("Pod") => &object["metadata"]["labels"],
        _ if spec["matchLabels"].is_object() => &spec["matchLabels"],
        _ => spec,
    };
    own.as_object().filter(|m| !m.is_empty()).map(|m| Value::Object(m.clone()))
}

/// Ports of the object's containers, or of a service.
fn ports(object: &Value, protocol: &str) -> Vec<Value> {
    let spec = if object["spec"]["template"].is_object() { &object["spec"]["template"]["spec"] } else { &object["spec"] };
    if let Some(own) = object["spec"]["ports"].as_array() {
        let plain = |p: &Value| json!({"port": p["port"], "targetPort": p["targetPort"], "protocol": p["protocol"]});
        return own.iter().map(plain).collect();
    }
    let containers = spec["containers"].as_array().into_iter().flatten();
    let declared = containers.flat_map(|c| c["ports"].as_array().into_iter().flatten());
    declared
        .map(|p| json!({"port": p["containerPort"], "targetPort": p["containerPort"], "protocol": p["protocol"].as_str().unwrap_or(protocol)}))
        .collect()
}

pub(super) async fn run(client: &Client, args: ExposeArgs) -> Result<()> {
    let Selection::Names(names) = resources::select(client, &args.words).await? else {
        return Err(ClientError::usage("name the object: expose RESOURCE NAME --port=PORT"));
    };
    for named in names {
        let namespace = &client.target.namespace;
        let object = client.get(&resources::path(named.kind, namespace, &named.name)).await?;
        let selector = match &args.selector {
            Some(text) => pairs(text)?,
            None => selector(&object).ok_or_else(|| {
                ClientError::usage(format!(
                    "{} \"{}\" has no labels or selector to find its pods by; give --selector",
                    named.kind.singular, named.name
                ))
            })?,
        };
        let protocol = args.protocol.to_ascii_uppercase();
        let target = args.target_port.as_ref().map(|t| t.parse::<u16>().map_or_else(|_| json!(t), |n| json!(n)));
        let mut list = match args.port {
            Some(port) => vec![json!({"port": port, "targetPort": target.unwrap_or_else(|| json!(port)), "protocol": protocol})],
            None => ports(&object, &protocol),
        };
        if list.is_empty() {
            return Err(ClientError::usage("the object declares no port; give --port"));
        }
        if list.len() > 1 {
            for (i, port) in list.iter_mut().enumerate() {
                port["name"] = json!(format!("port-{}", i + 1));
            }
        }
        let labels = match &args.labels {
            Some(text) => pairs(text)?,
            None => object["metadata"]["labels"].clone(),
        };
        let body = json!({"kind": "Service", "apiVersion": "v1",
            "metadata": {"name": args.name.as_ref().unwrap_or(&named.name), "labels": labels},
            "spec": {"selector": selector, "ports": list, "type": args.service_type}});
        let made = client.post(&resources::path(&SERVICE, namespace, ""), &body).await?;
        print(&format!("{}\n", made["metadata"]["name"].as_str().unwrap_or_default()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controllers_pods_and_ports_are_found() {
        let rc = json!({"kind":"ReplicationController","spec":{"selector":{"a":"b"},"template":{"spec":{"containers":[
            {"ports":[{"containerPort":8080}]}]}}}});
        assert_eq!(selector(&rc), Some(json!({"a":"b"})));
        assert_eq!(ports(&rc, "TCP"), [json!({"port":8080,"targetPort":8080,"protocol":"TCP"})]);
        assert_eq!(selector(&json!({"kind":"Pod","metadata":{"labels":{"x":"y"}},"spec":{}})), Some(json!({"x":"y"})));
        assert!(pairs("a").is_err());
    }
}
