//! Where a service gets its IP and node port: one set of what is taken, filled from the store, changed under its lock.
//!
//! ```text
//! 172.30.0.0/16:  .0.0 network │ .0.1 kubernetes-ro │ .0.2 kubernetes │ .0.3 … .255.254 services │ .255.255 broadcast
//! ```
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use rand::Rng;
use serde_json::{Value, json};
use shared::kinds::SERVICE;
use shared::status::FieldError;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use store::{Range, Store};

const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
/// Random tries before the first free one is searched for in order.
const RANDOM_TRIES: usize = 16;

/// A service (`NAMESPACE/NAME`) and how often it holds the thing: once as stored, and once for each write under way
/// that would store it. So no write that fails, or ends late, frees what another has made sure of.
struct Holder {
    service: String,
    uses: usize,
}

#[derive(Default)]
struct Taken {
    addresses: HashMap<Ipv4Addr, Holder>,
    node_ports: HashMap<(u16, String), Holder>,
}

fn hold<K: Eq + Hash>(taken: &mut HashMap<K, Holder>, key: K, service: &str) {
    taken.entry(key).or_insert_with(|| Holder { service: service.into(), uses: 0 }).uses += 1;
}

fn let_go<K: Eq + Hash>(taken: &mut HashMap<K, Holder>, key: &K) {
    let Some(holder) = taken.get_mut(key) else { return };
    holder.uses -= 1;
    if holder.uses == 0 {
        taken.remove(key);
    }
}

pub(crate) struct Addresses {
    net: Ipv4Net,
    taken: Mutex<Taken>,
}

/// What one write holds: its object's from when it is stored, given back when it is not.
#[derive(Default)]
pub(crate) struct Reserved {
    addresses: Vec<Ipv4Addr>,
    node_ports: Vec<(u16, String)>,
}

impl Addresses {
    /// Reads all services: what is stored is taken, whoever stored it.
    pub(crate) fn load(store: &dyn Store, net: Ipv4Net) -> Addresses {
        let mut taken = Taken::default();
        let range = Range { prefix: store::key::collection(&SERVICE, None), ..Range::default() };
        for record in store.list(&range).map(|s| s.records).unwrap_or_default() {
            let Ok(service) = serde_json::from_slice::<Value>(&record.value) else { continue };
            let owner = owner(&service);
            if let Some(ip) = cluster_ip(&service) {
                hold(&mut taken.addresses, ip, &owner);
            }
            for port in node_ports(&service) {
                hold(&mut taken.node_ports, port, &owner);
            }
        }
        Addresses { net, taken: Mutex::new(taken) }
    }

    /// Gives the service what it needs and does not have. On an error nothing is taken.
    pub(crate) fn assign(&self, service: &mut Value) -> Result<Reserved, Vec<FieldError>> {
        let mut reserved = Reserved::default();
        let outcome = self.assign_address(service, &mut reserved).and_then(|()| self.assign_node_ports(service, &mut reserved));
        if let Err(error) = outcome {
            self.give_back(reserved);
            return Err(vec![error]);
        }
        Ok(reserved)
    }

    fn assign_address(&self, service: &mut Value, reserved: &mut Reserved) -> Result<(), FieldError> {
        if service["spec"]["type"] == "ExternalName" {
            for member in ["clusterIP", "clusterIPs"] {
                service["spec"].as_object_mut().map(|s| s.remove(member));
            }
            return Ok(());
        }
        let asked = service["spec"]["clusterIP"].as_str().unwrap_or_default().to_string();
        if asked == "None" {
            service["spec"]["clusterIPs"] = json!(["None"]);
            return Ok(());
        }
        let owner = owner(service);
        let mut taken = self.taken.lock();
        let ip = if asked.is_empty() {
            self.free(&taken).ok_or_else(|| FieldError::invalid("spec.clusterIP", "", format!("no address of {} is free", self.net)))?
        } else {
            let ip: Ipv4Addr = asked.parse().map_err(|_| FieldError::invalid("spec.clusterIP", &asked, "must be a valid IP address"))?;
            if !self.usable(ip) {
                return Err(FieldError::invalid(
                    "spec.clusterIP",
                    &asked,
                    format!(
                        "failed to allocate IP {ip}: the provided IP is not in the valid range. The range of valid IPs is {}",
                        self.net
                    ),
                ));
            }
            match taken.addresses.get(&ip) {
                Some(Holder { service, .. }) if *service != owner => {
                    return Err(FieldError::invalid(
                        "spec.clusterIP",
                        &asked,
                        format!("failed to allocate IP {ip}: provided IP is already allocated (to service {service})"),
                    ));
                }
                _ => ip,
            }
        };
        hold(&mut taken.addresses, ip, &owner);
        reserved.addresses.push(ip);
        service["spec"]["clusterIP"] = json!(ip.to_string());
        service["spec"]["clusterIPs"] = json!([ip.to_string()]);
        Ok(())
    }

    fn usable(&self, ip: Ipv4Addr) -> bool {
        self.net.contains(&ip) && ip != self.net.network() && ip != self.net.broadcast()
    }

    fn free(&self, taken: &Taken) -> Option<Ipv4Addr> {
        let (first, last) = (u32::from(self.net.network()) + 1, u32::from(self.net.broadcast()).saturating_sub(1));
        // The first two are kubernetes-ro's and kubernetes'; they ask for them by name.
        let first = first + 2;
        if first > last {
            return None;
        }
        let mut rng = crate::clock::chance();
        let random = (0..RANDOM_TRIES).map(|_| Ipv4Addr::from(rng.random_range(first..=last))).find(|ip| !taken.addresses.contains_key(ip));
        random.or_else(|| (first..=last).map(Ipv4Addr::from).find(|ip| !taken.addresses.contains_key(ip)))
    }

    fn assign_node_ports(&self, service: &mut Value, reserved: &mut Reserved) -> Result<(), FieldError> {
        let owner = owner(service);
        let exposed = matches!(service["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer"));
        let mut taken = self.taken.lock();
        for (i, port) in service["spec"]["ports"].as_array_mut().into_iter().flatten().enumerate() {
            if !exposed {
                port.as_object_mut().map(|p| p.remove("nodePort"));
                continue;
            }
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_string();
            let field = format!("spec.ports[{i}].nodePort");
            let number = match port["nodePort"].as_u64().filter(|n| *n != 0) {
                Some(n) => match u16::try_from(n).ok().filter(|n| NODE_PORTS.contains(n)) {
                    None => {
                        return Err(FieldError::invalid(
                            field,
                            n,
                            "provided port is not in the valid range. The range of valid ports is 30000-32767",
                        ));
                    }
                    Some(n) if taken.node_ports.get(&(n, protocol.clone())).is_some_and(|holder| holder.service != owner) => {
                        return Err(FieldError::invalid(field, n, "provided port is already allocated"));
                    }
                    Some(n) => n,
                },
                None => {
                    let mut rng = crate::clock::chance();
                    let free = |n: &u16| !taken.node_ports.contains_key(&(*n, protocol.clone()));
                    let random = (0..RANDOM_TRIES).map(|_| rng.random_range(NODE_PORTS)).find(free);
                    random.or_else(|| NODE_PORTS.clone().find(free)).ok_or_else(|| FieldError::invalid(field, 0, "no node port is free"))?
                }
            };
            hold(&mut taken.node_ports, (number, protocol.clone()), &owner);
            reserved.node_ports.push((number, protocol));
            port["nodePort"] = json!(number);
        }
        Ok(())
    }

    /// The write that took these stored nothing.
    pub(crate) fn give_back(&self, reserved: Reserved) {
        let mut taken = self.taken.lock();
        reserved.addresses.iter().for_each(|ip| let_go(&mut taken.addresses, ip));
        reserved.node_ports.iter().for_each(|port| let_go(&mut taken.node_ports, port));
    }

    /// This stored version is no more: replaced by a newer one, which holds its own, or deleted.
    pub(crate) fn release(&self, old: &Value) {
        let mut taken = self.taken.lock();
        cluster_ip(old).iter().for_each(|ip| let_go(&mut taken.addresses, ip));
        node_ports(old).iter().for_each(|port| let_go(&mut taken.node_ports, port));
    }
}

fn owner(service: &Value) -> String {
    format!(
        "{}/{}",
        service["metadata"]["namespace"].as_str().unwrap_or_default(),
        service["metadata"]["name"].as_str().unwrap_or_default()
    )
}

fn cluster_ip(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

fn node_ports(service: &Value) -> Vec<(u16, String)> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports
        .filter_map(|p| {
            Some((u16::try_from(p["nodePort"].as_u64()?).ok().filter(|n| *n != 0)?, p["protocol"].as_str().unwrap_or("TCP").to_string()))
        })
        .collect()
}
