//! A line between node and server that dies without a word: what was on it is noticed and made anew, within the node's grace.
use crate::{Machine, token, until_ready, url};
use e2e::Cluster;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A node's grace; who is silent for longer is lost.
const GRACE: Duration = Duration::from_secs(40);

/// Passes connections on; those of before a cut stay open and carry nothing more.
struct Line {
    address: SocketAddr,
    cut: Arc<parking_lot::Mutex<CancellationToken>>,
}

impl Line {
    async fn to(server: SocketAddr) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let cut = Arc::new(parking_lot::Mutex::new(CancellationToken::new()));
        let now = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let cut = now.lock().clone();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Neither end hears of it.
                        () = cut.cancelled() => std::future::pending().await,
                    }
                });
            }
        });
        Line { address, cut }
    }

    fn cut(&self) {
        let mut cut = self.cut.lock();
        cut.cancel();
        *cut = CancellationToken::new();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_line_is_replaced_within_the_grace() {
    let cluster = Cluster::start().await;
    let server: SocketAddr = url(&cluster).trim_start_matches("https://").parse().expect("an address");
    let line = Line::to(server).await;
    let machine = Machine::new();
    let through = format!("https://{}", line.address);
    let _node = machine.start("n1", &through, Some(&token(&cluster).await)).await.expect("it joins");
    until_ready(&cluster, "n1").await;
    assert_eq!(machine.target().server, through, "it goes by the line");
    let admin = cluster.admin();
    let renewed =
        async || admin.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1").await.1["spec"]["renewTime"].clone();
    let before = renewed().await;
    let tunnel = async || admin.get("/apis/metrics.k8s.io/v1beta1/nodes/n1").await.0 == 200;
    let began = Instant::now();
    line.cut();
    let (mut leased, mut reached) = (false, false);
    while !(leased && reached) {
        assert!(began.elapsed() < GRACE, "lease renewed: {leased}, tunnel open: {reached}");
        leased = leased || renewed().await != before;
        reached = leased && tunnel().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster.stop().await;
}
