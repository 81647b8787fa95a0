//! The loops that feed `logic` and apply its answers. Level-triggered: a signal only says "look again".
mod accounts;
mod apply;
mod bootstrap;
mod cache;
pub mod certificates;
mod endpoints;
mod events;
mod garbage;
pub mod metrics;
mod namespaces;
mod nodes;
mod owned;
mod queue;
mod quotas;
mod replication;
mod runner;
mod schedule;

use cache::Cache;
use certificates::Signer;
use events::Recorder;
use logic::facts::{NodeFacts, PodFacts};
use registry::Registry;
use registry::caller::Caller;
use shared::kinds::{NODE, POD};
use shared::objects::node::Node;
use shared::objects::pod::Pod;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the loops need to know beside the registry.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where pods reach the API: the address behind the `kubernetes` service.
    pub api_address: SocketAddr,
    /// First and second address of the portal network: `kubernetes-ro` and `kubernetes`.
    pub kubernetes_ips: (Ipv4Addr, Ipv4Addr),
    /// Of the service `kube-dns`, if it can be had; `None`: any.
    pub dns_ip: Option<Ipv4Addr>,
    /// Network of the services' addresses.
    pub portal_net: ipnet::Ipv4Net,
    /// What clients outside are told to call.
    pub public_url: String,
    /// The cluster's CA certificate, PEM, as every namespace gets it.
    pub ca_pem: String,
    /// A node that says nothing for so long is lost.
    pub node_grace_seconds: i64,
}

/// What every loop shares.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) registry: Registry,
    pub(crate) caller: Caller,
    pub(crate) pods: Cache<PodFacts>,
    pub(crate) nodes: Cache<NodeFacts>,
    pub(crate) events: Recorder,
    pub(crate) config: Arc<Config>,
    pub(crate) stop: CancellationToken,
}

/// The running loops; dropping it stops them.
pub struct Control {
    stop: CancellationToken,
}

impl Control {
    /// Without a signer nobody gets a certificate.
    /// Creates what every cluster begins with (namespaces, roles, the `kubernetes` services), then starts all loops.
    pub async fn start(registry: Registry, config: Config, signer: Option<Arc<dyn Signer>>) -> Result<Control, shared::status::Status> {
        let stop = CancellationToken::new();
        let caller = Caller::system("controller-manager");
        bootstrap::ensure(&registry, &caller, &config).await?;
        let context = Context {
            events: Recorder::start(registry.clone(), caller.clone(), stop.clone()),
            pods: Cache::start(&registry, &POD, |o| PodFacts::of(&o.view::<Pod>()), &stop),
            nodes: Cache::start(&registry, &NODE, |o| NodeFacts::of(&o.view::<Node>()), &stop),
            config: Arc::new(config),
            caller,
            registry,
            stop: stop.clone(),
        };
        replication::start(&context);
        endpoints::start(&context);
        namespaces::start(&context);
        nodes::start(&context);
        garbage::start(&context);
        quotas::start(&context);
        accounts::start(&context);
        schedule::start(&context);
        if let Some(signer) = signer {
            certificates::start(&context, signer);
        }
        events::start_expiry(&context);
        Ok(Control { stop })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
