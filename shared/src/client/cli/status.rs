//! `osc status`: a project at a glance, from its services to the pods behind them.
use super::print;
use crate::client::http::Client;
use crate::client::output::{items, name, rows, text};
use crate::client::{Result, resources};
use crate::kinds::{POD, PROJECT, REPLICATION_CONTROLLER, SERVICE};
use crate::why;
use serde_json::Value;

pub(super) async fn run(client: &Client) -> Result<()> {
    let namespace = client.target.namespace.clone();
    let project = client.get(&resources::path(&PROJECT, "", &namespace)).await?;
    let mut lists = Vec::new();
    for kind in [&SERVICE, &REPLICATION_CONTROLLER, &POD] {
        let mut list = client.get(&resources::path(kind, &namespace, "")).await?;
        lists.push(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
    }
    print(&overview(&project, &client.target.server, &lists[0], &lists[1], &lists[2]))
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|s| !s.is_empty() && s.iter().all(|(k, v)| labels[k] == *v))
}

fn overview(project: &Value, server: &str, services: &[Value], controllers: &[Value], pods: &[Value]) -> String {
    let title = match rows::display_name(project) {
        "" => name(project).to_string(),
        shown => format!("{shown} ({})", name(project)),
    };
    let mut out = format!("In project {title} on server {server}\n");
    if services.is_empty() && controllers.is_empty() && pods.is_empty() {
        return out + "\nThere is nothing in it yet; make something with: osc create -f FILE\n";
    }
    let mut shown: Vec<&str> = Vec::new();
    for service in services {
        let ports: Vec<String> = items(&service["spec"]["ports"])
            .iter()
            .map(|p| match &p["targetPort"] {
                Value::Null => p["port"].to_string(),
                target => format!("{} -> {}", p["port"], target.as_str().map_or_else(|| target.to_string(), str::to_string)),
            })
            .collect();
        out.push_str(&format!("\nservice/{} - {}:{}\n", name(service), text(&service["spec"]["clusterIP"]), ports.join(", ")));
        let selector = &service["spec"]["selector"];
        for rc in controllers.iter().filter(|c| selects(selector, &c["spec"]["template"]["metadata"]["labels"])) {
            out.push_str(&controller(rc, pods, "  "));
            shown.push(name(rc));
        }
        for pod in pods.iter().filter(|p| selects(selector, &p["metadata"]["labels"]) && owner(p).is_none()) {
            out.push_str(&one_pod(pod, "  "));
            shown.push(name(pod));
        }
    }
    for rc in controllers.iter().filter(|c| !shown.contains(&name(c))) {
        out.push_str(&format!("\n{}", controller(rc, pods, "")));
    }
    for pod in pods.iter().filter(|p| owner(p).is_none() && !shown.contains(&name(p))) {
        out.push_str(&format!("\n{}", one_pod(pod, "")));
    }
    out
}

fn owner(pod: &Value) -> Option<&str> {
    items(&pod["metadata"]["ownerReferences"]).iter().find(|o| o["controller"] == true).and_then(|o| o["name"].as_str())
}

fn images(spec: &Value) -> String {
    items(&spec["containers"]).iter().map(|c| text(&c["image"])).collect::<Vec<_>>().join(", ")
}

fn controller(rc: &Value, pods: &[Value], pad: &str) -> String {
    let (want, have) = (rc["spec"]["replicas"].as_i64().unwrap_or(1), rc["status"]["readyReplicas"].as_i64().unwrap_or(0));
    let mut out = format!("{pad}rc/{} runs {} - {have} of {want} pods ready\n", name(rc), images(&rc["spec"]["template"]["spec"]));
    for pod in pods.iter().filter(|p| owner(p) == Some(name(rc))) {
        if let Some(trouble) = trouble(pod) {
            out.push_str(&format!("{pad}  pod/{}: {trouble}\n", name(pod)));
        }
    }
    out
}

fn trouble(pod: &Value) -> Option<String> {
    let found = why::explain(&POD, pod, &why::Around::default());
    let name = format!("pod {} ", name(pod));
    (!found.healthy).then(|| found.sentence.strip_prefix(&name).unwrap_or(&found.sentence).to_string())
}

fn one_pod(pod: &Value, pad: &str) -> String {
    let state = trouble(pod).unwrap_or_else(|| text(&pod["status"]["phase"]).to_lowercase());
    format!("{pad}pod/{} runs {} - {state}\n", name(pod), images(&pod["spec"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn from_services_to_pods() {
        let project = json!({"metadata":{"name":"hack","annotations":{"openshift.io/display-name":"Hack Night"}}});
        let labels = json!({"name":"h"});
        let service =
            json!({"metadata":{"name":"s"},"spec":{"clusterIP":"172.30.0.9","selector":labels,"ports":[{"port":27017,"targetPort":8080}]}});
        let rc = json!({"metadata":{"name":"c"},"spec":{"replicas":3,"selector":labels,
            "template":{"metadata":{"labels":labels},"spec":{"containers":[{"image":"i"}]}}},"status":{"readyReplicas":3}});
        let pod = json!({"metadata":{"name":"alone"},"spec":{"nodeName":"n","containers":[{"image":"j"}]},
            "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}});
        let want = "In project Hack Night (hack) on server https://m\n\nservice/s - 172.30.0.9:27017 -> 8080\n  rc/c runs i - 3 of 3 pods ready\n\npod/alone runs j - running\n";
        assert_eq!(overview(&project, "https://m", &[service], &[rc], &[pod]), want);
        assert!(overview(&project, "https://m", &[], &[], &[]).contains("osc create"));
    }
}
