//! The cluster's DNS on this node: answers for the names of the cluster, and asks the host's servers for all others.
//!
//! ```text
//! pod ─ 172.30.0.10:53 (service kube-dns) ─ the node's service rules ─ bridge address:PORT, this ─ host's servers
//! ```
//! Each node answers its own pods from what it follows anyway, so that names go on being found while the control plane or the
//! way to it is gone, and no answer crosses machines.
mod message;
mod upstream;

use crate::metrics;
use logic::dns::{Answer, NAMESPACE, SERVICE, Zone};
use message::Question;
use parking_lot::RwLock;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Questions for others' servers that may be open at a time; beyond it clients are told to come again.
const FORWARDED_MAX: usize = 512;
const CONNECTIONS_MAX: usize = 128;
/// A connection may pause this long between questions (RFC 7766 §6.2.3).
const IDLE_MAX: Duration = Duration::from_secs(10);
/// The address to answer at may come later, or change.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Questions are small; what is longer is none.
const QUESTION_BYTES_MAX: usize = 4096;
/// Both protocols need the same port; another one is tried as often.
const PORTS_TRIED: usize = 16;

/// What this node answers from.
pub(crate) struct Dns {
    pub(crate) zone: RwLock<Zone>,
    interface: String,
    forwarded: Semaphore,
    connections: Arc<Semaphore>,
}

/// Both sockets, at one address.
struct Sockets {
    at: SocketAddrV4,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
}

impl Dns {
    /// Answers at the address of this interface, to which pods have a way.
    pub(crate) fn new(interface: &str) -> Dns {
        Dns {
            zone: RwLock::default(),
            interface: interface.into(),
            forwarded: Semaphore::new(FORWARDED_MAX),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    /// The address of the cluster's DNS service, which pods are told of.
    pub(crate) fn service(&self) -> Option<Ipv4Addr> {
        self.zone.read().address(NAMESPACE, SERVICE)
    }

    /// Answers until stopped; `tell` hears at which address, or that there is none now.
    pub(crate) async fn run(self: Arc<Self>, tell: impl Fn(Option<SocketAddrV4>), stop: CancellationToken) {
        let mut told = String::new();
        loop {
            let outcome = match crate::network::interface(&self.interface) {
                Some(net) => bind(net.addr()).await.map_err(|e| format!("the cluster's DNS cannot listen at {}: {e}", net.addr())),
                None => Err(format!("the cluster's DNS waits for the interface {}", self.interface)),
            };
            match outcome {
                Ok(sockets) => {
                    tell(Some(sockets.at));
                    tracing::debug!(address = %sockets.at, "the cluster's DNS answers");
                    tokio::select! {
                        () = self.serve(&sockets) => {}
                        () = stop.cancelled() => return,
                    }
                    tell(None);
                }
                Err(why) if why != told => {
                    tracing::info!("{why}");
                    told = why;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Until the address is not this machine's any more.
    async fn serve(self: &Arc<Self>, sockets: &Sockets) {
        let moved = async {
            while crate::network::interface(&self.interface).is_some_and(|net| net.addr() == *sockets.at.ip()) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = moved => {}
            () = self.datagrams(&sockets.udp, *sockets.at.ip()) => {}
            () = self.connections(&sockets.tcp, *sockets.at.ip()) => {}
        }
    }

    async fn datagrams(self: &Arc<Self>, socket: &Arc<UdpSocket>, own: Ipv4Addr) {
        let mut buffer = vec![0; QUESTION_BYTES_MAX];
        loop {
            let (length, from) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // A client that is gone makes the next receive fail.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            };
            let Some(question) = Question::read(&buffer[..length]) else { continue };
            // What is known here is answered at once; only others' answers are waited for, aside.
            if let Some(reply) = self.known(&question) {
                let _ = socket.try_send_to(&question.fit(reply), from);
                continue;
            }
            let (dns, socket, bytes) = (self.clone(), socket.clone(), buffer[..length].to_vec());
            tokio::spawn(async move {
                let reply = dns.elsewhere(&question, &bytes, own, false).await;
                let _ = socket.send_to(&reply, from).await;
            });
        }
    }

    async fn connections(self: &Arc<Self>, listener: &TcpListener, own: Ipv4Addr) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // One too many is closed at once: its client sees that, and asks again.
            let Ok(permit) = self.connections.clone().try_acquire_owned() else { continue };
            let dns = self.clone();
            tokio::spawn(async move {
                let _permit = permit;
                let _ = dns.connection(stream, own).await;
            });
        }
    }

    /// Questions one after the other, each with its length before it (RFC 1035 §4.2.2).
    async fn connection(&self, mut stream: TcpStream, own: Ipv4Addr) -> io::Result<()> {
        loop {
            let asked = tokio::time::timeout(IDLE_MAX, read_framed(&mut stream)).await??;
            let Some(question) = Question::read(&asked) else { return Ok(()) };
            let reply = match self.known(&question) {
                Some(reply) => message::bytes(&reply, u16::MAX),
                None => self.elsewhere(&question, &asked, own, true).await,
            };
            tokio::time::timeout(IDLE_MAX, write_framed(&mut stream, &reply)).await??;
        }
    }

    /// The reply where nobody else has to be asked.
    fn known(&self, question: &Question) -> Option<message::Message> {
        metrics::DNS_REQUESTS.inc();
        let zone = self.zone.read();
        match zone.ask(&question.name, question.kind) {
            Answer::NotOurs => None,
            Answer::Alias { record, target } => match zone.ask(&target, question.kind) {
                Answer::NotOurs => None,
                of_target => Some(question.alias(&record, question.reply(&of_target).answers)),
            },
            answer => Some(question.reply(&answer)),
        }
    }

    /// What others' servers say; as bytes that fit the client. Those are passed on as they came, but for an alias, whose records
    /// are added to ours.
    async fn elsewhere(&self, question: &Question, asked: &[u8], own: Ipv4Addr, connected: bool) -> Vec<u8> {
        let failed = || {
            metrics::DNS_FAILED.inc();
            question.failed()
        };
        let Ok(_permit) = self.forwarded.try_acquire() else { return failed() };
        let servers = upstream::servers(&[Some(own), self.service()]);
        let alias = match self.zone.read().ask(&question.name, question.kind) {
            Answer::Alias { record, target } => Some((record, target)),
            _ => None,
        };
        let Some((record, target)) = alias else {
            return upstream::ask(asked, &servers, connected).await.unwrap_or_else(failed);
        };
        let Some(onward) = question.for_target(&target) else { return failed() };
        let answered = upstream::ask(&onward, &servers, connected).await.and_then(|bytes| message::answers(&bytes));
        // The alias itself is known, whatever became of its target.
        let reply = question.alias(&record, answered.unwrap_or_default());
        if connected { message::bytes(&reply, u16::MAX) } else { question.fit(reply) }
    }
}

/// A port that is free in both protocols.
async fn bind(address: Ipv4Addr) -> io::Result<Sockets> {
    let mut last = io::Error::other("no port");
    for _ in 0..PORTS_TRIED {
        let tcp = TcpListener::bind((address, 0)).await?;
        let SocketAddr::V4(at) = tcp.local_addr()? else { continue };
        match UdpSocket::bind(at).await {
            Ok(udp) => return Ok(Sockets { at, udp: Arc::new(udp), tcp }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    // In one piece: some clients expect the length and the message in one segment.
    let framed = [&length.to_be_bytes(), bytes].concat();
    stream.write_all(&framed).await
}

#[cfg(test)]
mod tests;
