//! What `osc describe` prints for pods, controllers, services and nodes, in the format of 2015.
use super::{items, labels, name, pairs, rows, tabwriter, text, time};
use crate::kinds::Kind;
use serde_json::Value;

/// Objects around the described one.
#[derive(Clone, Debug, Default)]
pub struct Related {
    pub events: Vec<Value>,
    /// Pods of the namespace (controllers) or of the node (nodes).
    pub pods: Vec<Value>,
    pub controllers: Vec<Value>,
    pub endpoints: Option<Value>,
    /// Quotas and limits of a described namespace or project.
    pub quotas: Vec<Value>,
    pub limits: Vec<Value>,
}

pub fn describe(kind: &Kind, object: &Value, related: &Related) -> String {
    let text = match (kind.group, kind.plural) {
        ("", "pods") => pod(object, related),
        ("", "replicationcontrollers") => controller(object, related),
        ("", "services") => service(object, related),
        ("", "nodes") => node(object, related),
        _ => super::describe_more::describe(kind, object, related),
    };
    tabwriter::align(&text, tabwriter::DESCRIPTION)
}

/// `Label:\tvalue` as a line.
pub fn line(out: &mut String, label: &str, value: impl AsRef<str>) {
    out.push_str(&format!("{label}:\t{}\n", value.as_ref()));
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn images(spec: &Value) -> String {
    items(&spec["containers"]).iter().map(|c| text(&c["image"])).collect::<Vec<_>>().join(",")
}

fn full(status: &Value) -> &'static str {
    match text(status) {
        "True" => "Full",
        "False" => "None",
        _ => "Unknown",
    }
}

/// The events about an object, oldest first.
pub fn events(events: &[Value]) -> String {
    if events.is_empty() {
        return "No events.".into();
    }
    let mut sorted: Vec<&Value> = events.iter().collect();
    sorted.sort_by_key(|e| rows::last_seen(e).to_string());
    let mut out = String::from("Events:\n  FirstSeen\tLastSeen\tCount\tFrom\tSubobjectPath\tReason\tMessage\n");
    for e in sorted {
        let (first, last, count, source) = rows::event_head(e);
        let (path, reason, message) = (text(&e["involvedObject"]["fieldPath"]), text(&e["reason"]), text(&e["message"]));
        out.push_str(&format!("  {first}\t{last}\t{count}\t{source}\t{path}\t{reason}\t{}\n", message.trim_end().replace('\n', " ")));
    }
    out
}

fn pod(o: &Value, related: &Related) -> String {
    let mut out = String::new();
    line(&mut out, "Name", name(o));
    line(&mut out, "Image(s)", images(&o["spec"]));
    line(&mut out, "Host", rows::pod_host(o));
    line(&mut out, "Labels", labels(o));
    line(&mut out, "Status", text(&o["status"]["phase"]));
    line(&mut out, "Replication Controllers", managers(o, &related.controllers));
    for c in items(&o["status"]["containerStatuses"]) {
        if let Some(why) = c["state"]["waiting"]["reason"].as_str().filter(|r| *r != "ContainerCreating") {
            line(
                &mut out,
                &format!("Waiting ({})", text(&c["name"])),
                format!("{why} {}", text(&c["state"]["waiting"]["message"])).trim_end(),
            );
        }
    }
    let ready: Vec<&Value> = items(&o["status"]["conditions"]).iter().filter(|c| c["type"] == "Ready").collect();
    if !ready.is_empty() {
        out.push_str("Conditions:\n  Kind\tStatus\n");
        for c in ready {
            out.push_str(&format!("  {} \t{} \n", text(&c["type"]), full(&c["status"])));
        }
    }
    out + &closed(&related.events)
}

/// The events, ended with exactly one newline.
fn closed(list: &[Value]) -> String {
    let text = events(list);
    if text.ends_with('\n') { text } else { text + "\n" }
}

/// The controllers whose selector matches the pod, with their counts.
fn managers(pod: &Value, controllers: &[Value]) -> String {
    let matching = controllers.iter().filter(|rc| {
        let selector = rc["spec"]["selector"].as_object();
        selector.is_some_and(|s| !s.is_empty() && s.iter().all(|(k, v)| pod["metadata"]["labels"][k] == *v))
    });
    let list: Vec<String> = matching
        .map(|rc| {
            let have = rc["status"]["replicas"].as_i64().unwrap_or(0);
            format!("{} ({have}/{} replicas created)", name(rc), rc["spec"]["replicas"].as_i64().unwrap_or(1))
        })
        .collect();
    or_none(&list.join(", ")).to_string()
}

fn controller(o: &Value, related: &Related) -> String {
    let mut out = String::new();
    let selector = o["spec"]["selector"].as_object().cloned().unwrap_or_default();
    let count = |phase: &str| {
        let of = |p: &&Value| p["status"]["phase"] == phase && selector.iter().all(|(k, v)| p["metadata"]["labels"][k] == *v);
        related.pods.iter().filter(of).count()
    };
    line(&mut out, "Name", name(o));
    line(&mut out, "Image(s)", images(&o["spec"]["template"]["spec"]));
    line(&mut out, "Selector", pairs(&o["spec"]["selector"]));
    line(&mut out, "Labels", labels(o));
    let (have, want) = (o["status"]["replicas"].as_i64().unwrap_or(0), o["spec"]["replicas"].as_i64().unwrap_or(1));
    line(&mut out, "Replicas", format!("{have} current / {want} desired"));
    let [running, waiting, succeeded, failed] = ["Running", "Pending", "Succeeded", "Failed"].map(count);
    line(&mut out, "Pods Status", format!("{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed"));
    out + &closed(&related.events)
}

fn service(o: &Value, related: &Related) -> String {
    let mut out = String::new();
    line(&mut out, "Name", name(o));
    line(&mut out, "Labels", labels(o));
    line(&mut out, "Selector", pairs(&o["spec"]["selector"]));
    line(&mut out, "IP", or_none(text(&o["spec"]["clusterIP"])));
    let external: Vec<&str> = items(&o["spec"]["externalIPs"]).iter().map(text).collect();
    if !external.is_empty() {
        line(&mut out, "Public IPs", external.join(", "));
    }
    let ports = items(&o["spec"]["ports"]);
    let many = ports.len() > 1;
    for p in ports {
        let named = if many { format!("{} {}/{}", text(&p["name"]), p["port"], text(&p["protocol"])) } else { p["port"].to_string() };
        line(&mut out, "Port", named);
        if let Some(node) = p["nodePort"].as_i64().filter(|n| *n > 0) {
            line(&mut out, "Node Port", node.to_string());
        }
    }
    line(&mut out, "Endpoints", related.endpoints.as_ref().map_or_else(|| "<none>".into(), rows::endpoints));
    line(&mut out, "Session Affinity", o["spec"]["sessionAffinity"].as_str().unwrap_or("None"));
    out + &closed(&related.events)
}

fn node(o: &Value, related: &Related) -> String {
    let mut out = String::new();
    line(&mut out, "Name", name(o));
    let conditions = items(&o["status"]["conditions"]);
    if !conditions.is_empty() {
        out.push_str("Conditions:\n  Kind\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage\n");
    }
    for c in conditions {
        let times = [&c["lastHeartbeatTime"], &c["lastTransitionTime"]].map(|t| time::rfc1123(text(t)));
        let (kind, reason, message) = (text(&c["type"]), text(&c["reason"]), text(&c["message"]));
        out.push_str(&format!("  {kind} \t{} \t{} \t{} \t{reason} \t{message}\n", full(&c["status"]), times[0], times[1]));
    }
    let capacity = &o["status"]["capacity"];
    if capacity.is_object() {
        line(&mut out, "Capacity", pairs(capacity));
    }
    out.push_str(&format!("Pods:\t({} in total)\n", related.pods.len()));
    for p in &related.pods {
        out.push_str(&format!("  {}\n", name(p)));
    }
    if related.events.is_empty() { out + "\n" } else { out + &closed(&related.events) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;
    use serde_json::json;

    fn event() -> Value {
        json!({"firstTimestamp":"2026-11-23T14:44:26Z","lastTimestamp":"2026-11-23T14:44:26Z","count":1,"source":{"component":"master"},
            "involvedObject":{"fieldPath":""},"reason":"scheduled","message":"Successfully assigned hello-openshift to master"})
    }

    #[test]
    fn pod_as_recorded() {
        let pod = json!({"metadata":{"name":"hello-openshift","labels":{"name":"hello-openshift"}},
            "spec":{"nodeName":"master","containers":[{"image":"openshift/hello-openshift"}]},
            "status":{"phase":"Running","hostIP":"127.0.0.1","conditions":[{"type":"Initialized","status":"True"},{"type":"Ready","status":"False"}]}});
        let rc = json!({"metadata":{"name":"hello-controller"},"spec":{"replicas":3,"selector":{"name":"hello-openshift"}},"status":{"replicas":3}});
        let related = Related { events: vec![event()], controllers: vec![rc], ..Related::default() };
        let want = "\
Name:				hello-openshift
Image(s):			openshift/hello-openshift
Host:				master/127.0.0.1
Labels:				name=hello-openshift
Status:				Running
Replication Controllers:	hello-controller (3/3 replicas created)
Conditions:
  Kind		Status
  Ready 	None 
Events:
  FirstSeen				LastSeen			Count	From		SubobjectPath	Reason		Message
  Mon, 23 Nov 2026 14:44:26 +0000	Mon, 23 Nov 2026 14:44:26 +0000	1	{master }			scheduled	Successfully assigned hello-openshift to master
";
        assert_eq!(describe(&kinds::POD, &pod, &related), want);
    }

    #[test]
    fn controller_and_service_as_recorded() {
        let rc = json!({"metadata":{"name":"rc-b1","labels":{"name":"rcb"}},"spec":{"replicas":2,"selector":{"name":"rcb"},
            "template":{"spec":{"containers":[{"image":"openshift/hello-openshift"}]}}},"status":{"replicas":2}});
        let pod = json!({"metadata":{"labels":{"name":"rcb"}},"status":{"phase":"Running"}});
        let related = Related { pods: vec![pod.clone(), pod], ..Related::default() };
        let want = "\
Name:		rc-b1
Image(s):	openshift/hello-openshift
Selector:	name=rcb
Labels:		name=rcb
Replicas:	2 current / 2 desired
Pods Status:	2 Running / 0 Waiting / 0 Succeeded / 0 Failed
No events.
";
        assert_eq!(describe(&kinds::REPLICATION_CONTROLLER, &rc, &related), want);
        let svc = json!({"metadata":{"name":"svc-b1","labels":{"app":"b"}},"spec":{"selector":{"name":"b"},"clusterIP":"172.30.17.81",
            "ports":[{"port":80}],"sessionAffinity":"ClientIP"}});
        let ep = json!({"subsets":[{"addresses":[{"ip":"172.17.0.6"}],"ports":[{"port":8080}]}]});
        let related = Related { endpoints: Some(ep), ..Related::default() };
        let want = "\
Name:			svc-b1
Labels:			app=b
Selector:		name=b
IP:			172.30.17.81
Port:			80
Endpoints:		172.17.0.6:8080
Session Affinity:	ClientIP
No events.
";
        assert_eq!(describe(&kinds::SERVICE, &svc, &related), want);
    }
}
