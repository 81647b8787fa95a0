//! Real sockets on this machine's own address: replies by both protocols, long ones, foolish questions.
use super::*;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use serde_json::json;

const LONG: usize = 100;

/// Answers on loopback, with a service, a headless one with many addresses, and an alias within the cluster.
async fn serving() -> (Arc<Dns>, SocketAddrV4, CancellationToken) {
    let dns = Arc::new(Dns::new("lo"));
    let service = |name: &str, spec| serde_json::from_value(json!({"metadata": {"namespace": "x", "name": name}, "spec": spec})).unwrap();
    let addresses: Vec<_> = (0..LONG).map(|n| json!({"ip": format!("10.0.{}.{}", n / 200, n % 200 + 1)})).collect();
    dns.zone.write().services_are(&[
        service("web", json!({"clusterIP": "172.30.0.9", "ports": [{"name": "http", "port": 80}]})),
        service("many", json!({"clusterIP": "None"})),
        service("other", json!({"type": "ExternalName", "externalName": "web.x.svc.cluster.local"})),
    ]);
    let endpoints = json!({"metadata": {"namespace": "x", "name": "many"}, "subsets": [{"addresses": addresses}]});
    dns.zone.write().endpoints_are(&[serde_json::from_value(endpoints).unwrap()]);
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    tokio::spawn(dns.clone().run(move |at| sender.send(at).expect("the test listens"), stop.clone()));
    let at = told.recv().await.flatten().expect("loopback has an address");
    (dns, at, stop)
}

fn question(name: &str, kind: RecordType, edns: bool) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

async fn by_datagram(at: SocketAddrV4, bytes: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(bytes, at).await.unwrap();
    let mut buffer = vec![0; 4096];
    let length = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await.expect("a reply").unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn addresses(message: &Message) -> Vec<String> {
    let all = message.answers.iter();
    all.filter_map(|r| if let RData::A(ip) = &r.data { Some(ip.to_string()) } else { None }).collect()
}

#[tokio::test]
async fn names_are_answered_by_both_protocols() {
    let (_dns, at, stop) = serving().await;
    let reply = by_datagram(at, &question("WEB.x.svc.cluster.local.", RecordType::A, false)).await;
    assert_eq!(addresses(&reply), ["172.30.0.9"]);
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available && reply.metadata.recursion_desired);
    assert_eq!(reply.queries[0].name().to_ascii(), "WEB.x.svc.cluster.local.", "the question comes back as it was put");
    let none = by_datagram(at, &question("nobody.x.svc.cluster.local.", RecordType::A, true)).await;
    assert_eq!((none.metadata.response_code, none.authorities.len()), (ResponseCode::NXDomain, 1));
    assert!(none.edns.is_some());
    let nothing = by_datagram(at, &question("web.x.svc.cluster.local.", RecordType::AAAA, false)).await;
    assert_eq!((nothing.metadata.response_code, nothing.answers.len(), nothing.authorities.len()), (ResponseCode::NoError, 0, 1));
    let alias = by_datagram(at, &question("other.x.svc.cluster.local.", RecordType::A, false)).await;
    assert_eq!((alias.answers.len(), addresses(&alias)), (2, vec!["172.30.0.9".to_string()]));

    let mut stream = TcpStream::connect(at).await.unwrap();
    for _ in 0..2 {
        write_framed(&mut stream, &question("many.x.svc.cluster.local.", RecordType::A, false)).await.unwrap();
        let reply = Message::from_vec(&read_framed(&mut stream).await.unwrap()).unwrap();
        assert_eq!((addresses(&reply).len(), reply.metadata.truncation), (LONG, false));
    }
    stop.cancel();
}

#[tokio::test]
async fn a_long_reply_says_that_it_is_cut() {
    let (_dns, at, stop) = serving().await;
    let bytes = question("many.x.svc.cluster.local.", RecordType::A, false);
    let reply = by_datagram(at, &bytes).await;
    let length = reply.to_vec().unwrap().len();
    assert!(reply.metadata.truncation && !reply.answers.is_empty() && length <= 512, "{length} {reply}");
    let more = by_datagram(at, &question("many.x.svc.cluster.local.", RecordType::A, true)).await;
    assert!(more.answers.len() > reply.answers.len(), "a client that takes more gets more");
    stop.cancel();
}

#[tokio::test]
async fn what_is_no_question_gets_no_reply_and_does_no_harm() {
    let (_dns, at, stop) = serving().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut reply = Message::from_vec(&question("web.x.svc.cluster.local.", RecordType::A, false)).unwrap();
    reply.metadata.message_type = MessageType::Response;
    for bytes in [vec![], vec![0; 11], vec![255; 600], reply.to_vec().unwrap()] {
        socket.send_to(&bytes, at).await.unwrap();
    }
    let mut stream = TcpStream::connect(at).await.unwrap();
    write_framed(&mut stream, &[1, 2, 3]).await.unwrap();
    assert!(read_framed(&mut stream).await.is_err(), "the connection is closed");
    let reply = by_datagram(at, &question("web.x.svc.cluster.local.", RecordType::A, false)).await;
    assert_eq!(addresses(&reply), ["172.30.0.9"], "and others are served");
    let mut buffer = [0; 16];
    assert!(socket.try_recv(&mut buffer).is_err());
    stop.cancel();
}
