//! What a pod's page says about its containers.
use super::tone::Tone;
use serde_json::Value;

/// One container as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub state: String,
    pub detail: String,
    pub tone: Tone,
    pub restarts: i64,
    pub ports: String,
}

/// The containers of a pod in the order of its specification.
pub fn containers(pod: &Value) -> Vec<Container> {
    let list = |path: &str| pod.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let statuses = list("/status/containerStatuses");
    list("/spec/containers").iter().map(|c| container(c, statuses.iter().find(|s| s["name"] == c["name"]))).collect()
}

fn container(spec: &Value, status: Option<&Value>) -> Container {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let ports = spec["ports"].as_array().cloned().unwrap_or_default();
    let port = |p: &Value| match p["hostPort"].as_i64() {
        Some(host) => format!("{} (host {host})", p["containerPort"]),
        None => p["containerPort"].to_string(),
    };
    let (state, detail, tone) = status.map_or(("Waiting".to_string(), String::new(), Tone::Busy), state);
    Container {
        name: text(&spec["name"]),
        image: text(&spec["image"]),
        state,
        detail,
        tone,
        restarts: status.and_then(|s| s["restartCount"].as_i64()).unwrap_or(0),
        ports: ports.iter().map(port).collect::<Vec<_>>().join(", "),
    }
}

fn state(status: &Value) -> (String, String, Tone) {
    let now = &status["state"];
    let last = status["lastState"]["terminated"].as_object();
    let before = last.map(|t| format!("last ended with exit code {}", t.get("exitCode").unwrap_or(&Value::Null))).unwrap_or_default();
    if now["running"].is_object() {
        return if status["ready"] == true {
            ("Ready".into(), before, Tone::Good)
        } else {
            ("Running, not ready".into(), before, Tone::Busy)
        };
    }
    if let Some(ended) = now["terminated"].as_object() {
        let code = ended.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
        let message = ended.get("message").and_then(Value::as_str).unwrap_or_default();
        let detail = if message.is_empty() { format!("exit code {code}") } else { format!("exit code {code}: {message}") };
        return ("Ended".into(), detail, if code == 0 { Tone::Idle } else { Tone::Bad });
    }
    let reason = now["waiting"]["reason"].as_str().unwrap_or("Waiting");
    let message = now["waiting"]["message"].as_str().unwrap_or_default();
    let detail = if message.is_empty() { before } else { message.to_string() };
    (reason.into(), detail, if matches!(reason, "Waiting" | "ContainerCreating" | "PodInitializing") { Tone::Busy } else { Tone::Bad })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_that_backs_off_says_why() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80, "hostPort": 6061}]}, {"name": "b"}]},
            "status": {"containerStatuses": [{"name": "a", "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}]}});
        let all = containers(&pod);
        assert_eq!(
            (all[0].state.as_str(), all[0].detail.as_str(), all[0].restarts, all[0].tone),
            ("CrashLoopBackOff", "back-off 10s", 3, Tone::Bad)
        );
        assert_eq!(all[0].ports, "80 (host 6061)");
        assert_eq!((all[1].state.as_str(), all[1].tone), ("Waiting", Tone::Busy));
    }
}
