//! Questions that the cluster cannot answer itself, put to the servers of the host.
use super::{read_framed, write_framed};
use crate::metrics;
use logic::pod::resolver;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UdpSocket};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// Each server may take this long; clients give up after some five seconds (resolv.conf(5)).
const SERVER_MAX: Duration = Duration::from_secs(2);
/// As many as the C library asks.
const SERVERS_MAX: usize = 3;
const REPLY_BYTES_MAX: usize = 4096;

/// The host's servers as its file names them now, but none of `own`: the question would come back.
pub(super) fn servers(own: &[Option<Ipv4Addr>]) -> Vec<SocketAddr> {
    named(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default(), own)
}

fn named(text: &str, own: &[Option<Ipv4Addr>]) -> Vec<SocketAddr> {
    let others = resolver::servers(text)
        .filter_map(|server| server.parse::<IpAddr>().ok())
        .filter(|ip| !own.iter().flatten().any(|own| *ip == IpAddr::V4(*own)));
    others.take(SERVERS_MAX).map(|ip| SocketAddr::new(ip, PORT)).collect()
}

/// The reply of the first server that gives one.
pub(super) async fn ask(question: &[u8], servers: &[SocketAddr], connected: bool) -> Option<Vec<u8>> {
    let began = Instant::now();
    for server in servers {
        let asking = async { if connected { by_connection(question, *server).await } else { by_datagram(question, *server).await } };
        match tokio::time::timeout(SERVER_MAX, asking).await {
            Ok(Ok(reply)) => {
                metrics::DNS_FORWARDED.since(began);
                return Some(reply);
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "a DNS server of the host did not answer"),
            Err(_) => tracing::debug!(%server, "a DNS server of the host did not answer in time"),
        }
    }
    None
}

/// From a port of its own, and from that server only: nobody else can guess a reply into it.
async fn by_datagram(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut reply = vec![0; REPLY_BYTES_MAX];
    loop {
        let length = socket.recv(&mut reply).await?;
        if length > 2 && reply[..2] == question[..2] {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

async fn by_connection(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, question).await?;
    read_framed(&mut stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that first answers something that was not asked.
    async fn server(reply: &'static [u8]) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
                socket.send_to(&[0, 0, 9], from).await.unwrap();
                socket.send_to(reply, from).await.unwrap();
            }
        });
        at
    }

    #[tokio::test]
    async fn the_first_server_that_answers_the_question_counts() {
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (first, second) = (server(&[1, 2, 3]).await, server(&[1, 2, 4]).await);
        assert_eq!(ask(&[1, 2], &[nobody, first, second], false).await, Some(vec![1, 2, 3]));
        assert_eq!(ask(&[1, 2], &[nobody], false).await, None);
        assert_eq!(ask(&[1, 2], &[nobody], true).await, None);
    }

    #[test]
    fn the_cluster_does_not_ask_itself() {
        let text =
            "# x\nnameserver 172.30.0.10\nnameserver 127.0.0.53\noptions edns0\nnameserver ::1\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n";
        let found = named(text, &[None, Some(Ipv4Addr::new(172, 30, 0, 10))]);
        assert_eq!(found, ["127.0.0.53:53", "[::1]:53", "9.9.9.9:53"].map(|a| a.parse().unwrap()));
        assert_eq!(named("", &[]), []);
    }
}
