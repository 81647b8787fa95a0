//! Watches over a running container with its probes and tells its worker what they find.
use super::{Probes, Signal, Worker, now_ms};
use crate::metrics::{self, Probe as Kind};
use crate::probes::{self, Target};
use logic::pod::{Instance, Probed};
use shared::objects::pod::Probe;
use std::time::Duration;
use tokio::sync::mpsc;

impl Worker {
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

/// Startup first; then liveness and readiness beside each other, until the container ends or is given up.
async fn watch(target: Target, probes: Probes, sender: mpsc::Sender<Signal>) {
    let container = target.container.clone();
    // An adopted container that was seen to have started is not asked again.
    let started = probes.lock().get(&target.id).is_some_and(|p| p.started);
    if let Some(probe) = &container.startup_probe
        && !started
        && !until_decided(&target, probe, "Startup", &sender).await
    {
        return;
    }
    set(&probes, &target.id, |p| p.started = true);
    let _ = sender.send(Signal::Probed).await;
    let live = async {
        if let Some(probe) = &container.liveness_probe {
            let message = until_failed(&target, probe, &sender).await;
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

/// Each failure becomes an event, counted up while it repeats.
async fn tell(sender: &mpsc::Sender<Signal>, target: &Target, message: String) {
    let _ = sender.send(Signal::ProbeFailed { id: target.id.clone(), message }).await;
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
        match metrics::probed(Kind::Startup, probes::probe(target, probe).await) {
            Ok(()) => return true,
            Err(why) => {
                failures += 1;
                tell(sender, target, format!("{name} probe failed: {why}")).await;
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
async fn until_failed(target: &Target, probe: &Probe, sender: &mpsc::Sender<Signal>) -> String {
    tokio::time::sleep(initial(probe)).await;
    let mut failures = 0;
    loop {
        match metrics::probed(Kind::Liveness, probes::probe(target, probe).await) {
            Ok(()) => failures = 0,
            Err(why) => {
                failures += 1;
                tell(sender, target, format!("Liveness probe failed: {why}")).await;
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
        match metrics::probed(Kind::Readiness, probes::probe(target, probe).await) {
            Ok(()) => (good, bad) = (good + 1, 0),
            Err(why) => {
                (good, bad) = (0, bad + 1);
                tell(sender, target, format!("Readiness probe failed: {why}")).await;
            }
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
