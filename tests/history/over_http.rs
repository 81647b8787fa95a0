//! The same check of the whole server over its API, killed with `kill -9` and started again in the middle of work.
use crate::check::check;
use crate::record::{Asked, Call, Change, Delivery, Ending, History, Order, Put, Told, Version, Watched};
use e2e::lean::{Connection, Endpoint};
use e2e::process::Server;
use parking_lot::{Mutex, RwLock};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

const MAPS: &str = "/api/v1/namespaces/kube-public/configmaps";
const CLIENTS: u64 = 8;
const KEYS: u64 = 6;
const KILLS: u64 = 3;
/// How long a server lives.
const LIFE: Duration = Duration::from_millis(900);
const DEADLINE: Duration = Duration::from_secs(20);

struct Run {
    endpoint: RwLock<Endpoint>,
    order: Order,
    values: AtomicU64,
    calls: Mutex<Vec<Call>>,
    watches: Mutex<Vec<Watched>>,
    stop: AtomicBool,
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse().ok()).unwrap_or(0)
}

fn version(object: &Value) -> Version {
    (revision(object), object["data"]["v"].as_str().unwrap_or_default().to_string())
}

/// The maps of this test: others belong to the cluster.
fn state(list: &Value) -> BTreeMap<String, Version> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let named = items.iter().map(|i| (i["metadata"]["name"].as_str().unwrap_or_default().to_string(), version(i)));
    named.filter(|(name, _)| name.starts_with("key")).collect()
}

impl Run {
    async fn connect(&self) -> Option<(Endpoint, Connection)> {
        let endpoint = self.endpoint.read().clone();
        let connection = endpoint.connect().await.ok()?;
        Some((endpoint, connection))
    }

    /// Status and body; `None` when there was no answer.
    async fn ask(&self, connection: &mut Option<(Endpoint, Connection)>, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        if connection.is_none() {
            *connection = self.connect().await;
        }
        let (endpoint, open) = connection.as_mut()?;
        let request = endpoint.request(method, path, body);
        match open.send(&request).await {
            Ok(status) => Some((status, open.json())),
            Err(_) => {
                *connection = None;
                None
            }
        }
    }

    async fn client(self: Arc<Run>, mut random: SmallRng) {
        let mut connection = None;
        while !self.stop.load(Ordering::SeqCst) {
            let key = format!("key{}", random.random_range(0..KEYS));
            let start = self.order.tick();
            let Some((asked, told)) = self.act(&mut connection, &mut random, &key).await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            self.calls.lock().push(Call { start, end: self.order.tick(), asked, told });
        }
    }

    async fn act(&self, connection: &mut Option<(Endpoint, Connection)>, random: &mut SmallRng, key: &str) -> Option<(Asked, Told)> {
        let path = format!("{MAPS}/{key}");
        let (asked, method) = match random.random_range(0..10) {
            0..3 => (Asked::Get(key.into()), "GET"),
            3 => (Asked::List { at: None }, "GET"),
            4 => (Asked::Write(vec![Put { key: key.into(), value: None }]), "DELETE"),
            5..7 => (self.put(key), "POST"),
            _ => (self.put(key), "PUT"),
        };
        let body = |value: &Option<String>| {
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": key}, "data": {"v": value}}).to_string()
        };
        let answer = match &asked {
            Asked::Write(puts) if method == "DELETE" => {
                debug_assert!(puts[0].value.is_none());
                self.ask(connection, method, &path, "").await
            }
            Asked::Write(puts) => {
                let to = if method == "POST" { MAPS } else { &path };
                self.ask(connection, method, to, &body(&puts[0].value)).await
            }
            Asked::List { .. } => self.ask(connection, method, MAPS, "").await,
            _ => self.ask(connection, method, &path, "").await,
        };
        let told = match (&asked, answer) {
            (Asked::Write(_), None) => Told::Unknown,
            // Nobody was told anything: nothing to check.
            (_, None) => return None,
            (Asked::Write(_), Some((200 | 201, object))) if method != "DELETE" => Told::Written(revision(&object)),
            // It says that it is gone, not at which revision.
            (Asked::Write(_), Some((200, _))) => Told::Unknown,
            (Asked::Write(_), Some((404 | 409, _))) => Told::Refused { key: key.into(), actual: None },
            (Asked::Get(_), Some((200, object))) => Told::Value(Some(version(&object))),
            (Asked::Get(_), Some((404, _))) => Told::Value(None),
            (Asked::List { .. }, Some((200, list))) => Told::Listed { revision: revision(&list), state: state(&list) },
            (Asked::Write(_), Some(_)) => Told::Unknown,
            (_, Some(_)) => return None,
        };
        Some((asked, told))
    }

    fn put(&self, key: &str) -> Asked {
        let value = Some(format!("v{}", self.values.fetch_add(1, Ordering::SeqCst)));
        Asked::Write(vec![Put { key: key.into(), value }])
    }

    /// Watches again and again from where the last list was.
    async fn watcher(self: Arc<Run>) {
        let mut connection = None;
        while !self.stop.load(Ordering::SeqCst) {
            let Some((200, list)) = self.ask(&mut connection, "GET", MAPS, "").await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let (from, start) = (revision(&list), self.order.tick());
            let deliveries = self.watch(from, None).await;
            self.watches.lock().push(Watched { start, from, deliveries, ending: Ending::Open, end: self.order.tick() });
        }
    }

    /// What a watch tells until its server goes away, the run stops, or everything up to a revision has come.
    async fn watch(&self, from: u64, upto: Option<u64>) -> Vec<Delivery> {
        let (mut deliveries, mut text, mut piece) = (Vec::new(), Vec::new(), vec![0; 64 * 1024]);
        let Some((endpoint, mut connection)) = self.connect().await else { return deliveries };
        let path = format!("{MAPS}?watch=true&resourceVersion={from}");
        if connection.open(&endpoint.request("GET", &path, "")).await != Ok(200) {
            return deliveries;
        }
        text.extend_from_slice(connection.rest());
        let began = Instant::now();
        loop {
            while let Some(end) = text.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                // Between the lines stand the sizes of chunks.
                let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
                deliveries.extend(self.delivery(&event));
            }
            let newest = deliveries.last().map_or(from, |d| d.upto);
            match upto {
                Some(upto) if newest >= upto => return deliveries,
                Some(_) => assert!(began.elapsed() < DEADLINE, "the watch from {from} stays at {newest}"),
                None if self.stop.load(Ordering::SeqCst) => return deliveries,
                None => {}
            }
            match tokio::time::timeout(Duration::from_millis(50), connection.stream.read(&mut piece)).await {
                Ok(Ok(0) | Err(_)) => return deliveries,
                Ok(Ok(count)) => text.extend_from_slice(&piece[..count]),
                Err(_) => {}
            }
        }
    }

    fn delivery(&self, event: &Value) -> Option<Delivery> {
        let object = &event["object"];
        let name = object["metadata"]["name"].as_str()?;
        let value = match event["type"].as_str()? {
            "ADDED" | "MODIFIED" => Some(version(object).1),
            "DELETED" => None,
            _ => return None,
        };
        let change = Change { revision: revision(object), key: name.into(), value };
        let changes = if name.starts_with("key") { vec![change] } else { Vec::new() };
        Some(Delivery { at: self.order.tick(), changes, upto: revision(object) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_keeps_every_promise_through_kills() {
    let mut server = Server::start();
    let run = Arc::new(Run {
        endpoint: RwLock::new(Endpoint::admin(&server.kubeconfig())),
        order: Order::default(),
        values: AtomicU64::new(0),
        calls: Mutex::default(),
        watches: Mutex::default(),
        stop: AtomicBool::new(false),
    });
    let (_, first) = run.ask(&mut None, "GET", MAPS, "").await.expect("a list");
    let mut tasks: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(run.clone().client(SmallRng::seed_from_u64(n)))).collect();
    tasks.extend((0..3).map(|_| tokio::spawn(run.clone().watcher())));
    for _ in 0..KILLS {
        tokio::time::sleep(LIFE).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill_and_start();
            server
        })
        .await
        .expect("it starts again");
        *run.endpoint.write() = Endpoint::admin(&server.kubeconfig());
    }
    tokio::time::sleep(LIFE).await;
    run.stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("no client panics");
    }
    let (_, last) = run.ask(&mut None, "GET", MAPS, "").await.expect("a list");
    let base = revision(&first);
    // A last write is the mark up to which the truth is told.
    let (_, mark) = run.ask(&mut None, "POST", MAPS, &json!({"metadata": {"name": "mark"}}).to_string()).await.expect("an answer");
    let told = run.watch(base, Some(revision(&mark))).await;
    let history = History {
        before: state(&first),
        base,
        calls: std::mem::take(&mut *run.calls.lock()),
        watches: std::mem::take(&mut *run.watches.lock()),
        futures: Vec::new(),
        after: state(&last),
        last: revision(&last),
        truth: told.into_iter().flat_map(|d| d.changes).collect(),
        gapless: false,
    };
    let written = history.calls.iter().filter(|c| matches!(c.told, Told::Written(_))).count();
    println!("{} calls, {written} of them acknowledged writes, {} watches, {KILLS} kills", history.calls.len(), history.watches.len());
    assert!(written > 100 && history.watches.len() > 3, "the history is long enough to mean anything");
    if let Err(broken) = check(&history) {
        panic!("{broken}");
    }
}
