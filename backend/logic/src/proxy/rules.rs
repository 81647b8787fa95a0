//! Services and Endpoints → the rule set of a node, kept up to date at the cost of what changed.
use super::{PortKey, Protocol, RuleSet, ServiceRule};
use shared::objects::endpoints::Endpoints;
use shared::objects::service::{Service, ServicePort};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours.
const AFFINITY_SECONDS_DEFAULT: i64 = 10_800;

/// Namespace and name.
type Name = (String, String);
/// Port name → rule without backends.
type Fronts = BTreeMap<String, ServiceRule>;
/// Port name → ready addresses, sorted.
type Backs = BTreeMap<String, Vec<SocketAddrV4>>;

/// What a node has seen of services and endpoints, and the rules that they make. Endpoints without a service are kept
/// aside; a service without endpoints rejects.
#[derive(Debug, Default)]
pub struct Rules {
    fronts: BTreeMap<Name, Fronts>,
    backs: BTreeMap<Name, Backs>,
    here: BTreeMap<Name, Option<SocketAddrV4>>,
    set: RuleSet,
    services_listed: bool,
    endpoints_listed: bool,
}

impl Rules {
    /// The rules, once both collections have been read whole: half of them would take working services away.
    pub fn set(&self) -> Option<RuleSet> {
        (self.services_listed && self.endpoints_listed).then(|| self.set.clone())
    }

    /// These are all services there are.
    pub fn services_are(&mut self, services: &[Service]) {
        self.services_listed = true;
        let all: BTreeSet<Name> = services.iter().map(|s| (s.metadata.namespace.clone(), s.metadata.name.clone())).collect();
        let gone: Vec<Name> = self.fronts.keys().filter(|name| !all.contains(name)).cloned().collect();
        gone.into_iter().for_each(|(namespace, name)| self.service_gone(&namespace, &name));
        services.iter().for_each(|service| self.service_is(service));
    }

    pub fn service_is(&mut self, service: &Service) {
        let name = (service.metadata.namespace.clone(), service.metadata.name.clone());
        let fronts = fronts(service);
        match fronts.is_empty() {
            true => self.fronts.remove(&name),
            false => self.fronts.insert(name.clone(), fronts),
        };
        self.renew(&name);
    }

    pub fn service_gone(&mut self, namespace: &str, name: &str) {
        let name = (namespace.to_string(), name.to_string());
        self.fronts.remove(&name);
        self.renew(&name);
    }

    /// These are all endpoints there are.
    pub fn endpoints_are(&mut self, endpoints: &[Endpoints]) {
        self.endpoints_listed = true;
        let all: BTreeSet<Name> = endpoints.iter().map(|e| (e.metadata.namespace.clone(), e.metadata.name.clone())).collect();
        let gone: Vec<Name> = self.backs.keys().filter(|name| !all.contains(name)).cloned().collect();
        gone.into_iter().for_each(|(namespace, name)| self.endpoints_gone(&namespace, &name));
        endpoints.iter().for_each(|endpoints| self.endpoints_are_now(endpoints));
    }

    pub fn endpoints_are_now(&mut self, endpoints: &Endpoints) {
        let name = (endpoints.metadata.namespace.clone(), endpoints.metadata.name.clone());
        let backs = backs(endpoints);
        match backs.is_empty() {
            true => self.backs.remove(&name),
            false => self.backs.insert(name.clone(), backs),
        };
        self.renew(&name);
    }

    pub fn endpoints_gone(&mut self, namespace: &str, name: &str) {
        let name = (namespace.to_string(), name.to_string());
        self.backs.remove(&name);
        self.renew(&name);
    }

    /// This very node answers for a service, at this address or not at all, whatever endpoints the service has.
    pub fn answered_here(&mut self, namespace: &str, name: &str, at: Option<SocketAddrV4>) {
        let name = (namespace.to_string(), name.to_string());
        self.here.insert(name.clone(), at);
        self.renew(&name);
    }

    /// Makes the rules of one service anew; those that are as before stay shared with earlier snapshots.
    fn renew(&mut self, name: &Name) {
        let mut wanted = self.fronts.get(name).cloned().unwrap_or_default();
        for (port, rule) in &mut wanted {
            rule.backends = match (self.here.get(name), self.backs.get(name)) {
                (Some(at), _) => at.iter().copied().collect(),
                (None, Some(backs)) => backs.get(port).cloned().unwrap_or_default(),
                (None, None) => Vec::new(),
            };
        }
        let mut gone = Vec::new();
        for (key, rule) in self.set.of_service(&name.0, &name.1) {
            match wanted.get(&key.port_name) {
                Some(new) if new == rule => {
                    wanted.remove(&key.port_name);
                }
                Some(_) => {}
                None => gone.push(key.clone()),
            }
        }
        gone.iter().for_each(|key| self.set.remove(key));
        for (port_name, rule) in wanted {
            self.set.insert(PortKey { namespace: name.0.clone(), service: name.1.clone(), port_name }, rule);
        }
    }
}

/// Of ports with the same name the last counts.
fn fronts(service: &Service) -> Fronts {
    let Some(ip) = address(service) else { return Fronts::new() };
    service.spec.ports.iter().filter_map(|port| Some((port.name.clone(), front(service, ip, port)?))).collect()
}

fn address(service: &Service) -> Option<Ipv4Addr> {
    service.spec.cluster_ip.parse().ok().filter(|_| service.spec.type_ != "ExternalName")
}

fn front(service: &Service, cluster_ip: Ipv4Addr, port: &ServicePort) -> Option<ServiceRule> {
    let spec = &service.spec;
    let protocol = match port.protocol.as_str() {
        "" | "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        // The kernel here has no SCTP helper; a rule that cannot work is worse than none.
        _ => return None,
    };
    let affinity = (spec.session_affinity == "ClientIP").then(|| {
        let asked = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()).and_then(|c| c.timeout_seconds);
        u32::try_from(asked.unwrap_or(AFFINITY_SECONDS_DEFAULT)).unwrap_or(u32::MAX)
    });
    Some(ServiceRule {
        cluster_ip,
        external_ips: spec.external_ips.iter().filter_map(|ip| ip.parse().ok()).filter(is_reachable).collect(),
        protocol,
        port: u16::try_from(port.port).ok().filter(|p| *p > 0)?,
        node_port: u16::try_from(port.node_port).unwrap_or(0),
        affinity_seconds: affinity,
        backends: Vec::new(),
    })
}

/// Ready addresses by the name of their port, which is the service port's name.
fn backs(endpoints: &Endpoints) -> Backs {
    let mut found: BTreeMap<String, BTreeSet<SocketAddrV4>> = BTreeMap::new();
    for subset in &endpoints.subsets {
        let addresses = subset.addresses.iter().filter_map(|a| a.ip.parse::<Ipv4Addr>().ok()).filter(is_reachable);
        let addresses: Vec<Ipv4Addr> = addresses.collect();
        for (index, port) in subset.ports.iter().enumerate() {
            // Of ports with the same name the first counts.
            if subset.ports[..index].iter().any(|p| p.name == port.name) {
                continue;
            }
            if let Some(number) = u16::try_from(port.port).ok().filter(|p| *p > 0) {
                found.entry(port.name.clone()).or_default().extend(addresses.iter().map(|ip| SocketAddrV4::new(*ip, number)));
            }
        }
    }
    found.into_iter().filter(|(_, all)| !all.is_empty()).map(|(name, all)| (name, all.into_iter().collect())).collect()
}

/// Addresses that every machine has for itself are nobody's backend: through them a service would reach what listens on
/// the node for the node alone (CVE-2021-25737).
fn is_reachable(ip: &Ipv4Addr) -> bool {
    !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// The whole set from nothing: what every sequence of changes must lead to.
    fn compute(services: &[Service], endpoints: &[Endpoints]) -> RuleSet {
        let mut set = RuleSet::default();
        for service in services {
            let behind = endpoints
                .iter()
                .find(|e| (&e.metadata.namespace, &e.metadata.name) == (&service.metadata.namespace, &service.metadata.name));
            let Some(ip) = address(service) else { continue };
            for port in &service.spec.ports {
                let Some(mut rule) = front(service, ip, port) else { continue };
                rule.backends = behind.and_then(|e| backs(e).remove(&port.name)).unwrap_or_default();
                let (namespace, service) = (service.metadata.namespace.clone(), service.metadata.name.clone());
                set.insert(PortKey { namespace, service, port_name: port.name.clone() }, rule);
            }
        }
        set
    }

    fn compute_json(services: serde_json::Value, endpoints: serde_json::Value) -> RuleSet {
        let mut rules = Rules::default();
        assert_eq!(rules.set(), None, "nothing is known yet");
        let services: Vec<Service> = serde_json::from_value(services).unwrap();
        rules.services_are(&services);
        assert_eq!(rules.set(), None, "services alone would all reject");
        let endpoints: Vec<Endpoints> = serde_json::from_value(endpoints).unwrap();
        rules.endpoints_are(&endpoints);
        rules.set().unwrap()
    }

    fn backends(rule: &ServiceRule) -> Vec<String> {
        rule.backends.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn services_of_one_name_in_two_namespaces_do_not_meet() {
        let set = compute_json(
            json!([{"metadata":{"name":"a","namespace":"x"},"spec":{"clusterIP":"172.30.0.3","ports":[{"port":80}]}},
                   {"metadata":{"name":"a","namespace":"y"},"spec":{"clusterIP":"172.30.0.4","ports":[{"port":80}]}}]),
            json!([{"metadata":{"name":"a","namespace":"y"},"subsets":[{"addresses":[{"ip":"172.17.0.9"}],"ports":[{"port":8080}]}]}]),
        );
        let found: Vec<_> = set.ports().map(|(_, r)| backends(r)).collect();
        assert_eq!(found, [vec![], vec!["172.17.0.9:8080".to_string()]]);
        assert_eq!((set.len(), set.backends()), (2, 1));
    }

    #[test]
    fn ports_are_matched_by_name_and_unready_addresses_left_out() {
        let set = compute_json(
            json!([{"metadata":{"name":"a","namespace":"x"},"spec":{"clusterIP":"172.30.0.3","sessionAffinity":"ClientIP",
                "ports":[{"name":"web","port":80},{"name":"dns","port":53,"protocol":"UDP","nodePort":30053}]}}]),
            json!([{"metadata":{"name":"a","namespace":"x"},"subsets":[{"addresses":[{"ip":"10.0.0.2"},{"ip":"10.0.0.1"}],
                "notReadyAddresses":[{"ip":"10.0.0.3"}],"ports":[{"name":"dns","port":5353,"protocol":"UDP"},{"name":"web","port":8080}]}]}]),
        );
        let rules: Vec<_> = set.ports().map(|(_, r)| r).collect();
        assert_eq!(rules[0].protocol, Protocol::Udp);
        assert_eq!(backends(rules[0]), ["10.0.0.1:5353", "10.0.0.2:5353"]);
        assert_eq!(rules[0].node_port, 30053);
        assert_eq!(backends(rules[1]), ["10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(rules[1].affinity_seconds, Some(10_800));
    }

    #[test]
    fn what_the_node_answers_itself_needs_no_endpoints_and_heeds_none() {
        let service = serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "x"},
            "spec": {"clusterIP": "172.30.0.3", "ports": [{"name": "u", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53}]}}));
        let others = serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "x"},
            "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "t", "port": 1}]}]}));
        let mut rules = Rules::default();
        let found = |rules: &Rules| rules.set().unwrap().ports().flat_map(|(_, r)| backends(r)).collect::<Vec<_>>();
        rules.answered_here("x", "a", Some("172.17.0.1:5353".parse().unwrap()));
        rules.services_are(&[service.unwrap()]);
        rules.endpoints_are(&[others.unwrap()]);
        assert_eq!(found(&rules), ["172.17.0.1:5353", "172.17.0.1:5353"]);
        rules.answered_here("x", "a", None);
        assert!(found(&rules).is_empty(), "not even the endpoints that it has");
        assert_eq!(rules.set().unwrap().len(), 2);
    }

    #[test]
    fn headless_and_external_services_have_no_rules() {
        let set = compute_json(
            json!([{"metadata":{"name":"a","namespace":"x"},"spec":{"clusterIP":"None","ports":[{"port":80}]}},
                   {"metadata":{"name":"b","namespace":"x"},"spec":{"clusterIP":"","type":"ExternalName","ports":[{"port":80}]}}]),
            json!([]),
        );
        assert!(set.is_empty());
    }

    #[test]
    fn what_the_node_has_for_itself_is_no_backend() {
        let set = compute_json(
            json!([{"metadata":{"name":"a","namespace":"x"},"spec":{"clusterIP":"172.30.0.3","externalIPs":["127.0.0.1","198.51.100.4"],"ports":[{"port":80}]}}]),
            json!([{"metadata":{"name":"a","namespace":"x"},"subsets":[{"addresses":[{"ip":"127.0.0.1"},{"ip":"169.254.169.254"},{"ip":"0.0.0.0"}],"ports":[{"port":80}]}]}]),
        );
        let (_, rule) = set.ports().next().unwrap();
        assert_eq!((backends(rule), rule.external_ips.len()), (vec![], 1));
    }

    /// One step of a history: what is known of a service or its endpoints is replaced or taken away, or listed anew.
    #[derive(Clone, Debug)]
    enum Step {
        Service(usize, Option<Box<Service>>),
        Endpoints(usize, Option<Box<Endpoints>>),
        ListServices,
        ListEndpoints,
    }

    fn service(index: usize, ports: &[(usize, u16)], external_name: bool) -> Service {
        let ports: Vec<_> = ports.iter().map(|(name, port)| json!({"name": PORT_NAMES[*name], "port": port})).collect();
        let type_ = if external_name { "ExternalName" } else { "ClusterIP" };
        serde_json::from_value(json!({"metadata": {"namespace": "x", "name": NAMES[index]},
            "spec": {"clusterIP": format!("172.30.0.{}", index + 1), "type": type_, "ports": ports}}))
        .unwrap()
    }

    fn endpoints(index: usize, subsets: &[(Vec<u8>, Vec<(usize, u16)>)]) -> Endpoints {
        let subset = |(ips, ports): &(Vec<u8>, Vec<(usize, u16)>)| {
            json!({"addresses": ips.iter().map(|ip| json!({"ip": format!("10.0.0.{ip}")})).collect::<Vec<_>>(),
                "ports": ports.iter().map(|(name, port)| json!({"name": PORT_NAMES[*name], "port": port})).collect::<Vec<_>>()})
        };
        let subsets: Vec<_> = subsets.iter().map(subset).collect();
        serde_json::from_value(json!({"metadata": {"namespace": "x", "name": NAMES[index]}, "subsets": subsets})).unwrap()
    }

    /// One is the beginning of another, so that ranges of keys are tried.
    const NAMES: [&str; 3] = ["s", "s-a", "t"];
    const PORT_NAMES: [&str; 3] = ["", "a", "b"];

    fn step() -> impl Strategy<Value = Step> {
        // Names of ports clash on purpose.
        let ports = || prop::collection::vec((0..3usize, 0..4u16), 0..4);
        let services = (0..3usize, prop::option::weighted(0.8, (ports(), prop::bool::weighted(0.1))));
        let subsets = prop::collection::vec((prop::collection::vec(0..5u8, 0..4), ports()), 0..3);
        let backs = (0..3usize, prop::option::weighted(0.8, subsets));
        prop_oneof![
            4 => services.prop_map(|(i, s)| Step::Service(i, s.map(|(p, e)| Box::new(service(i, &p, e))))),
            4 => backs.prop_map(|(i, e)| Step::Endpoints(i, e.map(|e| Box::new(endpoints(i, &e))))),
            1 => Just(Step::ListServices),
            1 => Just(Step::ListEndpoints),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order, the rules are those that a whole computation gives; and the differences
        /// between snapshots are complete.
        #[test]
        fn every_history_leads_to_what_the_whole_computation_gives(steps in prop::collection::vec(step(), 1..40)) {
            let (mut services, mut all) = (BTreeMap::new(), BTreeMap::new());
            let mut rules = Rules::default();
            rules.services_are(&[]);
            rules.endpoints_are(&[]);
            let mut replica: BTreeMap<PortKey, ServiceRule> = BTreeMap::new();
            let mut before = rules.set().unwrap();
            for step in steps {
                match step {
                    Step::Service(i, Some(service)) => { rules.service_is(&service); services.insert(i, *service); }
                    Step::Service(i, None) => { rules.service_gone("x", NAMES[i]); services.remove(&i); }
                    Step::Endpoints(i, Some(endpoints)) => { rules.endpoints_are_now(&endpoints); all.insert(i, *endpoints); }
                    Step::Endpoints(i, None) => { rules.endpoints_gone("x", NAMES[i]); all.remove(&i); }
                    // The watch was lost, and with it one of each.
                    Step::ListServices => { services.pop_first(); rules.services_are(&services.values().cloned().collect::<Vec<_>>()); }
                    Step::ListEndpoints => { all.pop_first(); rules.endpoints_are(&all.values().cloned().collect::<Vec<_>>()); }
                }
                let now = rules.set().unwrap();
                let services: Vec<Service> = services.values().cloned().collect();
                let wanted = compute(&services, &all.values().cloned().collect::<Vec<_>>());
                prop_assert_eq!(&now, &wanted);
                for change in before.changes_to(&now) {
                    prop_assert_eq!(replica.get(change.key), change.old);
                    match change.new {
                        Some(rule) => { replica.insert(change.key.clone(), rule.clone()); }
                        None => { replica.remove(change.key); }
                    }
                }
                prop_assert_eq!(replica.iter().collect::<Vec<_>>(), now.ports().collect::<Vec<_>>());
                prop_assert_eq!(now.backends(), now.ports().map(|(_, r)| r.backends.len()).sum::<usize>());
                before = now;
            }
        }
    }
}
