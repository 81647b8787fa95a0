//! Why an object is not as it should be: one sentence and the chain of causes, from the object and what stands around it.
//!
//! Pure: the command line and the console read the same objects and print the same words.
mod pod;
#[cfg(test)]
mod tests;

use crate::kinds::Kind;
use serde_json::Value;

/// Causes that are followed at most: a chain is for reading.
const CHAIN_MAX: usize = 8;

/// What stands around the object, of its own namespace; what is not known stays empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    pub events: &'a [Value],
    pub pods: &'a [Value],
    pub services: &'a [Value],
    pub quotas: &'a [Value],
    pub nodes: &'a [Value],
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    pub healthy: bool,
    /// Names the object and says what is the matter with it.
    pub sentence: String,
    /// What that comes from, nearest first.
    pub chain: Vec<String>,
}

impl Why {
    fn well(sentence: impl Into<String>) -> Why {
        Why { healthy: true, sentence: sentence.into(), chain: Vec::new() }
    }

    fn ill(sentence: impl Into<String>) -> Why {
        Why { healthy: false, sentence: sentence.into(), chain: Vec::new() }
    }

    /// Adds a cause, once.
    fn because(mut self, cause: impl Into<String>) -> Why {
        let cause = cause.into();
        if !cause.is_empty() && self.chain.len() < CHAIN_MAX && !self.chain.contains(&cause) && self.sentence != cause {
            self.chain.push(cause);
        }
        self
    }
}

/// Sentence first, then each cause a line, indented under the one it explains.
impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.sentence)?;
        for (depth, cause) in self.chain.iter().enumerate() {
            writeln!(f, "{}because {cause}", "  ".repeat(depth + 1))?;
        }
        Ok(())
    }
}

/// Explains any object; kinds without rules of their own are judged by their conditions and warnings.
pub fn explain(kind: &Kind, object: &Value, around: &Around<'_>) -> Why {
    match (kind.group, kind.plural) {
        ("", "pods") => pod::explain(object, around),
        ("", "replicationcontrollers") => controller(object, around),
        ("", "services") => service(object, around),
        ("", "nodes") => node(object),
        ("", "resourcequotas") => quota(object),
        _ => other(kind, object, around),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn condition<'a>(object: &'a Value, wanted: &str) -> Option<&'a Value> {
    items(&object["status"]["conditions"]).iter().find(|c| c["type"] == wanted)
}

fn is_true(condition: Option<&Value>) -> bool {
    condition.is_some_and(|c| c["status"] == "True")
}

/// `1 pod`, `2 pods`.
fn count(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// One line of a text that may have many, without its full stop.
fn line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_string()
}

fn last_seen(event: &Value) -> &str {
    [&event["lastTimestamp"], &event["series"]["lastObservedTime"], &event["eventTime"], &event["metadata"]["creationTimestamp"]]
        .into_iter()
        .map(text)
        .find(|t| !t.is_empty())
        .unwrap_or_default()
}

/// The newest warning about an object, of these reasons; of any reason when none is named.
fn warning<'a>(object: &Value, around: &Around<'a>, reasons: &[&str]) -> Option<&'a Value> {
    newest(object, around, |e| e["type"] == "Warning" && (reasons.is_empty() || reasons.contains(&text(&e["reason"]))))
}

/// The newest event about an object of those wanted.
fn newest<'a>(object: &Value, around: &Around<'a>, wanted: impl Fn(&Value) -> bool) -> Option<&'a Value> {
    let uid = text(&object["metadata"]["uid"]);
    let about = |e: &&Value| {
        let subject = &e["involvedObject"];
        let same = if uid.is_empty() || text(&subject["uid"]).is_empty() {
            text(&subject["name"]) == name(object)
        } else {
            text(&subject["uid"]) == uid
        };
        same && wanted(e)
    };
    around.events.iter().filter(about).max_by_key(|e| last_seen(e))
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|s| !s.is_empty() && s.iter().all(|(k, v)| labels[k] == *v))
}

fn pairs(map: &Value) -> String {
    map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))).collect::<Vec<_>>().join(",")
}

fn being_deleted(object: &Value) -> bool {
    !text(&object["metadata"]["deletionTimestamp"]).is_empty()
}

/// What keeps an object that is being deleted.
fn deletion(what: &str, object: &Value) -> Why {
    let finalizers: Vec<&str> = items(&object["metadata"]["finalizers"]).iter().map(text).collect();
    let why = Why::ill(format!("{what} is being deleted since {}", text(&object["metadata"]["deletionTimestamp"])));
    if finalizers.is_empty() { why } else { why.because(format!("these still have to finish their work: {}", finalizers.join(", "))) }
}

fn controller(rc: &Value, around: &Around<'_>) -> Why {
    let what = format!("replication controller {}", name(rc));
    if being_deleted(rc) {
        return deletion(&what, rc);
    }
    let wanted = rc["spec"]["replicas"].as_i64().unwrap_or(1).max(0) as usize;
    let (made, ready) =
        (rc["status"]["replicas"].as_u64().unwrap_or(0) as usize, rc["status"]["readyReplicas"].as_u64().unwrap_or(0) as usize);
    if made == wanted && ready >= wanted {
        return Why::well(format!("{what} is well: {} wanted, {ready} ready", count(wanted, "pod")));
    }
    if made > wanted {
        return Why::ill(format!("{what} has {} and wants {wanted}", count(made, "pod"))).because("the surplus is being stopped");
    }
    let mut why = Why::ill(format!("{what} has {ready} of {} ready", count(wanted, "pod")));
    if made < wanted {
        why = why.because(format!("{} could not be made yet", count(wanted - made, "pod")));
        if let Some(event) = warning(rc, around, &["FailedCreate"]) {
            why = why.because(line(text(&event["message"])));
        }
        for cause in full_quotas(around.quotas) {
            why = why.because(cause);
        }
    }
    // Ready is what the controller counts, so the first pod that is not explains the rest.
    let own = |p: &&Value| {
        let owners = items(&p["metadata"]["ownerReferences"]);
        owners.iter().any(|o| o["controller"] == true && o["name"] == rc["metadata"]["name"])
    };
    let mut explained = around.pods.iter().filter(own).map(|p| pod::explain(p, around));
    if let Some(pod) = explained.find(|w| !w.healthy) {
        why = why.because(pod.sentence);
        for cause in pod.chain {
            why = why.because(cause);
        }
    }
    why
}

fn service(service: &Value, around: &Around<'_>) -> Why {
    let what = format!("service {}", name(service));
    if being_deleted(service) {
        return deletion(&what, service);
    }
    if service["spec"]["type"] == "ExternalName" {
        return Why::well(format!("{what} is a name for {}", text(&service["spec"]["externalName"])));
    }
    let selector = &service["spec"]["selector"];
    if selector.as_object().is_none_or(|s| s.is_empty()) {
        return Why::well(format!("{what} has no selector: its endpoints are made by hand"));
    }
    let matching: Vec<&Value> = around.pods.iter().filter(|p| selects(selector, &p["metadata"]["labels"])).collect();
    let ready = matching.iter().filter(|p| is_true(condition(p, "Ready")) && !being_deleted(p)).count();
    if ready > 0 {
        return missing_port(&what, service, &matching)
            .unwrap_or_else(|| Why::well(format!("{what} is well: it leads to {} of {}", ready, count(matching.len(), "pod"))));
    }
    let why = Why::ill(format!("{what} leads nowhere: none of its pods is ready"));
    if matching.is_empty() {
        let why = why.because(format!("no pod matches its selector {}", pairs(selector)));
        return match nearest(selector, around.pods) {
            Some((pod, has)) => why.because(format!("the nearest, pod {pod}, has the labels {has}")),
            None if around.pods.is_empty() => why.because("there are no pods in the project"),
            None => why,
        };
    }
    let mut why = why.because(format!("its selector {} matches {}", pairs(selector), count(matching.len(), "pod")));
    if let Some(pod) = matching.iter().map(|p| pod::explain(p, around)).find(|w| !w.healthy) {
        why = why.because(pod.sentence);
        for cause in pod.chain {
            why = why.because(cause);
        }
    }
    why
}

/// A named target port that no container of the pods has.
fn missing_port(what: &str, service: &Value, pods: &[&Value]) -> Option<Why> {
    let has = |pod: &Value, wanted: &str| {
        items(&pod["spec"]["containers"]).iter().any(|c| items(&c["ports"]).iter().any(|p| p["name"] == wanted))
    };
    let port = items(&service["spec"]["ports"])
        .iter()
        .find(|p| p["targetPort"].as_str().is_some_and(|wanted| !pods.iter().any(|pod| has(pod, wanted))))?;
    Some(
        Why::ill(format!("{what} leads nowhere at port {}", port["port"]))
            .because(format!("no container of its pods has a port named \"{}\"", text(&port["targetPort"]))),
    )
}

/// The pod whose labels agree with most of a selector, if with any: mostly a slip of the finger.
fn nearest(selector: &Value, pods: &[Value]) -> Option<(String, String)> {
    let agree = |p: &Value| {
        let labels = &p["metadata"]["labels"];
        selector
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| usize::from(labels[k] == *v) * 2 + usize::from(labels.get(k).is_some()))
            .sum::<usize>()
    };
    let best = pods.iter().map(|p| (agree(p), p)).max_by_key(|(n, _)| *n).filter(|(n, _)| *n > 0)?.1;
    Some((name(best).to_string(), pairs(&best["metadata"]["labels"])))
}

fn node(node: &Value) -> Why {
    let what = format!("node {}", name(node));
    let ready = condition(node, "Ready");
    if !is_true(ready) {
        let why = Why::ill(format!("{what} is not ready"));
        let Some(ready) = ready else { return why.because("it has not reported yet") };
        let said = if ready["status"] == "Unknown" {
            format!("it has not been heard of since {}", text(&ready["lastHeartbeatTime"]))
        } else {
            String::new()
        };
        return why.because(said).because(line(text(&ready["message"])));
    }
    let pressed = items(&node["status"]["conditions"]).iter().find(|c| c["type"] != "Ready" && c["status"] == "True");
    if let Some(pressed) = pressed {
        return Why::ill(format!("{what} has {}", text(&pressed["type"]))).because(line(text(&pressed["message"])));
    }
    if node["spec"]["unschedulable"] == true {
        return Why::ill(format!("{what} takes no new pods")).because("somebody marked it unschedulable");
    }
    Why::well(format!("{what} is well: ready, and takes pods"))
}

/// A sentence for each resource of a quota that is used up.
fn full_quotas(quotas: &[Value]) -> Vec<String> {
    let mut out = Vec::new();
    for quota in quotas {
        for (resource, hard) in quota["status"]["hard"].as_object().into_iter().flatten() {
            let used = &quota["status"]["used"][resource];
            if reached(text(used), text(hard)) {
                out.push(format!("quota {} is used up: {} of {} {resource}", name(quota), text(used), text(hard)));
            }
        }
    }
    out
}

fn reached(used: &str, hard: &str) -> bool {
    match (used.parse::<crate::quantity::Quantity>(), hard.parse::<crate::quantity::Quantity>()) {
        (Ok(used), Ok(hard)) => used >= hard,
        _ => false,
    }
}

fn quota(quota: &Value) -> Why {
    let full = full_quotas(std::slice::from_ref(quota));
    match full.split_first() {
        None => Why::well(format!("quota {} is well: nothing of it is used up", name(quota))),
        Some((first, rest)) => rest.iter().fold(Why::ill(first.clone()), |why, cause| why.because(cause.clone())),
    }
}

fn other(kind: &Kind, object: &Value, around: &Around<'_>) -> Why {
    let what = format!("{} {}", kind.singular, name(object));
    if being_deleted(object) {
        return deletion(&what, object);
    }
    let bad = items(&object["status"]["conditions"])
        .iter()
        .find(|c| matches!(text(&c["type"]), "Ready" | "Available" | "Complete" | "Established") && c["status"] != "True");
    if let Some(bad) = bad {
        let said = line(text(&bad["message"]));
        return Why::ill(format!("{what} is not {}", text(&bad["type"]).to_lowercase())).because(said);
    }
    match warning(object, around, &[]) {
        Some(event) => Why::ill(format!("{what} has a warning: {}", text(&event["reason"]))).because(line(text(&event["message"]))),
        None => Why::well(format!("nothing is known to be wrong with {what}")),
    }
}
