//! Containers → the pod's reported status.
use super::plan::{INFRA, finished, instances, restarts};
use super::{Instance, Probed};
use serde_json::{Value, json};
use shared::objects::pod::{Container, Pod};
use std::collections::BTreeMap;

/// A reason why a container does not run, as the agent met it: `ErrImagePull`, `CreateContainerConfigError`, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    pub message: String,
}

/// All that the status is made from.
pub struct Observed<'a> {
    pub pod: &'a Pod,
    pub instances: &'a [Instance],
    /// By container id.
    pub probes: &'a BTreeMap<String, Probed>,
    /// By container name; the pod's own trouble under the empty name.
    pub troubles: &'a BTreeMap<String, Trouble>,
    /// Containers in back-off: name → until when (Unix milliseconds).
    pub waiting: &'a BTreeMap<String, i64>,
    pub now_ms: i64,
    /// RFC 3339 of now, for conditions that change.
    pub now: &'a str,
    pub pod_ip: &'a str,
    pub host_ip: &'a str,
}

/// `status` as a strategic merge patch's member; times of unchanged conditions are kept.
pub fn status(o: &Observed<'_>) -> Value {
    let spec = &o.pod.spec;
    let containers: Vec<Value> = spec.containers.iter().map(|c| container(o, c, false)).collect();
    let init: Vec<Value> = spec.init_containers.iter().map(|c| container(o, c, true)).collect();
    let phase = phase(o);
    let initialised =
        spec.init_containers.iter().all(|c| instances(o.instances, &c.name).next().is_some_and(|i| !i.running && i.exit_code == 0))
            || containers.iter().any(|c| c["state"]["running"].is_object());
    let ready = phase == "Running" && containers.iter().all(|c| c["ready"] == true);
    let ended = matches!(phase, "Succeeded" | "Failed");
    let unready: Vec<&str> = containers.iter().filter(|c| c["ready"] != true).filter_map(|c| c["name"].as_str()).collect();
    let why = if ended {
        ("PodCompleted".to_string(), String::new())
    } else {
        ("ContainersNotReady".into(), format!("containers with unready status: [{}]", unready.join(" ")))
    };
    let no = (why.0.as_str(), why.1.as_str());
    let gates =
        spec.readiness_gates.iter().all(|g| o.pod.status.conditions.iter().any(|c| c.type_ == g.condition_type && c.status == "True"));
    let conditions = vec![
        condition(o, "PodReadyToStartContainers", instances(o.instances, INFRA).any(|i| i.running), ("", "")),
        condition(o, "Initialized", initialised || ended, ("ContainersNotInitialized", "init containers have not finished")),
        condition(o, "Ready", ready && gates, if ready { ("ReadinessGatesNotReady", "a readiness gate is not true") } else { no }),
        condition(o, "ContainersReady", ready, no),
        condition(o, "PodScheduled", true, ("", "")),
    ];
    let mut out = json!({"phase": phase, "conditions": conditions, "hostIP": o.host_ip, "hostIPs": [{"ip": o.host_ip}], "containerStatuses": containers, "qosClass": qos(o.pod)});
    if !init.is_empty() {
        out["initContainerStatuses"] = init.into();
    }
    if !o.pod_ip.is_empty() {
        out["podIP"] = json!(o.pod_ip);
        out["podIPs"] = json!([{"ip": o.pod_ip}]);
    }
    out["startTime"] = json!(o.pod.status.start_time.as_deref().unwrap_or(o.now));
    if let Some(trouble) = o.troubles.get("") {
        out["reason"] = json!(trouble.reason);
        out["message"] = json!(trouble.message);
    }
    out
}

fn condition(o: &Observed<'_>, name: &str, holds: bool, otherwise: (&str, &str)) -> Value {
    let status = if holds { "True" } else { "False" };
    let before = o.pod.status.conditions.iter().find(|c| c.type_ == name && c.status == status);
    let since = before.and_then(|c| c.last_transition_time.as_deref()).unwrap_or(o.now);
    let mut out = json!({"type": name, "status": status, "lastTransitionTime": since, "lastProbeTime": null});
    // Null takes an earlier reason away.
    out["reason"] = if holds || otherwise.0.is_empty() { Value::Null } else { json!(otherwise.0) };
    out["message"] = if holds || otherwise.1.is_empty() { Value::Null } else { json!(otherwise.1) };
    out
}

fn phase(o: &Observed<'_>) -> &'static str {
    let spec = &o.pod.spec;
    if o.troubles.get("").is_some_and(|t| matches!(t.reason.as_str(), "DeadlineExceeded" | "Evicted")) {
        return "Failed";
    }
    if finished(o.pod, o.instances) {
        let good = spec.containers.iter().all(|c| instances(o.instances, &c.name).next().is_some_and(|i| i.exit_code == 0));
        return if good { "Succeeded" } else { "Failed" };
    }
    // Every container has run at least once; restarting ones count as running, as Kubernetes counts them.
    let begun = |c: &Container| instances(o.instances, &c.name).next().is_some();
    let init_done = spec.init_containers.iter().all(|c| {
        instances(o.instances, &c.name).next().is_some_and(|i| !i.running && i.exit_code == 0)
            || spec.containers.iter().any(|a| instances(o.instances, &a.name).next().is_some())
    });
    if init_done && !spec.containers.is_empty() && spec.containers.iter().all(begun) { "Running" } else { "Pending" }
}

fn container(o: &Observed<'_>, c: &Container, init: bool) -> Value {
    let mut of_it = instances(o.instances, &c.name);
    let newest = of_it.next();
    let previous = of_it.next();
    let image = newest.map_or(c.image.as_str(), |i| i.image.as_str());
    let mut out =
        json!({"name": c.name, "image": image, "imageID": "", "ready": false, "restartCount": 0, "started": false, "lastState": {}});
    let waiting = |default: &str| match o.troubles.get(&c.name).or_else(|| o.troubles.get("")) {
        Some(t) => json!({"waiting": {"reason": t.reason, "message": t.message}}),
        None => json!({"waiting": {"reason": default}}),
    };
    let Some(newest) = newest else {
        let held = !init && !o.pod.spec.init_containers.is_empty();
        out["state"] = waiting(if held { "PodInitializing" } else { "ContainerCreating" });
        return out;
    };
    out["restartCount"] = json!(newest.attempt);
    out["imageID"] = json!(format!("docker://{}", newest.image_id));
    out["containerID"] = json!(format!("docker://{}", newest.id));
    if newest.running {
        let probed = o.probes.get(&newest.id).copied().unwrap_or_default();
        let started = c.startup_probe.is_none() || probed.started;
        out["started"] = json!(started);
        out["ready"] = json!(!init && started && (c.readiness_probe.is_none() || probed.ready));
        out["state"] = json!({"running": {"startedAt": newest.started_at}});
        if let Some(previous) = previous {
            out["lastState"] = terminated(previous);
        }
        return out;
    }
    if !restarts(&o.pod.spec.restart_policy, newest.exit_code, init) {
        out["ready"] = json!(init && newest.exit_code == 0);
        out["state"] = terminated(newest);
        return out;
    }
    out["lastState"] = terminated(newest);
    out["state"] = match o.waiting.get(&c.name) {
        Some(until) => {
            let seconds = ((until - newest.finished_ms) / 1000).max(0);
            let text = format!(
                "back-off {seconds}s restarting failed container={} pod={}_{}({})",
                c.name, o.pod.metadata.name, o.pod.metadata.namespace, o.pod.metadata.uid
            );
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": text}})
        }
        None if o.troubles.contains_key(&c.name) => waiting(""),
        None => {
            out["lastState"] = previous.map_or_else(|| json!({}), terminated);
            terminated(newest)
        }
    };
    out
}

fn terminated(i: &Instance) -> Value {
    let reason = match (i.oom_killed, i.exit_code) {
        (true, _) => "OOMKilled",
        (false, 0) => "Completed",
        _ => "Error",
    };
    let mut state = json!({"exitCode": i.exit_code, "reason": reason, "startedAt": i.started_at, "finishedAt": i.finished_at, "containerID": format!("docker://{}", i.id)});
    if !i.message.is_empty() {
        state["message"] = json!(i.message);
    }
    json!({"terminated": state})
}

/// Guaranteed, Burstable or BestEffort; <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>.
pub fn qos(pod: &Pod) -> &'static str {
    let all = || pod.spec.containers.iter().chain(&pod.spec.init_containers);
    if all().all(|c| c.resources.limits.is_empty() && c.resources.requests.is_empty()) {
        return "BestEffort";
    }
    let guaranteed = |c: &Container| {
        ["cpu", "memory"].iter().all(|r| {
            let limit = c.resources.limits.get(*r);
            limit.is_some() && c.resources.requests.get(*r).is_none_or(|q| Some(q) == limit)
        })
    };
    if all().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(policy: &str, readiness: bool) -> Pod {
        let mut c = json!({"name": "a", "image": "x"});
        if readiness {
            c["readinessProbe"] = json!({"tcpSocket": {"port": 1}});
        }
        serde_json::from_value(
            json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"restartPolicy": policy, "containers": [c]}}),
        )
        .unwrap()
    }

    fn instance(running: bool, exit_code: i32) -> Instance {
        Instance {
            id: "id".into(),
            container: "a".into(),
            image: "x:latest".into(),
            image_id: "sha256:1".into(),
            running,
            hash: 0,
            attempt: 2,
            started_at: Some("s".into()),
            started_ms: 0,
            finished_at: None,
            finished_ms: 0,
            exit_code,
            oom_killed: exit_code == 137,
            message: String::new(),
        }
    }

    fn of(pod: &Pod, instances: &[Instance], probed: bool, waiting: bool) -> Value {
        let probes = BTreeMap::from([("id".to_string(), Probed { started: true, ready: probed })]);
        let waiting = if waiting { BTreeMap::from([("a".to_string(), 20_000)]) } else { BTreeMap::new() };
        status(&Observed {
            pod,
            instances,
            probes: &probes,
            troubles: &BTreeMap::new(),
            waiting: &waiting,
            now_ms: 0,
            now: "t",
            pod_ip: "172.17.0.3",
            host_ip: "127.0.0.1",
        })
    }

    fn ready(status: &Value) -> bool {
        status["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    }

    #[test]
    fn phases_follow_containers_and_policy() {
        for (policy, instances, phase) in [
            ("Always", vec![], "Pending"),
            ("Always", vec![instance(true, 0)], "Running"),
            ("Always", vec![instance(false, 1)], "Running"),
            ("Never", vec![instance(false, 0)], "Succeeded"),
            ("Never", vec![instance(false, 1)], "Failed"),
            ("OnFailure", vec![instance(false, 0)], "Succeeded"),
            ("OnFailure", vec![instance(false, 1)], "Running"),
        ] {
            assert_eq!(of(&pod(policy, false), &instances, true, false)["phase"], phase, "{policy}");
        }
    }

    #[test]
    fn readiness_is_the_probes_word() {
        assert!(ready(&of(&pod("Always", false), &[instance(true, 0)], false, false)));
        assert!(!ready(&of(&pod("Always", true), &[instance(true, 0)], false, false)));
        assert!(ready(&of(&pod("Always", true), &[instance(true, 0)], true, false)));
        assert!(!ready(&of(&pod("Always", false), &[instance(false, 1)], true, false)));
    }

    #[test]
    fn a_crash_loop_is_called_by_its_name() {
        let status = of(&pod("Always", false), &[instance(false, 137)], true, true);
        let c = &status["containerStatuses"][0];
        assert_eq!(c["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!(c["lastState"]["terminated"]["reason"], "OOMKilled");
        assert_eq!(c["restartCount"], 2);
    }
}
