//! A pod's sandbox, and what is started together with it.
use super::Worker;
use super::doing::{Failure, not_run};
use crate::runtime::{ContainerInfo, Created, RuntimeError};
use crate::spec;
use futures::future::join_all;
use logic::pod::status::Trouble;

/// Where a container is to run.
pub(super) struct Sandbox {
    /// The infra container's.
    pub(super) id: String,
    pub(super) ip: String,
}

/// Container, attempt, what became of it.
type Outcome = (String, i32, Result<ContainerInfo, Failure>);

impl Worker {
    pub(super) async fn start_sandbox(&mut self, with: &[(String, i32)]) -> bool {
        match self.sandbox(with).await {
            Ok((info, outcomes)) => {
                self.retries.remove("sandbox");
                for c in self.pod.spec.containers.iter().chain(&self.pod.spec.init_containers) {
                    self.troubles.remove(&c.name);
                }
                self.note(&info).await;
                for (name, attempt, outcome) in outcomes {
                    self.started(&name, attempt, outcome).await;
                }
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

    /// Makes and starts the sandbox; what can be made ahead is made while it starts, and started right after it.
    async fn sandbox(&self, with: &[(String, i32)]) -> Result<(ContainerInfo, Vec<Outcome>), RuntimeError> {
        let runtime = &self.node.runtime;
        // One for all: a second permit would be waited for by eight workers that each hold one.
        let _permit = self.node.starts.acquire().await.expect("the semaphore is never closed");
        let made = runtime.create(&spec::infra(&self.pod)).await?;
        let id = made.info.id.clone();
        let ip = if self.pod.spec.host_network { Some(self.node.config.address.clone()) } else { made.info.ip.clone() };
        let sandbox = ip.map(|ip| Sandbox { id: id.clone(), ip });
        let (started, ahead) = tokio::join!(runtime.start(made), self.make_ahead(sandbox.as_ref(), with));
        match started {
            Ok(info) => {
                let starts = ahead.into_iter().map(|(name, attempt, made)| async move { (name, attempt, self.start_made(made).await) });
                Ok((info, join_all(starts).await))
            }
            Err(error) => {
                let all = ahead.iter().map(|(.., made)| &made.info.id).chain([&id]);
                join_all(all.map(|id| runtime.remove(id))).await;
                Err(error)
            }
        }
    }

    /// Makes containers whose sandbox does not run yet: name, attempt, container. Those that need more than their image, or cannot be
    /// made, are left to be started in the usual way, which says why.
    async fn make_ahead(&self, sandbox: Option<&Sandbox>, with: &[(String, i32)]) -> Vec<(String, i32, Created)> {
        let Some(sandbox) = sandbox else { return Vec::new() };
        let making = with.iter().filter(|(name, _)| !self.held_back(name)).map(|(name, attempt)| async move {
            let container = self.container(name).ok()?;
            // What must be pulled may take its time, and tells of it.
            if container.image_pull_policy == "Always" {
                return None;
            }
            let image = self.node.runtime.image(&container.image).await.ok()??;
            self.say_present(container);
            let spec = self.prepare(container, image, *attempt, sandbox).await.ok()?;
            Some((name.clone(), *attempt, self.node.runtime.create(&spec).await.ok()?))
        });
        join_all(making).await.into_iter().flatten().collect()
    }

    async fn start_made(&self, made: Created) -> Result<ContainerInfo, Failure> {
        let id = made.info.id.clone();
        let started = self.node.runtime.start(made).await;
        if started.is_err() {
            let _ = self.node.runtime.remove(&id).await;
        }
        started.map_err(not_run)
    }
}
