//! What to start and stop next for a pod, from what is wanted and what the engine shows.
use super::{Instance, Probed, hash};
use shared::objects::pod::{Container, Pod};
use std::collections::BTreeMap;

/// After a crash the first restart is at once, then 10 s, doubling up to five minutes, as Kubernetes does it.
const BACKOFF_FIRST_MS: i64 = 10_000;
const BACKOFF_MAX_MS: i64 = 300_000;
/// A container that ran this long did not crash at its start: whatever ended it, it is restarted at once.
const RAN_WELL_MS: i64 = 10_000;
/// Dead predecessors kept for each container, for `logs --previous` and for people who look.
const DEAD_KEPT: usize = 2;

/// The infra container's name in the pod.
pub const INFRA: &str = "POD";

/// One thing to do. Actions of one plan may run at the same time.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the infra container; nothing else can start before it runs. What is to be started then (name, attempt) can be made
    /// meanwhile.
    StartSandbox {
        with: Vec<(String, i32)>,
    },
    StartContainer {
        name: String,
        init: bool,
        attempt: i32,
    },
    /// End a running container, for the reason given.
    Stop {
        id: String,
        reason: &'static str,
    },
    Remove {
        id: String,
    },
}

/// What is to be done now, and when to look again without being called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Unix milliseconds.
    pub again_at_ms: Option<i64>,
    /// Containers that wait for their back-off: name → until when.
    pub waiting: BTreeMap<String, i64>,
}

/// What the engine shows of one pod, newest instance of each container first.
pub struct Observed<'a> {
    pub pod: &'a Pod,
    pub instances: &'a [Instance],
    /// By container id.
    pub probes: &'a BTreeMap<String, Probed>,
    pub now_ms: i64,
    /// Restarts since the container last ran well, by container name.
    pub failures: &'a BTreeMap<String, u32>,
}

/// The instances of one container, newest first.
pub fn instances<'a>(all: &'a [Instance], name: &'a str) -> impl Iterator<Item = &'a Instance> {
    all.iter().filter(move |i| i.container == name)
}

/// Decides; the same observation always gives the same plan.
pub fn plan(o: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    collect_dead(o, &mut plan);
    // A phase that says "ended" is for ever, even when the containers it was read from have been cleared away.
    if finished(o.pod, o.instances) || ended(o.pod) {
        let running = o.instances.iter().filter(|i| i.running);
        plan.actions.extend(running.map(|i| Action::Stop { id: i.id.clone(), reason: "the pod has finished" }));
        return plan;
    }
    let sandbox = instances(o.instances, INFRA).find(|i| i.running);
    if sandbox.is_none() {
        // Without its network nothing of the pod works: what still runs goes, then all begins anew.
        let running: Vec<&Instance> = o.instances.iter().filter(|i| i.running).collect();
        plan.actions.extend(running.iter().map(|i| Action::Stop { id: i.id.clone(), reason: "the pod's infra container is gone" }));
        if running.is_empty() {
            let starts = inside(o).actions.into_iter().filter_map(|a| match a {
                Action::StartContainer { name, attempt, .. } => Some((name, attempt)),
                _ => None,
            });
            plan.actions.push(Action::StartSandbox { with: starts.collect() });
        }
        return plan;
    }
    let inside = inside(o);
    plan.actions.extend(inside.actions);
    Plan { actions: plan.actions, ..inside }
}

/// What is to be done in a sandbox that runs.
fn inside(o: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    if init_done(o, &mut plan) {
        o.pod.spec.containers.iter().for_each(|container| one(o, container, false, &mut plan));
    }
    plan
}

/// Init containers run one after the other; true when all are done.
fn init_done(o: &Observed<'_>, plan: &mut Plan) -> bool {
    // Once an app container exists, the init containers have done their work, even if they were cleared away since.
    if o.pod.spec.containers.iter().any(|c| instances(o.instances, &c.name).next().is_some_and(|i| i.running)) {
        return true;
    }
    for container in &o.pod.spec.init_containers {
        let newest = instances(o.instances, &container.name).next();
        match newest {
            Some(i) if !i.running && i.exit_code == 0 => {}
            _ => {
                one(o, container, true, plan);
                return false;
            }
        }
    }
    true
}

fn one(o: &Observed<'_>, container: &Container, init: bool, plan: &mut Plan) {
    let name = container.name.clone();
    let Some(newest) = instances(o.instances, &container.name).next() else {
        plan.actions.push(Action::StartContainer { attempt: attempts(o.pod, &name), name, init });
        return;
    };
    if newest.running {
        if newest.hash != hash::of_container(container) && newest.hash != 0 {
            plan.actions.push(Action::Stop { id: newest.id.clone(), reason: "its specification has changed" });
        }
        return;
    }
    if !restarts(&o.pod.spec.restart_policy, newest.exit_code, init) {
        return;
    }
    let due = newest.finished_ms + backoff_ms(newest, o.failures.get(&name).copied().unwrap_or(0));
    // One that ended in the future did so before the clock was set back: its back-off would last as long as that.
    if due <= o.now_ms || newest.finished_ms > o.now_ms {
        plan.actions.push(Action::StartContainer { name, init, attempt: newest.attempt + 1 });
    } else {
        plan.waiting.insert(name, due);
        plan.again_at_ms = Some(plan.again_at_ms.map_or(due, |t| t.min(due)));
    }
}

/// The API has been told that the pod has ended.
pub fn ended(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

/// How many instances there have been of a container of which the engine shows none, by what was reported earlier.
fn attempts(pod: &Pod, name: &str) -> i32 {
    let reported = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let had = reported.filter(|s| !s.container_id.is_empty()).find(|s| s.name == name);
    had.map_or(0, |s| s.restart_count.saturating_add(1))
}

/// Does the policy want another instance after this exit code?
pub fn restarts(policy: &str, exit_code: i32, init: bool) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => !init || exit_code != 0,
    }
}

/// Did the instance run long enough not to count as a crash at start?
pub fn ran_well(instance: &Instance) -> bool {
    instance.finished_ms - instance.started_ms >= RAN_WELL_MS
}

fn backoff_ms(newest: &Instance, failures: u32) -> i64 {
    if ran_well(newest) || failures == 0 {
        return 0;
    }
    BACKOFF_FIRST_MS.saturating_mul(1 << (failures - 1).min(10)).min(BACKOFF_MAX_MS)
}

/// Every container has ended for good.
pub fn finished(pod: &Pod, all: &[Instance]) -> bool {
    let policy = pod.spec.restart_policy.as_str();
    let failed_init =
        pod.spec.init_containers.iter().any(|c| {
            instances(all, &c.name).next().is_some_and(|i| !i.running && i.exit_code != 0 && !restarts(policy, i.exit_code, true))
        });
    let ended = |c: &Container| instances(all, &c.name).next().is_some_and(|i| !i.running && !restarts(policy, i.exit_code, false));
    failed_init || !pod.spec.containers.is_empty() && pod.spec.containers.iter().all(ended)
}

fn collect_dead(o: &Observed<'_>, plan: &mut Plan) {
    let names = o.pod.spec.containers.iter().chain(&o.pod.spec.init_containers).map(|c| c.name.as_str()).chain([INFRA]);
    for name in names {
        let dead = instances(o.instances, name).filter(|i| !i.running).skip(if name == INFRA { 0 } else { DEAD_KEPT });
        plan.actions.extend(dead.map(|i| Action::Remove { id: i.id.clone() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(policy: &str, init: bool) -> Pod {
        let init = if init { json!([{"name": "i", "image": "x"}]) } else { json!([]) };
        serde_json::from_value(
            json!({"spec": {"restartPolicy": policy, "initContainers": init, "containers": [{"name": "a", "image": "x"}]}}),
        )
        .unwrap()
    }

    fn instance(container: &str, running: bool, exit_code: i32, ran_ms: i64) -> Instance {
        Instance {
            id: format!("{container}-1"),
            container: container.into(),
            image: String::new(),
            image_id: String::new(),
            running,
            hash: 0,
            attempt: 0,
            started_at: None,
            started_ms: 1_000_000,
            finished_at: None,
            finished_ms: 1_000_000 + ran_ms,
            exit_code,
            oom_killed: false,
            message: String::new(),
        }
    }

    fn actions(pod: &Pod, instances: &[Instance], failures: u32, now_ms: i64) -> Plan {
        let failures = BTreeMap::from([("a".to_string(), failures)]);
        plan(&Observed { pod, instances, probes: &BTreeMap::new(), now_ms, failures: &failures })
    }

    #[test]
    fn the_sandbox_comes_first_then_init_then_the_containers() {
        let start = |name: &str, init, attempt| Action::StartContainer { name: name.into(), init, attempt };
        let p = pod("Always", true);
        assert_eq!(actions(&p, &[], 0, 0).actions, [Action::StartSandbox { with: vec![("i".into(), 0)] }]);
        let alone = actions(&pod("Always", false), &[], 0, 0).actions;
        assert_eq!(alone, [Action::StartSandbox { with: vec![("a".into(), 0)] }]);
        let infra = instance(INFRA, true, 0, 0);
        assert_eq!(actions(&p, std::slice::from_ref(&infra), 0, 0).actions, [start("i", true, 0)]);
        assert_eq!(actions(&p, &[infra.clone(), instance("i", true, 0, 0)], 0, 0).actions, []);
        assert_eq!(actions(&p, &[infra.clone(), instance("i", false, 0, 0)], 0, 0).actions, [start("a", false, 0)]);
        assert_eq!(actions(&p, &[infra, instance("i", false, 0, 0), instance("a", true, 0, 0)], 0, 0).actions, []);
    }

    #[test]
    fn the_policy_decides_over_restarts() {
        let infra = instance(INFRA, true, 0, 0);
        for (policy, code, restarted) in [
            ("Always", 0, true),
            ("Always", 1, true),
            ("OnFailure", 0, false),
            ("OnFailure", 1, true),
            ("Never", 0, false),
            ("Never", 1, false),
        ] {
            let plan = actions(&pod(policy, false), &[infra.clone(), instance("a", false, code, 20_000)], 3, 2_000_000);
            let starts = plan.actions.iter().any(|a| matches!(a, Action::StartContainer { attempt: 1, .. }));
            assert_eq!(starts, restarted, "{policy} {code}");
            assert_eq!(finished(&pod(policy, false), &[instance("a", false, code, 0)]), !restarted);
        }
    }

    #[test]
    fn a_crash_at_start_waits_longer_each_time_and_a_killed_container_does_not() {
        let infra = instance(INFRA, true, 0, 0);
        let crashed = [infra.clone(), instance("a", false, 1, 100)];
        assert_eq!(actions(&pod("Always", false), &crashed, 0, 1_000_200).actions.len(), 1, "the first restart is at once");
        let mut last = 0;
        for failures in 1..12 {
            let plan = actions(&pod("Always", false), &crashed, failures, 1_000_200);
            let wait = plan.again_at_ms.unwrap() - 1_000_100;
            assert!(plan.actions.is_empty() && wait >= last && wait <= BACKOFF_MAX_MS);
            last = wait;
        }
        assert_eq!(last, BACKOFF_MAX_MS);
        let killed = [infra, instance("a", false, 137, 60_000)];
        assert_eq!(actions(&pod("Always", false), &killed, 5, 1_060_001).actions.len(), 1);
    }

    #[test]
    fn what_has_ended_stays_ended_and_what_vanished_is_counted() {
        let mut p = pod("Never", false);
        p.status.phase = "Succeeded".into();
        assert_eq!(actions(&p, &[], 0, 0), Plan::default());
        p.status.phase = "Running".into();
        let reported = shared::objects::pod::ContainerStatus {
            name: "a".into(),
            container_id: "docker://x".into(),
            restart_count: 4,
            ..Default::default()
        };
        p.status.container_statuses.push(reported);
        let plan = actions(&p, &[instance(INFRA, true, 0, 0)], 0, 0);
        assert_eq!(plan.actions, [Action::StartContainer { name: "a".into(), init: false, attempt: 5 }]);
    }

    #[test]
    fn a_lost_sandbox_ends_everything_before_it_is_made_again() {
        let left = [instance(INFRA, false, 137, 0), instance("a", true, 0, 0)];
        let plan = actions(&pod("Always", false), &left, 0, 0);
        assert!(plan.actions.iter().any(|a| matches!(a, Action::Stop { id, .. } if id == "a-1")));
        assert!(!plan.actions.iter().any(|a| matches!(a, Action::StartSandbox { .. })));
    }
}
