//! What must be true once everything works again and nobody asks for anything: what was wanted is there, and nothing else.
use crate::laws::host_ports;
use crate::world::{World, parse};
use node::runtime::ContainerState;
use serde_json::Value;
use shared::kinds::{ENDPOINTS, NAMESPACE, POD, REPLICATION_CONTROLLER, RESOURCE_QUOTA, SERVICE};
use std::collections::{BTreeMap, BTreeSet};

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn named(value: &Value) -> String {
    format!("{}/{}", text(value, "/metadata/namespace"), text(value, "/metadata/name"))
}

fn active(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn selected(selector: &Value, pod: &Value) -> bool {
    selector.as_object().is_some_and(|s| s.iter().all(|(k, v)| pod["metadata"]["labels"][k] == *v))
}

fn owned(pod: &Value, controller: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.into_iter().any(|o| o["controller"] == true && o["uid"] == controller["metadata"]["uid"])
}

/// `Err` says what is not yet as it must be.
pub fn settled(world: &World) -> Result<(), String> {
    let pods = world.all(&POD);
    for object in pods.iter().chain(&world.all(&NAMESPACE)).chain(&world.all(&REPLICATION_CONTROLLER)) {
        if object["metadata"].get("deletionTimestamp").is_some() {
            return Err(format!("{} {} is still being deleted", text(object, "/kind"), named(object)));
        }
    }
    quotas(world, &pods)?;
    controllers(world, &pods)?;
    pods_run(world, &pods)?;
    endpoints(world, &pods)?;
    containers(world, &pods)
}

fn quotas(world: &World, pods: &[Value]) -> Result<(), String> {
    for quota in world.all(&RESOURCE_QUOTA) {
        let namespace = text(&quota, "/metadata/namespace");
        let count = pods.iter().filter(|p| text(p, "/metadata/namespace") == namespace && active(p)).count();
        if text(&quota, "/status/used/pods") != count.to_string() {
            return Err(format!("quota {} says {} pods are used, {count} are", named(&quota), quota["status"]["used"]["pods"]));
        }
    }
    Ok(())
}

fn full(world: &World, namespace: &str) -> bool {
    let quotas = world.all(&RESOURCE_QUOTA);
    let mut there = quotas.iter().filter(|q| text(q, "/metadata/namespace") == namespace);
    there.any(|q| text(q, "/spec/hard/pods") == text(q, "/status/used/pods"))
}

fn controllers(world: &World, pods: &[Value]) -> Result<(), String> {
    for controller in world.all(&REPLICATION_CONTROLLER) {
        let namespace = text(&controller, "/metadata/namespace");
        let wanted = controller["spec"]["replicas"].as_u64().unwrap_or(0);
        let own: Vec<&Value> = pods.iter().filter(|p| active(p) && owned(p, &controller)).collect();
        let count = own.len() as u64;
        if count > wanted || count < wanted && !full(world, namespace) {
            return Err(format!("controller {} has {count} pods of {wanted}", named(&controller)));
        }
        if controller["status"]["replicas"].as_u64().unwrap_or(0) != count {
            return Err(format!("controller {} says it has {}, not {count}", named(&controller), controller["status"]["replicas"]));
        }
        let orphan = pods.iter().find(|p| {
            active(p)
                && text(p, "/metadata/namespace") == namespace
                && selected(&controller["spec"]["selector"], p)
                && p["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty)
        });
        if let Some(orphan) = orphan {
            return Err(format!("controller {} has not adopted {}", named(&controller), named(orphan)));
        }
    }
    Ok(())
}

fn pods_run(world: &World, pods: &[Value]) -> Result<(), String> {
    for pod in pods.iter().filter(|p| active(p)) {
        if text(pod, "/status/phase") == "Running" && ready(pod) {
            continue;
        }
        // A port that is taken on every node is the one reason to wait.
        let taken = host_ports(pod).iter().any(|port| {
            let holders = pods.iter().filter(|p| active(p) && !text(p, "/spec/nodeName").is_empty() && host_ports(p).contains(port));
            holders.count() == world.machines.len()
        });
        if !(taken && text(pod, "/spec/nodeName").is_empty()) {
            let (phase, node) = (text(pod, "/status/phase"), text(pod, "/spec/nodeName"));
            return Err(format!("pod {} is {phase} on {node:?}, ready: {}: {}", named(pod), ready(pod), pod["status"]));
        }
    }
    Ok(())
}

fn endpoints(world: &World, pods: &[Value]) -> Result<(), String> {
    let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in world.all(&ENDPOINTS) {
        let subsets = object["subsets"].as_array().into_iter().flatten();
        let ips = subsets.flat_map(|s| s["addresses"].as_array().into_iter().flatten()).map(|a| text(a, "/ip").to_string());
        there.insert(named(&object), ips.collect());
    }
    there.retain(|name, _| !name.starts_with("default/"));
    for service in world.all(&SERVICE).iter().filter(|s| s["spec"]["selector"].is_object()) {
        let behind = pods.iter().filter(|p| {
            active(p)
                && ready(p)
                && text(p, "/metadata/namespace") == text(service, "/metadata/namespace")
                && selected(&service["spec"]["selector"], p)
        });
        let wanted: BTreeSet<String> = behind.map(|p| text(p, "/status/podIP").to_string()).collect();
        let found = there.remove(&named(service)).unwrap_or_default();
        if found != wanted {
            return Err(format!("service {} leads to {found:?}, its pods are at {wanted:?}", named(service)));
        }
    }
    if there.is_empty() { Ok(()) } else { Err(format!("endpoints of no service: {there:?}")) }
}

/// The engines run what is bound to them, all of it and nothing else.
fn containers(world: &World, pods: &[Value]) -> Result<(), String> {
    for machine in &world.machines {
        let here = pods.iter().filter(|p| text(p, "/spec/nodeName") == machine.name);
        let (alive, ended): (Vec<&Value>, Vec<&Value>) = here.partition(|p| active(p));
        let uids = |pods: &[&Value]| -> BTreeSet<String> { pods.iter().map(|p| text(p, "/metadata/uid").to_string()).collect() };
        let (alive, ended) = (uids(&alive), uids(&ended));
        let mut running: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for container in machine.engine.containers() {
            let Some((name, uid)) = parse(&container) else { continue };
            if !alive.contains(&uid) && !ended.contains(&uid) {
                return Err(format!("{} keeps {} of a pod that is not there", machine.name, container.name));
            }
            if container.state == ContainerState::Running {
                running.entry(uid).or_default().insert(name);
            }
        }
        for uid in &alive {
            let found = running.remove(uid).unwrap_or_default();
            if found.len() != 2 {
                return Err(format!("{} runs only {found:?} of pod {uid}", machine.name));
            }
        }
        if !running.is_empty() {
            return Err(format!("{} still runs {running:?}", machine.name));
        }
    }
    Ok(())
}
