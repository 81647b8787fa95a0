//! One task for each pod: looks at what is wanted and what runs, asks `logic::pod::plan`, does it, reports.
//!
//! Level-triggered: signals only say "look again". A container that hangs holds up its own pod and no other.
mod doing;
mod ending;
mod sandbox;
mod watching;

use crate::agent::Node;
use crate::metrics;
use crate::names;
use crate::network::LABEL_ADDRESS;
use crate::runtime::{ContainerInfo, ContainerState, RuntimeError};
use crate::spec::LABEL_ATTEMPT;
use logic::pod::plan::{INFRA, Observed, Plan, ended, plan, ran_well};
use logic::pod::status::Trouble;
use logic::pod::{Instance, Probed, status};
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::kinds::POD;
use shared::objects::pod::Pod;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
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
    /// A probe failed, which may not mean anything yet.
    ProbeFailed { id: String, message: String },
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
    /// When files in volumes were last compared with what they come from.
    refreshed_ms: i64,
    reported: Value,
    /// When this agent first saw the pod.
    seen: Instant,
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
        // Tokens of adopted containers may have expired while nobody looked after them.
        refreshed_ms: 0,
        reported: Value::Null,
        seen: Instant::now(),
        signals,
        sender: sender.clone(),
    };
    // Two agents at work on one pod would each make its containers: the workers end with their agent.
    let stop = worker.node.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            // First: who is told to stop does nothing more, not even what is due at that moment.
            () = stop.cancelled() => {}
            () = worker.run(found) => {}
        }
    });
    sender
}

pub(crate) fn now_text() -> String {
    text(crate::clock::now())
}

/// RFC 3339 with whole seconds, as the API shows times.
pub(crate) fn text(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn now_ms() -> i64 {
    crate::clock::now().as_millisecond()
}

fn parse_ms(text: Option<&String>) -> i64 {
    text.and_then(|t| t.parse::<jiff::Timestamp>().ok()).map_or(0, |t| t.as_millisecond())
}

fn whole_seconds(given: &str) -> String {
    given.parse().map_or_else(|_| given.to_string(), text)
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

/// Has somebody else changed what was reported? Then it is reported again.
fn overruled(reported: &Value, pod: &Pod) -> bool {
    let ours = reported["conditions"].as_array().into_iter().flatten();
    let mut changed = ours.filter(|ours| {
        let stored = pod.status.conditions.iter().find(|c| ours["type"] == c.type_.as_str());
        stored.is_none_or(|c| ours["status"] != c.status.as_str())
    });
    !reported.is_null() && (reported["phase"] != pod.status.phase.as_str() || changed.next().is_some())
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.probe_tasks.values().for_each(tokio::task::JoinHandle::abort);
    }
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
            let looked_ms = now_ms();
            self.look_at_touched().await;
            let plan = self.plan();
            let progress = self.execute(&plan).await;
            self.say_backoffs(&plan);
            self.waiting = plan.waiting;
            self.report().await;
            if progress {
                continue;
            }
            self.refresh_volumes().await;
            if self.wait(looked_ms, plan.again_at_ms).await {
                return self.end_at_once().await;
            }
        }
    }

    /// Sleeps until a signal, a due time, or the regular look. True when the pod is gone.
    async fn wait(&mut self, looked_ms: i64, again_at_ms: Option<i64>) -> bool {
        let times = self.retries.values().map(|(at, _)| *at).chain(self.deadline_ms()).chain(again_at_ms);
        // What was due before the last look has had its turn; waking for it again would be a busy loop.
        let due = times.filter(|at| *at > looked_ms).min();
        let pause = due.map_or(LOOK_EVERY, |at| Duration::from_millis(u64::try_from(at - now_ms()).unwrap_or(0).max(1)).min(LOOK_EVERY));
        tokio::select! {
            biased;
            signal = self.signals.recv() => match signal {
                Some(signal) => self.take(signal).await,
                None => true,
            },
            () = tokio::time::sleep(pause) => false,
        }
    }

    fn deadline_ms(&self) -> Option<i64> {
        let seconds = self.pod.spec.active_deadline_seconds?;
        // Without a start there is no end: the first report sets the start.
        let started = self.pod.status.start_time.as_ref()?;
        Some(parse_ms(Some(started)).saturating_add(seconds.saturating_mul(1000)))
    }

    /// True when the pod is gone from the API.
    async fn take(&mut self, signal: Signal) -> bool {
        match signal {
            Signal::Desired(pod) => {
                let newer = pod.metadata.revision() > self.pod.metadata.revision();
                if pod.metadata.revision() >= self.pod.metadata.revision() {
                    self.pod = *pod;
                }
                if newer && overruled(&self.reported, &self.pod) {
                    self.reported = Value::Null;
                }
            }
            Signal::Gone => return true,
            Signal::Touched(id) => {
                self.touched.insert(id);
            }
            Signal::All(found) => self.compare(&found),
            Signal::Probed => {}
            Signal::ProbeFailed { id, message } => {
                if let Some(instance) = self.instances.iter().find(|i| i.id == id && i.running) {
                    self.say(&instance.container.clone(), true, "Unhealthy", message);
                }
            }
            Signal::Unhealthy { id, message } => self.unhealthy(&id, &message).await,
        }
        false
    }

    async fn take_all(&mut self, found: Vec<ContainerInfo>) {
        for info in found {
            self.note(&info).await;
        }
    }

    /// A full comparison was made a while ago and may be out of date: what differs is asked for again, never believed.
    /// (Believing it would make a second container in place of one that was made since.)
    fn compare(&mut self, found: &[ContainerInfo]) {
        let known = |i: &Instance| found.iter().any(|f| f.id == i.id && (f.state == ContainerState::Running) == i.running);
        let unconfirmed = self.instances.iter().filter(|i| !known(i)).map(|i| i.id.clone());
        let unknown = found.iter().filter(|f| !self.instances.iter().any(|i| i.id == f.id)).map(|f| f.id.clone());
        self.touched.extend(unconfirmed.chain(unknown));
    }

    /// A container that an earlier agent started keeps its readiness until a probe says otherwise: traffic must not stop
    /// because the agent began anew.
    fn inherit(&self, instance: &Instance) {
        let id = format!("docker://{}", instance.id);
        if let Some(reported) = self.pod.status.container_statuses.iter().find(|s| s.container_id == id) {
            let verdict = Probed { started: reported.started == Some(true), ready: reported.ready };
            self.probes.lock().insert(instance.id.clone(), verdict);
        }
    }

    fn say_backoffs(&self, plan: &Plan) {
        let meta = &self.pod.metadata;
        for (name, _) in plan.waiting.iter().filter(|(name, due)| self.waiting.get(*name) != Some(due)) {
            let message = format!("Back-off restarting failed container {name} in pod {}_{}({})", meta.name, meta.namespace, meta.uid);
            self.say(name, true, "BackOff", message);
        }
    }

    /// Takes over what the engine says of one container.
    pub(super) async fn note(&mut self, info: &ContainerInfo) {
        let Some(mut new) = instance(info) else { return };
        if info.state == ContainerState::Created {
            // Made, but whoever made it died before the start. It never ran, so its exit code 0 is no success.
            if let Err(error) = self.node.runtime.remove(&info.id).await {
                tracing::warn!(container = info.name, %error, "container that never started not removed");
            }
            return;
        }
        if new.container == INFRA {
            if info.labels.contains_key(LABEL_ADDRESS) && info.ip.is_none() {
                // Restarted by hand, or its cable is gone: without a network it is of no use, and makes way for another.
                new.running = false;
            }
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
                    self.inherit(&new);
                    self.watch_probes(&new);
                }
                self.instances.push(new);
            }
        }
        // Newest first, as the plan reads them.
        self.instances.sort_by_key(|i| std::cmp::Reverse((i.attempt, i.started_ms)));
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
        let mut touched = std::mem::take(&mut self.touched);
        while let Some(id) = touched.pop_first() {
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
                    touched.insert(id);
                    self.touched = touched;
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
        // No longer than the longest delay, even when the clock was set back meanwhile.
        self.retries.get(what).is_some_and(|(at, _)| (1..=RETRY_MAX_MS).contains(&(*at - now_ms())))
    }

    fn count_start(&self) {
        metrics::POD_START.since(self.seen);
        let created = parse_ms(self.pod.metadata.creation_timestamp.as_ref());
        let millis = u64::try_from(now_ms() - created).unwrap_or(0);
        metrics::POD_START_SINCE_CREATED.took(Duration::from_millis(millis));
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
        let taken_back = ended(&self.pod) && status["phase"] != self.pod.status.phase.as_str();
        if status == self.reported || taken_back {
            return;
        }
        let meta = &self.pod.metadata;
        // With the uid: a successor of the same name must not get this pod's status.
        let patch = json!({"metadata": {"uid": meta.uid}, "status": status});
        match self.node.api.patch_status(&POD, Some(&meta.namespace), &meta.name, patch).await {
            Ok(object) => {
                if self.pod.status.phase == "Pending" && status["phase"] == "Running" {
                    self.count_start();
                }
                if let Ok(pod) = serde_json::from_value::<Pod>(object)
                    && pod.metadata.revision() >= self.pod.metadata.revision()
                {
                    self.pod = pod;
                }
                self.reported = status;
                self.retries.remove("status");
            }
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => {
                tracing::warn!(pod = meta.name, %error, "status not written; trying again");
                self.retry_later("status");
            }
        }
    }
}
