//! The floods: each goes on until it is dropped, and counts what was answered.
use e2e::lean::Endpoint;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub const MAPS: &str = "/api/v1/namespaces/flood/configmaps";

/// Answers by their status; 0 stands for a connection that the server ended.
pub type Answers = Arc<Mutex<BTreeMap<u16, usize>>>;

/// Threads for floods: behind everything else on this machine, as another machine's would be.
pub struct Flood {
    runtime: Option<tokio::runtime::Runtime>,
    pub answers: Answers,
}

impl Drop for Flood {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Flood {
    /// Runs `one` this many times at once, again and again.
    pub fn start<F>(clients: usize, one: impl Fn(usize, Answers) -> F + Send + Sync + 'static) -> Flood
    where
        F: Future<Output = Result<u16, String>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(|| {
                let _ = rustix::process::setpriority_process(None, 10);
            })
            .enable_all()
            .build()
            .expect("threads");
        let (answers, one) = (Answers::default(), Arc::new(one));
        for client in 0..clients {
            let (answers, one) = (answers.clone(), one.clone());
            runtime.spawn(async move {
                loop {
                    let outcome = one(client, answers.clone()).await;
                    note(&answers, outcome.as_ref().copied().unwrap_or(0));
                    if outcome.is_err() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        Flood { runtime: Some(runtime), answers }
    }

    pub fn count(&self, status: u16) -> usize {
        self.answers.lock().get(&status).copied().unwrap_or(0)
    }
}

fn note(answers: &Answers, status: u16) {
    *answers.lock().entry(status).or_default() += 1;
}

/// The same request again and again on kept connections.
pub fn requests(endpoint: Endpoint, clients: usize, make: impl Fn(&Endpoint, usize) -> Vec<u8> + Send + Sync + 'static) -> Flood {
    let make = Arc::new(make);
    Flood::start(clients, move |client, answers| {
        let (endpoint, make) = (endpoint.clone(), make.clone());
        async move {
            let mut connection = endpoint.connect().await?;
            for number in client * 1_000_000.. {
                let status = connection.send(&make(&endpoint, number)).await?;
                note(&answers, status);
            }
            Ok(200)
        }
    })
}

/// Names that no other request of this flood makes.
pub fn creates(endpoint: Endpoint, clients: usize) -> Flood {
    let count = std::sync::atomic::AtomicUsize::new(0);
    requests(endpoint, clients, move |e, _| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let text = "x".repeat(1000);
        e.request(
            "POST",
            MAPS,
            &format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"c{number}"}},"data":{{"t":"{text}"}}}}"#),
        )
    })
}

/// Bodies just below the limit, full of small values, and endless ones.
pub fn bodies(endpoint: Endpoint, clients: usize) -> Flood {
    let large = format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"x"}},"data":[{}0]}}"#, "[],".repeat(290_000));
    Flood::start(clients, move |client, _| {
        let (endpoint, large) = (endpoint.clone(), large.clone());
        async move {
            let mut connection = endpoint.connect().await?;
            if client.is_multiple_of(2) {
                return connection.send(&endpoint.request("POST", MAPS, &large)).await;
            }
            let head = endpoint.request("POST", MAPS, "");
            let head = String::from_utf8_lossy(&head).replace("content-length: 0", "transfer-encoding: chunked");
            connection.write(head.as_bytes()).await?;
            let piece = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            loop {
                connection.write(piece.as_bytes()).await?;
            }
        }
    })
}

/// Asks for large lists and never reads them.
pub fn slow_readers(endpoint: Endpoint, clients: usize) -> Flood {
    Flood::start(clients, move |_, _| {
        let endpoint = endpoint.clone();
        async move {
            let mut connection = endpoint.connect().await?;
            for _ in 0..50 {
                connection.write(&endpoint.request("GET", MAPS, "")).await?;
            }
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(200)
        }
    })
}

/// Whole handshakes, nothing after them.
pub fn handshakes(endpoint: Endpoint, clients: usize) -> Flood {
    Flood::start(clients, move |_, _| {
        let endpoint = endpoint.clone();
        async move { endpoint.tls().await.map(|_| 200) }
    })
}

/// Connections on which nothing is ever said.
pub fn half_open(endpoint: Endpoint, clients: usize) -> Flood {
    // One after another, some thousand in a second: more at once would fill the kernel's own queue, not the server.
    let first = std::time::Instant::now();
    Flood::start(clients, move |client, _| {
        let endpoint = endpoint.clone();
        async move {
            let turn = Duration::from_micros(client as u64 * 500);
            tokio::time::sleep(turn.saturating_sub(first.elapsed())).await;
            let mut tcp = endpoint.tcp().await?;
            let _ = tcp.read(&mut [0; 16]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err("ended".into())
        }
    })
}

/// Watches that are opened and never read, as many as the server lets one user have; then it says 429.
pub fn watches(kubeconfig: PathBuf, token: String, clients: usize) -> Flood {
    Flood::start(clients, move |client, answers| {
        let (endpoint, place) = (Endpoint::bearer(&kubeconfig, &token), client);
        async move {
            let mut connection = endpoint.connect().await?;
            let status = connection.open(&endpoint.request("GET", &format!("{MAPS}?watch=true&resourceVersion=0"), "")).await?;
            if status != 200 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Ok(status);
            }
            note(&answers, status);
            // Every tenth reads what comes, the others nothing.
            let mut buffer = vec![0; 4096];
            loop {
                if place.is_multiple_of(10) {
                    match connection.stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return Err("ended".into()),
                        Ok(_) => {}
                    }
                } else {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                }
            }
        }
    })
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// HTTP/2 requests, each taken back at once (CVE-2023-44487).
pub fn resets(endpoint: Endpoint, clients: usize) -> Flood {
    // GET, https, `/`, and an authority, by HPACK's static table.
    let headers = [0x82, 0x87, 0x84, 0x41, 0x01, b'x'];
    Flood::start(clients, move |_, _| {
        let endpoint = endpoint.clone();
        async move {
            let mut stream = endpoint.tls().await?;
            let mut hello = PREFACE.to_vec();
            hello.extend(frame(4, 0, 0, &[]));
            stream.write_all(&hello).await.map_err(|e| e.to_string())?;
            let (mut reader, mut writer) = tokio::io::split(stream);
            let reading = tokio::spawn(async move {
                let mut buffer = vec![0; 16 * 1024];
                while reader.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            });
            let mut id = 1;
            let outcome = loop {
                let mut storm = Vec::new();
                for _ in 0..100 {
                    storm.extend(frame(1, 5, id, &headers));
                    storm.extend(frame(3, 0, id, &8u32.to_be_bytes()));
                    id += 2;
                }
                if let Err(error) = writer.write_all(&storm).await {
                    break Err(error.to_string());
                }
                if reading.is_finished() {
                    break Err("the server ended it".into());
                }
                if id > 1_000_000 {
                    break Ok(200);
                }
            };
            reading.abort();
            outcome
        }
    })
}
