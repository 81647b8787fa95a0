//! What lies behind objects: containers' logs and commands by way of their node, and HTTP to pods and services.
use super::address::{Container, Errand, Through};
use super::{DEFAULT_NAMESPACE, fields, resource};
use crate::handlers::{Call, objects};
use crate::respond::{self, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use shared::kinds;
use shared::status::Status;

/// The port on which the era's agent answered on each node.
const AGENT_PORT: u16 = 10250;

/// A log, a command or a tunnel, which the era's clients asked the agent on the node for.
pub async fn container(mut call: Call, target: Container) -> Result<Response, Status> {
    let query = call.query()?;
    let on = |name: &str| query.get(name).is_some_and(|v| matches!(v, "1" | "true"));
    let mut pairs = vec![("container", target.container.as_str())];
    let subresource = match target.errand {
        Errand::Log => {
            // The agent always asked the engine for them.
            pairs.push(("timestamps", "true"));
            pairs.extend(["follow", "previous"].into_iter().filter(|n| on(n)).map(|n| (n, "true")));
            pairs.extend([("tailLines", "tail")].into_iter().map(|(new, old)| (new, query.text(old))).filter(|(_, v)| !v.is_empty()));
            "log"
        }
        Errand::Exec => {
            let streams = [("input", "stdin"), ("output", "stdout"), ("error", "stderr"), ("tty", "tty")];
            pairs.extend(streams.into_iter().filter(|(old, _)| on(old)).map(|(_, new)| (new, "true")));
            pairs.extend(query.all("command").map(|word| ("command", word)));
            "exec"
        }
        Errand::PortForward => {
            pairs.clear();
            "portforward"
        }
    };
    fields::set_query(&mut call, &pairs)?;
    let mut today = resource(&kinds::POD, Some(target.namespace), Some(target.pod));
    today.subresource = subresource.into();
    objects::serve(call, today).await
}

/// HTTP to a pod or a service, or only the word where it is.
pub async fn serve(call: Call, target: Through) -> Result<Response, Status> {
    let query = call.query()?;
    let asked = query.get("namespace").filter(|n| !n.is_empty()).map(String::from);
    let namespace = target.namespace.or(asked).unwrap_or_else(|| DEFAULT_NAMESPACE.into());
    let Some(rest) = target.rest else { return redirect(&call, target.kind, &namespace, &target.name) };
    if *target.kind == kinds::NODE {
        // Nodes have no agent that answers HTTP: what it told is in the API.
        return Err(respond::unknown_path());
    }
    let mut today = resource(target.kind, Some(namespace), Some(target.name));
    today.subresource = "proxy".into();
    today.rest = rest;
    objects::serve(call, today).await
}

fn redirect(call: &Call, kind: &'static kinds::Kind, namespace: &str, addressed: &str) -> Result<Response, Status> {
    if !call.reads() {
        return Err(respond::method_not_allowed());
    }
    let (name, port) = addressed.split_once(':').unwrap_or((addressed, ""));
    let object = call.app.registry.get(&call.caller, kind, kind.namespaced().then_some(namespace), name)?.value();
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_string();
    let number = |path: &str| object.pointer(path).and_then(Value::as_u64).map(|n| n.to_string());
    let (host, default) = match kind.kind {
        "Pod" => (text("/status/podIP"), number("/spec/containers/0/ports/0/containerPort")),
        "Service" => (text("/spec/clusterIP"), number("/spec/ports/0/port")),
        _ => {
            let addresses = object.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
            let ip = addresses.clone().find(|a| a["type"] == "InternalIP").and_then(|a| a["address"].as_str());
            (ip.unwrap_or(name).to_string(), Some(AGENT_PORT.to_string()))
        }
    };
    if host.is_empty() || host == "None" {
        return Err(Status::unavailable(format!("{} {name:?} has no address yet", kind.singular)));
    }
    let port = if port.is_empty() { default } else { Some(port.to_string()) };
    let url = port.map_or(format!("http://{host}"), |port| format!("http://{host}:{port}"));
    let mut response = respond::text(StatusCode::TEMPORARY_REDIRECT, "");
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(&url).map_err(|e| Status::bad_request(e.to_string()))?);
    Ok(response)
}
