//! Carries out a plan: sandboxes, images, containers, probes.
use super::{Probes, Signal, Worker, now_ms};
use crate::probes::{self, Target};
use crate::runtime::{ContainerInfo, ContainerSpec, LogOptions, Output, RuntimeError};
use crate::spec::{self, Resolved};
use crate::{environment, volumes};
use futures::StreamExt;
use futures::future::join_all;
use logic::pod::plan::{Action, INFRA, Plan};
use logic::pod::status::Trouble;
use logic::pod::{Instance, Probed};
use shared::objects::pod::{Container, Probe};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// A termination message is cut here, as Kubernetes does.
const MESSAGE_BYTES_MAX: usize = 4096;
/// How much of the log stands in for a message.
const MESSAGE_LOG_LINES: u64 = 80;
/// A postStart hook may take this long.
const POST_START_MAX: Duration = Duration::from_secs(60);

/// What is wrong, as status and event say it.
struct Failure {
    reason: &'static str,
    message: String,
}

impl Worker {
    /// Does what the plan says. True when something changed, so that it is worth planning again at once.
    pub(super) async fn execute(&mut self, plan: &Plan) -> bool {
        let mut progress = false;
        for action in &plan.actions {
            progress |= match action {
                Action::StartSandbox if self.held_back("sandbox") => false,
                Action::StartSandbox => self.start_sandbox().await,
                Action::Stop { id, reason } => self.stop(id, reason).await,
                Action::Remove { id } => {
                    let removed = self.node.runtime.remove(id).await.is_ok();
                    self.instances.retain(|i| i.id != *id);
                    removed
                }
                Action::StartContainer { .. } => false,
            };
        }
        let due = plan.actions.iter().filter_map(|a| match a {
            Action::StartContainer { name, attempt, .. } if !self.held_back(name) => Some((name.clone(), *attempt)),
            _ => None,
        });
        let due: Vec<(String, i32)> = due.collect();
        if due.is_empty() {
            return progress;
        }
        // All containers of the pod at once; each failure is its own.
        let outcomes = join_all(due.iter().map(|(name, attempt)| self.start_container(name, *attempt))).await;
        for ((name, _), outcome) in due.into_iter().zip(outcomes) {
            progress |= self.started(&name, outcome).await;
        }
        progress
    }

    async fn started(&mut self, name: &str, outcome: Result<ContainerInfo, Failure>) -> bool {
        match outcome {
            Ok(info) => {
                self.troubles.remove(name);
                self.retries.remove(name);
                self.note(&info).await;
                self.say(name, false, "Started", format!("Started container {name}"));
                self.post_start(name, &info).await;
                true
            }
            Err(failure) => {
                self.say(name, true, event_reason(failure.reason), format!("Error: {}", failure.message));
                self.troubles.insert(name.into(), Trouble { reason: failure.reason.into(), message: failure.message });
                self.retry_later(name);
                false
            }
        }
    }

    pub(super) fn say(&self, container: &str, warning: bool, reason: &str, message: String) {
        let container = (container != INFRA && !container.is_empty()).then_some(container);
        self.node.events.say(&self.pod, container, warning, reason, message);
    }

    async fn start_sandbox(&mut self) -> bool {
        let outcome = {
            let _permit = self.node.starts.acquire().await.expect("the semaphore is never closed");
            self.node.runtime.run(&spec::infra(&self.pod)).await
        };
        match outcome {
            Ok(info) => {
                self.retries.remove("sandbox");
                for c in self.pod.spec.containers.iter().chain(&self.pod.spec.init_containers) {
                    self.troubles.remove(&c.name);
                }
                self.note(&info).await;
                true
            }
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                self.say("", true, "FailedCreatePodSandBox", message.clone());
                for c in &self.pod.spec.containers {
                    self.troubles.insert(c.name.clone(), Trouble { reason: "CreatePodSandboxError".into(), message: message.clone() });
                }
                self.retry_later("sandbox");
                false
            }
        }
    }

    async fn stop(&mut self, id: &str, reason: &str) -> bool {
        let Some(instance) = self.instances.iter().find(|i| i.id == id).cloned() else { return false };
        if instance.container != INFRA {
            self.say(&instance.container, false, "Killing", format!("Stopping container {}: {reason}", instance.container));
        }
        let grace = if instance.container == INFRA { 0 } else { self.pod.spec.termination_grace_period_seconds.unwrap_or(30) };
        match self.node.runtime.stop(id, grace).await {
            Ok(()) => {
                self.touched.insert(id.to_string());
                self.look_at_touched().await;
                true
            }
            Err(error) => {
                tracing::warn!(pod = self.pod.metadata.name, container = id, %error, "container not stopped");
                self.retry_later("stop");
                false
            }
        }
    }

    pub(super) async fn unhealthy(&mut self, id: &str, message: String) {
        let Some(instance) = self.instances.iter().find(|i| i.id == id && i.running).cloned() else { return };
        self.say(&instance.container, true, "Unhealthy", message);
        self.stop(id, "its liveness probe failed, it will be restarted").await;
    }

    async fn start_container(&self, name: &str, attempt: i32) -> Result<ContainerInfo, Failure> {
        let all = self.pod.spec.containers.iter().chain(&self.pod.spec.init_containers);
        let missing = || Failure { reason: "CreateContainerConfigError", message: format!("container {name} is not in the pod") };
        let container = all.clone().find(|c| c.name == name).ok_or_else(missing)?;
        self.ensure_image(container).await?;
        let spec =
            self.specification(container, attempt).await.map_err(|message| Failure { reason: "CreateContainerConfigError", message })?;
        let _permit = self.node.starts.acquire().await.expect("the semaphore is never closed");
        self.node.runtime.run(&spec).await.map_err(|error| match error {
            RuntimeError::ImageMissing(image) => {
                Failure { reason: "ErrImagePull", message: format!("image {image} is not present on this node") }
            }
            error => Failure { reason: "RunContainerError", message: error.to_string() },
        })
    }

    async fn specification(&self, container: &Container, attempt: i32) -> Result<ContainerSpec, String> {
        let infra = self.instances.iter().find(|i| i.container == INFRA && i.running).ok_or("the pod's infra container is gone")?;
        let node = &self.node;
        let dir = volumes::pod_dir(&node.config.data_dir, &self.pod.metadata.uid);
        let sources = environment::Sources {
            api: &*node.api,
            pod: &self.pod,
            services: &node.services.read().clone(),
            host_ip: &node.config.address,
            pod_ip: &self.pod_ip,
            node: node.capacity,
        };
        let (env, known) = environment::resolve(&sources, container).await?;
        let context = volumes::Context {
            api: &*node.api,
            pod: &self.pod,
            dir: dir.clone(),
            host_ip: &node.config.address,
            pod_ip: &self.pod_ip,
            node: node.capacity,
        };
        let paths = volumes::prepare(&context).await.inspect_err(|why| self.say(&container.name, true, "FailedMount", why.clone()))?;
        let (binds, tmpfs) = volumes::mounts(&self.pod, container, &paths)?;
        let termination = self.message_file(&container.name, attempt);
        let make = || -> std::io::Result<()> {
            std::fs::create_dir_all(termination.parent().unwrap_or(&dir))?;
            std::fs::write(&termination, b"")
        };
        make().map_err(|e| format!("{}: {e}", termination.display()))?;
        Ok(spec::container(&self.pod, container, &infra.id, attempt, Resolved { env, known, binds, tmpfs }, &termination))
    }

    fn message_file(&self, container: &str, attempt: i32) -> PathBuf {
        volumes::pod_dir(&self.node.config.data_dir, &self.pod.metadata.uid).join("containers").join(container).join(attempt.to_string())
    }

    /// What an ended container left for people to read.
    pub(super) async fn termination_message(&self, ended: &Instance) -> String {
        let file = std::fs::read(self.message_file(&ended.container, ended.attempt)).unwrap_or_default();
        let mut bytes = if file.is_empty() { ended.message.clone().into_bytes() } else { file };
        let all = self.pod.spec.containers.iter().chain(&self.pod.spec.init_containers);
        let container = all.clone().find(|c| c.name == ended.container);
        let fallback = container.is_some_and(|c| c.termination_message_policy == "FallbackToLogsOnError") && ended.exit_code != 0;
        if bytes.is_empty() && fallback {
            let options = LogOptions { tail: Some(MESSAGE_LOG_LINES), ..LogOptions::default() };
            if let Ok(mut lines) = self.node.runtime.logs(&ended.id, &options).await {
                while let Some(Ok(Output::Stdout(line) | Output::Stderr(line))) = lines.next().await {
                    bytes.extend_from_slice(&line);
                }
            }
        }
        let start = bytes.len().saturating_sub(MESSAGE_BYTES_MAX);
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    async fn ensure_image(&self, container: &Container) -> Result<(), Failure> {
        let image = &container.image;
        let runtime = &self.node.runtime;
        let unreachable = |e: RuntimeError| Failure { reason: "ErrImagePull", message: e.to_string() };
        let present = runtime.image_present(image).await.map_err(unreachable)?;
        match container.image_pull_policy.as_str() {
            "Never" if !present => {
                return Err(Failure {
                    reason: "ErrImageNeverPull",
                    message: format!("image {image:?} is not present on this node and its pull policy is Never"),
                });
            }
            "Always" => {}
            _ if present => {
                self.say(&container.name, false, "Pulled", format!("Container image \"{image}\" already present on machine"));
                return Ok(());
            }
            _ => {}
        }
        if container.image_pull_policy == "Never" {
            return Ok(());
        }
        self.say(&container.name, false, "Pulling", format!("Pulling image \"{image}\""));
        match runtime.pull(image).await {
            Ok(()) => self.say(&container.name, false, "Pulled", format!("Successfully pulled image \"{image}\"")),
            // The registry cannot be asked, but the image is here: better an older one than none, and it is said.
            Err(error) if present => self.say(
                &container.name,
                true,
                "Pulled",
                format!("Image \"{image}\" could not be pulled ({error}); using the one that is present"),
            ),
            Err(error) => {
                let reason =
                    if self.retries.get(&container.name).is_some_and(|(_, n)| *n > 0) { "ImagePullBackOff" } else { "ErrImagePull" };
                let message = format!("image \"{image}\" is not present on this node and cannot be pulled: {error}");
                return Err(Failure { reason, message });
            }
        }
        Ok(())
    }

    fn target(&self, container: &Container, id: &str) -> Target {
        Target { runtime: self.node.runtime.clone(), id: id.into(), ip: self.pod_ip.clone(), container: container.clone() }
    }

    async fn post_start(&mut self, name: &str, info: &ContainerInfo) {
        let container = self.pod.spec.containers.iter().find(|c| c.name == name).cloned();
        let Some(container) = container else { return };
        let Some(handler) = container.lifecycle.as_ref().and_then(|l| l.post_start.clone()) else { return };
        if let Err(why) = probes::hook(&self.target(&container, &info.id), &handler, POST_START_MAX).await {
            self.say(name, true, "FailedPostStartHook", format!("PostStartHook failed: {why}"));
            self.stop(&info.id, "its postStart hook failed").await;
        }
    }

    /// Starts the task that probes a running container, if it has probes.
    pub(super) fn watch_probes(&mut self, instance: &Instance) {
        let Some(container) = self.pod.spec.containers.iter().find(|c| c.name == instance.container).cloned() else { return };
        if container.liveness_probe.is_none() && container.readiness_probe.is_none() && container.startup_probe.is_none() {
            return;
        }
        let (target, probes, sender) = (self.target(&container, &instance.id), self.probes.clone(), self.sender.clone());
        let task = tokio::spawn(async move { watch(target, probes, sender).await });
        self.probe_tasks.insert(instance.id.clone(), task);
    }
}

fn event_reason(reason: &str) -> &'static str {
    match reason {
        "ImagePullBackOff" => "BackOff",
        _ => "Failed",
    }
}

/// Startup first; then liveness and readiness beside each other, until the container ends or is given up.
async fn watch(target: Target, probes: Probes, sender: mpsc::Sender<Signal>) {
    let container = target.container.clone();
    if let Some(probe) = &container.startup_probe
        && !until_decided(&target, probe, "Startup", &sender).await
    {
        return;
    }
    set(&probes, &target.id, |p| p.started = true);
    let _ = sender.send(Signal::Probed).await;
    let live = async {
        if let Some(probe) = &container.liveness_probe {
            let message = until_failed(&target, probe).await;
            let _ = sender.send(Signal::Unhealthy { id: target.id.clone(), message: format!("Liveness probe failed: {message}") }).await;
        }
    };
    let ready = async {
        if let Some(probe) = &container.readiness_probe {
            readiness(&target, probe, &probes, &sender).await;
        }
    };
    tokio::join!(live, ready);
}

fn set(probes: &Probes, id: &str, change: impl FnOnce(&mut Probed)) -> bool {
    let mut probes = probes.lock();
    let entry = probes.entry(id.to_string()).or_default();
    let before = *entry;
    change(entry);
    *entry != before
}

fn period(probe: &Probe) -> Duration {
    Duration::from_secs(u64::try_from(probe.period_seconds.max(1)).unwrap_or(10))
}

fn initial(probe: &Probe) -> Duration {
    Duration::from_secs(u64::try_from(probe.initial_delay_seconds.max(0)).unwrap_or(0))
}

/// True when the probe succeeded; false when it gave up, which has been told.
async fn until_decided(target: &Target, probe: &Probe, name: &str, sender: &mpsc::Sender<Signal>) -> bool {
    tokio::time::sleep(initial(probe)).await;
    let mut failures = 0;
    loop {
        match probes::probe(target, probe).await {
            Ok(()) => return true,
            Err(why) => {
                failures += 1;
                if failures >= probe.failure_threshold.max(1) {
                    let _ = sender.send(Signal::Unhealthy { id: target.id.clone(), message: format!("{name} probe failed: {why}") }).await;
                    return false;
                }
            }
        }
        tokio::time::sleep(period(probe)).await;
    }
}

/// Probes until the failure threshold is passed; the last fault.
async fn until_failed(target: &Target, probe: &Probe) -> String {
    tokio::time::sleep(initial(probe)).await;
    let mut failures = 0;
    loop {
        match probes::probe(target, probe).await {
            Ok(()) => failures = 0,
            Err(why) => {
                failures += 1;
                if failures >= probe.failure_threshold.max(1) {
                    return why;
                }
            }
        }
        tokio::time::sleep(period(probe)).await;
    }
}

async fn readiness(target: &Target, probe: &Probe, probes: &Probes, sender: &mpsc::Sender<Signal>) {
    tokio::time::sleep(initial(probe)).await;
    let (mut good, mut bad) = (0, 0);
    loop {
        let began = now_ms();
        match probes::probe(target, probe).await {
            Ok(()) => (good, bad) = (good + 1, 0),
            Err(_) => (good, bad) = (0, bad + 1),
        }
        let verdict = if good >= probe.success_threshold.max(1) {
            Some(true)
        } else if bad >= probe.failure_threshold.max(1) {
            Some(false)
        } else {
            None
        };
        if let Some(ready) = verdict
            && set(probes, &target.id, |p| p.ready = ready)
        {
            let _ = sender.send(Signal::Probed).await;
        }
        let took = Duration::from_millis(u64::try_from(now_ms() - began).unwrap_or(0));
        tokio::time::sleep(period(probe).saturating_sub(took)).await;
    }
}
