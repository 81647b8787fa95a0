//! The agent on a simulated engine: what it does to pods, and what it must never do.
mod support;

use node::agent::{Agent, AgentConfig};
use node::runtime::simulated::{Behaviour, Latency, Simulated, running};
use node::runtime::{ContainerInfo, ContainerState};
use serde_json::{Value, json};
use shared::kinds::{EVENT, POD};
use std::sync::Arc;
use std::time::Duration;
use support::{FakeApi, until};

struct Scene {
    api: FakeApi,
    engine: Simulated,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { api: FakeApi::new(), engine: Simulated::new(Latency::default()), dir: tempfile::tempdir().unwrap() }
    }

    async fn agent(&self) -> Agent {
        let config = AgentConfig {
            node_name: "n1".into(),
            address: "127.0.0.1".into(),
            data_dir: self.dir.path().into(),
            pods_max: 110,
            dns_interface: None,
        };
        Agent::start(config, Arc::new(self.api.clone()), Arc::new(self.engine.clone()), None).await
    }

    fn pod(&self, name: &str, spec: Value) {
        let mut body = json!({"metadata": {"name": name, "uid": uid(name)}, "spec": {"nodeName": "n1", "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 1, "containers": [{"name": "a", "image": "app", "imagePullPolicy": "IfNotPresent"}]}});
        for (key, value) in spec.as_object().unwrap() {
            body["spec"][key] = value.clone();
        }
        self.api.put(&POD, "ns", body);
    }

    fn status(&self, name: &str) -> Value {
        self.api.object(&POD, "ns", name).map_or(Value::Null, |p| p["status"].clone())
    }

    fn apps(&self, name: &str) -> Vec<ContainerInfo> {
        let mark = format!("_{name}.ns.api_");
        self.engine.containers().into_iter().filter(|c| c.name.contains(&mark) && c.name.starts_with("k8s_a.")).collect()
    }

    async fn phase(&self, name: &str, phase: &str) -> Value {
        until(&format!("{name} {phase}"), || Some(self.status(name)).filter(|s| s["phase"] == phase)).await
    }

    fn events(&self, reason: &str) -> usize {
        self.api.all(&EVENT).iter().filter(|e| e["reason"] == reason).count()
    }
}

fn uid(name: &str) -> String {
    format!("00000000-0000-11e4-be9b-{name}")
}

fn ready(status: &Value) -> bool {
    status["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

#[tokio::test]
async fn a_pod_runs_is_reported_and_goes_without_a_trace() {
    let scene = Scene::new();
    let _agent = scene.agent().await;
    scene.pod("p", json!({}));
    let status = scene.phase("p", "Running").await;
    assert!(ready(&status) && status["podIP"].as_str().unwrap().starts_with("10."), "{status}");
    for reason in ["Pulled", "Created", "Started"] {
        until(reason, || (scene.events(reason) == 1).then_some(())).await;
    }
    let mut pod = scene.api.object(&POD, "ns", "p").unwrap();
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(1);
    scene.api.put(&POD, "ns", pod);
    until("deletion", || scene.api.object(&POD, "ns", "p").is_none().then_some(())).await;
    assert_eq!(scene.engine.containers(), []);
    assert!(!scene.dir.path().join("pods").join(uid("p")).exists());
}

#[tokio::test]
async fn a_killed_container_is_back_at_once_and_counted_even_if_it_vanishes() {
    let scene = Scene::new();
    let _agent = scene.agent().await;
    scene.pod("p", json!({}));
    scene.phase("p", "Running").await;
    for restarts in 1..4 {
        let id = running(&scene.apps("p"), "k8s_a.").into_iter().next().unwrap();
        scene.engine.vanish(&id);
        let count = || scene.status("p")["containerStatuses"][0].clone();
        until(&format!("restart {restarts}"), || {
            let c = count();
            (c["restartCount"] == restarts && c["state"]["running"].is_object()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_active_deadline_counts_from_the_start_and_the_agent_rests_after_it() {
    let scene = Scene::new();
    let _agent = scene.agent().await;
    scene.pod("p", json!({"activeDeadlineSeconds": 3600}));
    scene.phase("p", "Running").await;
    scene.pod("q", json!({"activeDeadlineSeconds": 1}));
    scene.phase("q", "Running").await;
    let failed = scene.phase("q", "Failed").await;
    assert_eq!(failed["reason"], "DeadlineExceeded");
    until("q stopped", || running(&scene.apps("q"), "k8s_a.").is_empty().then_some(())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    rests().await;
}

#[tokio::test]
async fn a_status_that_could_not_be_written_is_written_later_without_a_busy_loop() {
    let scene = Scene::new();
    let _agent = scene.agent().await;
    scene.api.refuse_status(1);
    scene.pod("p", json!({}));
    scene.phase("p", "Running").await;
    // The retry that is over must not wake the worker again and again: idle workers use no processor time.
    until("the retry is due", || (scene.api.status_writes() >= 2).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    rests().await;
}

/// How often this thread has gone to sleep and woken again; every test here has one thread.
fn wakings() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    text.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")).unwrap().trim().parse().unwrap()
}

async fn rests() {
    let before = wakings();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let woken = wakings() - before;
    assert!(woken < 100, "woken {woken} times in an idle second");
}

#[tokio::test]
async fn a_finished_pod_never_runs_again_though_its_containers_are_cleared_away() {
    let scene = Scene::new();
    scene.engine.behave("once", Behaviour { ends_after: Some(Duration::from_millis(20)), ..Behaviour::default() });
    let _agent = scene.agent().await;
    scene.pod("p", json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "once"}]}));
    scene.phase("p", "Succeeded").await;
    until("sandbox stopped", || running(&scene.engine.containers(), "k8s_").is_empty().then_some(())).await;
    for c in scene.engine.containers() {
        scene.engine.vanish(&c.id);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(scene.engine.containers(), []);
    assert_eq!(scene.status("p")["phase"], "Succeeded");
}

#[tokio::test]
async fn a_container_that_was_made_but_never_started_is_no_success() {
    let scene = Scene::new();
    let name = |c: &str| format!("k8s_{c}.1_p.ns.api_{}_0000000{}", uid("p"), c.len());
    let left = |c: &str, state, ip: Option<&str>| ContainerInfo {
        id: format!("id-{c}"),
        name: name(c),
        image: "app".into(),
        image_id: String::new(),
        labels: Default::default(),
        state,
        started_at: (state == ContainerState::Running).then(|| "2026-01-01T00:00:00Z".into()),
        finished_at: None,
        exit_code: 0,
        oom_killed: false,
        error: String::new(),
        ip: ip.map(Into::into),
        pid: None,
    };
    scene.engine.put(left("POD", ContainerState::Running, Some("10.9.9.9")));
    scene.engine.put(left("a", ContainerState::Created, None));
    scene.pod("p", json!({"restartPolicy": "Never"}));
    let _agent = scene.agent().await;
    let status = until("an answer", || Some(scene.status("p")).filter(|s| s["phase"] == "Running" || s["phase"] == "Succeeded")).await;
    assert_eq!(status["phase"], "Running", "{status}");
    assert_eq!(status["podIP"], "10.9.9.9", "the sandbox is adopted");
}

#[tokio::test]
async fn a_new_agent_disturbs_neither_containers_nor_readiness() {
    let scene = Scene::new();
    let first = scene.agent().await;
    // So many failures are allowed that the new agent reaches no verdict of its own within this test.
    let probe =
        json!({"exec": {"command": ["true"]}, "periodSeconds": 1, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3600});
    scene.pod("p", json!({"containers": [{"name": "a", "image": "app", "readinessProbe": probe}]}));
    until("ready", || ready(&scene.status("p")).then_some(())).await;
    let before = scene.engine.containers();
    drop(first);
    scene.engine.behave("app", Behaviour { exec_code: 1, ..Behaviour::default() });
    let _second = scene.agent().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(ready(&scene.status("p")), "{}", scene.status("p"));
    assert_eq!(scene.engine.containers(), before);
}

// The clock stands still: what takes no time on this engine is done at the moment of the end, as in the worst case.
#[tokio::test(start_paused = true)]
async fn an_agent_that_is_told_to_stop_starts_nothing_more() {
    let scene = Scene::new();
    let agent = scene.agent().await;
    scene.pod("p", json!({}));
    scene.phase("p", "Running").await;
    let before = scene.engine.containers();
    // Both at the same moment: the news of a pod must not win over the end.
    agent.shutdown();
    scene.pod("q", json!({}));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.engine.containers(), before);
}

#[tokio::test]
async fn a_comparison_that_is_out_of_date_makes_no_second_container() {
    let scene = Scene::new();
    let latency = Latency { list: Duration::from_millis(400), start: Duration::from_millis(200), ..Latency::default() };
    let scene = Scene { engine: Simulated::new(latency), ..scene };
    let _agent = scene.agent().await;
    scene.pod("p", json!({}));
    let running = || scene.engine.containers().iter().filter(|c| c.state == ContainerState::Running).count();
    until("the sandbox", || (running() == 1).then_some(())).await;
    // The list that this asks for shows the sandbox, and a container that does not run yet.
    scene.engine.resync();
    scene.phase("p", "Running").await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(scene.engine.containers().len(), 2, "{:?}", scene.engine.containers());
}

#[tokio::test]
async fn a_status_that_somebody_else_changed_is_put_right() {
    let scene = Scene::new();
    let _agent = scene.agent().await;
    scene.pod("p", json!({}));
    until("ready", || ready(&scene.status("p")).then_some(())).await;
    let mut pod = scene.api.object(&POD, "ns", "p").unwrap();
    for c in pod["status"]["conditions"].as_array_mut().unwrap() {
        c["status"] = json!("False");
    }
    scene.api.put(&POD, "ns", pod);
    until("ready again", || ready(&scene.status("p")).then_some(())).await;
}

#[tokio::test]
async fn root_is_refused_where_it_is_not_allowed() {
    let scene = Scene::new();
    let _agent = scene.agent().await;
    scene.pod("p", json!({"containers": [{"name": "a", "image": "app", "securityContext": {"runAsNonRoot": true}}]}));
    let waiting = until("refusal", || {
        let w = scene.status("p")["containerStatuses"][0]["state"]["waiting"].clone();
        (w["reason"] == "CreateContainerConfigError").then_some(w)
    })
    .await;
    assert!(waiting["message"].as_str().unwrap().contains("runAsNonRoot"), "{waiting}");
    assert!(scene.apps("p").is_empty());
}
