//! `openshift start node`: the agent of this machine, for a server on another one.
use crate::cluster_id;
use crate::config::{RuntimeKind, StartNode, data_dir};
use crate::join::{Membership, membership};
use crate::machine;
use crate::remote_api::RemoteApi;
use crate::tunnel;
use crate::{neighbours, supervisor, wiring};
use node::agent::Agent;
use node::api::NodeApi;
use parking_lot::RwLock;
use shared::client::config::Target;
use shared::kinds::NODE;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Whether the certificate must be renewed is looked at this often; what fails is tried again as often.
const RENEWAL_CHECK_EVERY: Duration = Duration::from_secs(600);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A node of another machine's server. Dropping it stops the agent; containers go on running.
pub struct Node {
    agent: Arc<Agent>,
    _stop: DropGuard,
    _claim: Option<neighbours::Claim>,
}

impl Node {
    pub fn name(&self) -> &str {
        self.agent.node_name()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.agent.shutdown();
    }
}

/// Runs the node in the foreground until a signal.
pub async fn run(config: StartNode) -> Result<(), String> {
    let node = tokio::select! {
        node = start(&config) => node?,
        () = wiring::wait_for_signal() => return Ok(()),
    };
    println!("ready: node {} of {}", node.name(), config.master);
    supervisor::ready(&format!("node {}", node.name()));
    wiring::wait_for_signal().await;
    supervisor::stopping();
    tracing::info!("stopping; containers keep running");
    Ok(())
}

/// Joins if this machine is no node yet, and starts the agent; returns when the server knows the node.
pub async fn start(config: &StartNode) -> Result<Node, String> {
    let dir = data_dir(config.data_dir.as_ref());
    wiring::make_private(&dir)?;
    let name = wiring::node_name(config.hostname.as_deref());
    let membership = membership(&dir, &name, &config.master, config.token.as_deref()).await.map_err(|e| e.to_string())?;
    let id = cluster_id::of(&dir)?;
    let runtime = machine::engine(config.runtime, &config.docker, &id)?;
    let proxy = machine::proxy(config.proxy_mode, &id);
    let claim = match config.runtime {
        RuntimeKind::Docker => neighbours::settle(&dir, &id, config.portal_net, &config.docker).await,
        RuntimeKind::Simulated => None,
    };
    let target = membership.target.clone();
    let address = address(config, &target).await?;
    let api = Arc::new(RemoteApi::new(&target).map_err(|e| e.to_string())?);
    // A refusal will not pass by itself; a server that is away may come back.
    if let Err(refusal) = api.get(&NODE, None, &name).await
        && matches!(refusal.code, 401 | 403)
    {
        return Err(format!("the server does not take this machine as node {name}: {}", refusal.message));
    }
    machine::load_images(&*runtime).await;
    let network = machine::pod_network(config.runtime, address);
    let agent_config = machine::agent(config.runtime, &name, address, &dir);
    let agent = Arc::new(Agent::start(agent_config, api.clone(), runtime, proxy).await);
    let stop = CancellationToken::new();
    let shared = Arc::new(RwLock::new(target));
    if let Some(own) = network {
        tokio::spawn(node::machines::run(api.clone(), name, id, own, stop.clone()));
    }
    tokio::spawn(tunnel::node::keep_open(shared.clone(), agent.clone(), stop.clone()));
    tokio::spawn(keep_certificate(membership, shared, api, stop.clone()));
    Ok(Node { agent, _stop: stop.drop_guard(), _claim: claim })
}

/// The address by which the server and other nodes reach this machine: what was given, or that of the way to the server.
async fn address(config: &StartNode, target: &Target) -> Result<IpAddr, String> {
    if let Some(address) = config.node_ip {
        return Ok(address);
    }
    let (host, port) = tunnel::node::host_and_port(&target.server)?;
    loop {
        let connect = tokio::time::timeout(CONNECT_DEADLINE, tokio::net::TcpStream::connect((host.as_str(), port))).await;
        match connect.map_err(|_| "no answer in time".to_string()).and_then(|c| c.map_err(|e| e.to_string())) {
            Ok(tcp) => return tcp.local_addr().map(|a| a.ip()).map_err(|e| e.to_string()),
            // The machine may have been switched on together with the server's.
            Err(error) => tracing::warn!(server = target.server, error, "the server does not answer yet"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Gets the next certificate in time, and goes on with it.
async fn keep_certificate(mut membership: Membership, target: Arc<RwLock<Target>>, api: Arc<RemoteApi>, stop: CancellationToken) {
    loop {
        if membership.is_due() {
            let renewed = membership.renew().await.map_err(|e| e.to_string());
            match renewed.and_then(|()| api.renew(&membership.target).map_err(|e| e.to_string())) {
                Ok(()) => {
                    *target.write() = membership.target.clone();
                    tracing::info!("the node's certificate was renewed");
                }
                Err(error) => tracing::warn!(error, "the node's certificate could not be renewed yet"),
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RENEWAL_CHECK_EVERY) => {}
        }
    }
}
