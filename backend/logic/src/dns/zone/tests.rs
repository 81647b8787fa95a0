//! Every kind of name, and what must not have one.
use super::*;
use serde_json::json;

fn service(namespace: &str, name: &str, spec: serde_json::Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).unwrap()
}

fn endpoints(namespace: &str, name: &str, subsets: serde_json::Value) -> Endpoints {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "subsets": subsets})).unwrap()
}

fn zone() -> Zone {
    let mut zone = Zone::default();
    zone.services_are(&[
        service(
            "hack",
            "web",
            json!({"clusterIP": "172.30.0.9", "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}),
        ),
        service("hack", "db", json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 1}]})),
        service("hack", "idle", json!({"clusterIP": "None"})),
        service("hack", "out", json!({"type": "ExternalName", "externalName": "Example.COM."})),
    ]);
    let sql = json!([{"name": "sql", "port": 5432}]);
    zone.endpoints_are(&[
        endpoints("hack", "web", json!([{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "http", "port": 8080}]}])),
        endpoints(
            "hack",
            "db",
            json!([{"addresses": [{"ip": "10.0.0.2", "hostname": "db-0"}, {"ip": "10.0.0.3"}],
            "notReadyAddresses": [{"ip": "10.0.0.4", "hostname": "db-2"}], "ports": sql}]),
        ),
        endpoints("hack", "idle", json!([{"notReadyAddresses": [{"ip": "10.0.0.5"}]}])),
    ]);
    zone
}

/// Answers in short.
fn ask(zone: &Zone, name: &str, kind: Kind) -> Vec<String> {
    let short = |r: &Record| match &r.data {
        Data::A(ip) => ip.to_string(),
        Data::Srv { weight, port, target } => format!("{weight} {port} {target}"),
        Data::Ptr(to) | Data::Cname(to) | Data::Ns(to) | Data::Txt(to) => to.clone(),
        Data::Soa => "SOA".into(),
    };
    match zone.ask(name, kind) {
        Answer::Records { answers, .. } => answers.iter().map(short).collect(),
        Answer::Alias { target, .. } => vec![format!("alias {target}")],
        other => vec![format!("{other:?}")],
    }
}

#[test]
fn names_stand_for_what_the_specification_says() {
    let zone = zone();
    for (name, kind, wanted) in [
        ("web.hack.svc.cluster.local", Kind::A, vec!["172.30.0.9"]),
        ("web.hack.svc.cluster.local", Kind::Other, vec!["Nothing"]),
        ("web.hack.svc.cluster.local", Kind::Srv, vec!["50 80 web.hack.svc.cluster.local", "50 53 web.hack.svc.cluster.local"]),
        ("_http._tcp.web.hack.svc.cluster.local", Kind::Srv, vec!["100 80 web.hack.svc.cluster.local"]),
        ("_http._tcp.web.hack.svc.cluster.local", Kind::A, vec!["Nothing"]),
        ("_dns._udp.web.hack.svc.cluster.local", Kind::Srv, vec!["100 53 web.hack.svc.cluster.local"]),
        ("_dns._tcp.web.hack.svc.cluster.local", Kind::Srv, vec!["NoName"]),
        ("_tcp.web.hack.svc.cluster.local", Kind::Srv, vec!["Nothing"]),
        ("10-0-0-1.web.hack.svc.cluster.local", Kind::A, vec!["10.0.0.1"]),
        ("db.hack.svc.cluster.local", Kind::A, vec!["10.0.0.2", "10.0.0.3"]),
        ("db-0.db.hack.svc.cluster.local", Kind::A, vec!["10.0.0.2"]),
        ("10-0-0-3.db.hack.svc.cluster.local", Kind::A, vec!["10.0.0.3"]),
        ("db-2.db.hack.svc.cluster.local", Kind::A, vec!["NoName"]),
        (
            "_sql._tcp.db.hack.svc.cluster.local",
            Kind::Srv,
            vec!["50 5432 10-0-0-3.db.hack.svc.cluster.local", "50 5432 db-0.db.hack.svc.cluster.local"],
        ),
        ("idle.hack.svc.cluster.local", Kind::A, vec!["NoName"]),
        ("out.hack.svc.cluster.local", Kind::A, vec!["alias example.com"]),
        ("none.hack.svc.cluster.local", Kind::A, vec!["NoName"]),
        ("hack.svc.cluster.local", Kind::A, vec!["Nothing"]),
        ("nowhere.svc.cluster.local", Kind::A, vec!["NoName"]),
        ("svc.cluster.local", Kind::A, vec!["Nothing"]),
        ("10-0-0-1.hack.pod.cluster.local", Kind::A, vec!["10.0.0.1"]),
        ("10-0-0-256.hack.pod.cluster.local", Kind::A, vec!["NoName"]),
        ("dns-version.cluster.local", Kind::Txt, vec!["1.1.0"]),
        ("cluster.local", Kind::Soa, vec!["SOA"]),
        ("cluster.local", Kind::Ns, vec!["ns.dns.cluster.local"]),
        ("a.b.c.d.hack.svc.cluster.local", Kind::A, vec!["NoName"]),
        ("mycluster.local", Kind::A, vec!["NotOurs"]),
        ("example.com", Kind::A, vec!["NotOurs"]),
        ("9.0.30.172.in-addr.arpa", Kind::Ptr, vec!["web.hack.svc.cluster.local"]),
        ("2.0.0.10.in-addr.arpa", Kind::Ptr, vec!["db-0.db.hack.svc.cluster.local"]),
        ("3.0.0.10.in-addr.arpa", Kind::Ptr, vec!["NotOurs"]),
        ("1.1.1.1.in-addr.arpa", Kind::Ptr, vec!["NotOurs"]),
    ] {
        assert_eq!(ask(&zone, name, kind), wanted, "{name} {kind:?}");
    }
}

#[test]
fn nothing_is_denied_before_everything_is_known() {
    let mut zone = Zone::default();
    assert_eq!(zone.ask("web.hack.svc.cluster.local", Kind::A), Answer::NotReady);
    zone.services_are(&[]);
    assert_eq!(zone.ask("1.0.0.10.in-addr.arpa", Kind::Ptr), Answer::NotReady);
    assert_eq!(zone.ask("example.com", Kind::A), Answer::NotOurs);
    zone.endpoints_are(&[]);
    assert_eq!(zone.ask("web.hack.svc.cluster.local", Kind::A), Answer::NoName);
}

#[test]
fn what_goes_takes_its_names_along() {
    let mut zone = zone();
    zone.service_is(&service("hack", "web", json!({"clusterIP": "172.30.0.8"})));
    assert_eq!(ask(&zone, "web.hack.svc.cluster.local", Kind::A), ["172.30.0.8"]);
    assert_eq!(ask(&zone, "9.0.30.172.in-addr.arpa", Kind::Ptr), ["NotOurs"]);
    zone.endpoints_gone("hack", "db");
    assert_eq!(ask(&zone, "db.hack.svc.cluster.local", Kind::A), ["NoName"]);
    assert_eq!(zone.address("hack", "web"), Some(Ipv4Addr::new(172, 30, 0, 8)));
    assert_eq!((zone.address("hack", "db"), zone.address("hack", "out"), zone.address("x", "web")), (None, None, None));
    zone.services_are(&[]);
    assert_eq!(zone.address("hack", "web"), None);
    assert_eq!(ask(&zone, "out.hack.svc.cluster.local", Kind::A), ["NoName"]);
    zone.endpoints_are(&[]);
    assert!(zone.owners.is_empty() && zone.fronts.is_empty() && zone.backs.is_empty());
}

#[test]
fn srv_records_bring_the_addresses_of_their_targets() {
    let Answer::Records { additionals, .. } = zone().ask("_sql._tcp.db.hack.svc.cluster.local", Kind::Srv) else { panic!("no records") };
    let found: Vec<(&str, &Data)> = additionals.iter().map(|r| (r.name.as_str(), &r.data)).collect();
    let ip = |n: u8| Data::A(Ipv4Addr::new(10, 0, 0, n));
    assert_eq!(found, [("10-0-0-3.db.hack.svc.cluster.local", &ip(3)), ("db-0.db.hack.svc.cluster.local", &ip(2))]);
}
