//! Strategic merge patches as kubectl sends them, and properties that all of them have.
use super::*;
use proptest::prelude::*;
use serde_json::json;
use shared::kinds;

fn pod(current: Value, patch: Value) -> Value {
    let mut current = current;
    strategic(&kinds::POD, &mut current, &patch).unwrap();
    current
}

#[test]
fn containers_merge_by_name_as_set_image_sends_it() {
    let now = json!({"spec": {"containers": [{"name": "a", "image": "a:1", "tty": true}, {"name": "b", "image": "b:1"}]}});
    let patch =
        json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": [{"name": "b", "image": "b:2"}]}});
    assert_eq!(
        pod(now, patch),
        json!({"spec": {"containers": [{"name": "a", "image": "a:1", "tty": true}, {"name": "b", "image": "b:2"}]}})
    );
}

#[test]
fn apply_deletes_renames_and_orders() {
    let now = json!({"spec": {"containers": [{"name": "a"}, {"name": "injected"}, {"name": "b"}]}});
    let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
        "containers": [{"$patch": "delete", "name": "a"}, {"name": "c", "image": "c", "stdin": null}]}});
    let after = pod(now, patch);
    assert_eq!(after, json!({"spec": {"containers": [{"name": "injected"}, {"name": "c", "image": "c"}, {"name": "b"}]}}));
}

#[test]
fn env_ports_and_mounts_have_their_own_keys() {
    let now = json!({"spec": {"containers": [{"name": "a",
        "env": [{"name": "X", "value": "1"}], "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}],
        "volumeMounts": [{"mountPath": "/a", "name": "v"}]}]}});
    let patch = json!({"spec": {"containers": [{"name": "a",
        "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [{"containerPort": 53, "protocol": "UDP", "hostPort": 5353}, {"containerPort": 80, "name": "web"}],
        "volumeMounts": [{"mountPath": "/a", "readOnly": true}]}]}});
    assert_eq!(
        pod(now, patch)["spec"]["containers"][0],
        json!({"name": "a",
            "env": [{"name": "Y", "value": "2"}, {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "ports": [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP", "hostPort": 5353}, {"containerPort": 80, "name": "web"}],
            "volumeMounts": [{"mountPath": "/a", "name": "v", "readOnly": true}]})
    );
}

#[test]
fn sets_of_words_grow_and_shrink() {
    let now = json!({"metadata": {"finalizers": ["a", "b"]}});
    assert_eq!(pod(now.clone(), json!({"metadata": {"finalizers": ["c", "a"]}})), json!({"metadata": {"finalizers": ["c", "a", "b"]}}));
    let patch =
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"]}});
    assert_eq!(pod(now.clone(), patch), json!({"metadata": {"finalizers": ["c", "b"]}}));
    assert_eq!(pod(now, json!({"metadata": {"finalizers": null}})), json!({"metadata": {}}));
}

#[test]
fn retained_keys_switch_a_union() {
    let now = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/"}}]}});
    let patch = json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}});
    assert_eq!(
        pod(now.clone(), patch),
        json!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}, {"name": "w", "hostPath": {"path": "/"}}]}})
    );
    let bad = json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "secret": {}}]}});
    assert_eq!(strategic(&kinds::POD, &mut now.clone(), &bad), Err("invalid patch format of retainKeys".into()));
}

#[test]
fn directives_replace_and_delete_whole_objects_and_lists() {
    let now =
        json!({"metadata": {"labels": {"a": "1"}}, "spec": {"nodeSelector": {"x": "y"}, "containers": [{"name": "a"}, {"name": "b"}]}});
    let patch = json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}, "spec": {"nodeSelector": {"$patch": "delete"}, "containers": [{"name": "c"}, {"$patch": "replace"}]}});
    assert_eq!(pod(now, patch), json!({"metadata": {"labels": {"b": "2"}}, "spec": {"nodeSelector": {}, "containers": [{"name": "c"}]}}));
}

#[test]
fn lists_without_a_key_are_replaced_and_bad_patches_named() {
    let now = json!({"spec": {"containers": [{"name": "a", "args": ["x", "y"]}], "tolerations": [{"key": "k"}]}});
    let patch = json!({"spec": {"containers": [{"name": "a", "args": ["z"]}], "tolerations": []}});
    assert_eq!(pod(now.clone(), patch), json!({"spec": {"containers": [{"name": "a", "args": ["z"]}], "tolerations": []}}));
    for (bad, text) in [
        (json!({"spec": {"containers": [{"image": "i"}]}}), "map: {\"image\":\"i\"} does not contain declared merge key: name"),
        (json!({"$patch": "nonsense"}), "unknown patch type found: nonsense"),
        (json!([]), "invalid JSON document: a strategic merge patch is an object"),
    ] {
        assert_eq!(strategic(&kinds::POD, &mut now.clone(), &bad), Err(text.into()));
    }
}

fn containers() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::btree_map("[a-e]", "[xyz]", 0..5)
        .prop_map(|m| m.into_iter().map(|(name, image)| json!({"name": name, "image": image})).collect::<Vec<_>>())
        .prop_shuffle()
}

/// What kubectl 1.33 makes of random pods and random patches (`kubectl patch --local`), recorded.
#[test]
fn patches_do_what_kubectl_does() {
    let mut count = 0;
    for line in include_str!("../../tests/kubectl-patch.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut after = case["current"].clone();
        strategic(&kinds::POD, &mut after, &case["patch"]).unwrap();
        crate::validate::prune(&kinds::POD, &mut after);
        assert_eq!(after, case["want"], "{line}");
        count += 1;
    }
    assert!(count >= 100, "{count} recorded patches");
}

proptest! {
    /// The patch that `kubectl apply` computes between two lists turns one into the other, order included.
    #[test]
    fn a_computed_patch_leads_to_its_target(from in containers(), to in containers()) {
        let find = |list: &[Value], name: &Value| list.iter().find(|c| c["name"] == *name).cloned();
        let mut patch: Vec<Value> = to.iter().filter(|c| find(&from, &c["name"]).as_ref() != Some(*c)).cloned().collect();
        patch.extend(from.iter().filter(|c| find(&to, &c["name"]).is_none()).map(|c| json!({"$patch": "delete", "name": c["name"]})));
        let order: Vec<Value> = to.iter().map(|c| json!({"name": c["name"]})).collect();
        let patch = json!({"spec": {"$setElementOrder/containers": order, "containers": patch}});
        prop_assert_eq!(pod(json!({"spec": {"containers": from}}), patch), json!({"spec": {"containers": to}}));
    }

    /// Applying a patch twice is applying it once.
    #[test]
    fn patches_are_idempotent(from in containers(), patch in containers()) {
        let patch = json!({"spec": {"containers": patch}});
        let once = pod(json!({"spec": {"containers": from}}), patch.clone());
        prop_assert_eq!(pod(once.clone(), patch), once);
    }
}
