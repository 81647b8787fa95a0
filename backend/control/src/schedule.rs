//! Unbound pods → `logic::scheduler` → bindings. One task decides, so that no two decisions contradict each other;
//! the bindings themselves are written concurrently.
use crate::Context;
use crate::cache::Key;
use crate::events::now_text;
use crate::metrics;
use logic::facts::{NodeFacts, PodFacts};
use logic::scheduler::cluster::Cluster;
use logic::scheduler::{Decision, schedule};
use registry::options::{Patch, WriteOptions};
use serde_json::json;
use shared::kinds::POD;
use shared::meta::ObjectReference;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// Bindings under way at once.
const BINDINGS_MAX: usize = 256;
/// Pods that did not fit are tried again after a change, but no more often than this.
const RETRY_EVERY: Duration = Duration::from_millis(500);

enum Signal {
    Pod(Key, Option<Arc<PodFacts>>),
    Node(String, Option<Arc<NodeFacts>>),
    /// A binding was refused: forget the assumption.
    Refused(Arc<PodFacts>),
}

struct Scheduler {
    context: Context,
    cluster: Cluster,
    waiting: VecDeque<Key>,
    /// Pods to place, by key; those in `unfit` did not fit last time.
    pending: BTreeMap<Key, Arc<PodFacts>>,
    unfit: BTreeMap<Key, Arc<PodFacts>>,
    /// Placed, but the store's answer is not seen yet.
    assumed: BTreeMap<Key, String>,
    retry: bool,
    rotation: usize,
    signals: mpsc::UnboundedSender<Signal>,
    permits: Arc<Semaphore>,
}

pub(crate) fn start(context: &Context) {
    // Unbounded, but each object has at most a few signals under way: the caches produce them in store order.
    let (signals, receiver) = mpsc::unbounded_channel();
    let s = signals.clone();
    context.nodes.on_change(move |c| drop(s.send(Signal::Node(c.key.1.clone(), c.new.clone()))));
    let s = signals.clone();
    context.pods.on_change(move |c| drop(s.send(Signal::Pod(c.key.clone(), c.new.clone()))));
    let scheduler = Scheduler {
        context: context.clone(),
        cluster: Cluster::default(),
        waiting: VecDeque::new(),
        pending: BTreeMap::new(),
        unfit: BTreeMap::new(),
        assumed: BTreeMap::new(),
        retry: false,
        rotation: 0,
        signals,
        permits: Arc::new(Semaphore::new(BINDINGS_MAX)),
    };
    let stop = context.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = scheduler.run(receiver) => {}
            () = stop.cancelled() => {}
        }
    });
}

impl Scheduler {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Signal>) {
        let mut tick = tokio::time::interval(RETRY_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = tick.tick(), if self.retry && !self.unfit.is_empty() => self.try_unfit_again(),
                signal = receiver.recv() => match signal {
                    Some(signal) => self.take(signal),
                    None => return,
                },
            }
            // What has come meanwhile is taken first: decisions should rest on the newest state.
            while let Ok(signal) = receiver.try_recv() {
                self.take(signal);
            }
            while let Some(key) = self.waiting.pop_front() {
                if let Some(pod) = self.pending.remove(&key) {
                    metrics::PENDING.set(self.pending.len() + 1);
                    self.place(key, pod).await;
                }
            }
            metrics::PENDING.set(self.pending.len());
            metrics::UNFIT.set(self.unfit.len());
        }
    }

    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Node(_, Some(facts)) => {
                self.retry |= self.cluster.node(&facts.name).is_none_or(|n| n.facts != *facts);
                self.cluster.set_node(NodeFacts::clone(&facts));
            }
            Signal::Node(name, None) => self.cluster.remove_node(&name),
            Signal::Pod(key, None) => {
                self.forget(&key);
                self.cluster.remove_pod(&key);
                self.retry = true;
            }
            Signal::Pod(key, Some(pod)) => self.take_pod(key, pod),
            Signal::Refused(pod) => {
                let key = (pod.namespace.clone(), pod.name.clone());
                if self.assumed.remove(&key).is_some() {
                    self.cluster.remove_pod(&key);
                    if let Some(now) = self.context.pods.get(&key) {
                        self.take_pod(key, now);
                    }
                }
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        self.pending.remove(key);
        self.unfit.remove(key);
        self.assumed.remove(key);
    }

    fn take_pod(&mut self, key: Key, pod: Arc<PodFacts>) {
        if !pod.node.is_empty() || pod.phase.finished() {
            self.retry |= pod.phase.finished();
            self.forget(&key);
            self.cluster.set_pod(&pod);
            return;
        }
        let ours = matches!(pod.scheduling.scheduler_name.as_str(), "" | "default-scheduler");
        if pod.deleting || !ours || self.assumed.contains_key(&key) {
            return;
        }
        if let Some(before) = self.unfit.get_mut(&key) {
            // Our own condition coming back, or a label: no new reason to try.
            let same = before.scheduling.node_selector == pod.scheduling.node_selector
                && before.requests == pod.requests
                && before.scheduling.tolerations == pod.scheduling.tolerations;
            *before = pod.clone();
            if same {
                return;
            }
            self.unfit.remove(&key);
        }
        if self.pending.insert(key.clone(), pod).is_none() {
            self.waiting.push_back(key);
        }
    }

    fn try_unfit_again(&mut self) {
        self.retry = false;
        for (key, pod) in std::mem::take(&mut self.unfit) {
            self.waiting.push_back(key.clone());
            self.pending.insert(key, pod);
        }
    }

    async fn place(&mut self, key: Key, pod: Arc<PodFacts>) {
        self.rotation = self.rotation.wrapping_add(1);
        let began = Instant::now();
        let decision = schedule(&pod, &self.cluster, self.rotation);
        metrics::CHOOSING.since(began);
        match decision {
            Decision::Bind { node } => {
                let mut assumed = PodFacts::clone(&pod);
                assumed.node.clone_from(&node);
                self.cluster.set_pod(&Arc::new(assumed));
                self.assumed.insert(key, node.clone());
                self.bind(pod, node, began).await;
            }
            Decision::Unschedulable { message } => {
                metrics::UNSCHEDULABLE.inc();
                self.unfit.insert(key, pod.clone());
                if pod.scheduling.unschedulable != message {
                    self.say_unschedulable(pod, message);
                }
            }
        }
    }

    async fn bind(&self, pod: Arc<PodFacts>, node: String, began: Instant) {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (context, signals) = (self.context.clone(), self.signals.clone());
        tokio::spawn(async move {
            let outcome = context.registry.bind(&context.caller, &pod.namespace, &pod.name, &node).await;
            metrics::PLACING.since(began);
            drop(permit);
            match outcome {
                Ok(()) => {
                    metrics::SCHEDULED.inc();
                    let text = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                    context.events.say(about(&pod), false, "Scheduled", text);
                }
                Err(status) => {
                    tracing::debug!(namespace = pod.namespace, pod = pod.name, error = %status, "binding refused");
                    metrics::REFUSED.inc();
                    let _ = signals.send(Signal::Refused(pod));
                }
            }
        });
    }

    fn say_unschedulable(&self, pod: Arc<PodFacts>, message: String) {
        let context = self.context.clone();
        tokio::spawn(async move {
            let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": now_text()});
            let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
            let _ = context
                .registry
                .patch(&context.caller, &POD, Some(&pod.namespace), &pod.name, "status", patch, &WriteOptions::default())
                .await;
            context.events.say(about(&pod), true, "FailedScheduling", message);
        });
    }
}

fn about(pod: &PodFacts) -> ObjectReference {
    ObjectReference {
        kind: "Pod".into(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        api_version: "v1".into(),
        resource_version: pod.revision.to_string(),
        field_path: String::new(),
    }
}
