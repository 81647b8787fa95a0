//! How quick the console is, as the browser itself measured it: each figure beside its aim.
use super::driver::{Browser, Outcome};
use super::server::{Runtime, Server};
use super::steps::{button, field};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Figures of one row; the middle one is printed.
const RUNS: usize = 7;
const EVENTS: usize = 300;
const MANY: usize = 10_000;
/// How many objects one file for `osc create` has.
const PIECE: usize = 1000;

/// Runs before any script of the page: notes when rows come, and keeps the program's memory.
const WATCH: &str = r"
    window.seen = {};
    new MutationObserver(() => {
        if (window.firstRow === undefined && document.querySelector('tbody th a')) window.firstRow = performance.now();
        if (window.allRows === undefined && document.querySelector('h1')?.textContent.includes('10000')) window.allRows = performance.now();
        for (const a of document.querySelectorAll('tbody th a')) if (a.textContent.startsWith('event-') && !window.seen[a.textContent])
            window.seen[a.textContent] = performance.timeOrigin + performance.now();
    }).observe(document, {childList: true, subtree: true, characterData: true});
    const start = WebAssembly.instantiateStreaming;
    WebAssembly.instantiateStreaming = async (...all) => { const made = await start.apply(WebAssembly, all); window.program = made.instance.exports.memory; return made; };
";

/// From an action to the picture after it, in milliseconds.
const TIMED: &str = r"
    const done = arguments[arguments.length - 1];
    const first = () => document.querySelector('tbody th a')?.textContent ?? '';
    const before = first(), began = performance.now();
    ACTION
    const look = () => first() !== before || performance.now() - began > 5000
        ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))) : setTimeout(look);
    look();
";

pub async fn rows(binary: &Path) -> Outcome<()> {
    let server = Server::start(binary, Runtime::Simulated)?;
    let browser = Browser::start(&server.console).await?;
    println!("| what | ours | aim | ours / aim |\n|---|---|---|---|");
    let outcome = measured(&server, &browser).await;
    browser.quit().await;
    outcome
}

fn row(what: &str, ours: f64, aim: f64, unit: &str) {
    println!("| console: {what} | {ours:.1} {unit} | {aim:.0} {unit} | {:.2} |", ours / aim);
}

async fn measured(server: &Server, b: &Browser) -> Outcome<()> {
    b.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH})).await?;
    b.open("/").await?;
    b.see(&button("Log in")).await?;
    let bytes = b.script("return performance.getEntries().reduce((sum, e) => sum + (e.transferSize || 0), 0)").await?;
    row("bytes of a cold load", bytes.as_f64().unwrap_or_default() / 1000.0, 400.0, "KB");
    server.osc(&["new-project", "bench"])?;
    server.osc(&["policy", "add-user", "admin", "anypassword:admin", "-n", "bench"])?;
    b.write(&field("Username"), "admin").await?;
    b.write(&field("Password"), "admin").await?;
    b.click(&button("Log in")).await?;
    b.see("//h1[.='Projects']").await?;
    first_row(server, b).await?;
    events(server, b).await?;
    many(server, b).await
}

fn middle(mut all: Vec<f64>, part: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(((all.len() as f64 * part) as usize).min(all.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

async fn first_row(server: &Server, b: &Browser) -> Outcome<()> {
    server.osc_with(&["create", "-n", "bench", "-f", "-"], &config_map("first").to_string())?;
    let mut times = vec![];
    for _ in 0..RUNS {
        b.open("/projects/bench/configmaps").await?;
        b.see("//tbody//a[.='first']").await?;
        times.push(b.script("return window.firstRow").await?.as_f64().unwrap_or(f64::NAN));
    }
    row("navigation → first row of a list, warm", middle(times, 0.5), 500.0, "ms");
    Ok(())
}

fn config_map(name: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"a": "b"}})
}

/// From before the request that makes an object to its row in the page: more than from the event to the row.
async fn events(server: &Server, b: &Browser) -> Outcome<()> {
    let client = server.client()?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0;
    let mut asked = vec![];
    for number in 0..EVENTS {
        // Each comes before the others: long lists have only the first rows in the page.
        let name = format!("event-{:03}", EVENTS - number);
        asked.push((name.clone(), now()));
        client.create("/api/v1/namespaces/bench/configmaps", &config_map(&name)).await?;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    b.script_later(&format!(
        "const done = arguments[0]; const look = () => Object.keys(window.seen).length >= {EVENTS} ? done(0) : setTimeout(look, 5); look()"
    ))
    .await?;
    let seen = b.script("return window.seen").await?;
    let times: Vec<f64> = asked.iter().filter_map(|(name, at)| Some(seen[name].as_f64()? - at)).collect();
    if times.len() < EVENTS {
        return Err(format!("{} of {EVENTS} objects came to the page", times.len()));
    }
    row("create → its row in the page, p50", middle(times.clone(), 0.5), 100.0, "ms");
    row("create → its row in the page, p99", middle(times, 0.99), 100.0, "ms");
    Ok(())
}

/// Pods that nobody places: they are only to be looked at.
async fn many(server: &Server, b: &Browser) -> Outcome<()> {
    server.osc(&["new-project", "many"])?;
    server.osc(&["policy", "add-user", "admin", "anypassword:admin", "-n", "many"])?;
    let client = server.client()?;
    for piece in 0..MANY / PIECE {
        let bodies: Vec<Value> = (0..PIECE).map(|n| pod(piece * PIECE + n)).collect();
        client.create_all("/api/v1/namespaces/many/pods", &bodies).await?;
    }
    let (mut firsts, mut arrivals) = (vec![], vec![]);
    let (mut renders, mut sorts, mut filters) = (vec![], vec![], vec![]);
    for _ in 0..RUNS {
        b.open("/projects/many/pods").await?;
        b.see("//h1[contains(., '10000')]").await?;
        b.see("//tbody//a").await?;
        b.see("//*[@role='status']//span[contains(., 'Live')]").await?;
        firsts.push(b.script("return window.firstRow").await?.as_f64().unwrap_or(f64::NAN));
        arrivals.push(b.script("return window.allRows").await?.as_f64().unwrap_or(f64::NAN));
        let arrived =
            "return window.firstRow - performance.getEntriesByType('resource').find(e => e.name.includes('/pods?limit=')).responseEnd";
        renders.push(b.script(arrived).await?.as_f64().unwrap_or(f64::NAN));
        let sort = "[...document.querySelectorAll('th button')].find(b => b.textContent.startsWith('Name')).click();";
        sorts.push(timed(b, sort).await?);
        let filter = "const i = document.querySelector('input[type=search]'); i.value = 'pod-0777'; i.dispatchEvent(new Event('input', {bubbles: true}));";
        filters.push(timed(b, filter).await?);
    }
    row("10,000 pods: navigation → first row", middle(firsts, 0.5), 500.0, "ms");
    println!("| console: 10,000 pods: navigation → all there | {:.0} ms | | |", middle(arrivals, 0.5));
    row("10,000 pods: data there → first row", middle(renders, 0.5), 100.0, "ms");
    row("10,000 pods: click → sorted", middle(sorts, 0.5), 100.0, "ms");
    row("10,000 pods: typed → filtered", middle(filters, 0.5), 100.0, "ms");
    let program = b.script("return window.program ? window.program.buffer.byteLength : 0").await?.as_f64().unwrap_or_default();
    b.devtools("Performance.enable", json!({})).await?;
    let metrics = b.devtools("Performance.getMetrics", json!({})).await?;
    let heap =
        metrics["metrics"].as_array().into_iter().flatten().find(|m| m["name"] == "JSHeapUsedSize").and_then(|m| m["value"].as_f64());
    let heap = heap.unwrap_or_default();
    println!("| console: memory of the page with 10,000 pods | {:.0} MiB | | |", (program + heap) / f64::from(1 << 20));
    Ok(())
}

async fn timed(b: &Browser, action: &str) -> Outcome<f64> {
    let time = b.script_later(&TIMED.replace("ACTION", action)).await?;
    time.as_f64().filter(|t| *t < 5000.0).ok_or(format!("nothing happens after {action}"))
}

fn pod(number: usize) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": format!("pod-{number:05}"), "labels": {"app": format!("app-{}", number % 50), "tier": "web"}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "openshift/hello-openshift", "ports": [{"containerPort": 8080}]}]}})
}
