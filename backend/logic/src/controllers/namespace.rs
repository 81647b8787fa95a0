//! Emptying a namespace that is being deleted: pods first, then everything else, then the namespace itself.
use super::Write;
use serde_json::{Value, json};
use shared::kinds::{Kind, NAMESPACE, POD};
use shared::objects::namespace::Namespace;

/// An object that still lives in the namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub kind: &'static Kind,
    pub name: String,
    pub uid: String,
    pub deleting: bool,
}

/// The next deletions, or the last step when nothing is left. `namespace` is the object's whole JSON.
///
/// Pods go first and alone, so that no controller or service is taken from under a pod that is stopping in order
/// (KEP-5080, ordered namespace deletion).
pub fn reconcile(namespace: &Value, contents: &[Content]) -> Vec<Write> {
    let view: Namespace = serde_json::from_value(namespace.clone()).unwrap_or_default();
    if !view.metadata.is_deleting() {
        return Vec::new();
    }
    if contents.is_empty() {
        return finalize(namespace, &view);
    }
    let pods_left = contents.iter().any(|c| *c.kind == POD);
    contents
        .iter()
        .filter(|c| !c.deleting && (!pods_left || *c.kind == POD))
        .map(|c| Write::Delete {
            kind: c.kind,
            namespace: view.metadata.name.clone(),
            name: c.name.clone(),
            uid: c.uid.clone(),
            grace_seconds: None,
        })
        .collect()
}

fn finalize(namespace: &Value, view: &Namespace) -> Vec<Write> {
    let finalizers = namespace.pointer("/spec/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    if !finalizers.iter().any(|f| f == "kubernetes") {
        return Vec::new();
    }
    let mut body = namespace.clone();
    body["spec"]["finalizers"] = finalizers.into_iter().filter(|f| f != "kubernetes").collect::<Vec<_>>().into();
    body["apiVersion"] = json!("v1");
    body["kind"] = json!("Namespace");
    vec![Write::Update { kind: &NAMESPACE, namespace: String::new(), name: view.metadata.name.clone(), subresource: "finalize", body }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::kinds::SERVICE;

    fn namespace(deleting: bool) -> Value {
        let mut n =
            json!({"metadata": {"name": "hack", "uid": "n", "resourceVersion": "7"}, "spec": {"finalizers": ["kubernetes", "other"]}});
        if deleting {
            n["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        n
    }

    fn content(kind: &'static Kind, deleting: bool) -> Content {
        Content { kind, name: "x".into(), uid: "u".into(), deleting }
    }

    #[test]
    fn pods_go_before_everything_else() {
        assert!(reconcile(&namespace(false), &[content(&POD, false)]).is_empty());
        let both = [content(&POD, false), content(&SERVICE, false)];
        let writes = reconcile(&namespace(true), &both);
        assert!(matches!(writes.as_slice(), [Write::Delete { kind, .. }] if **kind == POD));
        assert!(reconcile(&namespace(true), &[content(&POD, true), content(&SERVICE, false)]).is_empty(), "waits for the pod to stop");
        assert_eq!(reconcile(&namespace(true), &[content(&SERVICE, false)]).len(), 1);
    }

    #[test]
    fn the_last_step_removes_only_our_finalizer() {
        let writes = reconcile(&namespace(true), &[]);
        assert!(
            matches!(writes.as_slice(), [Write::Update { body, subresource: "finalize", .. }] if body["spec"]["finalizers"] == json!(["other"]))
        );
    }
}
