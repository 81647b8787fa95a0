//! Services and Endpoints → the rule set of a node.
use super::{PortKey, RuleSet, ServiceRule};
use shared::objects::endpoints::Endpoints;
use shared::objects::service::{Service, ServicePort};
use std::collections::{BTreeMap, BTreeSet};

/// Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours.
const AFFINITY_SECONDS_DEFAULT: i64 = 10_800;

/// Computes the whole rule set. Endpoints without a service are ignored; a service without endpoints rejects.
pub fn compute<'a>(services: impl Iterator<Item = &'a Service>, endpoints: impl Iterator<Item = &'a Endpoints>) -> RuleSet {
    let endpoints: BTreeMap<(&str, &str), &Endpoints> =
        endpoints.map(|e| ((e.metadata.namespace.as_str(), e.metadata.name.as_str()), e)).collect();
    let mut set = RuleSet::default();
    for service in services {
        if !has_address(service) {
            continue;
        }
        let behind = endpoints.get(&(service.metadata.namespace.as_str(), service.metadata.name.as_str())).copied();
        for port in &service.spec.ports {
            if let Some(rule) = rule(service, port, behind) {
                set.ports.insert(key(service, port), rule);
            }
        }
    }
    set
}

fn has_address(service: &Service) -> bool {
    let spec = &service.spec;
    !spec.cluster_ip.is_empty()
        && spec.cluster_ip != "None"
        && spec.type_ != "ExternalName"
        && spec.cluster_ip.parse::<std::net::Ipv4Addr>().is_ok()
}

fn key(service: &Service, port: &ServicePort) -> PortKey {
    PortKey { namespace: service.metadata.namespace.clone(), service: service.metadata.name.clone(), port_name: port.name.clone() }
}

fn rule(service: &Service, port: &ServicePort, endpoints: Option<&Endpoints>) -> Option<ServiceRule> {
    let spec = &service.spec;
    let protocol = match port.protocol.as_str() {
        "" | "TCP" => "tcp",
        "UDP" => "udp",
        // The kernel here has no SCTP helper; a rule that cannot work is worse than none.
        _ => return None,
    };
    let affinity = (spec.session_affinity == "ClientIP").then(|| {
        let asked = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()).and_then(|c| c.timeout_seconds);
        u32::try_from(asked.unwrap_or(AFFINITY_SECONDS_DEFAULT)).unwrap_or(u32::MAX)
    });
    Some(ServiceRule {
        cluster_ip: spec.cluster_ip.clone(),
        external_ips: spec.external_ips.iter().filter(|ip| ip.parse::<std::net::Ipv4Addr>().is_ok()).cloned().collect(),
        protocol: protocol.into(),
        port: u16::try_from(port.port).ok().filter(|p| *p > 0)?,
        node_port: u16::try_from(port.node_port).unwrap_or(0),
        affinity_seconds: affinity,
        backends: endpoints.map(|e| backends(e, port)).unwrap_or_default(),
    })
}

/// Ready addresses whose port carries the service port's name, sorted and without duplicates.
fn backends(endpoints: &Endpoints, port: &ServicePort) -> Vec<String> {
    let mut found = BTreeSet::new();
    for subset in &endpoints.subsets {
        let Some(target) = subset.ports.iter().find(|p| p.name == port.name) else { continue };
        for address in &subset.addresses {
            if address.ip.parse::<std::net::Ipv4Addr>().is_ok() {
                found.insert(format!("{}:{}", address.ip, target.port));
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compute_json(services: serde_json::Value, endpoints: serde_json::Value) -> RuleSet {
        let services: Vec<Service> = serde_json::from_value(services).unwrap();
        let endpoints: Vec<Endpoints> = serde_json::from_value(endpoints).unwrap();
        compute(services.iter(), endpoints.iter())
    }

    #[test]
    fn services_of_one_name_in_two_namespaces_do_not_meet() {
        let set = compute_json(
            json!([{"metadata":{"name":"a","namespace":"x"},"spec":{"clusterIP":"172.30.0.3","ports":[{"port":80}]}},
                   {"metadata":{"name":"a","namespace":"y"},"spec":{"clusterIP":"172.30.0.4","ports":[{"port":80}]}}]),
            json!([{"metadata":{"name":"a","namespace":"y"},"subsets":[{"addresses":[{"ip":"172.17.0.9"}],"ports":[{"port":8080}]}]}]),
        );
        let backends: Vec<_> = set.ports.values().map(|r| r.backends.clone()).collect();
        assert_eq!(backends, [vec![], vec!["172.17.0.9:8080".to_string()]]);
    }

    #[test]
    fn ports_are_matched_by_name_and_unready_addresses_left_out() {
        let set = compute_json(
            json!([{"metadata":{"name":"a","namespace":"x"},"spec":{"clusterIP":"172.30.0.3","sessionAffinity":"ClientIP",
                "ports":[{"name":"web","port":80},{"name":"dns","port":53,"protocol":"UDP","nodePort":30053}]}}]),
            json!([{"metadata":{"name":"a","namespace":"x"},"subsets":[{"addresses":[{"ip":"10.0.0.2"},{"ip":"10.0.0.1"}],
                "notReadyAddresses":[{"ip":"10.0.0.3"}],"ports":[{"name":"dns","port":5353,"protocol":"UDP"},{"name":"web","port":8080}]}]}]),
        );
        let rules: Vec<_> = set.ports.values().collect();
        assert_eq!(rules[0].protocol, "udp");
        assert_eq!(rules[0].backends, ["10.0.0.1:5353", "10.0.0.2:5353"]);
        assert_eq!(rules[0].node_port, 30053);
        assert_eq!(rules[1].backends, ["10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(rules[1].affinity_seconds, Some(10_800));
    }

    #[test]
    fn headless_and_external_services_have_no_rules() {
        let set = compute_json(
            json!([{"metadata":{"name":"a","namespace":"x"},"spec":{"clusterIP":"None","ports":[{"port":80}]}},
                   {"metadata":{"name":"b","namespace":"x"},"spec":{"clusterIP":"","type":"ExternalName","ports":[{"port":80}]}}]),
            json!([]),
        );
        assert!(set.ports.is_empty());
    }
}
