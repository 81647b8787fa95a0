//! What a cluster's names stand for now, kept up to date at the cost of what changed.
use super::{Answer, DOMAIN, Data, Kind, Record, SCHEMA, reversed};
use shared::objects::endpoints::{EndpointAddress, Endpoints};
use shared::objects::service::Service;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Namespace and name.
type Name = (String, String);

/// A named port of a service or of what is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    name: String,
    /// Lower case.
    protocol: String,
    number: u16,
}

#[derive(Clone, Debug)]
enum Front {
    /// One address in front of all.
    Address { ip: Ipv4Addr, ports: Vec<Port> },
    /// None: its name stands for what is behind it.
    Headless,
    /// Another name for something outside.
    External(String),
}

/// One address behind a service.
#[derive(Clone, Debug)]
struct Back {
    ip: Ipv4Addr,
    /// Its host name, if it was given one; its address then stands for it as well.
    hostname: Option<Box<str>>,
    ports: Arc<[Port]>,
}

impl Back {
    /// Its first label below the service's name: its host name, or its address with dashes.
    fn label(&self) -> String {
        self.hostname.as_ref().map_or_else(|| self.ip.to_string().replace('.', "-"), ToString::to_string)
    }
}

/// All names of the cluster. Says so until services and endpoints have been read whole: names that are there must not be denied.
#[derive(Debug, Default)]
pub struct Zone {
    fronts: BTreeMap<Name, Front>,
    backs: BTreeMap<Name, Vec<Back>>,
    /// Whose address it is: services with an address of their own, and what has a host name behind services.
    owners: BTreeMap<Ipv4Addr, BTreeSet<Name>>,
    services_listed: bool,
    endpoints_listed: bool,
}

impl Zone {
    /// These are all services there are.
    pub fn services_are(&mut self, services: &[Service]) {
        self.services_listed = true;
        let all: BTreeSet<Name> = services.iter().map(|s| (s.metadata.namespace.clone(), s.metadata.name.clone())).collect();
        let gone: Vec<Name> = self.fronts.keys().filter(|name| !all.contains(name)).cloned().collect();
        gone.iter().for_each(|(namespace, name)| self.service_gone(namespace, name));
        services.iter().for_each(|service| self.service_is(service));
    }

    pub fn service_is(&mut self, service: &Service) {
        let name = (service.metadata.namespace.clone(), service.metadata.name.clone());
        self.service_gone(&name.0, &name.1);
        if let Some(front) = front(service) {
            if let Front::Address { ip, .. } = &front {
                self.owners.entry(*ip).or_default().insert(name.clone());
            }
            self.fronts.insert(name, front);
        }
    }

    pub fn service_gone(&mut self, namespace: &str, name: &str) {
        let name = (namespace.to_string(), name.to_string());
        if let Some(Front::Address { ip, .. }) = self.fronts.remove(&name) {
            self.disown(ip, &name);
        }
    }

    /// These are all endpoints there are.
    pub fn endpoints_are(&mut self, endpoints: &[Endpoints]) {
        self.endpoints_listed = true;
        let all: BTreeSet<Name> = endpoints.iter().map(|e| (e.metadata.namespace.clone(), e.metadata.name.clone())).collect();
        let gone: Vec<Name> = self.backs.keys().filter(|name| !all.contains(name)).cloned().collect();
        gone.iter().for_each(|(namespace, name)| self.endpoints_gone(namespace, name));
        endpoints.iter().for_each(|endpoints| self.endpoints_are_now(endpoints));
    }

    pub fn endpoints_are_now(&mut self, endpoints: &Endpoints) {
        let name = (endpoints.metadata.namespace.clone(), endpoints.metadata.name.clone());
        self.endpoints_gone(&name.0, &name.1);
        let backs = backs(endpoints);
        if !backs.is_empty() {
            for back in backs.iter().filter(|b| b.hostname.is_some()) {
                self.owners.entry(back.ip).or_default().insert(name.clone());
            }
            self.backs.insert(name, backs);
        }
    }

    pub fn endpoints_gone(&mut self, namespace: &str, name: &str) {
        let name = (namespace.to_string(), name.to_string());
        for back in self.backs.remove(&name).unwrap_or_default() {
            self.disown(back.ip, &name);
        }
    }

    fn disown(&mut self, ip: Ipv4Addr, name: &Name) {
        if let Some(owners) = self.owners.get_mut(&ip) {
            owners.remove(name);
            if owners.is_empty() {
                self.owners.remove(&ip);
            }
        }
    }

    /// The address of a service that has one of its own.
    pub fn address(&self, namespace: &str, service: &str) -> Option<Ipv4Addr> {
        match self.fronts.get(&(namespace.to_string(), service.to_string()))? {
            Front::Address { ip, .. } => Some(*ip),
            Front::Headless | Front::External(_) => None,
        }
    }

    /// `name` in lower case, without the dot at its end.
    pub fn ask(&self, name: &str, kind: Kind) -> Answer {
        let below = match (name.strip_suffix(DOMAIN), reversed(name)) {
            (Some(below), _) if below.is_empty() || below.ends_with('.') => below.trim_end_matches('.'),
            (_, Some(ip)) => return self.ask_reversed(name, ip, kind),
            _ => return Answer::NotOurs,
        };
        if !self.services_listed || !self.endpoints_listed {
            return Answer::NotReady;
        }
        let labels: Vec<&str> = below.split('.').filter(|l| !l.is_empty()).collect();
        match labels.as_slice() {
            [] => top(kind),
            ["dns-version"] => text(name, SCHEMA, kind),
            ["ns", "dns"] => Answer::Nothing,
            ["dns" | "svc" | "pod"] => Answer::Nothing,
            [namespace, "svc"] | [namespace, "pod"] => self.namespace(namespace),
            [ip, _, "pod"] => pod(name, ip, kind),
            [service, namespace, "svc"] => self.service(name, namespace, service, kind),
            [label, service, namespace, "svc"] => self.below_service(name, label, namespace, service, kind),
            [port, protocol, service, namespace, "svc"] => self.port(name, (port, protocol), namespace, service, kind),
            _ => Answer::NoName,
        }
    }

    /// What nobody here has is asked elsewhere.
    fn ask_reversed(&self, name: &str, ip: Ipv4Addr, kind: Kind) -> Answer {
        if !self.services_listed || !self.endpoints_listed {
            return Answer::NotReady;
        }
        let mut found = Vec::new();
        for owner in self.owners.get(&ip).into_iter().flatten() {
            let (namespace, service) = owner;
            let full = format!("{service}.{namespace}.svc.{DOMAIN}");
            match self.fronts.get(owner) {
                Some(Front::Address { ip: own, .. }) if *own == ip => found.push(full),
                Some(Front::Headless) => {
                    let backs = self.backs.get(owner).into_iter().flatten();
                    found.extend(backs.filter(|b| b.ip == ip && b.hostname.is_some()).map(|b| format!("{}.{full}", b.label())));
                }
                _ => {}
            }
        }
        match (found.is_empty(), kind) {
            (true, _) => Answer::NotOurs,
            (_, Kind::Ptr | Kind::Any) => {
                Answer::records(found.into_iter().map(|to| Record { name: name.into(), data: Data::Ptr(to) }).collect())
            }
            _ => Answer::Nothing,
        }
    }

    fn namespace(&self, namespace: &str) -> Answer {
        let first = (namespace.to_string(), String::new());
        match self.fronts.range(first..).next() {
            Some(((n, _), _)) if n == namespace => Answer::Nothing,
            _ => Answer::NoName,
        }
    }

    fn service(&self, name: &str, namespace: &str, service: &str, kind: Kind) -> Answer {
        let owner = (namespace.to_string(), service.to_string());
        match self.fronts.get(&owner) {
            None => Answer::NoName,
            Some(Front::Address { ip, ports }) => match kind {
                Kind::Srv => services(ports.iter().map(|p| (name, p.number, name, *ip))),
                kind => addresses(name, [*ip], kind),
            },
            Some(Front::External(target)) => {
                Answer::Alias { record: Record { name: name.into(), data: Data::Cname(target.clone()) }, target: target.clone() }
            }
            Some(Front::Headless) => match (self.backs.get(&owner), kind) {
                // The specification's words: without a ready address there is no such name.
                (None, _) => Answer::NoName,
                (Some(backs), Kind::Srv) => behind(name, name, backs, |_| true),
                (Some(backs), kind) => addresses(name, backs.iter().map(|b| b.ip).collect::<BTreeSet<_>>(), kind),
            },
        }
    }

    /// One of those behind a service; or, with an underscore, what comes above the names of its ports.
    fn below_service(&self, name: &str, label: &str, namespace: &str, service: &str, kind: Kind) -> Answer {
        let owner = (namespace.to_string(), service.to_string());
        let Some(front) = self.fronts.get(&owner) else { return Answer::NoName };
        if let Some(protocol) = label.strip_prefix('_') {
            return if self.ports(&owner, front).iter().any(|p| p.protocol == protocol) { Answer::Nothing } else { Answer::NoName };
        }
        let ip = label.replace('-', ".").parse::<Ipv4Addr>().ok();
        let is_it = |b: &&Back| b.hostname.as_ref().map_or_else(|| ip == Some(b.ip), |hostname| **hostname == *label);
        let backs = self.backs.get(&owner).into_iter().flatten().filter(is_it);
        let found: BTreeSet<Ipv4Addr> = backs.map(|b| b.ip).collect();
        if found.is_empty() || matches!(front, Front::External(_)) { Answer::NoName } else { addresses(name, found, kind) }
    }

    fn port(&self, name: &str, asked: (&str, &str), namespace: &str, service: &str, kind: Kind) -> Answer {
        let owner = (namespace.to_string(), service.to_string());
        let (Some(front), Some(port), Some(protocol)) = (self.fronts.get(&owner), asked.0.strip_prefix('_'), asked.1.strip_prefix('_'))
        else {
            return Answer::NoName;
        };
        let wanted = |p: &Port| p.name == port && p.protocol == protocol;
        if !self.ports(&owner, front).iter().any(wanted) {
            return Answer::NoName;
        }
        if !matches!(kind, Kind::Srv | Kind::Any) {
            return Answer::Nothing;
        }
        let of = format!("{service}.{namespace}.svc.{DOMAIN}");
        match front {
            Front::Address { ip, ports } => services(ports.iter().filter(|p| wanted(p)).map(|p| (name, p.number, of.as_str(), *ip))),
            _ => behind(name, &of, self.backs.get(&owner).map_or(&[], Vec::as_slice), wanted),
        }
    }

    fn ports(&self, owner: &Name, front: &Front) -> Vec<Port> {
        match front {
            Front::Address { ports, .. } => ports.clone(),
            Front::Headless => self.backs.get(owner).into_iter().flatten().flat_map(|b| b.ports.iter().cloned()).collect(),
            Front::External(_) => Vec::new(),
        }
    }
}

fn top(kind: Kind) -> Answer {
    let data = match kind {
        Kind::Soa | Kind::Any => Data::Soa,
        Kind::Ns => Data::Ns(format!("ns.dns.{DOMAIN}")),
        _ => return Answer::Nothing,
    };
    Answer::records(vec![Record { name: DOMAIN.into(), data }])
}

/// `1-2-3-4.NAMESPACE.pod`: deprecated, but asked for. That the pod exists is not promised.
fn pod(name: &str, ip: &str, kind: Kind) -> Answer {
    match ip.replace('-', ".").parse() {
        Ok(ip) => addresses(name, [ip], kind),
        Err(_) => Answer::NoName,
    }
}

fn text(name: &str, text: &str, kind: Kind) -> Answer {
    match kind {
        Kind::Txt | Kind::Any => Answer::records(vec![Record { name: name.into(), data: Data::Txt(text.into()) }]),
        _ => Answer::Nothing,
    }
}

fn addresses(name: &str, ips: impl IntoIterator<Item = Ipv4Addr>, kind: Kind) -> Answer {
    match kind {
        Kind::A | Kind::Any => Answer::records(ips.into_iter().map(|ip| Record { name: name.into(), data: Data::A(ip) }).collect()),
        _ => Answer::Nothing,
    }
}

/// SRV records of owner name, port, target and the target's address, weighted alike.
fn services<'a>(all: impl Iterator<Item = (&'a str, u16, &'a str, Ipv4Addr)>) -> Answer {
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        return Answer::Nothing;
    }
    let weight = u16::try_from(100 / all.len()).unwrap_or(1).max(1);
    let srv = |(name, port, target, _): &(&str, u16, &str, Ipv4Addr)| Record {
        name: (*name).into(),
        data: Data::Srv { weight, port: *port, target: (*target).into() },
    };
    let targets: BTreeMap<&str, Ipv4Addr> = all.iter().map(|(_, _, target, ip)| (*target, *ip)).collect();
    let additionals = targets.into_iter().map(|(name, ip)| Record { name: name.into(), data: Data::A(ip) }).collect();
    Answer::Records { answers: all.iter().map(srv).collect(), additionals }
}

/// SRV records of those behind a headless service, each with its own target.
fn behind(name: &str, service: &str, backs: &[Back], wanted: impl Fn(&Port) -> bool) -> Answer {
    let each =
        backs.iter().flat_map(|b| b.ports.iter().filter(|p| wanted(p)).map(move |p| (format!("{}.{service}", b.label()), p.number, b.ip)));
    let all: BTreeSet<(String, u16, Ipv4Addr)> = each.collect();
    services(all.iter().map(|(target, port, ip)| (name, *port, target.as_str(), *ip)))
}

fn front(service: &Service) -> Option<Front> {
    let spec = &service.spec;
    if spec.type_ == "ExternalName" {
        let target = spec.external_name.trim_end_matches('.').to_lowercase();
        return (!target.is_empty()).then_some(Front::External(target));
    }
    if spec.cluster_ip == "None" {
        return Some(Front::Headless);
    }
    let port = |p: &shared::objects::service::ServicePort| port(&p.name, &p.protocol, p.port);
    Some(Front::Address { ip: spec.cluster_ip.parse().ok()?, ports: spec.ports.iter().filter_map(port).collect() })
}

fn port(name: &str, protocol: &str, number: i32) -> Option<Port> {
    let protocol = if protocol.is_empty() { "tcp".into() } else { protocol.to_lowercase() };
    Some(Port { name: name.into(), protocol, number: u16::try_from(number).ok()? })
}

/// Ready addresses only.
fn backs(endpoints: &Endpoints) -> Vec<Back> {
    let of_subset = endpoints.subsets.iter().flat_map(|subset| {
        let ports: Arc<[Port]> = subset.ports.iter().filter_map(|p| port(&p.name, &p.protocol, p.port)).collect();
        subset.addresses.iter().filter_map(move |address| back(address, ports.clone()))
    });
    of_subset.collect()
}

fn back(address: &EndpointAddress, ports: Arc<[Port]>) -> Option<Back> {
    let ip: Ipv4Addr = address.ip.parse().ok()?;
    let hostname = (!address.hostname.is_empty()).then(|| address.hostname.to_lowercase().into());
    Some(Back { ip, hostname, ports })
}

#[cfg(test)]
mod tests;
