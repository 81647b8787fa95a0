//! What keeps the wanted number of pods: adopt, release, create, delete, report.
use super::Write;
use crate::facts::{Phase, PodFacts};
use serde_json::{Value, json};
use shared::kinds::{POD, REPLICATION_CONTROLLER};
use shared::meta::ObjectReference;
use shared::objects::replication_controller::{ReplicationController, ReplicationControllerStatus};
use shared::selector::LabelSelector;

/// At most so many pods are created or deleted in one pass, so that one controller cannot starve the others; the next
/// pass follows at once.
pub const BURST_MAX: usize = 500;

/// A controller and all pods of its namespace that it owns or whose labels its selector matches.
pub struct Observed<'a> {
    pub controller: &'a ReplicationController,
    pub pods: &'a [&'a PodFacts],
}

/// The writes that lead from what is observed to what the controller's spec wants.
pub fn reconcile(observed: &Observed<'_>) -> Vec<Write> {
    let rc = observed.controller;
    let mut writes = Vec::new();
    let mine = claim(observed, &mut writes);
    let active: Vec<&PodFacts> = mine.iter().copied().filter(|p| p.active()).collect();
    if !rc.metadata.is_deleting() {
        scale(rc, &active, &mut writes);
    }
    status(rc, &active, &mut writes);
    writes
}

/// The pods that count: owned ones that still match, and orphans that match and are adopted now.
fn claim<'a>(observed: &Observed<'a>, writes: &mut Vec<Write>) -> Vec<&'a PodFacts> {
    let rc = observed.controller;
    let selector = LabelSelector::from_map(&rc.spec.selector);
    let mut mine = Vec::new();
    for pod in observed.pods.iter().copied() {
        let matches = !selector.is_empty() && selector.matches(&pod.labels);
        match &pod.owner {
            Some(owner) if owner.uid == rc.metadata.uid && matches => mine.push(pod),
            Some(owner) if owner.uid == rc.metadata.uid && !rc.metadata.is_deleting() => {
                writes.push(set_owner(pod, Value::Null));
            }
            Some(_) => {}
            None if matches && pod.active() && !rc.metadata.is_deleting() => {
                writes.push(set_owner(pod, json!([owner_reference(rc)])));
                mine.push(pod);
            }
            None => {}
        }
    }
    mine
}

fn set_owner(pod: &PodFacts, references: Value) -> Write {
    Write::Merge {
        kind: &POD,
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        subresource: "",
        uid: pod.uid.clone(),
        patch: json!({"metadata": {"ownerReferences": references}}),
    }
}

fn owner_reference(rc: &ReplicationController) -> Value {
    json!({"apiVersion": "v1", "kind": "ReplicationController", "name": rc.metadata.name, "uid": rc.metadata.uid,
           "controller": true, "blockOwnerDeletion": true})
}

fn scale(rc: &ReplicationController, active: &[&PodFacts], writes: &mut Vec<Write>) {
    let wanted = wanted(rc);
    if active.len() < wanted {
        for _ in 0..(wanted - active.len()).min(BURST_MAX) {
            writes.push(Write::Create {
                kind: &POD,
                namespace: rc.metadata.namespace.clone(),
                body: new_pod(rc),
                creator: Some(reference(rc)),
            });
        }
        return;
    }
    let mut surplus = active.to_vec();
    surplus.sort_by(|a, b| deletion_order(a).cmp(&deletion_order(b)));
    for pod in surplus.into_iter().take((active.len() - wanted).min(BURST_MAX)) {
        writes.push(Write::Delete {
            kind: &POD,
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            grace_seconds: None,
        });
        writes.push(event(rc, false, "SuccessfulDelete", format!("Deleted pod: {}", pod.name)));
    }
}

fn wanted(rc: &ReplicationController) -> usize {
    usize::try_from(rc.spec.replicas.unwrap_or(1)).unwrap_or(0)
}

/// Whom to delete first: not yet on a node, then not running, not ready, restarting often, youngest.
fn deletion_order(pod: &PodFacts) -> (bool, u8, bool, std::cmp::Reverse<i32>, std::cmp::Reverse<&str>, &str) {
    let phase = match pod.phase {
        Phase::Pending => 0,
        Phase::Unknown => 1,
        _ => 2,
    };
    (!pod.node.is_empty(), phase, pod.ready, std::cmp::Reverse(pod.restarts), std::cmp::Reverse(pod.created.as_str()), pod.name.as_str())
}

/// A pod from the template: the template's own JSON, so that no member is lost.
fn new_pod(rc: &ReplicationController) -> Value {
    let template = rc.spec.template.as_ref();
    let of = |member: &str| template.and_then(|t| t.get(member)).cloned();
    let mut metadata = json!({"generateName": format!("{}-", rc.metadata.name), "namespace": rc.metadata.namespace, "ownerReferences": [owner_reference(rc)]});
    let given = of("metadata").unwrap_or_default();
    for member in ["labels", "annotations", "finalizers"] {
        if let Some(value) = given.get(member).filter(|v| !v.is_null()) {
            metadata[member] = value.clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": of("spec").unwrap_or_default()})
}

fn status(rc: &ReplicationController, active: &[&PodFacts], writes: &mut Vec<Write>) {
    let template_labels = rc.spec.template.as_ref().and_then(|t| t.pointer("/metadata/labels")).and_then(Value::as_object);
    let labelled = |p: &PodFacts| template_labels.is_none_or(|l| l.iter().all(|(k, v)| p.labels.get(k).map(String::as_str) == v.as_str()));
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let ready = count(active.iter().filter(|p| p.ready).count());
    let now = ReplicationControllerStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: count(active.iter().filter(|p| labelled(p)).count()),
        ready_replicas: ready,
        available_replicas: ready,
        observed_generation: rc.metadata.generation,
    };
    if now != rc.status {
        // Null removes a count that has become zero, as Kubernetes leaves zeros out, all but `replicas`.
        let or_null = |n: i32| if n == 0 { Value::Null } else { json!(n) };
        let patch = json!({"status": {
            "replicas": now.replicas, "fullyLabeledReplicas": or_null(now.fully_labeled_replicas), "readyReplicas": or_null(ready),
            "availableReplicas": or_null(ready), "observedGeneration": now.observed_generation,
        }});
        writes.push(Write::Merge {
            kind: &REPLICATION_CONTROLLER,
            namespace: rc.metadata.namespace.clone(),
            name: rc.metadata.name.clone(),
            subresource: "status",
            uid: rc.metadata.uid.clone(),
            patch,
        });
    }
}

/// An event about the controller.
pub fn event(rc: &ReplicationController, warning: bool, reason: &'static str, message: String) -> Write {
    Write::Event { about: reference(rc), warning, reason, message }
}

fn reference(rc: &ReplicationController) -> ObjectReference {
    ObjectReference {
        kind: "ReplicationController".into(),
        namespace: rc.metadata.namespace.clone(),
        name: rc.metadata.name.clone(),
        uid: rc.metadata.uid.clone(),
        api_version: "v1".into(),
        resource_version: rc.metadata.resource_version.clone(),
        field_path: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::objects::pod::Pod;

    fn controller(replicas: i32) -> ReplicationController {
        serde_json::from_value(json!({
            "metadata": {"name": "hello-controller", "namespace": "hack", "uid": "rc-1", "generation": 1},
            "spec": {"replicas": replicas, "selector": {"name": "hello"},
                "template": {"metadata": {"labels": {"name": "hello"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
        }))
        .unwrap()
    }

    /// The eight states a pod can be in, as a controller sees it.
    fn pod(state: usize, n: usize) -> PodFacts {
        let (owned, labelled, phase) = [
            (true, true, "Running"),
            (true, true, "Pending"),
            (true, true, "Failed"),
            (true, true, "Succeeded"),
            (false, true, "Running"),
            (false, true, "Failed"),
            (true, false, "Running"),
            (false, false, "Running"),
        ][state];
        let owner = json!([{"kind": "ReplicationController", "name": "hello-controller", "uid": "rc-1", "controller": true}]);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("p{n}"), "namespace": "hack", "uid": format!("u{n}"), "labels": {"name": if labelled { "hello" } else { "x" }},
                "ownerReferences": if owned { owner } else { json!([]) }},
            "spec": {"nodeName": "master"}, "status": {"phase": phase}
        }))
        .unwrap();
        PodFacts::of(&pod)
    }

    #[test]
    fn one_pass_lands_on_the_wanted_number_and_never_creates_and_deletes() {
        for wanted in 0..=5i32 {
            for mix in 0..8usize.pow(4) {
                let states: Vec<usize> = (0..4).map(|i| mix / 8usize.pow(i) % 8).collect();
                let pods: Vec<PodFacts> = states.iter().enumerate().map(|(n, s)| pod(*s, n)).collect();
                let refs: Vec<&PodFacts> = pods.iter().collect();
                let writes = reconcile(&Observed { controller: &controller(wanted), pods: &refs });
                let creates = writes.iter().filter(|w| matches!(w, Write::Create { .. })).count();
                let deletes = writes.iter().filter(|w| matches!(w, Write::Delete { .. })).count();
                let counted = states.iter().filter(|s| matches!(s, 0 | 1 | 4)).count();
                assert!(creates == 0 || deletes == 0, "{states:?}");
                assert_eq!(counted + creates - deletes, wanted as usize, "{states:?} wanted {wanted}");
                let adopted = writes.iter().filter(|w| matches!(w, Write::Merge { kind, patch, .. } if **kind == POD && !patch["metadata"]["ownerReferences"].is_null())).count();
                assert_eq!(adopted, states.iter().filter(|s| **s == 4).count(), "orphans that match are adopted");
            }
        }
    }

    #[test]
    fn a_pod_that_does_not_run_goes_first() {
        let pods = [pod(0, 0), pod(1, 1), pod(0, 2)];
        let refs: Vec<&PodFacts> = pods.iter().collect();
        let writes = reconcile(&Observed { controller: &controller(2), pods: &refs });
        assert!(writes.iter().any(|w| matches!(w, Write::Delete { name, .. } if name == "p1")));
    }

    #[test]
    fn template_members_that_we_do_not_know_are_kept() {
        let mut rc = controller(1);
        rc.spec.template = Some(json!({"metadata": {"labels": {"name": "hello"}}, "spec": {"containers": [], "futureField": {"a": 1}}}));
        let writes = reconcile(&Observed { controller: &rc, pods: &[] });
        assert!(
            matches!(&writes[0], Write::Create { body, .. } if body["spec"]["futureField"]["a"] == 1 && body["metadata"]["generateName"] == "hello-controller-")
        );
    }
}
