//! One step of a simulation: what a user asks for, or what goes wrong.
use crate::world::{JOB, World, parse};
use node::runtime::ContainerState;
use registry::options::DeleteOptions;
use serde_json::{Value, json};
use shared::kinds::{Kind, NAMESPACE, POD, REPLICATION_CONTROLLER, RESOURCE_QUOTA, SERVICE};
use std::time::Duration;

const NAMESPACES: [&str; 2] = ["a", "b"];
/// What the namespace `b` may hold.
const PODS_IN_B: &str = "6";
const REPLICAS_MAX: usize = 5;
const APPS: usize = 3;
/// Most pauses are short, so that things happen together; some are long, so that what happens now and then happens too.
const PAUSE_MAX_MS: usize = 120;
const LONG_PAUSE_MAX_MS: usize = 120_000;

/// Makes the two namespaces, one with a quota.
pub async fn found(world: &World) -> Result<(), String> {
    for namespace in NAMESPACES {
        settle_namespace(world, namespace).await.map_err(|s| s.message)?;
    }
    Ok(())
}

async fn settle_namespace(world: &World, name: &str) -> Result<(), shared::status::Status> {
    world.create(&NAMESPACE, None, json!({"metadata": {"name": name}})).await?;
    if name == "b" {
        let body = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": PODS_IN_B}}});
        world.create(&RESOURCE_QUOTA, Some(name), body).await?;
    }
    Ok(())
}

/// Does one thing and says what it was. Refusals are no failures: the world is not asked politely.
pub async fn act(world: &mut World) -> String {
    match world.below(100) {
        0..12 => create_controller(world).await,
        12..22 => scale(world).await,
        22..27 => delete_any(world, &REPLICATION_CONTROLLER).await,
        27..35 => create_service(world).await,
        35..39 => delete_any(world, &SERVICE).await,
        39..46 => delete_any(world, &POD).await,
        46..50 => relabel(world).await,
        50..58 => create_pod(world).await,
        58..60 => end_namespace(world).await,
        60..68 => end_container(world),
        68..74 => switch_engine(world),
        74..80 => switch_agent(world).await,
        80..86 => switch_network(world),
        86..90 => restart_server(world).await,
        90 => set_clock(world),
        _ => pause(world).await,
    }
}

fn app(world: &mut World) -> String {
    format!("app{}", world.below(APPS))
}

fn namespace(world: &mut World) -> &'static str {
    NAMESPACES[world.below(NAMESPACES.len())]
}

fn any(world: &mut World, kind: &'static Kind) -> Option<Value> {
    let mut all = world.all(kind);
    all.retain(|o| NAMESPACES.iter().any(|n| o["metadata"]["namespace"] == *n));
    if all.is_empty() { None } else { Some(all.swap_remove(world.below(all.len()))) }
}

async fn create_controller(world: &mut World) -> String {
    let (namespace, app, replicas) = (namespace(world), app(world), world.below(REPLICAS_MAX + 1));
    let template = json!({"metadata": {"labels": {"app": app}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "web"}]}});
    let body = json!({"metadata": {"name": app}, "spec": {"replicas": replicas, "selector": {"app": app}, "template": template}});
    let _ = world.create(&REPLICATION_CONTROLLER, Some(namespace), body).await;
    format!("create controller {namespace}/{app} with {replicas}")
}

async fn scale(world: &mut World) -> String {
    let Some(controller) = any(world, &REPLICATION_CONTROLLER) else { return "scale nothing".into() };
    let replicas = world.below(REPLICAS_MAX + 1);
    let _ = world.merge(&REPLICATION_CONTROLLER, &controller, json!({"spec": {"replicas": replicas}})).await;
    format!("scale {} to {replicas}", controller["metadata"]["name"])
}

async fn create_service(world: &mut World) -> String {
    let (namespace, app) = (namespace(world), app(world));
    let mut spec = json!({"selector": {"app": app}, "ports": [{"port": 80}]});
    if world.maybe(50) {
        // Few enough to be asked for again while somebody has them.
        spec["clusterIP"] = format!("172.30.9.{}", world.below(3)).into();
    }
    if world.maybe(50) {
        spec["type"] = "NodePort".into();
        spec["ports"][0]["nodePort"] = (30000 + world.below(3)).into();
    }
    let _ = world.create(&SERVICE, Some(namespace), json!({"metadata": {"name": app}, "spec": spec})).await;
    format!("create service {namespace}/{app}: {spec}")
}

async fn delete_any(world: &mut World, kind: &'static Kind) -> String {
    let Some(object) = any(world, kind) else { return "delete nothing".into() };
    let policy = [None, Some("Background"), Some("Foreground"), Some("Orphan")][world.below(4)].filter(|_| *kind == REPLICATION_CONTROLLER);
    let grace_period_seconds = world.maybe(30).then_some(0);
    let options = DeleteOptions { propagation_policy: policy.map(Into::into), grace_period_seconds, ..DeleteOptions::default() };
    let _ = world.delete(kind, &object, &options).await;
    format!("delete {} {} ({policy:?})", kind.kind, object["metadata"]["name"])
}

async fn relabel(world: &mut World) -> String {
    let Some(pod) = any(world, &POD) else { return "relabel nothing".into() };
    let app = if world.maybe(30) { app(world) } else { "none".into() };
    let _ = world.merge(&POD, &pod, json!({"metadata": {"labels": {"app": app}}})).await;
    format!("relabel {} as {app}", pod["metadata"]["name"])
}

async fn create_pod(world: &mut World) -> String {
    let namespace = namespace(world);
    let mut container = json!({"name": "c", "image": "web"});
    let mut restart = "Always";
    match world.below(3) {
        0 => container["ports"] = json!([{"containerPort": 80, "hostPort": 7000}]),
        1 => (container["image"], restart) = (JOB.into(), "Never"),
        _ => {}
    }
    let labels = if world.maybe(30) { json!({"app": app(world)}) } else { json!({}) };
    let spec = json!({"restartPolicy": restart, "terminationGracePeriodSeconds": 1, "containers": [container]});
    let _ = world.create(&POD, Some(namespace), json!({"metadata": {"generateName": "bare-", "labels": labels}, "spec": spec})).await;
    format!("create a bare pod in {namespace}")
}

async fn end_namespace(world: &mut World) -> String {
    let there = world.all(&NAMESPACE).into_iter().find(|n| n["metadata"]["name"] == "b");
    match there {
        Some(namespace) => {
            let _ = world.delete(&NAMESPACE, &namespace, &DeleteOptions::default()).await;
            "delete namespace b".into()
        }
        None => {
            let _ = settle_namespace(world, "b").await;
            "make namespace b again".into()
        }
    }
}

fn end_container(world: &mut World) -> String {
    let i = world.below(world.machines.len());
    let engine = world.machines[i].engine.clone();
    let all = engine.containers().into_iter().filter(|c| c.state == ContainerState::Running);
    let fresh: Vec<_> = all.filter(|c| parse(c).is_some_and(|(_, uid)| !world.ended.contains(&uid))).collect();
    if fresh.is_empty() {
        return "end no container".into();
    }
    let victim = &fresh[world.below(fresh.len())];
    world.ended.extend(parse(victim).map(|(_, uid)| uid));
    if world.maybe(50) {
        engine.end(&victim.id, 1, false);
        return format!("end {}", victim.name);
    }
    engine.vanish(&victim.id);
    format!("remove {}", victim.name)
}

fn switch_engine(world: &mut World) -> String {
    let (i, off) = (world.below(world.machines.len()), world.maybe(50));
    let engine = &world.machines[i].engine;
    engine.set_unreachable(off);
    if !off {
        engine.resync();
    }
    format!("switch engine {i} {}", if off { "off" } else { "on" })
}

async fn switch_agent(world: &mut World) -> String {
    let i = world.below(world.machines.len());
    if world.machines[i].agent.take().is_some() {
        return format!("stop agent {i}");
    }
    world.start_agent(i).await;
    format!("start agent {i}")
}

fn switch_network(world: &mut World) -> String {
    let (i, cut) = (world.below(world.machines.len()), world.maybe(50));
    world.machines[i].link.set_cut(cut);
    format!("{} the network of node {i}", if cut { "cut" } else { "mend" })
}

async fn restart_server(world: &mut World) -> String {
    world.kill_server();
    if world.maybe(50) {
        pause(world).await;
    }
    world.start_server().await;
    "restart the server".into()
}

/// Sets the wall clock an hour forward or back, as a machine with a bad clock does when it hears of the right time.
fn set_clock(world: &mut World) -> String {
    let seconds = if world.maybe(50) { 3600 } else { -3600 };
    crate::CLOCK_SET.set(crate::CLOCK_SET.get() + seconds);
    format!("set the clock by {seconds} s")
}

async fn pause(world: &mut World) -> String {
    let longest = if world.maybe(30) { LONG_PAUSE_MAX_MS } else { PAUSE_MAX_MS };
    let time = Duration::from_millis(world.below(longest) as u64);
    tokio::time::sleep(time).await;
    format!("pause for {time:?}")
}
