//! Rates of use from counters: measured when somebody asks, and not more often than makes sense.
use crate::streams::{NodeStats, PodStreams, Use};
use futures::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// Whoever asks sooner gets the last answer again.
const FRESH: Duration = Duration::from_secs(2);
/// What was measured longer ago says nothing of the present.
const STALE: Duration = Duration::from_secs(60);
/// Between the two looks that a first answer needs.
const FIRST_WINDOW: Duration = Duration::from_millis(500);
/// Of all nodes together.
const DEADLINE: Duration = Duration::from_secs(10);
const NODES_AT_ONCE: usize = 32;

/// A node (`pod` empty), or one container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    /// The pod's name, or the node's.
    pub name: String,
    /// Empty for nodes.
    pub container: String,
}

/// How much is used at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Billionths of a core.
    pub cpu_nanocores: u64,
    pub memory_bytes: u64,
    /// What the rate is the average of.
    pub window: Duration,
}

/// What everything used at one moment.
#[derive(Clone, Debug)]
pub struct Measured {
    pub at: SystemTime,
    pub rates: BTreeMap<Key, Rate>,
}

/// What each had used when its node said so.
type Counters = HashMap<Key, (Use, Instant)>;

#[derive(Default)]
struct Last {
    looked: Option<(Instant, Counters)>,
    answer: Option<Arc<Measured>>,
}

/// One measurement at a time; those who ask meanwhile get its answer.
#[derive(Default)]
pub struct Usage(Mutex<Last>);

impl Usage {
    /// The rates of everything on these nodes; what has only just started is not in it yet.
    pub async fn now(&self, streams: &dyn PodStreams, nodes: &[String]) -> Arc<Measured> {
        let mut last = self.0.lock().await;
        if let (Some((at, _)), Some(answer)) = (&last.looked, &last.answer)
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        if last.looked.as_ref().is_none_or(|(at, _)| at.elapsed() > STALE) {
            last.looked = Some((Instant::now(), look(streams, nodes).await));
            tokio::time::sleep(FIRST_WINDOW).await;
        }
        let (at, counters) = (Instant::now(), look(streams, nodes).await);
        let old = last.looked.take().map(|(_, counters)| counters).unwrap_or_default();
        let rates = rates(&old, &counters);
        let answer = Arc::new(Measured { at: SystemTime::now(), rates });
        *last = Last { looked: Some((at, counters)), answer: Some(answer.clone()) };
        answer
    }
}

/// A node that does not answer is left out.
async fn look(streams: &dyn PodStreams, nodes: &[String]) -> Counters {
    let asked = nodes.iter().cloned().map(|node| async move {
        let answer = streams.stats(&node).await;
        (node, answer, Instant::now())
    });
    let mut answers = futures::stream::iter(asked).buffer_unordered(NODES_AT_ONCE);
    let mut all = Counters::new();
    let gathering = async {
        while let Some((node, answer, at)) = answers.next().await {
            match answer {
                Ok(NodeStats { node: used, containers }) => {
                    all.insert(Key { namespace: String::new(), name: node, container: String::new() }, (used, at));
                    all.extend(
                        containers.into_iter().map(|c| (Key { namespace: c.namespace, name: c.pod, container: c.container }, (c.used, at))),
                    );
                }
                Err(error) => tracing::debug!(node, %error, "the node does not say what is used"),
            }
        }
    };
    if tokio::time::timeout(DEADLINE, gathering).await.is_err() {
        tracing::debug!("not every node said in time what is used");
    }
    all
}

/// Counters that went back belong to a container that was started anew: it has no rate yet.
fn rates(before: &Counters, now: &Counters) -> BTreeMap<Key, Rate> {
    let rate = |(key, (used, at)): (&Key, &(Use, Instant))| {
        let (old, since) = before.get(key)?;
        let (more, window) = (used.cpu_ns.checked_sub(old.cpu_ns)?, at.duration_since(*since));
        let cpu_nanocores = u64::try_from(u128::from(more) * 1_000_000_000 / window.as_nanos().max(1)).unwrap_or(u64::MAX);
        Some((key.clone(), Rate { cpu_nanocores, memory_bytes: used.memory_bytes, window }))
    };
    now.iter().filter_map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_what_was_used_since_the_last_look() {
        let key = |name: &str| Key { namespace: "p".into(), name: name.into(), container: "c".into() };
        let (window, first) = (Duration::from_secs(2), Instant::now());
        let used = |cpu_ns, memory_bytes, at| (Use { cpu_ns, memory_bytes }, at);
        let then = |cpu, memory| used(cpu, memory, first);
        let later = |cpu, memory| used(cpu, memory, first + window);
        let before = HashMap::from([(key("a"), then(1_000_000_000, 5)), (key("restarted"), then(9, 9)), (key("gone"), then(1, 1))]);
        let now = HashMap::from([(key("a"), later(1_500_000_000, 7)), (key("restarted"), later(3, 9)), (key("new"), later(1, 1))]);
        let wanted = BTreeMap::from([(key("a"), Rate { cpu_nanocores: 250_000_000, memory_bytes: 7, window })]);
        assert_eq!(rates(&before, &now), wanted);
    }
}
