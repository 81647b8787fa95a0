//! One task for each pod: looks at what is wanted and what runs, asks `logic::pod::plan`, does it, reports.
//!
//! Level-triggered: signals only say "look again". A container that hangs holds up its own pod and no other.
mod doing;
mod ending;

use crate::agent::Node;
use crate::names;
use crate::runtime::{ContainerInfo, ContainerState, RuntimeError};
use crate::spec::LABEL_ATTEMPT;
use logic::pod::plan::{INFRA, Observed, Plan, plan, ran_well};
use logic::pod::status::Trouble;
use logic::pod::{Instance, Probed, status};
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::kinds::POD;
use shared::objects::pod::Pod;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Signals that may wait for one pod; a full queue only loses repeated calls to look again.
const SIGNALS_MAX: usize = 256;
/// Without any signal the pod is looked at again this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After something failed (an image, a mount), it is tried again after this, doubling up to the maximum.
const RETRY_FIRST_MS: i64 = 2_000;
const RETRY_MAX_MS: i64 = 300_000;

pub(crate) enum Signal {
    /// The pod as the API has it now.
    Desired(Box<Pod>),
    /// The API has it no more: everything goes at once.
    Gone,
    /// Something happened to one of its containers.
    Touched(String),
    /// All of its containers, from a full comparison.
    All(Vec<ContainerInfo>),
    /// A probe's verdict changed.
    Probed,
    /// A liveness or startup probe gave up on a container.
    Unhealthy { id: String, message: String },
}

/// Shared with probe tasks: container id → verdict.
pub(crate) type Probes = Arc<Mutex<BTreeMap<String, Probed>>>;

pub(crate) struct Worker {
    node: Arc<Node>,
    pod: Pod,
    instances: Vec<Instance>,
    pod_ip: String,
    probes: Probes,
    probe_tasks: BTreeMap<String, tokio::task::JoinHandle<()>>,
    troubles: BTreeMap<String, Trouble>,
    /// By container ("" for the pod): when to try again, and how often it failed.
    retries: BTreeMap<String, (i64, u32)>,
    /// Ends in a row that came too soon, by container.
    crashes: BTreeMap<String, u32>,
    /// Containers whose state must be asked for.
    touched: BTreeSet<String>,
    waiting: BTreeMap<String, i64>,
    reported: Value,
    signals: mpsc::Receiver<Signal>,
    sender: mpsc::Sender<Signal>,
}

/// Starts the task. `found` are containers of this pod that already exist: they are adopted, not disturbed.
pub(crate) fn start(node: Arc<Node>, pod: Pod, found: Vec<ContainerInfo>) -> mpsc::Sender<Signal> {
    let (sender, signals) = mpsc::channel(SIGNALS_MAX);
    let worker = Worker {
        node,
        pod,
        instances: Vec::new(),
        pod_ip: String::new(),
        probes: Probes::default(),
        probe_tasks: BTreeMap::new(),
        troubles: BTreeMap::new(),
        retries: BTreeMap::new(),
        crashes: BTreeMap::new(),
        touched: BTreeSet::new(),
        waiting: BTreeMap::new(),
        reported: Value::Null,
        signals,
        sender: sender.clone(),
    };
    tokio::spawn(worker.run(found));
    sender
}

pub(crate) fn now_text() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn parse_ms(text: Option<&String>) -> i64 {
    text.and_then(|t| t.parse::<jiff::Timestamp>().ok()).map_or(0, |t| t.as_millisecond())
}

/// RFC 3339 with whole seconds, as the API shows times.
fn whole_seconds(text: &str) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(|_| text.to_string(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

pub(crate) fn instance(info: &ContainerInfo) -> Option<Instance> {
    let parsed = names::parse(&info.name)?;
    Some(Instance {
        id: info.id.clone(),
        container: parsed.container,
        image: info.image.clone(),
        image_id: info.image_id.clone(),
        running: info.state == ContainerState::Running,
        hash: parsed.hash,
        attempt: info.labels.get(LABEL_ATTEMPT).and_then(|a| a.parse().ok()).unwrap_or(0),
        started_at: info.started_at.as_deref().map(whole_seconds),
        started_ms: parse_ms(info.started_at.as_ref()),
        finished_at: info.finished_at.as_deref().map(whole_seconds),
        finished_ms: parse_ms(info.finished_at.as_ref()),
        exit_code: info.exit_code,
        oom_killed: info.oom_killed,
        message: info.error.clone(),
    })
}

impl Worker {
    async fn run(mut self, found: Vec<ContainerInfo>) {
        self.take_all(found).await;
        loop {
            while let Ok(signal) = self.signals.try_recv() {
                if self.take(signal).await {
                    return self.end_at_once().await;
                }
            }
            if self.pod.metadata.is_deleting() {
                return self.end_gracefully().await;
            }
            self.look_at_touched().await;
            let plan = self.plan();
            let progress = self.execute(&plan).await;
            self.waiting = plan.waiting;
            self.report().await;
            if progress {
                continue;
            }
            if self.wait(plan.again_at_ms).await {
                return self.end_at_once().await;
            }
        }
    }

    /// Sleeps until a signal, a due time, or the regular look. True when the pod is gone.
    async fn wait(&mut self, again_at_ms: Option<i64>) -> bool {
        let retry = self.retries.values().map(|(at, _)| *at).min();
        let deadline = self.deadline_ms();
        let due = [again_at_ms, retry, deadline].into_iter().flatten().min();
        let pause = due.map_or(LOOK_EVERY, |at| Duration::from_millis(u64::try_from(at - now_ms()).unwrap_or(0).max(1)).min(LOOK_EVERY));
        tokio::select! {
            signal = self.signals.recv() => match signal {
                Some(signal) => self.take(signal).await,
                None => true,
            },
            () = tokio::time::sleep(pause) => false,
        }
    }

    fn deadline_ms(&self) -> Option<i64> {
        let seconds = self.pod.spec.active_deadline_seconds?;
        Some(parse_ms(self.pod.status.start_time.as_ref()).max(1) + seconds * 1000)
    }

    /// True when the pod is gone from the API.
    async fn take(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Desired(pod) => {
                if pod.metadata.revision() >= self.pod.metadata.revision() {
                    self.pod = *pod;
                }
            }
            Signal::Gone => return true,
            Signal::Touched(id) => {
                self.touched.insert(id);
            }
            Signal::All(found) => self.take_all(found).await,
            Signal::Probed => {}
            Signal::Unhealthy { id, message } => self.unhealthy(&id, message).await,
        }
        false
    }

    async fn take_all(&mut self, found: Vec<ContainerInfo>) {
        let known: BTreeSet<String> = found.iter().map(|i| i.id.clone()).collect();
        self.instances.retain(|i| known.contains(&i.id));
        for info in found {
            self.note(&info).await;
        }
    }

    /// Takes over what the engine says of one container.
    pub(super) async fn note(&mut self, info: &ContainerInfo) {
        let Some(mut new) = instance(info) else { return };
        if new.container == INFRA {
            if new.running {
                self.pod_ip =
                    if self.pod.spec.host_network { self.node.config.address.clone() } else { info.ip.clone().unwrap_or_default() };
            }
        } else if !new.running {
            new.message = self.termination_message(&new).await;
        }
        match self.instances.iter().position(|i| i.id == new.id) {
            Some(at) => {
                if self.instances[at].running && !new.running {
                    self.ended(&new);
                }
                self.instances[at] = new;
            }
            None => {
                if new.running && new.container != INFRA {
                    self.watch_probes(&new);
                }
                self.instances.push(new);
            }
        }
        // Newest first, as the plan reads them.
        self.instances.sort_by(|a, b| (b.attempt, b.started_ms).cmp(&(a.attempt, a.started_ms)));
    }

    /// A container was running and is not any more.
    fn ended(&mut self, instance: &Instance) {
        if let Some(task) = self.probe_tasks.remove(&instance.id) {
            task.abort();
        }
        self.probes.lock().remove(&instance.id);
        if instance.container != INFRA {
            let crashes = self.crashes.entry(instance.container.clone()).or_default();
            *crashes = if ran_well(instance) { 0 } else { *crashes + 1 };
        }
    }

    async fn look_at_touched(&mut self) {
        for id in std::mem::take(&mut self.touched) {
            match self.node.runtime.inspect(&id).await {
                Ok(info) => self.note(&info).await,
                Err(RuntimeError::NotFound(_)) => {
                    if let Some(at) = self.instances.iter().position(|i| i.id == id) {
                        let mut gone = self.instances.remove(at);
                        gone.running = false;
                        self.ended(&gone);
                    }
                }
                Err(error) => {
                    tracing::warn!(pod = self.pod.metadata.name, container = id, %error, "container state unknown; asking again");
                    self.touched.insert(id);
                    self.retry_later("");
                    return;
                }
            }
        }
        self.retries.remove("");
    }

    fn plan(&mut self) -> Plan {
        if self.deadline_ms().is_some_and(|at| at <= now_ms()) && !self.troubles.contains_key("") {
            let message = "Pod was active on the node longer than the specified deadline".to_string();
            self.troubles.insert(String::new(), Trouble { reason: "DeadlineExceeded".into(), message });
        }
        if self.troubles.get("").is_some_and(|t| t.reason == "DeadlineExceeded") {
            let running = self.instances.iter().filter(|i| i.running);
            let stop = |i: &Instance| logic::pod::plan::Action::Stop { id: i.id.clone(), reason: "the pod's deadline has passed" };
            return Plan { actions: running.map(stop).collect(), ..Plan::default() };
        }
        // The first early end is forgiven: its restart is at once.
        let failures = self.crashes.iter().map(|(k, n)| (k.clone(), n.saturating_sub(1))).collect();
        let probes = self.probes.lock().clone();
        plan(&Observed { pod: &self.pod, instances: &self.instances, probes: &probes, now_ms: now_ms(), failures: &failures })
    }

    pub(super) fn retry_later(&mut self, what: &str) {
        let (_, count) = self.retries.get(what).copied().unwrap_or_default();
        let delay = RETRY_FIRST_MS.saturating_mul(1 << count.min(10)).min(RETRY_MAX_MS);
        self.retries.insert(what.into(), (now_ms() + delay, count + 1));
    }

    /// Is it too early to try this again?
    pub(super) fn held_back(&self, what: &str) -> bool {
        self.retries.get(what).is_some_and(|(at, _)| *at > now_ms())
    }

    /// Writes the status if it says something new.
    pub(super) async fn report(&mut self) {
        let probes = self.probes.lock().clone();
        let now = now_text();
        let status = status::status(&status::Observed {
            pod: &self.pod,
            instances: &self.instances,
            probes: &probes,
            troubles: &self.troubles,
            waiting: &self.waiting,
            now_ms: now_ms(),
            now: &now,
            pod_ip: &self.pod_ip,
            host_ip: &self.node.config.address,
        });
        self.node.index(&self.pod.metadata.uid, &self.instances, &self.pod_ip);
        if status == self.reported {
            return;
        }
        let meta = &self.pod.metadata;
        // With the uid: a successor of the same name must not get this pod's status.
        let patch = json!({"metadata": {"uid": meta.uid}, "status": status});
        match self.node.api.patch_status(&POD, Some(&meta.namespace), &meta.name, patch).await {
            Ok(object) => {
                if let Ok(pod) = serde_json::from_value::<Pod>(object)
                    && pod.metadata.revision() >= self.pod.metadata.revision()
                {
                    self.pod = pod;
                }
                self.reported = status;
            }
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => {
                tracing::warn!(pod = meta.name, %error, "status not written; trying again");
                self.retry_later("status");
            }
        }
    }
}
