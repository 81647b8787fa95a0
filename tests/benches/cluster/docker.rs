//! Pods on the real engine beside the same two containers made by the engine alone.
use crate::client::request;
use crate::server::Server;
use crate::{percentile, row};
use e2e::lean::{Connection, Endpoint};
use node::runtime::docker::DockerRuntime;
use node::runtime::{ContainerInfo, ContainerSpec, Runtime};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PODS: usize = 15;
const PATH: &str = "/api/v1/namespaces/default/pods";
const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";
const DEADLINE: Duration = Duration::from_secs(60);
/// The kernel goes on taking networks apart after the engine has answered; nobody shall pay for another's.
const SETTLE: Duration = Duration::from_millis(300);
/// Replicas before and after.
const FEW: usize = 10;
const MANY: usize = 30;

pub async fn rows() -> Result<(), String> {
    let address = std::env::var("OPENSHIFT_DOCKER").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let docker = match DockerRuntime::connect(&address, "bench") {
        Ok(docker) if docker.info().await.is_ok() => docker,
        _ => {
            println!("| pods on Docker | left out: no engine answers at {address} | | |");
            return Ok(());
        }
    };
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let server = Server::start(dir.path(), false)?;
    row(
        "exec → node Ready on Docker, empty data directory",
        &format!("{:.0?}", server.ready),
        "Kubernetes 1.20 here: 18 s",
        Some(server.ready.as_secs_f64() / 18.0),
    );
    let endpoint = server.endpoint();
    let mut connection = endpoint.connect().await?;
    let connection = &mut connection;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for number in 0..PODS {
        tokio::time::sleep(SETTLE).await;
        floor.push(pair(&docker, number).await?);
        tokio::time::sleep(SETTLE).await;
        ours.push(create_pod(&endpoint, connection, number).await?);
    }
    let (ours, floor) = (percentile(&mut ours, 0.5), percentile(&mut floor, 0.5));
    row(
        "pod create → Running",
        &format!("{ours:.0?}"),
        &format!("Docker create+start of its two containers {floor:.0?}"),
        Some(ours.as_secs_f64() / floor.as_secs_f64()),
    );
    let (alone, killed) = killed(&docker, &endpoint, connection).await?;
    row(
        "container killed → running again",
        &format!("{killed:.0?}"),
        &format!("Docker create+start of one {alone:.0?}"),
        Some(killed.as_secs_f64() / alone.as_secs_f64()),
    );
    for number in 0..PODS {
        connection.send(&request("DELETE", &format!("{PATH}/p{number}"), "application/json", r#"{"gracePeriodSeconds":0}"#)).await?;
    }
    let ours = scale(&endpoint, connection).await?;
    let floor = many(&docker).await?;
    row(
        "10 → 30 replicas",
        &format!("{ours:.1?}"),
        &format!("the same 40 containers by Docker alone, four at once {floor:.1?}; Swarm 4.5 s"),
        Some(ours.as_secs_f64() / floor.as_secs_f64()),
    );
    Ok(())
}

fn infra(name: String) -> ContainerSpec {
    // By its name, so that only create and start are measured: of a container with a network of its own, the address is looked up.
    let network = Some("bridge".into());
    ContainerSpec { name, image: "openshift/origin-pod:v0.4.1".into(), ipc: Some("shareable".into()), network, ..ContainerSpec::default() }
}

fn app(name: String, sandbox: &ContainerInfo) -> ContainerSpec {
    let network = Some(format!("container:{}", sandbox.id));
    ContainerSpec { name, image: "openshift/hello-openshift".into(), network, ..ContainerSpec::default() }
}

/// An infra and an app container, as the node makes them.
async fn pair(docker: &DockerRuntime, number: usize) -> Result<Duration, String> {
    let began = Instant::now();
    let fail = |e: node::runtime::RuntimeError| e.to_string();
    let sandbox = docker.run(&infra(format!("bench-infra-{number}"))).await.map_err(fail)?;
    let app = docker.run(&app(format!("bench-app-{number}"), &sandbox)).await.map_err(fail)?;
    let took = began.elapsed();
    docker.remove(&app.id).await.map_err(fail)?;
    docker.remove(&sandbox.id).await.map_err(fail)?;
    Ok(took)
}

async fn get(connection: &mut Connection, path: &str) -> Result<Value, String> {
    connection.send(&request("GET", path, "", "")).await?;
    serde_json::from_slice(connection.rest()).map_err(|e| e.to_string())
}

/// Watches objects of one name: whoever asked again and again would take the processor from what is measured.
async fn watch(endpoint: &Endpoint, collection: &str, name: &str) -> Result<Connection, String> {
    let mut watcher = endpoint.connect().await?;
    let path = format!("{collection}?watch=true&fieldSelector=metadata.name={name}");
    match watcher.open(&request("GET", &path, "", "")).await? {
        200 => Ok(watcher),
        status => Err(format!("{path}: {status}")),
    }
}

/// Waits for an event whose object is so.
async fn seen(watcher: &mut Connection, is: impl Fn(&Value) -> bool) -> Result<(), String> {
    let work = async {
        loop {
            let event: Value = serde_json::from_slice(&watcher.line().await?).unwrap_or_default();
            if is(&event["object"]) {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(DEADLINE, work).await.map_err(|_| "nothing became as wanted")?
}

fn template(name: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 0,
        "containers": [{"name": "hello", "image": "openshift/hello-openshift", "imagePullPolicy": "IfNotPresent"}]}})
}

async fn create_pod(endpoint: &Endpoint, connection: &mut Connection, number: usize) -> Result<Duration, String> {
    let mut pod = template("single");
    let name = format!("p{number}");
    pod["metadata"]["name"] = name.clone().into();
    let mut watcher = watch(endpoint, PATH, &name).await?;
    let began = Instant::now();
    let status = connection.send(&request("POST", PATH, "application/json", &pod.to_string())).await?;
    if status != 201 {
        return Err(String::from_utf8_lossy(connection.rest()).into_owned());
    }
    seen(&mut watcher, |p| p["status"]["phase"] == "Running").await?;
    Ok(began.elapsed())
}

/// One container by the engine alone; then one of ours, killed, until the API shows its successor.
async fn killed(docker: &DockerRuntime, endpoint: &Endpoint, connection: &mut Connection) -> Result<(Duration, Duration), String> {
    let fail = |e: node::runtime::RuntimeError| e.to_string();
    let (mut alone, mut ours) = (Vec::new(), Vec::new());
    for number in 0..PODS {
        let path = format!("{PATH}/p{number}");
        let pod = get(connection, &path).await?;
        let id =
            pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default().trim_start_matches("docker://").to_string();
        let sandbox = docker.run(&infra(format!("bench-alone-{number}"))).await.map_err(fail)?;
        let began = Instant::now();
        let one = docker.run(&app(format!("bench-one-{number}"), &sandbox)).await.map_err(fail)?;
        alone.push(began.elapsed());
        docker.remove(&one.id).await.map_err(fail)?;
        docker.remove(&sandbox.id).await.map_err(fail)?;
        tokio::time::sleep(SETTLE).await;
        let mut watcher = watch(endpoint, PATH, &format!("p{number}")).await?;
        docker.stop(&id, 0).await.map_err(fail)?;
        let began = Instant::now();
        seen(&mut watcher, |p| {
            p["status"]["containerStatuses"][0]["restartCount"] == 1 && !p["status"]["containerStatuses"][0]["state"]["running"].is_null()
        })
        .await?;
        ours.push(began.elapsed());
    }
    Ok((percentile(&mut alone, 0.5), percentile(&mut ours, 0.5)))
}

async fn scale(endpoint: &Endpoint, connection: &mut Connection) -> Result<Duration, String> {
    let body = json!({"metadata": {"name": "many"}, "spec": {"replicas": FEW, "selector": {"app": "many"}, "template": template("many")}});
    connection.send(&request("POST", CONTROLLERS, "application/json", &body.to_string())).await?;
    let path = format!("{CONTROLLERS}/many");
    let mut watcher = watch(endpoint, CONTROLLERS, "many").await?;
    seen(&mut watcher, |rc| rc["status"]["readyReplicas"] == FEW).await?;
    let began = Instant::now();
    let patch = json!({"spec": {"replicas": MANY}}).to_string();
    connection.send(&request("PATCH", &path, "application/merge-patch+json", &patch)).await?;
    seen(&mut watcher, |rc| rc["status"]["readyReplicas"] == MANY).await?;
    let took = began.elapsed();
    connection.send(&request("DELETE", &path, "application/json", r#"{"propagationPolicy":"Foreground"}"#)).await?;
    let began = Instant::now();
    while get(connection, PATH).await?["items"].as_array().is_none_or(|left| !left.is_empty()) {
        if began.elapsed() > DEADLINE {
            return Err("pods were left behind".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(took)
}

async fn many(docker: &DockerRuntime) -> Result<Duration, String> {
    use futures::{StreamExt, TryStreamExt};
    let fail = |e: node::runtime::RuntimeError| e.to_string();
    let began = Instant::now();
    let made: Vec<(String, String)> = futures::stream::iter(0..MANY - FEW)
        .map(|number| async move {
            let sandbox = docker.run(&infra(format!("bench-many-infra-{number}"))).await.map_err(fail)?;
            let app = docker.run(&app(format!("bench-many-app-{number}"), &sandbox)).await.map_err(fail)?;
            Ok::<_, String>((app.id, sandbox.id))
        })
        .buffer_unordered(4)
        .try_collect()
        .await?;
    let took = began.elapsed();
    for (app, infra) in made {
        docker.remove(&app).await.map_err(fail)?;
        docker.remove(&infra).await.map_err(fail)?;
    }
    Ok(took)
}
