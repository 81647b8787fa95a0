//! Routes to the pods of other nodes, in the kernel's main table: ours bear a number of their own, and no others are touched.
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use logic::pod_network::Plan;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{Handle, RouteMessageBuilder};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What `ip route` shows as `proto 88`: who made the route (rtnetlink(7); numbers from 5 on are free for programs).
const OURS: RouteProtocol = RouteProtocol::Other(88);

/// Makes the routes those of the plan: one for each peer, none else of ours.
pub(super) async fn apply(plan: &Plan) -> Result<(), String> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| format!("netlink: {e}"))?;
    let connection = tokio::spawn(connection);
    let outcome = change(&handle, plan).await;
    connection.abort();
    outcome
}

async fn change(handle: &Handle, plan: &Plan) -> Result<(), String> {
    let present = present(handle).await?;
    for (net, route) in present.iter().filter(|(net, _)| !plan.peers.contains_key(net)) {
        handle.route().del(route.clone()).execute().await.map_err(|e| format!("removing the route to {net}: {e}"))?;
    }
    let mut faults = Vec::new();
    for (net, address) in &plan.peers {
        if present.get(net).and_then(gateway) == Some(*address) {
            continue;
        }
        let route = RouteMessageBuilder::<Ipv4Addr>::new();
        let route = route.destination_prefix(net.network(), net.prefix_len()).gateway(*address).protocol(OURS).build();
        if let Err(error) = handle.route().add(route).replace().execute().await {
            faults.push(format!("no route to the pods in {net} by node {address} (is it on the same network as this one?): {error}"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// Our routes, by where they lead.
async fn present(handle: &Handle) -> Result<BTreeMap<Ipv4Net, RouteMessage>, String> {
    let all = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    let all: Vec<RouteMessage> = all.try_collect().await.map_err(|e| format!("reading routes: {e}"))?;
    let ours = all.into_iter().filter(|r| r.header.protocol == OURS);
    Ok(ours.filter_map(|route| Some((destination(&route)?, route))).collect())
}

fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Ipv4Net::new(*ip, route.header.destination_prefix_length).ok(),
        _ => None,
    })
}

fn gateway(route: &RouteMessage) -> Option<Ipv4Addr> {
    route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Gateway(RouteAddress::Inet(ip)) => Some(*ip),
        _ => None,
    })
}
