//! Why a pod does not run, or runs and is not ready.
use super::{Around, Why, being_deleted, condition, count, deletion, is_true, items, line, name, newest, text, warning};
use crate::table::time;
use serde_json::Value;

pub(super) fn explain(pod: &Value, around: &Around<'_>) -> Why {
    let what = format!("pod {}", name(pod));
    if being_deleted(pod) {
        return deletion(&what, pod);
    }
    match text(&pod["status"]["phase"]) {
        "Succeeded" => return Why::well(format!("{what} has done its work: every container ended with 0")),
        "Failed" => return failed(&what, pod),
        _ => {}
    }
    if text(&pod["spec"]["nodeName"]).is_empty() {
        return unscheduled(&what, pod, around);
    }
    let init = items(&pod["status"]["initContainerStatuses"]).iter().map(|s| ("init container", s));
    let main = items(&pod["status"]["containerStatuses"]).iter().map(|s| ("container", s));
    if let Some(why) = init.chain(main).find_map(|(word, status)| container(&what, word, pod, status, around)) {
        return why;
    }
    if let Some(why) = lost_node(&what, pod, around) {
        return why;
    }
    if is_true(condition(pod, "Ready")) {
        let restarts: u64 = items(&pod["status"]["containerStatuses"]).iter().filter_map(|s| s["restartCount"].as_u64()).sum();
        let after = if restarts > 0 { format!(" (after {})", count(restarts as usize, "restart")) } else { String::new() };
        return Why::well(format!("{what} is well: running and ready on node {}{after}", text(&pod["spec"]["nodeName"])));
    }
    let why = Why::ill(format!("{what} is being started on node {}", text(&pod["spec"]["nodeName"])));
    match warning(pod, around, &[]) {
        Some(event) => why.because(line(text(&event["message"]))),
        None => why,
    }
}

fn failed(what: &str, pod: &Value) -> Why {
    let why = Why::ill(format!("{what} has failed for good"));
    let why = why.because(line(text(&pod["status"]["message"])));
    let statuses = items(&pod["status"]["initContainerStatuses"]).iter().chain(items(&pod["status"]["containerStatuses"]));
    let ended = statuses.filter(|s| s["state"]["terminated"]["exitCode"].as_i64().is_some_and(|c| c != 0));
    let why = ended.fold(why, |why, s| why.because(ending(text(&s["name"]), &s["state"]["terminated"])));
    match text(&pod["spec"]["restartPolicy"]) {
        "Never" => why.because("its restart policy is Never, so nothing is tried again"),
        _ => why,
    }
}

/// `container c ended with exit code 3: text`.
fn ending(container: &str, ended: &Value) -> String {
    let reason = match text(&ended["reason"]) {
        "OOMKilled" => "was killed because it used more memory than its limit".to_string(),
        _ => match ended["signal"].as_i64().filter(|s| *s > 0) {
            Some(signal) => format!("was ended by signal {signal}"),
            None => format!("ended with exit code {}", ended["exitCode"]),
        },
    };
    let said = line(text(&ended["message"]));
    if said.is_empty() { format!("container {container} {reason}") } else { format!("container {container} {reason}: {said}") }
}

fn unscheduled(what: &str, pod: &Value, around: &Around<'_>) -> Why {
    let why = Why::ill(format!("{what} waits for a node"));
    let scheduled = condition(pod, "PodScheduled").filter(|c| c["status"] == "False");
    let said = scheduled.map(|c| text(&c["message"])).filter(|m| !m.is_empty());
    let said = said.or_else(|| warning(pod, around, &["FailedScheduling"]).map(|e| text(&e["message"])));
    match said {
        Some(message) => refusals(why, message),
        None if pod["spec"]["schedulingGates"].as_array().is_some_and(|g| !g.is_empty()) => why.because("its scheduling gates are closed"),
        None => why.because("the scheduler has not looked at it yet"),
    }
}

/// The scheduler's sum, then what each node said.
fn refusals(why: Why, message: &str) -> Why {
    let Some((sum, nodes)) = message.split_once(". ") else {
        return why.because(line(message));
    };
    let why = why.because(line(sum));
    nodes.trim_end_matches('.').split("; ").fold(why, |why, node| match node.split_once(": ") {
        Some((name, reason)) => why.because(format!("node {name} refused: {}", line(reason))),
        None => why.because(line(node)),
    })
}

/// What is the matter with one container; `None` if nothing is.
fn container(what: &str, word: &str, pod: &Value, status: &Value, around: &Around<'_>) -> Option<Why> {
    let own = text(&status["name"]);
    let state = &status["state"];
    if state["waiting"].is_object() {
        return waiting(what, word, pod, status, around);
    }
    if state["terminated"].is_object() {
        if state["terminated"]["exitCode"] == 0 {
            return None;
        }
        let why = Why::ill(format!("{what} does not run: {word} {own} ended and will be started again"));
        return Some(why.because(ending(own, &state["terminated"])));
    }
    if word == "init container" {
        return (status["ready"] != true).then(|| Why::ill(format!("{what} is being started: {word} {own} is still at work")));
    }
    if status["ready"] == true {
        return None;
    }
    let why = Why::ill(format!("{what} runs and is not ready: {word} {own} does not answer its probe"));
    Some(match warning(pod, around, &["Unhealthy"]) {
        Some(event) => why.because(line(text(&event["message"]))),
        None if status["started"] == false => why.because("its startup probe has not succeeded yet"),
        None => why.because("its readiness probe has not succeeded yet"),
    })
}

fn waiting(what: &str, word: &str, pod: &Value, status: &Value, around: &Around<'_>) -> Option<Why> {
    let (own, waiting) = (text(&status["name"]), &status["state"]["waiting"]);
    let said = line(text(&waiting["message"]));
    let image = text(&status["image"]);
    let does_not = |end: String| Why::ill(format!("{what} does not run: {word} {own} {end}"));
    Some(match text(&waiting["reason"]) {
        "CrashLoopBackOff" => {
            let why = does_not(match until(status) {
                Some(until) => format!("keeps ending, and is tried again at {until}"),
                None => "keeps ending, and is tried again after a pause".into(),
            });
            let restarts = status["restartCount"].as_u64().unwrap_or(0) as usize;
            let why =
                why.because(ending(own, &status["lastState"]["terminated"])).because(format!("it was started {} before", times(restarts)));
            match warning(pod, around, &["Unhealthy"]) {
                Some(event) if text(&event["message"]).starts_with("Liveness") => why.because(line(text(&event["message"]))),
                _ => why,
            }
        }
        reason @ ("ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName") => {
            let why = does_not(format!("has no image \"{image}\""));
            let why = if said.is_empty() { why } else { why.because(said) };
            match reason {
                "ImagePullBackOff" => why.because("pulling it failed before and is tried again after a pause"),
                "ErrImageNeverPull" => why.because("its pull policy is Never, so the image must be put on the node by hand"),
                _ => why,
            }
        }
        "CreateContainerConfigError" => does_not("cannot be set up".into()).because(said),
        "" | "ContainerCreating" | "PodInitializing" => {
            let why = Why::ill(format!("{what} is being started: {word} {own} is not made yet"));
            match newest(pod, around, |e| e["type"] == "Warning" || e["reason"] == "Pulling") {
                Some(event) => why.because(line(text(&event["message"]))),
                None => why,
            }
        }
        reason => does_not(format!("waits: {reason}")).because(said),
    })
}

fn times(n: usize) -> String {
    match n {
        0 => "once".into(),
        1 => "twice".into(),
        n => format!("{} times", n + 1),
    }
}

/// When the pause after the last end is over: `back-off 40s …` counted from then.
fn until(status: &Value) -> Option<String> {
    let message = text(&status["state"]["waiting"]["message"]);
    let pause = message.split_once("back-off ")?.1.split_whitespace().next()?;
    let seconds = match pause.strip_suffix('s')?.split_once('m') {
        Some((minutes, seconds)) => minutes.parse::<i64>().ok()? * 60 + seconds.parse::<i64>().ok()?,
        None => pause.strip_suffix('s')?.parse().ok()?,
    };
    let ended = time::unix(text(&status["lastState"]["terminated"]["finishedAt"]))?;
    Some(format!("{} UTC", time::clock(ended + seconds)))
}

/// A pod that ran on a node of which nothing is heard any more.
fn lost_node(what: &str, pod: &Value, around: &Around<'_>) -> Option<Why> {
    let own = text(&pod["spec"]["nodeName"]);
    let node = around.nodes.iter().find(|n| name(n) == own)?;
    let ready = condition(node, "Ready");
    if is_true(ready) {
        return None;
    }
    let why = Why::ill(format!("{what} cannot be vouched for: its node {own} is not ready"));
    Some(why.because(line(ready.map(|c| text(&c["message"])).unwrap_or_default())))
}
