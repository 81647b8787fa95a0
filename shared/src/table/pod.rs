//! The row of a pod, with the STATUS column's rules.
use super::{AGE, Layout, NAME, age, at, count, items, name, or_none, text, time, wide};
use serde_json::{Value, json};

pub(super) static POD: Layout = Layout {
    columns: &[
        NAME,
        text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        text("Status", "The aggregate status of the containers in this pod."),
        text(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
        AGE,
        wide("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated."),
        wide("Node", "NodeName indicates in which node this pod is scheduled."),
        wide("Nominated Node", "nominatedNodeName is set only when this pod preempts other pods on the node."),
        wide("Readiness Gates", "If specified, all readiness gates will be evaluated for pod readiness."),
    ],
    cells,
};

fn cells(pod: &Value, now: i64) -> Vec<Value> {
    let row = Row::of(pod, now);
    let ip = items(pod, "/status/podIPs").first().map(|i| at(i, "/ip")).filter(|i| !i.is_empty()).unwrap_or(at(pod, "/status/podIP"));
    vec![
        name(pod),
        format!("{}/{}", row.ready, row.total).into(),
        row.status.into(),
        row.restarts.into(),
        age(pod, now),
        or_none(ip),
        or_none(at(pod, "/spec/nodeName")),
        or_none(at(pod, "/status/nominatedNodeName")),
        readiness_gates(pod),
    ]
}

struct Row {
    ready: usize,
    total: usize,
    status: String,
    restarts: String,
}

/// Sums restarts and remembers when the last one was.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<i64>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += count(container, "/restartCount");
        self.last = self.last.max(time::unix(at(container, "/lastState/terminated/finishedAt")));
    }

    fn text(&self, now: i64) -> String {
        match self.last {
            Some(last) if self.count > 0 => format!("{} ({} ago)", self.count, time::human(now - last)),
            _ => self.count.to_string(),
        }
    }
}

impl Row {
    fn of(pod: &Value, now: i64) -> Row {
        let sidecars: Vec<&str> =
            items(pod, "/spec/initContainers").iter().filter(|c| at(c, "/restartPolicy") == "Always").map(|c| at(c, "/name")).collect();
        let phase = at(pod, "/status/phase");
        let reason = at(pod, "/status/reason");
        let mut status = if reason.is_empty() { phase } else { reason }.to_string();
        let gated =
            items(pod, "/status/conditions").iter().any(|c| at(c, "/type") == "PodScheduled" && at(c, "/reason") == "SchedulingGated");
        if gated {
            status = "SchedulingGated".into();
        }
        let mut row = Row { ready: 0, total: items(pod, "/spec/containers").len() + sidecars.len(), status, restarts: String::new() };
        let mut restarts = Restarts::default();
        let mut sidecar_restarts = Restarts::default();
        let initializing = row.initializing(pod, &sidecars, &mut restarts, &mut sidecar_restarts);
        if !initializing || initialized(pod) {
            let mut of_containers = sidecar_restarts;
            row.running(pod, &mut of_containers);
            restarts = of_containers;
        }
        row.terminating(pod);
        row.restarts = restarts.text(now);
        row
    }

    /// Looks at init containers in their order; whether one of them is what the pod waits for.
    fn initializing(&mut self, pod: &Value, sidecars: &[&str], restarts: &mut Restarts, sidecar_restarts: &mut Restarts) -> bool {
        let total = items(pod, "/spec/initContainers").len();
        for (n, container) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
            let sidecar = sidecars.contains(&at(container, "/name"));
            restarts.add(container);
            if sidecar {
                sidecar_restarts.add(container);
            }
            let terminated = container.pointer("/state/terminated").filter(|t| !t.is_null());
            if let Some(terminated) = terminated {
                if count(terminated, "/exitCode") == 0 {
                    continue;
                }
                self.status = match at(terminated, "/reason") {
                    "" if count(terminated, "/signal") != 0 => format!("Init:Signal:{}", count(terminated, "/signal")),
                    "" => format!("Init:ExitCode:{}", count(terminated, "/exitCode")),
                    reason => format!("Init:{reason}"),
                };
                return true;
            }
            if sidecar && container.get("started").and_then(Value::as_bool) == Some(true) {
                self.ready += usize::from(container.get("ready").and_then(Value::as_bool) == Some(true));
                continue;
            }
            let waiting = at(container, "/state/waiting/reason");
            self.status =
                if !waiting.is_empty() && waiting != "PodInitializing" { format!("Init:{waiting}") } else { format!("Init:{n}/{total}") };
            return true;
        }
        false
    }

    fn running(&mut self, pod: &Value, restarts: &mut Restarts) {
        let mut has_running = false;
        for container in items(pod, "/status/containerStatuses").iter().rev() {
            restarts.add(container);
            let state = |name: &str| container.pointer(&format!("/state/{name}")).filter(|s| !s.is_null());
            let waiting = at(container, "/state/waiting/reason");
            if !waiting.is_empty() {
                self.status = waiting.into();
            } else if let Some(terminated) = state("terminated") {
                self.status = match at(terminated, "/reason") {
                    "" if count(terminated, "/signal") != 0 => format!("Signal:{}", count(terminated, "/signal")),
                    "" => format!("ExitCode:{}", count(terminated, "/exitCode")),
                    reason => reason.into(),
                };
            } else if container.get("ready").and_then(Value::as_bool) == Some(true) && state("running").is_some() {
                has_running = true;
                self.ready += 1;
            }
        }
        // One container that ended does not make a pod that still runs look ended.
        if self.status == "Completed" && has_running {
            let ready = items(pod, "/status/conditions").iter().any(|c| at(c, "/type") == "Ready" && at(c, "/status") == "True");
            self.status = if ready { "Running" } else { "NotReady" }.into();
        }
    }

    fn terminating(&mut self, pod: &Value) {
        if at(pod, "/metadata/deletionTimestamp").is_empty() {
            return;
        }
        if at(pod, "/status/reason") == "NodeLost" {
            self.status = "Unknown".into();
        } else if !matches!(at(pod, "/status/phase"), "Succeeded" | "Failed") {
            self.status = "Terminating".into();
        }
    }
}

fn initialized(pod: &Value) -> bool {
    items(pod, "/status/conditions").iter().any(|c| at(c, "/type") == "Initialized" && at(c, "/status") == "True")
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return json!("<none>");
    }
    let met = |gate: &&Value| {
        let kind = at(gate, "/conditionType");
        items(pod, "/status/conditions").iter().any(|c| at(c, "/type") == kind && at(c, "/status") == "True")
    };
    json!(format!("{}/{}", gates.iter().filter(met).count(), gates.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> (String, String, String) {
        let row = Row::of(&value, 1_767_225_600);
        (format!("{}/{}", row.ready, row.total), row.status, row.restarts)
    }

    fn spec(n: usize) -> Value {
        json!({"containers": vec![json!({"name": "c"}); n]})
    }

    #[test]
    fn status_as_kubectl_prints_it() {
        let s = |ready: &str, status: &str, restarts: &str| (ready.to_string(), status.to_string(), restarts.to_string());
        assert_eq!(status(json!({"spec": spec(1), "status": {"phase": "Pending"}})), s("0/1", "Pending", "0"));
        let running = json!({"name": "c", "ready": true, "state": {"running": {}}});
        assert_eq!(
            status(json!({"spec": spec(2), "status": {"phase": "Running", "containerStatuses": [running, running]}})),
            s("2/2", "Running", "0")
        );
        let crash = json!({"name": "c", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"finishedAt": "2025-12-31T23:59:30Z"}}});
        assert_eq!(
            status(json!({"spec": spec(1), "status": {"phase": "Running", "containerStatuses": [crash]}})),
            s("0/1", "CrashLoopBackOff", "3 (30s ago)")
        );
        let done = json!({"name": "c", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        assert_eq!(
            status(json!({"spec": spec(1), "status": {"phase": "Succeeded", "containerStatuses": [done]}})),
            s("0/1", "Completed", "0")
        );
        assert_eq!(
            status(json!({"spec": spec(2), "status": {"phase": "Running", "containerStatuses": [done, running]}})),
            s("1/2", "NotReady", "0")
        );
        let deleting = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec(1), "status": {"phase": "Running", "containerStatuses": [running]}});
        assert_eq!(status(deleting), s("1/1", "Terminating", "0"));
        let init = json!({"spec": {"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "c"}]}, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]}});
        assert_eq!(status(init), s("0/1", "Init:1/2", "0"));
        let failed = json!({"spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}});
        assert_eq!(status(failed), s("0/1", "Init:Error", "0"));
        assert_eq!(status(json!({"spec": spec(1), "status": {"phase": "Failed", "reason": "Evicted"}})), s("0/1", "Evicted", "0"));
        let killed = json!({"name": "c", "state": {"terminated": {"exitCode": 137, "signal": 9}}});
        assert_eq!(
            status(json!({"spec": spec(1), "status": {"phase": "Failed", "containerStatuses": [killed]}})),
            s("0/1", "Signal:9", "0")
        );
    }
}
