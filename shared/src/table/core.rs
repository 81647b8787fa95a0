//! Rows of the core kinds other than pods.
use super::{AGE, Layout, NAME, age, at, count, integer, items, name, or_none, pairs, size, text, time, wide};
use serde_json::{Value, json};

/// Elements of a list that a cell names before it says how many more there are.
const SHOWN_MAX: usize = 3;

pub(super) static REPLICATION_CONTROLLER: Layout = Layout {
    columns: &[
        NAME,
        integer("Desired", "The number of desired replicas."),
        integer("Current", "The most recently observed number of replicas."),
        integer("Ready", "The number of ready replicas."),
        AGE,
        wide("Containers", "Names of each container in the template."),
        wide("Images", "Images referenced by each container in the template."),
        wide("Selector", "The label query that pods must match."),
    ],
    cells: |o, now| {
        let containers = items(o, "/spec/template/spec/containers");
        let list = |field: &str| containers.iter().map(|c| at(c, field)).collect::<Vec<_>>().join(",");
        vec![
            name(o),
            count(o, "/spec/replicas").into(),
            count(o, "/status/replicas").into(),
            count(o, "/status/readyReplicas").into(),
            age(o, now),
            list("/name").into(),
            list("/image").into(),
            pairs(o, "/spec/selector"),
        ]
    },
};

pub(super) static SERVICE: Layout = Layout {
    columns: &[
        NAME,
        text("Type", "type determines how the Service is exposed."),
        text("Cluster-IP", "clusterIP is the IP address of the service."),
        text("External-IP", "Addresses outside of the cluster that reach this service."),
        text("Port(s)", "The list of ports that are exposed by this service."),
        AGE,
        wide("Selector", "Route service traffic to pods with label keys and values matching this selector."),
    ],
    cells: |o, now| {
        vec![
            name(o),
            at(o, "/spec/type").into(),
            or_none(at(o, "/spec/clusterIP")),
            external_ip(o),
            ports(o),
            age(o, now),
            pairs(o, "/spec/selector"),
        ]
    },
};

fn external_ip(service: &Value) -> Value {
    if at(service, "/spec/type") == "ExternalName" {
        return at(service, "/spec/externalName").into();
    }
    let balancers = items(service, "/status/loadBalancer/ingress").iter().map(|i| match at(i, "/ip") {
        "" => at(i, "/hostname"),
        ip => ip,
    });
    let external = items(service, "/spec/externalIPs").iter().filter_map(Value::as_str);
    let all: Vec<&str> = balancers.chain(external).collect();
    match (all.as_slice(), at(service, "/spec/type")) {
        ([], "LoadBalancer") => "<pending>".into(),
        ([], _) => "<none>".into(),
        (all, _) => all.join(",").into(),
    }
}

fn ports(service: &Value) -> Value {
    let one = |p: &Value| {
        let protocol = if at(p, "/protocol").is_empty() { "TCP" } else { at(p, "/protocol") };
        match count(p, "/nodePort") {
            0 => format!("{}/{protocol}", count(p, "/port")),
            node => format!("{}:{node}/{protocol}", count(p, "/port")),
        }
    };
    or_none(&items(service, "/spec/ports").iter().map(one).collect::<Vec<_>>().join(","))
}

pub(super) static ENDPOINTS: Layout = Layout {
    columns: &[NAME, text("Endpoints", "The addresses and ports behind the service."), AGE],
    cells: |o, now| vec![name(o), endpoints(o), age(o, now)],
};

fn endpoints(object: &Value) -> Value {
    let mut all = Vec::new();
    for subset in items(object, "/subsets") {
        let addresses = items(subset, "/addresses");
        if items(subset, "/ports").is_empty() {
            all.extend(addresses.iter().map(|a| at(a, "/ip").to_string()));
        }
        for port in items(subset, "/ports") {
            all.extend(addresses.iter().map(|a| format!("{}:{}", at(a, "/ip"), count(port, "/port"))));
        }
    }
    shown(&all)
}

/// The first few, and how many more.
fn shown(all: &[String]) -> Value {
    match all.len() {
        0..=SHOWN_MAX => or_none(&all.join(",")),
        n => format!("{} + {} more...", all[..SHOWN_MAX].join(","), n - SHOWN_MAX).into(),
    }
}

pub(super) static NODE: Layout = Layout {
    columns: &[
        NAME,
        text("Status", "The status of the node"),
        text("Roles", "The roles of the node"),
        AGE,
        text("Version", "Kubelet Version reported by the node."),
        wide("Internal-IP", "Internal IP of the node"),
        wide("External-IP", "External IP of the node"),
        wide("OS-Image", "OS Image reported by the node"),
        wide("Kernel-Version", "Kernel version reported by the node"),
        wide("Container-Runtime", "Container runtime version reported by the node"),
    ],
    cells: |o, now| {
        let info = |field: &str| match at(o, &format!("/status/nodeInfo/{field}")) {
            "" => Value::from("<unknown>"),
            text => text.into(),
        };
        let address = |kind: &str| {
            or_none(items(o, "/status/addresses").iter().find(|a| at(a, "/type") == kind).map(|a| at(a, "/address")).unwrap_or_default())
        };
        vec![
            name(o),
            node_status(o).into(),
            node_roles(o),
            age(o, now),
            at(o, "/status/nodeInfo/kubeletVersion").into(),
            address("InternalIP"),
            address("ExternalIP"),
            info("osImage"),
            info("kernelVersion"),
            info("containerRuntimeVersion"),
        ]
    },
};

fn node_status(node: &Value) -> String {
    let ready = items(node, "/status/conditions").iter().find(|c| at(c, "/type") == "Ready");
    let mut status = match ready {
        Some(c) if at(c, "/status") == "True" => "Ready".to_string(),
        Some(_) => "NotReady".to_string(),
        None => "Unknown".to_string(),
    };
    if node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn node_roles(node: &Value) -> Value {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role).filter(|r| !r.is_empty()),
            None if key == "kubernetes.io/role" => value.as_str().filter(|r| !r.is_empty()),
            None => None,
        })
        .collect();
    roles.sort_unstable();
    or_none(&roles.join(","))
}

pub(super) static NAMESPACE: Layout = Layout {
    columns: &[NAME, text("Status", "The status of the namespace"), AGE],
    cells: |o, now| vec![name(o), at(o, "/status/phase").into(), age(o, now)],
};

pub(super) static EVENT: Layout = Layout {
    columns: &[
        text("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
        text("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
        text(
            "Reason",
            "This should be a short, machine understandable string that gives the reason for the transition into the object's current status.",
        ),
        text("Object", "The object that this event is about."),
        wide("Subobject", "The part of the object that this event is about."),
        wide("Source", "The component reporting this event."),
        text("Message", "A human-readable description of the status of this operation."),
        wide("First Seen", "The time at which the event was first recorded."),
        wide("Count", "The number of times this event has occurred."),
        WIDE_NAME,
    ],
    cells: event,
};

const WIDE_NAME: super::Column = super::Column { priority: 1, ..NAME };

fn event(o: &Value, now: i64) -> Vec<Value> {
    // events.k8s.io names the same things otherwise.
    let either = |core: &'static str, new: &'static str| if at(o, core).is_empty() { at(o, new) } else { at(o, core) };
    let object = |field: &str| {
        let core = at(o, &format!("/involvedObject/{field}"));
        if core.is_empty() { at(o, &format!("/regarding/{field}")).to_string() } else { core.to_string() }
    };
    let first_of = |paths: &[&'static str]| paths.iter().map(|p| at(o, p)).find(|t| !t.is_empty()).unwrap_or_default().to_string();
    let last =
        first_of(&["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime", "/metadata/creationTimestamp"]);
    let first = first_of(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime", "/metadata/creationTimestamp"]);
    let count = [count(o, "/series/count"), count(o, "/count"), count(o, "/deprecatedCount"), 1].into_iter().find(|n| *n > 0).unwrap_or(1);
    let component = first_of(&["/source/component", "/deprecatedSource/component", "/reportingComponent", "/reportingController"]);
    let host = either("/source/host", "/deprecatedSource/host");
    let source = if host.is_empty() { component } else { format!("{component}, {host}") };
    vec![
        time::since(&last, now).into(),
        at(o, "/type").into(),
        at(o, "/reason").into(),
        format!("{}/{}", object("kind").to_ascii_lowercase(), object("name")).into(),
        object("fieldPath").into(),
        source.into(),
        either("/message", "/note").trim().into(),
        time::since(&first, now).into(),
        count.to_string().into(),
        name(o),
    ]
}

pub(super) static SECRET: Layout = Layout {
    columns: &[
        NAME,
        text("Type", "Used to facilitate programmatic handling of secret data."),
        integer("Data", "The number of data members."),
        AGE,
    ],
    cells: |o, now| vec![name(o), at(o, "/type").into(), size(o, "/data").into(), age(o, now)],
};

pub(super) static CONFIG_MAP: Layout = Layout {
    columns: &[NAME, integer("Data", "The number of data members."), AGE],
    cells: |o, now| vec![name(o), (size(o, "/data") + size(o, "/binaryData")).into(), age(o, now)],
};

pub(super) static SERVICE_ACCOUNT: Layout = Layout {
    columns: &[NAME, integer("Secrets", "The number of secrets that pods running under this account may use."), AGE],
    cells: |o, now| vec![name(o), size(o, "/secrets").into(), age(o, now)],
};

pub(super) static RESOURCE_QUOTA: Layout = Layout {
    columns: &[
        NAME,
        text("Request", "Used and allowed amounts, limits excepted."),
        text("Limit", "Used and allowed amounts of limits."),
        AGE,
    ],
    cells: |o, now| {
        let (requests, limits) = quota(o);
        vec![name(o), requests.into(), limits.into(), age(o, now)]
    },
};

fn quota(object: &Value) -> (String, String) {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = object.pointer("/status/hard").and_then(Value::as_object);
    let shown = |v: Option<&Value>| match v {
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
        None => "0".into(),
    };
    for (resource, allowed) in hard.into_iter().flatten() {
        let used = object.pointer("/status/used").and_then(|u| u.get(resource));
        let text = format!("{resource}: {}/{}", shown(used), shown(Some(allowed)));
        if resource.starts_with("limits") { limits.push(text) } else { requests.push(text) }
    }
    (requests.join(", "), limits.join(", "))
}

pub(super) static ENDPOINT_SLICE: Layout = Layout {
    columns: &[
        NAME,
        text("AddressType", "addressType specifies the type of address carried by this EndpointSlice."),
        text("Ports", "ports specifies the list of network ports exposed by each endpoint in this slice."),
        text("Endpoints", "endpoints is a list of unique endpoints in this slice."),
        AGE,
    ],
    cells: |o, now| {
        let ports: Vec<String> = items(o, "/ports").iter().map(|p| count(p, "/port").to_string()).collect();
        let ports = if ports.is_empty() { json!("<unset>") } else { shown(&ports) };
        let addresses = items(o, "/endpoints").iter().flat_map(|e| items(e, "/addresses")).filter_map(Value::as_str).map(str::to_string);
        let all: Vec<String> = addresses.collect();
        let endpoints = if all.is_empty() { json!("<unset>") } else { shown(&all) };
        vec![name(o), at(o, "/addressType").into(), ports, endpoints, age(o, now)]
    },
};

pub(super) static LEASE: Layout = Layout {
    columns: &[NAME, text("Holder", "The identity of the holder of the lease."), AGE],
    cells: |o, now| vec![name(o), at(o, "/spec/holderIdentity").into(), age(o, now)],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_as_kubectl_prints_them() {
        let service = json!({"spec": {"type": "NodePort", "clusterIP": "172.30.0.5", "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}});
        assert_eq!(ports(&service), "80:30080/TCP,53/UDP");
        let four = json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "2.2.2.2"}, {"ip": "3.3.3.3"}, {"ip": "4.4.4.4"}], "ports": [{"port": 80}]}]});
        assert_eq!(endpoints(&four), "1.1.1.1:80,2.2.2.2:80,3.3.3.3:80 + 1 more...");
        assert_eq!(endpoints(&json!({})), "<none>");
        let node = json!({"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}, "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!((node_status(&node).as_str(), node_roles(&node)), ("Ready,SchedulingDisabled", json!("master")));
        let used = json!({"status": {"hard": {"pods": "10", "limits.cpu": "2"}, "used": {"pods": "3"}}});
        assert_eq!(quota(&used), ("pods: 3/10".into(), "limits.cpu: 0/2".into()));
    }
}
