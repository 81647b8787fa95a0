//! Carries out a plan: sandboxes, images, containers, probes.
use super::Worker;
use super::now_ms;
use super::sandbox::Sandbox;
use crate::metrics;
use crate::probes::{self, Target};
use crate::runtime::{ContainerInfo, ContainerSpec, Image, LogOptions, Output, RuntimeError};
use crate::spec::{self, Resolved};
use crate::{environment, etc, volumes};
use futures::StreamExt;
use futures::future::join_all;
use logic::pod::Instance;
use logic::pod::plan::{Action, INFRA, Plan};
use logic::pod::status::Trouble;
use shared::objects::pod::Container;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// A termination message is cut here, as Kubernetes does.
const MESSAGE_BYTES_MAX: usize = 4096;
/// How much of the log stands in for a message.
const MESSAGE_LOG_LINES: u64 = 80;
/// A postStart hook may take this long.
const POST_START_MAX: Duration = Duration::from_secs(60);

/// Files in volumes are compared with their sources this often.
const REFRESH_EVERY_MS: i64 = 60_000;

/// What is wrong, as status and event say it.
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

pub(super) fn not_run(error: RuntimeError) -> Failure {
    match error {
        RuntimeError::ImageMissing(image) => {
            Failure { reason: "ErrImagePull", message: format!("image {image} is not present on this node") }
        }
        error => Failure { reason: "RunContainerError", message: error.to_string() },
    }
}

impl Worker {
    /// Does what the plan says. True when something changed, so that it is worth planning again at once.
    pub(super) async fn execute(&mut self, plan: &Plan) -> bool {
        let mut progress = false;
        for action in &plan.actions {
            progress |= match action {
                Action::StartSandbox { .. } if self.held_back("sandbox") => false,
                Action::StartSandbox { with } => self.start_sandbox(with).await,
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
        for ((name, attempt), outcome) in due.into_iter().zip(outcomes) {
            progress |= self.started(&name, attempt, outcome).await;
        }
        progress
    }

    pub(super) async fn started(&mut self, name: &str, attempt: i32, outcome: Result<ContainerInfo, Failure>) -> bool {
        match &outcome {
            Ok(_) if attempt > 0 => metrics::RESTARTED.inc(),
            Ok(_) => {}
            Err(_) => metrics::START_ERRORS.inc(),
        }
        metrics::STARTED.add(u64::from(outcome.is_ok()));
        match outcome {
            Ok(info) => {
                self.troubles.remove(name);
                self.retries.remove(name);
                self.note(&info).await;
                self.say(name, false, "Created", format!("Created container: {name}"));
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

    pub(super) async fn unhealthy(&mut self, id: &str, message: &str) {
        if self.instances.iter().any(|i| i.id == id && i.running) {
            tracing::info!(pod = self.pod.metadata.name, container = id, message, "restarting an unhealthy container");
            self.stop(id, "it failed its liveness or startup probe and will be restarted").await;
        }
    }

    pub(super) fn container(&self, name: &str) -> Result<&Container, Failure> {
        let mut all = self.pod.spec.containers.iter().chain(&self.pod.spec.init_containers);
        let missing = || Failure { reason: "CreateContainerConfigError", message: format!("container {name} is not in the pod") };
        all.find(|c| c.name == name).ok_or_else(missing)
    }

    async fn start_container(&self, name: &str, attempt: i32) -> Result<ContainerInfo, Failure> {
        let container = self.container(name)?;
        let infra = self.instances.iter().find(|i| i.container == INFRA && i.running);
        let gone = || Failure { reason: "CreateContainerConfigError", message: "the pod's infra container is gone".into() };
        let sandbox = Sandbox { id: infra.ok_or_else(gone)?.id.clone(), ip: self.pod_ip.clone() };
        let image = self.ensure_image(container).await?;
        let spec = self.prepare(container, image, attempt, &sandbox).await?;
        let _permit = self.node.starts.acquire().await.expect("the semaphore is never closed");
        self.node.runtime.run(&spec).await.map_err(not_run)
    }

    /// Everything that a container needs beside its image before it can be made.
    pub(super) async fn prepare(
        &self,
        container: &Container,
        image: Image,
        attempt: i32,
        sandbox: &Sandbox,
    ) -> Result<ContainerSpec, Failure> {
        self.ensure_user(container, &image.user)?;
        let spec = self.specification(container, attempt, sandbox).await;
        let spec = spec.map_err(|message| Failure { reason: "CreateContainerConfigError", message })?;
        Ok(ContainerSpec { image_id: image.id, ..spec })
    }

    async fn specification(&self, container: &Container, attempt: i32, sandbox: &Sandbox) -> Result<ContainerSpec, String> {
        let node = &self.node;
        let dir = volumes::pod_dir(&node.config.data_dir, &self.pod.metadata.uid);
        let sources = environment::Sources {
            api: &*node.api,
            pod: &self.pod,
            services: &node.services.seen_from(&self.pod.metadata.namespace),
            host_ip: &node.config.address,
            pod_ip: &sandbox.ip,
            node: node.capacity,
        };
        let (env, known) = environment::resolve(&sources, container).await?;
        let paths = volumes::prepare(&self.volumes(&sandbox.ip))
            .await
            .inspect_err(|why| self.say(&container.name, true, "FailedMount", why.clone()))?;
        let (mut binds, tmpfs) = volumes::mounts(&self.pod, container, &paths, &known)?;
        binds.extend(etc::binds(&self.pod, container, &dir, &sandbox.ip, node.dns.as_ref().and_then(|dns| dns.service()))?);
        let termination = self.message_file(&container.name, attempt);
        let make = || -> std::io::Result<()> {
            std::fs::create_dir_all(termination.parent().unwrap_or(&dir))?;
            std::fs::write(&termination, b"")?;
            // Whatever user the container runs as may leave its last words.
            std::fs::set_permissions(&termination, std::fs::Permissions::from_mode(0o666))
        };
        make().map_err(|e| format!("{}: {e}", termination.display()))?;
        Ok(spec::container(&self.pod, container, &sandbox.id, attempt, Resolved { env, known, binds, tmpfs }, &termination))
    }

    fn volumes<'a>(&'a self, pod_ip: &'a str) -> volumes::Context<'a> {
        let node = &self.node;
        volumes::Context {
            api: &*node.api,
            pod: &self.pod,
            dir: volumes::pod_dir(&node.config.data_dir, &self.pod.metadata.uid),
            host_ip: &node.config.address,
            pod_ip,
            node: node.capacity,
        }
    }

    /// Brings config maps, secrets and tokens in running containers up to date.
    pub(super) async fn refresh_volumes(&mut self) {
        let running = self.instances.iter().any(|i| i.running && i.container != INFRA);
        if !running || !volumes::change(&self.pod) || (0..REFRESH_EVERY_MS).contains(&(now_ms() - self.refreshed_ms)) {
            return;
        }
        self.refreshed_ms = now_ms();
        if let Err(why) = volumes::prepare(&self.volumes(&self.pod_ip)).await {
            self.say("", true, "FailedMount", why);
        }
    }

    /// `runAsNonRoot` is checked before the container is made, not left to it.
    fn ensure_user(&self, container: &Container, of_image: &str) -> Result<(), Failure> {
        let (own, pod) = (container.security_context.clone().unwrap_or_default(), &self.pod.spec.security_context);
        if own.run_as_non_root.or(pod.run_as_non_root) != Some(true) {
            return Ok(());
        }
        let refuse = |message: String| Failure { reason: "CreateContainerConfigError", message };
        match own.run_as_user.or(pod.run_as_user) {
            Some(0) => Err(refuse("container's runAsUser breaks non-root policy".into())),
            Some(_) => Ok(()),
            None => {
                let user = of_image.split(':').next().unwrap_or_default();
                match user.parse::<i64>() {
                    Ok(0) => Err(refuse("container has runAsNonRoot and image will run as root".into())),
                    Ok(_) => Ok(()),
                    Err(_) if user.is_empty() => Err(refuse("container has runAsNonRoot and image will run as root".into())),
                    Err(_) => Err(refuse(format!(
                        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
                    ))),
                }
            }
        }
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

    pub(super) fn say_present(&self, container: &Container) {
        self.say(&container.name, false, "Pulled", format!("Container image \"{}\" already present on machine", container.image));
    }

    async fn ensure_image(&self, container: &Container) -> Result<Image, Failure> {
        let name = &container.image;
        let present = self.image(name).await?;
        match (container.image_pull_policy.as_str(), present) {
            ("Never", None) => {
                let message = format!("image {name:?} is not present on this node and its pull policy is Never");
                Err(Failure { reason: "ErrImageNeverPull", message })
            }
            ("Never", Some(image)) => Ok(image),
            ("Always", present) => self.pull(container, present).await,
            (_, Some(image)) => {
                self.say_present(container);
                Ok(image)
            }
            (_, None) => self.pull(container, None).await,
        }
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        let asked = self.node.runtime.image(name).await;
        asked.map_err(|e| Failure { reason: "ErrImagePull", message: e.to_string() })
    }

    async fn pull(&self, container: &Container, present: Option<Image>) -> Result<Image, Failure> {
        let name = &container.image;
        self.say(&container.name, false, "Pulling", format!("Pulling image \"{name}\""));
        match (self.node.runtime.pull(name).await, present) {
            (Ok(()), _) => {
                self.say(&container.name, false, "Pulled", format!("Successfully pulled image \"{name}\""));
                // One that was taken away again is missed when the container is made.
                Ok(self.image(name).await?.unwrap_or_default())
            }
            // The registry cannot be asked, but the image is here: better an older one than none, and it is said.
            (Err(error), Some(image)) => {
                let message = format!("Image \"{name}\" could not be pulled ({error}); using the one that is present");
                self.say(&container.name, true, "Pulled", message);
                Ok(image)
            }
            (Err(error), None) => {
                let again = self.retries.get(&container.name).is_some_and(|(_, n)| *n > 0);
                let message = format!("image \"{name}\" is not present on this node and cannot be pulled: {error}");
                Err(Failure { reason: if again { "ImagePullBackOff" } else { "ErrImagePull" }, message })
            }
        }
    }

    pub(super) fn target(&self, container: &Container, id: &str) -> Target {
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
}

fn event_reason(reason: &str) -> &'static str {
    match reason {
        "ImagePullBackOff" => "BackOff",
        _ => "Failed",
    }
}
