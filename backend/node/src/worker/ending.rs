//! The end of a pod: hooks, a graceful stop, and nothing left behind.
use super::{Signal, Worker};
use crate::probes::{self, Target};
use crate::volumes;
use futures::future::join_all;
use logic::pod::plan::INFRA;
use std::time::Duration;

/// How long the last step is tried again before the full comparison takes it over.
const LAST_STEP_TRIES: u32 = 20;

impl Worker {
    /// The pod is being deleted: preStop hooks, TERM, KILL after the grace period, then the API forgets it.
    pub(super) async fn end_gracefully(mut self) {
        self.probe_tasks.values().for_each(tokio::task::JoinHandle::abort);
        let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or(30).max(0);
        let running: Vec<_> = self.instances.iter().filter(|i| i.running && i.container != INFRA).cloned().collect();
        for instance in &running {
            self.say(&instance.container, false, "Killing", format!("Stopping container {}", instance.container));
        }
        let stops = running.iter().map(|i| {
            let container = self.pod.spec.containers.iter().find(|c| c.name == i.container).cloned().unwrap_or_default();
            let target = Target { runtime: self.node.runtime.clone(), id: i.id.clone(), ip: self.pod_ip.clone(), container };
            stop_one(target, grace)
        });
        let all = join_all(stops);
        tokio::pin!(all);
        loop {
            tokio::select! {
                biased;
                _ = &mut all => break,
                signal = self.signals.recv() => match signal {
                    // Forced: nobody waits for grace any more.
                    Some(Signal::Gone) | None => break,
                    Some(Signal::Desired(pod)) if pod.metadata.deletion_grace_period_seconds == Some(0) => break,
                    Some(_) => {}
                },
            }
        }
        self.remove_everything().await;
        let meta = self.pod.metadata.clone();
        for _ in 0..LAST_STEP_TRIES {
            match self.node.api.delete_pod(&meta.namespace, &meta.name, &meta.uid).await {
                Ok(()) => break,
                Err(status) if status.is_not_found() || status.is_conflict() => break,
                Err(status) => {
                    tracing::warn!(pod = meta.name, error = %status, "deletion not confirmed; trying again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
        self.node.forget(&meta.uid);
    }

    /// The API has forgotten the pod already.
    pub(super) async fn end_at_once(mut self) {
        self.remove_everything().await;
        let uid = self.pod.metadata.uid.clone();
        self.node.forget(&uid);
    }

    async fn remove_everything(&mut self) {
        // Forced removal kills what still runs.
        join_all(self.instances.iter().map(|i| self.node.runtime.remove(&i.id))).await;
        let dir = volumes::pod_dir(&self.node.config.data_dir, &self.pod.metadata.uid);
        if let Err(error) = std::fs::remove_dir_all(&dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "volumes of an ended pod not removed");
        }
    }
}

/// The hook's time counts against the grace period, but TERM is always given a moment.
async fn stop_one(target: Target, grace: i64) {
    let began = tokio::time::Instant::now();
    if let Some(hook) = target.container.lifecycle.as_ref().and_then(|l| l.pre_stop.clone()) {
        let limit = Duration::from_secs(u64::try_from(grace.max(1)).unwrap_or(1));
        if let Err(why) = probes::hook(&target, &hook, limit).await {
            tracing::info!(container = target.container.name, why, "preStop hook failed");
        }
    }
    let used = i64::try_from(began.elapsed().as_secs()).unwrap_or(0);
    if let Err(error) = target.runtime.stop(&target.id, (grace - used).max(if grace == 0 { 0 } else { 2 })).await {
        tracing::warn!(container = target.container.name, %error, "container not stopped; removing it");
    }
}
