//! Makes the kernel forget UDP flows whose backend is no more; numbers as in `linux/netfilter/nfnetlink_conntrack.h`.
use super::attribute::{self, Message};
use super::{CONNTRACK, Netfilter, Result};
use logic::proxy::flows::{Flow, Stale};
use std::net::{Ipv4Addr, SocketAddrV4};

const GET: u8 = 1;
const DELETE: u8 = 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const IP: u16 = 1;
const SOURCE: u16 = 1;
const DESTINATION: u16 = 2;
const LAYER_ABOVE: u16 = 2;
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;
const FILTER: u16 = 25;
const FILTER_ORIGINAL: u16 = 1;
const BY_PROTOCOL: u32 = 1 << 3;

/// Forgets what is stale; says how many. The clients' next packets are translated anew.
pub(crate) fn forget(stale: &Stale) -> Result<usize> {
    if stale.is_empty() {
        return Ok(0);
    }
    let mut netfilter = Netfilter::open()?;
    let mut count = 0;
    for entry in netfilter.dump(&all_udp())? {
        if read(&entry).is_some_and(|flow| stale.contains(&flow)) {
            let mut message = Message::new(CONNTRACK, DELETE, 0);
            for number in [ORIGINAL, ID, ZONE] {
                // The number is the entry's own, so that a successor is not taken for it.
                attribute::find(&entry, &[number]).into_iter().for_each(|value| message.bytes(number, value));
            }
            match netfilter.request(message) {
                Ok(()) => count += 1,
                // Ended by itself.
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(count)
}

/// The kernel shows only UDP, which spares it the many connections of TCP; one older than 5.8 shows all.
fn all_udp() -> Message {
    let mut message = Message::new(CONNTRACK, GET, 0);
    message.nest(ORIGINAL, |m| m.nest(LAYER_ABOVE, |m| m.bytes(NUMBER, &[UDP])));
    message.nest(FILTER, |m| m.bytes(FILTER_ORIGINAL, &BY_PROTOCOL.to_ne_bytes()));
    message
}

/// A UDP flow; others are `None`.
fn read(entry: &[u8]) -> Option<Flow> {
    let original = attribute::find(entry, &[ORIGINAL])?;
    let reply = attribute::find(entry, &[REPLY])?;
    (attribute::find(original, &[LAYER_ABOVE, NUMBER])? == [UDP]).then_some(())?;
    let end = |tuple: &[u8], ip: u16, port: u16| {
        let ip = attribute::find(tuple, &[IP, ip])?.first_chunk::<4>()?;
        let port = attribute::find(tuple, &[LAYER_ABOVE, port])?.first_chunk::<2>()?;
        Some(SocketAddrV4::new(Ipv4Addr::from(*ip), u16::from_be_bytes(*port)))
    };
    Some(Flow { asked: end(original, DESTINATION, DESTINATION_PORT)?, answers: end(reply, SOURCE, SOURCE_PORT)? })
}
