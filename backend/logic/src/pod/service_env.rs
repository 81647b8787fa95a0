//! The variables by which a container finds services, compatible with Docker links.
use shared::objects::service::Service;

/// Variables of all services that a pod of `namespace` sees: its own namespace's, and the cluster's two API services.
/// A service of the own namespace wins over one of the same name.
pub fn variables(services: &[Service], namespace: &str) -> Vec<(String, String)> {
    let own = |s: &&Service| s.metadata.namespace == namespace;
    let master = |s: &&Service| {
        s.metadata.namespace == "default" && namespace != "default" && matches!(s.metadata.name.as_str(), "kubernetes" | "kubernetes-ro")
    };
    let mut seen: Vec<&Service> = services.iter().filter(own).collect();
    let names: Vec<&str> = seen.iter().map(|s| s.metadata.name.as_str()).collect();
    let clusters: Vec<&Service> = services.iter().filter(master).filter(|s| !names.contains(&s.metadata.name.as_str())).collect();
    seen.extend(clusters);
    seen.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    seen.into_iter().flat_map(of_service).collect()
}

fn of_service(service: &Service) -> Vec<(String, String)> {
    let ip = &service.spec.cluster_ip;
    let Some(first) = service.spec.ports.first() else { return Vec::new() };
    if ip.is_empty() || ip == "None" {
        return Vec::new();
    }
    let name = mangle(&service.metadata.name);
    let protocol = |p: &str| if p.is_empty() { "tcp".to_string() } else { p.to_lowercase() };
    let mut out = vec![(format!("{name}_SERVICE_HOST"), ip.clone()), (format!("{name}_SERVICE_PORT"), first.port.to_string())];
    for port in service.spec.ports.iter().filter(|p| !p.name.is_empty()) {
        out.push((format!("{name}_SERVICE_PORT_{}", mangle(&port.name)), port.port.to_string()));
    }
    out.push((format!("{name}_PORT"), format!("{}://{ip}:{}", protocol(&first.protocol), first.port)));
    for port in &service.spec.ports {
        let protocol = protocol(&port.protocol);
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        out.push((prefix.clone(), format!("{protocol}://{ip}:{}", port.port)));
        out.push((format!("{prefix}_PROTO"), protocol));
        out.push((format!("{prefix}_PORT"), port.port.to_string()));
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
    }
}
