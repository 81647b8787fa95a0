//! How quickly services reach the kernel: ten thousand with ten endpoints each, and one endpoint that changes.
//!
//! `cargo bench -p e2e --bench proxy`, as root. Everything happens in a network namespace of its own. What is measured is
//! the node's agent with a watch that says what changed; floors and peers get the same rules in the same run.
mod floor;
mod world;

use node::proxy::iptables::IptablesProxy;
use node::proxy::nftables::NftablesProxy;
use std::sync::Arc;
use std::time::{Duration, Instant};
use world::{Cluster, ENDPOINTS, SERVICES};

const CHANGES: usize = 300;
const CHANGES_IPTABLES: usize = 20;
/// Ten thousand would take minutes: the time of iptables-restore grows with the square.
const SERVICES_IPTABLES: usize = 1_000;
const FEW: usize = 100;

fn row(what: &str, ours: &str, reference: &str, ratio: Option<f64>) {
    println!("| {what} | {ours} | {reference} | {} |", ratio.map(|r| format!("{r:.2}")).unwrap_or_default());
}

fn ms(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let index = (times.len() as f64 * part) as usize;
    times[index.min(times.len() - 1)]
}

fn ratio(ours: Duration, reference: Duration) -> Option<f64> {
    Some(ours.as_secs_f64() / reference.as_secs_f64())
}

/// Rows of one endpoint's change, beside others' times for the same.
fn change_rows(what: &str, times: &mut [Duration], others: &mut [(&str, Vec<Duration>)]) {
    for (name, theirs) in others {
        for (label, part) in [("p50", 0.5), ("p99", 0.99)] {
            let (a, b) = (percentile(times, part), percentile(theirs, part));
            row(&format!("one endpoint changes, {what}, {label}"), &ms(a), &format!("{name}: {}", ms(b)), ratio(a, b));
        }
    }
}

/// What both modes are compared at: as many services as iptables takes in seconds.
async fn nftables_as_few() -> (Duration, Vec<Duration>) {
    let cluster = Cluster::start(Arc::new(NftablesProxy::new("bench", "10.9.0.0/24")), SERVICES_IPTABLES).await;
    let times = cluster.changes(CHANGES).await;
    (cluster.full, times)
}

async fn nftables() -> Result<(), String> {
    let proxy = || Arc::new(NftablesProxy::new("bench", "10.9.0.0/24"));
    let few = Cluster::start(proxy(), FEW).await;
    let mut of_few = few.changes(CHANGES).await;
    drop(few);
    let cluster = Cluster::start(proxy(), SERVICES).await;
    let table = logic::proxy::nftables::table("bench");
    let listed = floor::nft(&["list", "table", "ip", &table], "")?;
    let wanted = format!("{SERVICES} services with {ENDPOINTS} endpoints each");
    let found = listed.matches(": 10.").count();
    if found != SERVICES * ENDPOINTS {
        return Err(format!("the kernel has {found} of {} backends", SERVICES * ENDPOINTS));
    }
    let mut times = cluster.changes(CHANGES).await;
    cluster.is_in_the_kernel(&table)?;
    let mut raw = floor::Change::new(&table).times(CHANGES)?;
    let mut by_nft = floor::by_nft(&table, CHANGES / 10)?;
    let full = cluster.full;
    drop(cluster);
    floor::nft(&["delete", "table", "ip", &table], "")?;
    let began = Instant::now();
    floor::nft(&["-f", "-"], &listed)?;
    let theirs = began.elapsed();
    floor::nft(&["delete", "table", "ip", &table], "")?;
    row(&format!("{wanted}, nftables, all at once"), &ms(full), &format!("nft -f of the same rules: {}", ms(theirs)), ratio(full, theirs));
    change_rows(
        &format!("{SERVICES} services, nftables"),
        &mut times,
        &mut [("a netlink transaction", std::mem::take(&mut raw)), ("nft -f -", std::mem::take(&mut by_nft))],
    );
    change_rows(&format!("{SERVICES} services, nftables"), &mut times, &mut [("the same with 100 services", std::mem::take(&mut of_few))]);
    Ok(())
}

async fn iptables() -> Result<(), String> {
    let cluster = Cluster::start(Arc::new(IptablesProxy::new("bench", "10.9.0.0/24")), SERVICES_IPTABLES).await;
    let saved = floor::run("iptables-save", &[], "")?;
    let full = cluster.full;
    let mut times = cluster.changes(CHANGES_IPTABLES).await;
    drop(cluster);
    let began = Instant::now();
    floor::run("iptables-restore", &[], &saved)?;
    let theirs = began.elapsed();
    // Taking over from iptables mode would be measured otherwise.
    floor::run("iptables-restore", &[], "*nat\nCOMMIT\n*filter\nCOMMIT\n")?;
    let (full_nftables, mut times_nftables) = nftables_as_few().await;
    row(
        &format!("{SERVICES_IPTABLES} services with {ENDPOINTS} endpoints each, iptables, all at once"),
        &ms(full),
        &format!("iptables-restore of the same rules: {}", ms(theirs)),
        ratio(full, theirs),
    );
    let what = format!("{SERVICES_IPTABLES} services with {ENDPOINTS} endpoints each, nftables");
    row(&format!("{what}, all at once"), &ms(full_nftables), &format!("iptables mode: {}", ms(full)), ratio(full_nftables, full));
    change_rows(
        &format!("{SERVICES_IPTABLES} services, nftables"),
        &mut times_nftables,
        &mut [("iptables mode", std::mem::take(&mut times))],
    );
    Ok(())
}

fn main() {
    // Before any thread is made: all of this process lives there from now on.
    if let Err(error) = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET) {
        eprintln!("left out: only root has network namespaces ({error})");
        return;
    }
    println!("| what | ours | floor or peer | ours / reference |\n|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(async {
        nftables().await?;
        iptables().await
    });
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
