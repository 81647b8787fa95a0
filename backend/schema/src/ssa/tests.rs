//! Server-side apply, as several writers see it.
use super::*;
use proptest::prelude::*;
use serde_json::json;
use shared::kinds;

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager, subresource: "", now: "2026-01-01T00:00:00Z" }
}

fn controller(replicas: Option<i64>, image: &str) -> Value {
    let mut rc = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "a", "labels": {"app": "a"}},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image, "ports": [{"containerPort": 80}]}]}}}});
    if let Some(replicas) = replicas {
        rc["spec"]["replicas"] = json!(replicas);
    }
    rc
}

fn applied(live: Option<&Value>, object: &Value, manager: &str, force: bool) -> Result<Value, ApplyError> {
    apply(&kinds::REPLICATION_CONTROLLER, live, object, &writer(manager), force)
}

#[test]
fn the_first_apply_owns_what_it_says() {
    let rc = applied(None, &controller(Some(2), "i"), "kubectl", false).unwrap();
    let entry = &rc["metadata"]["managedFields"][0];
    assert_eq!(
        *entry,
        json!({"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}}})
    );
    let later = Writer { now: "2027-01-01T00:00:00Z", ..writer("kubectl") };
    let again = apply(&kinds::REPLICATION_CONTROLLER, Some(&rc), &controller(Some(2), "i"), &later, false).unwrap();
    assert_eq!(again, rc, "applying the same again changes nothing, not even the time");
}

#[test]
fn changing_what_another_owns_is_a_conflict_unless_forced() {
    let rc = applied(None, &controller(Some(2), "i"), "kubectl", false).unwrap();
    let mine = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "a"}, "spec": {"replicas": 5}});
    let refused = applied(Some(&rc), &mine, "scaler", false).unwrap_err();
    assert_eq!(refused.to_string(), "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.replicas");
    let forced = applied(Some(&rc), &mine, "scaler", true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 5);
    let owners: Vec<_> = forced["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["fieldsV1"]["f:spec"]["f:replicas"].is_object())
        .collect();
    assert_eq!(owners.len(), 1);
    assert_eq!(owners[0]["manager"], "scaler");
    // The same value is no conflict: both own it then.
    let agreed = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "a"}, "spec": {"replicas": 2}});
    let shared = applied(Some(&rc), &agreed, "scaler", false).unwrap();
    let owners = shared["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["fieldsV1"]["f:spec"]["f:replicas"].is_object())
        .count();
    assert_eq!(owners, 2);
}

#[test]
fn updates_are_tracked_and_conflict_with_later_applies() {
    let mut live = controller(Some(2), "i");
    update(&kinds::REPLICATION_CONTROLLER, None, &mut live, &writer("kubectl-create"));
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(3);
    update(
        &kinds::REPLICATION_CONTROLLER,
        Some(&live),
        &mut scaled,
        &Writer { subresource: "scale", now: "2026-01-02T00:00:00Z", ..writer("kubectl") },
    );
    let entries = scaled["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["subresource"], "scale");
    assert_eq!(entries[1]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert!(entries[0]["fieldsV1"]["f:spec"]["f:replicas"].is_null());
    let refused = applied(Some(&scaled), &controller(Some(4), "j"), "helm", false).unwrap_err();
    let ApplyError::Conflict { message, conflicts } = refused else { panic!("{refused:?}") };
    assert_eq!(
        message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-create\" using v1 at 2026-01-01T00:00:00Z:\n- .spec.template.spec.containers[name=\"c\"].image\nconflicts with \"kubectl\" with subresource \"scale\" using v1 at 2026-01-02T00:00:00Z:\n- .spec.replicas"
    );
    assert_eq!(conflicts[1].field, ".spec.replicas");
}

#[test]
fn what_is_no_longer_applied_goes_unless_another_owns_it() {
    let both = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": {"x": "1"}, "finalizers": ["f/a"]}, "data": {"a": "1", "b": "2"}});
    let live = apply(&kinds::CONFIG_MAP, None, &both, &writer("one"), false).unwrap();
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "finalizers": ["f/b"]}, "data": {"b": "2"}});
    let live = apply(&kinds::CONFIG_MAP, Some(&live), &other, &writer("two"), false).unwrap();
    assert_eq!(live["metadata"]["finalizers"], json!(["f/b", "f/a"]));
    let less = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {}});
    let after = apply(&kinds::CONFIG_MAP, Some(&live), &less, &writer("one"), false).unwrap();
    assert_eq!(after["data"], json!({"b": "2"}));
    assert_eq!(after["metadata"]["labels"], Value::Null);
    assert_eq!(after["metadata"]["finalizers"], json!(["f/b"]));
}

#[test]
fn list_items_belong_to_those_who_name_them() {
    let mut live = controller(None, "i");
    live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().insert(0, json!({"name": "sidecar", "image": "s"}));
    update(&kinds::REPLICATION_CONTROLLER, None, &mut live, &writer("injector"));
    let mine = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "a"},
        "spec": {"template": {"spec": {"containers": [{"name": "new", "image": "n"}, {"name": "c", "tty": true}]}}}});
    let after = applied(Some(&live), &mine, "me", false).unwrap();
    let names: Vec<_> =
        after["spec"]["template"]["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["new", "sidecar", "c"]);
    let nothing = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "a"}, "spec": {}});
    let after = applied(Some(&after), &nothing, "me", false).unwrap();
    let containers = &after["spec"]["template"]["spec"]["containers"];
    assert_eq!(*containers, live["spec"]["template"]["spec"]["containers"]);
}

#[test]
fn status_and_spec_have_their_own_owners() {
    let rc = applied(None, &controller(Some(2), "i"), "kubectl", false).unwrap();
    let mut new = rc.clone();
    new["status"] = json!({"replicas": 2});
    let status = Writer { subresource: "status", ..writer("controller") };
    update(&kinds::REPLICATION_CONTROLLER, Some(&rc), &mut new, &status);
    let entry = &new["metadata"]["managedFields"][1];
    assert_eq!((entry["subresource"].as_str(), &entry["fieldsV1"]), (Some("status"), &json!({"f:status": {"f:replicas": {}}})));
}

#[test]
fn owners_can_be_edited_and_are_kept_by_those_who_do_not_send_them() {
    let mut live = controller(Some(2), "i");
    update(&kinds::REPLICATION_CONTROLLER, None, &mut live, &writer("kubectl-client-side-apply"));
    let mut moved = live.clone();
    moved["metadata"]["managedFields"][0]["manager"] = json!("kubectl");
    moved["metadata"]["managedFields"][0]["operation"] = json!("Apply");
    let wanted = moved.clone();
    update(&kinds::REPLICATION_CONTROLLER, Some(&live), &mut moved, &writer("kubectl"));
    assert_eq!(moved, wanted);
    let mut silent = controller(Some(2), "i");
    update(&kinds::REPLICATION_CONTROLLER, Some(&moved), &mut silent, &writer("kubectl-replace"));
    assert_eq!(silent, wanted);
}

#[test]
fn ownership_can_be_reset_and_does_not_grow_without_end() {
    let mut live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {}});
    for n in 0..30 {
        let mut new = live.clone();
        new["data"][format!("k{n}")] = json!("v");
        let (manager, now) = (format!("m{n}"), format!("2026-01-01T00:00:{n:02}Z"));
        update(&kinds::CONFIG_MAP, Some(&live), &mut new, &Writer { manager: &manager, subresource: "", now: &now });
        live = new;
    }
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), managers::MAX_UPDATE_MANAGERS);
    assert_eq!(entries[0]["manager"], "ancient-changes");
    assert_eq!(entries[0]["fieldsV1"]["f:data"].as_object().unwrap().len(), 21);
    live["metadata"]["managedFields"] = json!([{}]);
    update(&kinds::CONFIG_MAP, None, &mut live, &writer("x"));
    assert_eq!(live["metadata"]["managedFields"], Value::Null);
}

#[test]
fn what_stood_there_before_the_first_apply_has_an_owner_too() {
    let live = controller(Some(2), "i");
    let refused = applied(Some(&live), &controller(Some(3), "i"), "me", false).unwrap_err();
    let wanted = "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1 at 2026-01-01T00:00:00Z: .spec.replicas";
    assert_eq!(refused.to_string(), wanted);
    let same = applied(Some(&live), &live, "me", false).unwrap();
    assert_eq!(same["metadata"]["managedFields"].as_array().unwrap().len(), 2);
}

#[test]
fn bad_objects_are_refused() {
    let managed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "managedFields": [{"manager": "x"}]}});
    assert_eq!(
        apply(&kinds::CONFIG_MAP, None, &managed, &writer("x"), false),
        Err(ApplyError::Invalid("metadata.managedFields must be nil".into()))
    );
    let twice =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "a"}]}});
    assert!(
        matches!(apply(&kinds::POD, None, &twice, &writer("x"), false), Err(ApplyError::Invalid(m)) if m.contains("duplicate entries"))
    );
    assert!(matches!(apply(&kinds::POD, None, &json!([]), &writer("x"), false), Err(ApplyError::Invalid(_))));
}

fn map() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", "[xy]", 0..4)
        .prop_map(|data| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}))
}

proptest! {
    /// One manager alone gets exactly what it applies last.
    #[test]
    fn alone_the_last_apply_wins(first in map(), second in map()) {
        let live = apply(&kinds::CONFIG_MAP, None, &first, &writer("me"), false).unwrap();
        let after = apply(&kinds::CONFIG_MAP, Some(&live), &second, &writer("me"), false).unwrap();
        let data = |v: &Value| v["data"].as_object().cloned().unwrap_or_default();
        prop_assert_eq!(data(&after), data(&second));
    }

    /// With force, everything applied holds, and what only the other owns stays.
    #[test]
    fn forced_applies_keep_others_fields(theirs in map(), mine in map()) {
        let live = apply(&kinds::CONFIG_MAP, None, &theirs, &writer("them"), false).unwrap();
        let after = apply(&kinds::CONFIG_MAP, Some(&live), &mine, &writer("me"), true).unwrap();
        for (object, wins) in [(&theirs, false), (&mine, true)] {
            for (key, value) in object["data"].as_object().unwrap() {
                if wins || mine["data"].get(key).is_none() {
                    prop_assert_eq!(&after["data"][key], value);
                }
            }
        }
    }
}
