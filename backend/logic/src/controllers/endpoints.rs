//! The addresses behind a service: pods that match its selector → Endpoints and EndpointSlices.
use super::Write;
use crate::facts::PodFacts;
use serde_json::{Value, json};
use shared::kinds::{ENDPOINT_SLICE, ENDPOINTS};
use shared::objects::IntOrString;
use shared::objects::service::{Service, ServicePort};
use shared::selector::LabelSelector;
use std::collections::BTreeMap;

pub use shared::legacy::IMPLICIT_TARGET;
/// Kubernetes' limit of endpoints per slice.
const SLICE_ENDPOINTS_MAX: usize = 100;
const MANAGED_BY: &str = "endpointslice-controller.k8s.io";

/// A service, the pods of its namespace, and what is stored for it now (whole JSON).
pub struct Observed<'a> {
    pub service: &'a Service,
    pub pods: &'a [&'a PodFacts],
    pub endpoints: Option<&'a Value>,
    /// Slices that carry the service's name and are ours.
    pub slices: &'a [&'a Value],
}

/// Writes only what differs from what is stored. A service without a selector is left to whoever manages it.
pub fn reconcile(observed: &Observed<'_>) -> Vec<Write> {
    let service = observed.service;
    let Some(selector) = service.spec.selector.as_ref().filter(|s| !s.is_empty()) else { return Vec::new() };
    if service.spec.type_ == "ExternalName" || service.metadata.is_deleting() {
        return Vec::new();
    }
    let selector = LabelSelector::from_map(selector);
    let mut backends: Vec<Backend> =
        observed.pods.iter().filter(|p| selector.matches(&p.labels)).filter_map(|p| backend(service, p)).collect();
    backends.sort_by(|a, b| (&a.pod.ip, &a.pod.name).cmp(&(&b.pod.ip, &b.pod.name)));
    let mut writes = Vec::new();
    endpoints(service, &backends, observed.endpoints, &mut writes);
    slices(service, &backends, observed.slices, &mut writes);
    writes
}

/// A pod behind the service and the ports by which it serves there.
struct Backend<'a> {
    pod: &'a PodFacts,
    ready: bool,
    ports: Vec<(String, i32, String)>,
}

fn backend<'a>(service: &Service, pod: &'a PodFacts) -> Option<Backend<'a>> {
    if pod.ip.is_empty() || pod.phase.finished() {
        return None;
    }
    let ports =
        service.spec.ports.iter().filter_map(|p| Some((p.name.clone(), target_port(service, p, pod)?, protocol(p)))).collect::<Vec<_>>();
    if ports.is_empty() && !service.spec.ports.is_empty() {
        return None;
    }
    Some(Backend { pod, ready: pod.ready && !pod.deleting || service.spec.publish_not_ready_addresses, ports })
}

fn protocol(port: &ServicePort) -> String {
    if port.protocol.is_empty() { "TCP".into() } else { port.protocol.clone() }
}

/// Which port of this pod a service port leads to. Unset with the implicit mark: the first declared port of the same
/// protocol, else the service's own number (the 2015 rule, as of v0.4.4); by name: the container port of that name.
pub fn target_port(service: &Service, port: &ServicePort, pod: &PodFacts) -> Option<i32> {
    let implicit = service.metadata.annotations.contains_key(IMPLICIT_TARGET);
    let protocol = protocol(port);
    match &port.target_port {
        Some(IntOrString::Int(n)) if *n != 0 => Some(*n),
        Some(IntOrString::String(name)) if !name.is_empty() => {
            pod.ports.iter().find(|p| p.name == *name && p.protocol == protocol).map(|p| p.number)
        }
        _ if implicit => Some(pod.ports.iter().find(|p| p.protocol == protocol).map_or(port.port, |p| p.number)),
        _ => Some(port.port),
    }
}

fn target_ref(pod: &PodFacts) -> Value {
    json!({"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid})
}

fn endpoints(service: &Service, backends: &[Backend<'_>], stored: Option<&Value>, writes: &mut Vec<Write>) {
    // Pods with the same ports share a subset.
    type Ports = Vec<(String, i32, String)>;
    let mut subsets: BTreeMap<&Ports, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for b in backends.iter().filter(|b| !b.pod.deleting || b.ready) {
        let mut address = json!({"ip": b.pod.ip, "targetRef": target_ref(b.pod)});
        if !b.pod.node.is_empty() {
            address["nodeName"] = json!(b.pod.node);
        }
        if !b.pod.hostname.is_empty() && b.pod.subdomain == service.metadata.name {
            address["hostname"] = json!(b.pod.hostname);
        }
        let (ready, not_ready) = subsets.entry(&b.ports).or_default();
        if b.ready { ready.push(address) } else { not_ready.push(address) }
    }
    let subsets: Vec<Value> = subsets
        .into_iter()
        .map(|(ports, (ready, not_ready))| {
            let ports: Vec<Value> = ports.iter().map(|(name, number, protocol)| port_json(name, *number, protocol)).collect();
            let mut subset = json!({});
            for (member, list) in [("addresses", ready), ("notReadyAddresses", not_ready), ("ports", ports)] {
                if !list.is_empty() {
                    subset[member] = list.into();
                }
            }
            subset
        })
        .collect();
    let mut labels = json!(service.metadata.labels);
    labels["endpoints.kubernetes.io/managed-by"] = json!("endpoint-controller");
    if service.spec.cluster_ip == "None" {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    let (namespace, name) = (service.metadata.namespace.clone(), service.metadata.name.clone());
    match stored {
        None => {
            let mut body =
                json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "namespace": namespace, "labels": labels}});
            if !subsets.is_empty() {
                body["subsets"] = subsets.into();
            }
            writes.push(Write::Create { kind: &ENDPOINTS, namespace, body, creator: None });
        }
        Some(stored) => {
            let same = stored.get("subsets").and_then(Value::as_array).map_or(subsets.is_empty(), |s| *s == subsets);
            if !same || stored.pointer("/metadata/labels").unwrap_or(&Value::Null) != &labels {
                let mut body = stored.clone();
                body["metadata"]["labels"] = labels;
                body["subsets"] = subsets.into();
                writes.push(Write::Update { kind: &ENDPOINTS, namespace, name, subresource: "", body });
            }
        }
    }
}

fn port_json(name: &str, number: i32, protocol: &str) -> Value {
    let mut port = json!({"port": number, "protocol": protocol});
    if !name.is_empty() {
        port["name"] = json!(name);
    }
    port
}

fn slices(service: &Service, backends: &[Backend<'_>], stored: &[&Value], writes: &mut Vec<Write>) {
    let mut groups: BTreeMap<&Vec<(String, i32, String)>, Vec<Value>> = BTreeMap::new();
    for b in backends {
        groups.entry(&b.ports).or_default().push(slice_endpoint(service, b));
    }
    let mut wanted = Vec::new();
    for (ports, endpoints) in groups {
        for (i, chunk) in endpoints.chunks(SLICE_ENDPOINTS_MAX).enumerate() {
            wanted.push(slice(service, ports, chunk, i));
        }
    }
    if wanted.is_empty() {
        wanted.push(slice(service, &Vec::new(), &[], 0));
    }
    let name = |v: &Value| v.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_string();
    let namespace = &service.metadata.namespace;
    for body in &wanted {
        match stored.iter().find(|s| name(s) == name(body)) {
            None => writes.push(Write::Create { kind: &ENDPOINT_SLICE, namespace: namespace.clone(), body: body.clone(), creator: None }),
            Some(old)
                if ["endpoints", "ports"].iter().any(|m| empty_as_null(old.get(m)) != empty_as_null(body.get(m)))
                    || !has_labels(old, body) =>
            {
                let mut next = (*old).clone();
                for member in ["endpoints", "ports"] {
                    next[member] = body[member].clone();
                }
                next["metadata"]["labels"] = body["metadata"]["labels"].clone();
                writes.push(Write::Update {
                    kind: &ENDPOINT_SLICE,
                    namespace: namespace.clone(),
                    name: name(body),
                    subresource: "",
                    body: next,
                });
            }
            Some(_) => {}
        }
    }
    for old in stored.iter().filter(|s| !wanted.iter().any(|w| name(w) == name(s))) {
        let uid = old.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        writes.push(Write::Delete {
            kind: &ENDPOINT_SLICE,
            namespace: namespace.clone(),
            name: name(old),
            uid: uid.into(),
            grace_seconds: None,
        });
    }
}

fn empty_as_null(list: Option<&Value>) -> &Value {
    list.filter(|l| l.as_array().is_none_or(|a| !a.is_empty())).unwrap_or(&Value::Null)
}

fn has_labels(old: &Value, body: &Value) -> bool {
    old.pointer("/metadata/labels") == body.pointer("/metadata/labels")
}

fn slice_endpoint(service: &Service, b: &Backend<'_>) -> Value {
    let serving = b.pod.ready;
    let mut endpoint = json!({
        "addresses": [b.pod.ip],
        "conditions": {"ready": b.ready, "serving": serving, "terminating": b.pod.deleting},
        "targetRef": target_ref(b.pod),
    });
    if !b.pod.node.is_empty() {
        endpoint["nodeName"] = json!(b.pod.node);
    }
    if !b.pod.hostname.is_empty() && b.pod.subdomain == service.metadata.name {
        endpoint["hostname"] = json!(b.pod.hostname);
    }
    endpoint
}

/// A slice whose name follows from the service, the ports and the position, so that a second pass finds it again.
fn slice(service: &Service, ports: &[(String, i32, String)], endpoints: &[Value], position: usize) -> Value {
    let ports: Vec<Value> =
        ports.iter().map(|(name, number, protocol)| json!({"name": name, "port": number, "protocol": protocol})).collect();
    let suffix = suffix(&format!("{}/{}/{position}", service.metadata.uid, Value::from(ports.clone())));
    let mut labels = json!(service.metadata.labels);
    labels["kubernetes.io/service-name"] = json!(service.metadata.name);
    labels["endpointslice.kubernetes.io/managed-by"] = json!(MANAGED_BY);
    if service.spec.cluster_ip == "None" {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{}-{suffix}", service.metadata.name), "namespace": service.metadata.namespace, "labels": labels,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": service.metadata.name, "uid": service.metadata.uid,
                                 "controller": true, "blockOwnerDeletion": true}],
        },
        "endpoints": endpoints, "ports": ports,
    })
}

/// Five characters of the alphabet that generated names use, from FNV-1a.
fn suffix(text: &str) -> String {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let alphabet = b"bcdfghjklmnpqrstvwxz2456789";
    (0..5)
        .map(|_| {
            let c = alphabet[(h % 27) as usize];
            h /= 27;
            char::from(c)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::objects::pod::Pod;

    fn pod(name: &str, ip: &str, ready: bool) -> PodFacts {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "hack", "uid": name, "labels": {"name": "hello"}},
            "spec": {"nodeName": "master", "containers": [{"name": "c", "ports": [{"containerPort": 8080, "name": "web"}]}]},
            "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}
        }))
        .unwrap();
        PodFacts::of(&pod)
    }

    fn service(extra: Value) -> Service {
        let mut s = json!({"metadata": {"name": "hello", "namespace": "hack", "uid": "s"}, "spec": {"clusterIP": "172.30.0.5", "selector": {"name": "hello"}, "ports": [{"port": 27017, "protocol": "TCP"}]}});
        s["metadata"]["annotations"] = extra.get("annotations").cloned().unwrap_or_default();
        if let Some(target) = extra.get("targetPort") {
            s["spec"]["ports"][0]["targetPort"] = target.clone();
        }
        serde_json::from_value(s).unwrap()
    }

    fn bodies(service: &Service, pods: &[PodFacts], stored: Option<&Value>, slices: &[&Value]) -> Vec<Value> {
        let pods: Vec<&PodFacts> = pods.iter().collect();
        reconcile(&Observed { service, pods: &pods, endpoints: stored, slices })
            .into_iter()
            .map(|w| match w {
                Write::Create { body, .. } | Write::Update { body, .. } => body,
                other => json!(format!("{other:?}")),
            })
            .collect()
    }

    #[test]
    fn the_target_port_follows_number_name_or_the_pods_own_port() {
        let p = pod("a", "172.17.0.3", true);
        for (extra, wanted) in [
            (json!({"annotations": {IMPLICIT_TARGET: "true"}}), Some(8080)),
            (json!({"targetPort": 9}), Some(9)),
            (json!({"targetPort": "web"}), Some(8080)),
            (json!({"targetPort": "none"}), None),
            (json!({}), Some(27017)),
        ] {
            let s = service(extra);
            assert_eq!(target_port(&s, &s.spec.ports[0], &p), wanted);
        }
    }

    #[test]
    fn ready_and_unready_pods_stand_apart_and_pods_without_address_are_absent() {
        let s = service(json!({"targetPort": 8080}));
        let pods = [pod("b", "172.17.0.4", true), pod("a", "172.17.0.3", true), pod("c", "172.17.0.5", false), pod("d", "", true)];
        let written = bodies(&s, &pods, None, &[]);
        let subset = &written[0]["subsets"][0];
        assert_eq!(subset["addresses"][0]["ip"], "172.17.0.3");
        assert_eq!(subset["addresses"].as_array().unwrap().len(), 2);
        assert_eq!(subset["notReadyAddresses"][0]["ip"], "172.17.0.5");
        assert_eq!(written[1]["endpoints"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_second_pass_over_its_own_result_writes_nothing() {
        let s = service(json!({"targetPort": "web"}));
        for pods in [vec![], vec![pod("a", "172.17.0.3", true)], vec![pod("a", "172.17.0.3", true), pod("b", "172.17.0.4", false)]] {
            let first = bodies(&s, &pods, None, &[]);
            let slices: Vec<&Value> = first[1..].iter().collect();
            assert!(bodies(&s, &pods, Some(&first[0]), &slices).is_empty());
        }
    }

    #[test]
    fn a_service_without_selector_is_left_alone() {
        let mut s = service(json!({}));
        s.spec.selector = None;
        assert!(bodies(&s, &[pod("a", "1.1.1.1", true)], None, &[]).is_empty());
    }
}
