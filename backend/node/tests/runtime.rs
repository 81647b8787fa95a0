//! What every container engine behind the `Runtime` trait must do, run on the simulated one and on Docker.
use futures::StreamExt;
#[cfg(feature = "host")]
use node::runtime::docker::DockerRuntime;
use node::runtime::simulated::{Behaviour, Simulated};
use node::runtime::{ContainerInfo, ContainerSpec, ContainerState, Created, Runtime, RuntimeError, RuntimeEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
/// Waits for ever; and an image that nobody has.
const WAITS: &str = "openshift/origin-pod:v0.4.1";
const MISSING: &str = "pilothouse.test/no-such-image:1";
const PROMISE: &str = "the engine keeps its promise";

struct Bench {
    runtime: Arc<dyn Runtime>,
    /// Marks this run's containers.
    mark: u32,
}

impl Bench {
    fn spec(&self, name: &str) -> ContainerSpec {
        ContainerSpec {
            name: format!("k8s_{name}_{:08x}", self.mark),
            image: WAITS.into(),
            labels: BTreeMap::from([("test".into(), name.into())]),
            ipc: Some("shareable".into()),
            ..ContainerSpec::default()
        }
    }

    async fn named(&self, name: &str) -> Option<ContainerInfo> {
        self.runtime.list().await.expect(PROMISE).into_iter().find(|c| c.name == self.spec(name).name)
    }

    async fn a_container_runs_only_after_its_start(&self) {
        let image = self.runtime.image(WAITS).await.expect(PROMISE).expect("the image is present");
        let created = self.runtime.create(&ContainerSpec { image_id: image.id, ..self.spec("steps") }).await.expect(PROMISE);
        let Created { info: announced, .. } = created.clone();
        let info = self.runtime.inspect(&announced.id).await.expect(PROMISE);
        assert_eq!((info.state, &info.started_at, &info.ip), (ContainerState::Created, &None, &None));
        assert_eq!(info, ContainerInfo { ip: None, ..announced.clone() });
        let started = self.runtime.start(created).await.expect(PROMISE);
        assert_eq!((started.id.as_str(), started.state), (announced.id.as_str(), ContainerState::Running));
        assert!(started.started_at.is_some() && started.ip.is_some(), "{started:?}");
        assert!(announced.ip.is_none() || announced.ip == started.ip, "the address that was announced is the one it has");
        assert_eq!(started.labels.get("test").map(String::as_str), Some("steps"));
        self.is_shown(started, "steps").await;
    }

    /// What a start answers is what the engine shows afterwards, but for some milliseconds.
    async fn is_shown(&self, started: ContainerInfo, name: &str) {
        let shown = self.named(name).await.expect(PROMISE);
        let moment = |info: &ContainerInfo| info.started_at.as_deref().and_then(|t| t.parse::<jiff::Timestamp>().ok()).expect(PROMISE);
        let apart = moment(&shown).duration_since(moment(&started)).abs();
        assert!(apart < jiff::SignedDuration::from_secs(5), "{apart:?}");
        assert_eq!(shown, ContainerInfo { started_at: shown.started_at.clone(), pid: shown.pid, ..started });
    }

    async fn what_joins_a_sandbox_may_be_made_before_that_runs(&self) {
        let sandbox = self.runtime.create(&self.spec("sandbox")).await.expect(PROMISE);
        let joined = Some(format!("container:{}", sandbox.info.id));
        let image = self.runtime.image(WAITS).await.expect(PROMISE).expect("the image is present");
        let inside = ContainerSpec { network: joined.clone(), ipc: joined, image_id: image.id, ..self.spec("inside") };
        let inside = self.runtime.create(&inside).await.expect(PROMISE);
        let sandbox = self.runtime.start(sandbox).await.expect(PROMISE);
        let inside = self.runtime.start(inside).await.expect(PROMISE);
        assert_eq!(inside.state, ContainerState::Running);
        self.is_shown(inside, "inside").await;
        assert_ne!(sandbox.ip, self.named("steps").await.expect(PROMISE).ip, "each sandbox has an address of its own");
    }

    async fn a_name_is_held_by_one(&self) {
        assert!(self.runtime.create(&self.spec("steps")).await.is_err());
        assert!(self.runtime.run(&self.spec("steps")).await.is_err());
        assert_eq!(self.named("steps").await.map(|c| c.state), Some(ContainerState::Running), "the holder is not disturbed");
    }

    async fn a_missing_image_is_named(&self) {
        let spec = ContainerSpec { image: MISSING.into(), ..self.spec("missing") };
        assert_eq!(self.runtime.run(&spec).await, Err(RuntimeError::ImageMissing(MISSING.into())));
        assert_eq!(self.runtime.image(MISSING).await, Ok(None));
        assert_eq!(self.named("missing").await, None);
    }

    async fn what_ends_and_what_goes_is_told(&self) {
        let mut events = self.runtime.events();
        assert_eq!(events.next().await, Some(RuntimeEvent::Resync));
        // The stream is open when it shows something; what happens before that is what the Resync is for.
        let first = self.runtime.run(&self.spec("first")).await.expect(PROMISE);
        let started = self.runtime.run(&self.spec("told")).await.expect(PROMISE);
        self.runtime.stop(&started.id, 5).await.expect(PROMISE);
        let ended = self.runtime.inspect(&started.id).await.expect(PROMISE);
        assert_eq!(ended.state, ContainerState::Exited);
        assert!(ended.finished_at.is_some() && ended.ip.is_none());
        self.runtime.remove(&started.id).await.expect(PROMISE);
        let mut wanted = vec!["die", "destroy"];
        let told = async {
            while let Some(event) = events.next().await {
                if let RuntimeEvent::Container { id, action, .. } = event
                    && id == started.id
                {
                    wanted.retain(|w| *w != action);
                    if wanted.is_empty() {
                        return;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("the end and the removal are told");
        self.runtime.remove(&first.id).await.expect(PROMISE);
    }

    async fn ending_and_removing_twice_is_no_error(&self) {
        let info = self.runtime.run(&self.spec("twice")).await.expect(PROMISE);
        for _ in 0..2 {
            self.runtime.stop(&info.id, 0).await.expect(PROMISE);
        }
        for _ in 0..2 {
            self.runtime.remove(&info.id).await.expect(PROMISE);
        }
        assert!(matches!(self.runtime.inspect(&info.id).await, Err(RuntimeError::NotFound(_))));
        assert_eq!(self.named("twice").await, None);
        assert!(matches!(self.runtime.exec(&info.id, &["x".into()], false, false, "").await, Err(RuntimeError::NotFound(_))));
    }

    async fn all(&self) {
        self.a_container_runs_only_after_its_start().await;
        self.what_joins_a_sandbox_may_be_made_before_that_runs().await;
        self.a_name_is_held_by_one().await;
        self.a_missing_image_is_named().await;
        self.what_ends_and_what_goes_is_told().await;
        self.ending_and_removing_twice_is_no_error().await;
        for name in ["inside", "sandbox", "steps"] {
            self.runtime.remove(&self.named(name).await.expect(PROMISE).id).await.expect(PROMISE);
        }
        assert_eq!(self.runtime.list().await, Ok(vec![]), "nothing is left");
    }
}

#[tokio::test]
async fn the_simulated_engine_does_what_an_engine_must() {
    let engine = Simulated::default();
    engine.behave(MISSING, Behaviour { missing: true, ..Behaviour::default() });
    Bench { runtime: Arc::new(engine), mark: 1 }.all().await;
}

#[cfg(feature = "host")]
async fn docker(pod_network: bool) {
    const ADDRESS: &str = "unix:///var/run/docker.sock";
    let mark = std::process::id() << 1 | u32::from(pod_network);
    let engine = DockerRuntime::connect(ADDRESS, &format!("conformance-{mark}")).expect(PROMISE);
    let engine = if pod_network { engine.with_pod_network(ADDRESS) } else { engine };
    let image = &images::POD;
    engine.load_image(image.name, image.root(), &[image.program.to_string()]).await.expect("Docker runs");
    let bench = Bench { runtime: Arc::new(engine), mark };
    // The agent too lists the engine before it makes anything.
    assert_eq!(bench.runtime.list().await, Ok(vec![]));
    bench.all().await;
}

#[cfg(feature = "host")]
#[tokio::test]
async fn docker_does_what_an_engine_must() {
    docker(false).await;
}

#[cfg(feature = "host")]
#[tokio::test]
async fn docker_with_sandboxes_plugged_in_by_the_agent_does_what_an_engine_must() {
    docker(true).await;
}
