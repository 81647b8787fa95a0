//! The names of a cluster: a question in, records out, whatever the wire looks like.
//!
//! Source: "Kubernetes DNS-Based Service Discovery", schema version 1.1.0,
//! <https://github.com/kubernetes/dns/blob/master/docs/specification.md>.
mod zone;

use std::net::Ipv4Addr;
pub use zone::Zone;

/// The service by which pods reach the cluster's DNS, and its namespace: as every Kubernetes calls it.
pub const SERVICE: &str = "kube-dns";
pub const NAMESPACE: &str = "kube-system";
/// The domain that pods' full names end with.
pub const DOMAIN: &str = "cluster.local";
/// Seconds for which an answer may be kept: services come and go.
pub const TTL_SECONDS: u32 = 5;
/// Of the specification that the records follow.
const SCHEMA: &str = "1.1.0";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Srv,
    Ptr,
    Txt,
    Soa,
    Ns,
    Any,
    /// Also IPv6 addresses: pods have none.
    Other,
}

/// One record; names are without the dot at their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Cname(String),
    Ns(String),
    Ptr(String),
    Soa,
    Srv { weight: u16, port: u16, target: String },
    Txt(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What is asked for, and what helps to use it.
    Records { answers: Vec<Record>, additionals: Vec<Record> },
    /// Another name for one outside the cluster, which has to be looked up there.
    Alias { record: Record, target: String },
    /// The name exists, but has nothing of this kind.
    Nothing,
    /// The name does not exist.
    NoName,
    /// Not a name of the cluster.
    NotOurs,
    /// What exists is not known yet.
    NotReady,
}

impl Answer {
    fn records(answers: Vec<Record>) -> Answer {
        match answers.is_empty() {
            true => Answer::Nothing,
            false => Answer::Records { answers, additionals: Vec::new() },
        }
    }
}

/// The address that a name below `in-addr.arpa` stands for.
pub fn reversed(name: &str) -> Option<Ipv4Addr> {
    let mut parts: Vec<&str> = name.strip_suffix(".in-addr.arpa")?.split('.').collect();
    parts.reverse();
    parts.join(".").parse().ok()
}
