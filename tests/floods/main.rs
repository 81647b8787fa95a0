//! Hostile and clumsy clients against a real server process: what an administrator and a node wait for, without and with
//! each flood, and how much memory the server takes for it.
mod attacks;

use attacks::{Flood, MAPS};
use e2e::lean::{Connection, Endpoint};
use e2e::process::Server;
use serde_json::json;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long each flood goes on before what it does is measured.
const RISE: Duration = Duration::from_millis(500);
const SAMPLES: usize = 40;
const PODS: usize = 3;
const LOOKS: usize = 3;
/// The aim is 2; this machine's two processors also run the floods' own side.
const RATIO_MAX: f64 = 6.0;
/// Differences below this say nothing on a machine that others use.
const NOISE: Duration = Duration::from_millis(15);
/// What the server may take for the crowd beside the objects that it stores (`apiserver::limits`).
const CROWD_MIB_MAX: u64 = 512;

/// Not a test by itself: the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_process() {
    e2e::process::serve_if_asked().await;
}

/// Medians of what an administrator and a node do.
#[derive(Clone, Copy, Debug)]
struct Seen {
    connect: Duration,
    get: Duration,
    create: Duration,
    pod: Duration,
    /// Another user's reading, by token: one of the crowd.
    other: Duration,
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

struct Bench {
    server: Server,
    admin: Endpoint,
    other: Option<Endpoint>,
    made: usize,
}

impl Bench {
    async fn start() -> Bench {
        let server = Server::start();
        let admin = Endpoint::admin(&server.kubeconfig());
        let mut bench = Bench { server, admin, other: None, made: 0 };
        bench.must("POST", "/api/v1/namespaces", json!({"metadata": {"name": "flood"}})).await;
        for number in 0..2000 {
            let body = json!({"metadata": {"name": format!("m{number}")}, "data": {"text": "x".repeat(1000)}});
            bench.must("POST", MAPS, body).await;
            if number % 500 == 0 {
                bench.must("POST", "/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": format!("a{number}")}})).await;
            }
        }
        bench.other = Some(bench.mallory().await.0);
        bench
    }

    /// Somebody new who may do anything in the project.
    async fn mallory(&mut self) -> (Endpoint, String) {
        self.made += 1;
        let name = format!("mallory{}", self.made);
        let binding = json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("anypassword:{name}")}]});
        self.must("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/flood/rolebindings", binding).await;
        let nobody = Endpoint::bearer(&self.server.kubeconfig(), "");
        let mut connection = nobody.connect().await.expect("a connection");
        let login = json!({"username": name, "password": "x"}).to_string();
        assert_eq!(connection.send(&nobody.request("POST", "/login", &login)).await, Ok(200));
        let token = connection.json()["access_token"].as_str().expect("a token").to_string();
        (Endpoint::bearer(&self.server.kubeconfig(), &token), token)
    }

    async fn must(&mut self, method: &str, path: &str, body: serde_json::Value) {
        let mut connection = self.admin.connect().await.expect("a connection");
        let status = connection.send(&self.admin.request(method, path, &body.to_string())).await;
        assert!(matches!(status, Ok(200..300)), "{method} {path}: {status:?} {}", connection.json());
    }

    /// What the administrator waits for, and how long a pod takes to run on the node.
    async fn look(&mut self) -> Seen {
        let (mut connects, mut gets, mut creates, mut pods) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let get = self.admin.request("GET", "/api/v1/namespaces/default/configmaps/a0", "");
        for _ in 0..SAMPLES {
            let began = Instant::now();
            let mut connection = get_in(&self.admin).await;
            connects.push(began.elapsed());
            let began = Instant::now();
            assert_eq!(connection.send(&get).await, Ok(200), "{}", connection.json());
            gets.push(began.elapsed());
            self.made += 1;
            let body = json!({"metadata": {"name": format!("made{}", self.made)}}).to_string();
            let create = self.admin.request("POST", "/api/v1/namespaces/default/configmaps", &body);
            let began = Instant::now();
            assert_eq!(connection.send(&create).await, Ok(201), "{}", connection.json());
            creates.push(began.elapsed());
        }
        for _ in 0..PODS {
            pods.push(self.pod().await);
        }
        let mut others = Vec::new();
        let other = self.other.clone().expect("made at the start");
        for _ in 0..SAMPLES {
            let mut connection = get_in(&other).await;
            let began = Instant::now();
            assert_eq!(connection.send(&other.request("GET", &format!("{MAPS}/m1"), "")).await, Ok(200), "{}", connection.json());
            others.push(began.elapsed());
        }
        Seen { connect: median(connects), get: median(gets), create: median(creates), pod: median(pods), other: median(others) }
    }

    async fn pod(&mut self) -> Duration {
        self.made += 1;
        let name = format!("pod{}", self.made);
        let body = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "i"}]}});
        let mut connection = get_in(&self.admin).await;
        let began = Instant::now();
        let create = self.admin.request("POST", "/api/v1/namespaces/default/pods", &body.to_string());
        assert_eq!(connection.send(&create).await, Ok(201), "{}", connection.json());
        let get = self.admin.request("GET", &format!("/api/v1/namespaces/default/pods/{name}"), "");
        loop {
            assert_eq!(connection.send(&get).await, Ok(200));
            if connection.json()["status"]["phase"] == "Running" {
                return began.elapsed();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "the pod does not come to run");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Measures beside a flood, and says how it compares.
    async fn under(&mut self, what: &str, calm: Seen, stores: bool, rise: Duration, flood: Flood) -> Flood {
        let before = self.server.resident();
        self.server.forget_peak();
        tokio::time::sleep(rise).await;
        // What the machine's other work does to one look, it does not do to three.
        let mut slow = Vec::new();
        for look in 1..=LOOKS {
            let seen = self.look().await;
            println!("{what}, look {look}: answers {:?}", flood.answers.lock());
            slow = compared(calm, seen);
            if slow.is_empty() {
                break;
            }
        }
        assert!(slow.is_empty(), "{what}: {slow:?}");
        let grown = self.server.peak().saturating_sub(before);
        println!("    +{grown} MiB");
        assert!(stores || grown <= CROWD_MIB_MAX, "{what}: {grown} MiB more");
        flood
    }
}

/// A connection; what the kernel refuses of a burst is tried again, and takes its time.
async fn get_in(endpoint: &Endpoint) -> Connection {
    for _ in 0..5 {
        if let Ok(connection) = endpoint.connect().await {
            return connection;
        }
    }
    endpoint.connect().await.expect("whoever knocks six times gets in")
}

/// Prints how both compare, and returns what is too slow.
fn compared(calm: Seen, seen: Seen) -> Vec<String> {
    let pairs = [
        ("connect", calm.connect, seen.connect),
        ("get", calm.get, seen.get),
        ("create", calm.create, seen.create),
        ("pod", calm.pod, seen.pod),
        ("another user's get", calm.other, seen.other),
    ];
    let mut slow = Vec::new();
    for (name, calm, seen) in pairs {
        let line = format!("{name}: {calm:.2?} → {seen:.2?} ({:.1}×)", seen.as_secs_f64() / calm.as_secs_f64());
        println!("    {line}");
        if seen > calm.mul_f64(RATIO_MAX) && seen > calm + NOISE {
            slow.push(line);
        }
    }
    slow
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flood_slows_an_administrator_or_a_node_much() {
    // Each client here has a descriptor of its own too.
    backend::descriptors::raise();
    let mut b = Bench::start().await;
    let calm = b.look().await;
    println!("calm: {calm:?}, {} MiB", b.server.resident());
    let kubeconfig = b.server.kubeconfig();
    let nobody = Endpoint::bearer(&kubeconfig, "");

    let (mallory, _) = b.mallory().await;
    let flood = attacks::requests(mallory, 200, |e, n| e.request("GET", &format!("{MAPS}/m{}", n % 2000), ""));
    let flood = b.under("200 clients that get", calm, false, RISE, flood).await;
    assert!(flood.count(200) > 500, "it was a flood: {:?}", flood.answers.lock());
    drop(flood);
    let (mallory, _) = b.mallory().await;
    let flood = attacks::requests(mallory, 40, |e, _| e.request("GET", MAPS, ""));
    drop(b.under("40 clients that list 2,000 objects", calm, false, RISE, flood).await);
    let (mallory, _) = b.mallory().await;
    drop(b.under("32 clients that create", calm, true, RISE, attacks::creates(mallory, 32)).await);
    let (mallory, _) = b.mallory().await;
    drop(b.under("64 clients with giant bodies", calm, false, RISE, attacks::bodies(mallory, 64)).await);
    let (mallory, _) = b.mallory().await;
    drop(b.under("200 clients that do not read", calm, false, RISE, attacks::slow_readers(mallory, 200)).await);
    drop(b.under("20 clients that shake hands", calm, false, RISE, attacks::handshakes(nobody.clone(), 20)).await);
    let flood = b.under("5,500 silent connections", calm, false, 6 * RISE, attacks::half_open(nobody.clone(), 5500)).await;
    drop(flood);
    let flood = b.under("8 reset storms", calm, false, RISE, attacks::resets(Endpoint::http2(&kubeconfig), 8)).await;
    assert!(flood.count(0) > 0 && flood.count(200) == 0, "storms are cut off: {:?}", flood.answers.lock());
    drop(flood);
    let (_, token) = b.mallory().await;
    drop(b.under("1,000 watches", calm, false, RISE, attacks::watches(kubeconfig, token, 1000)).await);
    println!("after all: {:?}, {} MiB", b.look().await, b.server.resident());
}
