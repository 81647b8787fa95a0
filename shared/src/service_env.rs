//! The variables by which a container finds services, compatible with Docker links.
use crate::objects::service::Service;
use serde_json::Value;

/// What of a service its variables say.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    namespace: String,
    name: String,
    ip: String,
    ports: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq)]
struct Port {
    name: String,
    number: i64,
    protocol: String,
}

impl From<&Service> for Link {
    fn from(service: &Service) -> Link {
        let port = |p: &crate::objects::service::ServicePort| Port {
            name: p.name.clone(),
            number: i64::from(p.port),
            protocol: protocol(&p.protocol),
        };
        Link {
            namespace: service.metadata.namespace.clone(),
            name: service.metadata.name.clone(),
            ip: service.spec.cluster_ip.clone(),
            ports: service.spec.ports.iter().map(port).collect(),
        }
    }
}

/// From a Service as it is on the wire: what the console has.
impl From<&Value> for Link {
    fn from(service: &Value) -> Link {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        let port = |p: &Value| Port {
            name: text(&p["name"]),
            number: p["port"].as_i64().unwrap_or_default(),
            protocol: protocol(p["protocol"].as_str().unwrap_or_default()),
        };
        Link {
            namespace: text(&service["metadata"]["namespace"]),
            name: text(&service["metadata"]["name"]),
            ip: text(&service["spec"]["clusterIP"]),
            ports: service["spec"]["ports"].as_array().into_iter().flatten().map(port).collect(),
        }
    }
}

fn protocol(name: &str) -> String {
    if name.is_empty() { "tcp".to_string() } else { name.to_lowercase() }
}

/// Variables of all services that a pod of `namespace` sees: its own namespace's, and the cluster's two API services.
/// A service of the own namespace wins over one of the same name.
pub fn variables<S>(services: &[S], namespace: &str) -> Vec<(String, String)>
where
    for<'a> Link: From<&'a S>,
{
    let (own, mut seen): (Vec<Link>, Vec<Link>) = services.iter().map(Link::from).partition(|l| l.namespace == namespace);
    seen.retain(|l| l.namespace == "default" && matches!(l.name.as_str(), "kubernetes" | "kubernetes-ro"));
    seen.retain(|l| !own.iter().any(|o| o.name == l.name));
    seen.extend(own);
    seen.sort_by(|a, b| a.name.cmp(&b.name));
    seen.iter().flat_map(of_service).collect()
}

fn of_service(service: &Link) -> Vec<(String, String)> {
    let ip = &service.ip;
    let Some(first) = service.ports.first() else { return Vec::new() };
    if ip.is_empty() || ip == "None" {
        return Vec::new();
    }
    let name = mangle(&service.name);
    let mut out = vec![(format!("{name}_SERVICE_HOST"), ip.clone()), (format!("{name}_SERVICE_PORT"), first.number.to_string())];
    for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
        out.push((format!("{name}_SERVICE_PORT_{}", mangle(&port.name)), port.number.to_string()));
    }
    out.push((format!("{name}_PORT"), format!("{}://{ip}:{}", first.protocol, first.number)));
    for Port { number, protocol, .. } in &service.ports {
        let prefix = format!("{name}_PORT_{number}_{}", protocol.to_uppercase());
        out.push((prefix.clone(), format!("{protocol}://{ip}:{number}")));
        out.push((format!("{prefix}_PROTO"), protocol.clone()));
        out.push((format!("{prefix}_PORT"), number.to_string()));
        out.push((format!("{prefix}_ADDR"), ip.clone()));
    }
    out
}

fn mangle(name: &str) -> String {
    name.to_uppercase().replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tutorials_twenty_one_variables() {
        let service = |ns: &str, name: &str, ip: &str, port: i32| -> Service {
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": ns}, "spec": {"clusterIP": ip, "ports": [{"port": port, "protocol": "TCP"}]}})).unwrap()
        };
        let services = [
            service("default", "kubernetes-ro", "172.30.17.1", 80),
            service("default", "kubernetes", "172.30.17.2", 443),
            service("default", "other", "172.30.17.9", 1),
            service("hack", "hello-openshift", "172.30.17.66", 27017),
            service("elsewhere", "secret", "172.30.17.8", 1),
        ];
        let mut got: Vec<String> = variables(&services, "hack").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        got.sort();
        let mut seed = vec![
            "KUBERNETES_PORT_443_TCP=tcp://172.30.17.2:443",
            "KUBERNETES_RO_SERVICE_PORT=80",
            "KUBERNETES_RO_PORT=tcp://172.30.17.1:80",
            "KUBERNETES_RO_PORT_80_TCP_PROTO=tcp",
            "HELLO_OPENSHIFT_PORT_27017_TCP_PROTO=tcp",
            "HELLO_OPENSHIFT_PORT_27017_TCP_PORT=27017",
            "HELLO_OPENSHIFT_PORT_27017_TCP_ADDR=172.30.17.66",
            "KUBERNETES_PORT_443_TCP_PROTO=tcp",
            "KUBERNETES_RO_SERVICE_HOST=172.30.17.1",
            "KUBERNETES_RO_PORT_80_TCP=tcp://172.30.17.1:80",
            "KUBERNETES_RO_PORT_80_TCP_PORT=80",
            "KUBERNETES_RO_PORT_80_TCP_ADDR=172.30.17.1",
            "HELLO_OPENSHIFT_PORT_27017_TCP=tcp://172.30.17.66:27017",
            "KUBERNETES_SERVICE_PORT=443",
            "KUBERNETES_PORT=tcp://172.30.17.2:443",
            "KUBERNETES_PORT_443_TCP_PORT=443",
            "KUBERNETES_PORT_443_TCP_ADDR=172.30.17.2",
            "HELLO_OPENSHIFT_SERVICE_HOST=172.30.17.66",
            "HELLO_OPENSHIFT_PORT=tcp://172.30.17.66:27017",
            "KUBERNETES_SERVICE_HOST=172.30.17.2",
            "HELLO_OPENSHIFT_SERVICE_PORT=27017",
        ];
        seed.sort_unstable();
        assert_eq!(got, seed);
        let wire: Vec<Value> = services.iter().map(|s| serde_json::to_value(s).unwrap()).collect();
        assert_eq!(variables(&wire, "hack"), variables(&services, "hack"));
    }
}
