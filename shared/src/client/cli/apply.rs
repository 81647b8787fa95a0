//! `osc apply`: makes the cluster's objects what the files say, and leaves alone what the files never said.
//!
//! The last applied text is kept in the annotation that kubectl uses, so that both programs can take turns.
use super::args::Files;
use super::print;
use super::write::{name_of, namespace_of, read};
use crate::client::http::{Client, PatchKind};
use crate::client::{ClientError, Result, resources};
use crate::kinds::{KINDS, Kind};
use clap::Args;
use serde_json::{Map, Value, json};

pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Objects that were changed by somebody else between reading and patching are read again so often.
const ATTEMPTS_MAX: usize = 5;

#[derive(Args, Debug)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    files: Files,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(client: &Client, args: ApplyArgs) -> Result<()> {
    for input in read(&args.files.filename).await? {
        let kind = resources::kind_of_object(client, &input.object).await?;
        let namespace = namespace_of(client, &input)?;
        let name = name_of(&input.object);
        if name.is_empty() {
            return Err(ClientError::usage(format!("an object of {:?} has no name; apply needs metadata.name", input.source)));
        }
        let done = one(client, kind, &namespace, &input.object, args.dry_run).await?;
        print(&format!("{}/{name} {done}\n", kind.singular))?;
    }
    Ok(())
}

async fn one(client: &Client, kind: &Kind, namespace: &str, declared: &Value, dry_run: bool) -> Result<String> {
    let said = |word: &str| if dry_run { format!("{word} (dry run)") } else { word.to_string() };
    let query = if dry_run { "?dryRun=All" } else { "" };
    let mut declared = declared.clone();
    if kind.namespaced() {
        // As kubectl does, so that the kept text is the same whoever applied last.
        declared["metadata"]["namespace"] = json!(namespace);
    }
    let declared = with_annotation(&declared);
    let path = resources::path(kind, namespace, name_of(&declared));
    let known = KINDS.contains(&kind);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let live = match client.get(&path).await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => {
                let collection = resources::path(kind, namespace, "");
                client.post(&format!("{collection}{query}"), &declared).await?;
                return Ok(said("created"));
            }
            Err(error) => return Err(error),
        };
        let patch = three_way(&last_applied(&live), &declared, known);
        let form = if known { PatchKind::Strategic } else { PatchKind::Merge };
        match client.patch(&format!("{path}{query}"), form, &patch).await {
            Err(error) if error.code() == 409 && attempt < ATTEMPTS_MAX => {}
            Err(error) => return Err(error),
            Ok(after) => {
                let same = after["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"] && !dry_run;
                return Ok(said(if same { "unchanged" } else { "configured" }));
            }
        }
    }
}

/// The object with its own text in the annotation.
fn with_annotation(declared: &Value) -> Value {
    let mut object = declared.clone();
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    for member in ["creationTimestamp", "resourceVersion", "uid", "managedFields"] {
        object["metadata"].as_object_mut().map(|m| m.remove(member));
    }
    object.as_object_mut().map(|o| o.remove("status"));
    let mut text = object.clone();
    if !text["metadata"]["annotations"].is_object() {
        text["metadata"]["annotations"] = json!({});
    }
    let text = format!("{text}\n");
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][LAST_APPLIED] = json!(text);
    object
}

fn last_applied(live: &Value) -> Value {
    live["metadata"]["annotations"][LAST_APPLIED].as_str().and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
}

/// Everything declared, and the removal of what was declared before and is no longer.
fn three_way(before: &Value, declared: &Value, strategic: bool) -> Value {
    let mut patch = declared.clone();
    remove(before, declared, &mut patch, "", strategic);
    patch
}

fn remove(before: &Value, declared: &Value, patch: &mut Value, parent: &str, strategic: bool) {
    let (Value::Object(before), Value::Object(declared), Value::Object(patch)) = (before, declared, patch) else { return };
    for (key, old) in before {
        match (old, declared.get(key)) {
            // The identity of an object is never taken away.
            (_, None) if parent.is_empty() && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") => {}
            (_, None) => drop(patch.insert(key.clone(), Value::Null)),
            (Value::Object(_), Some(new @ Value::Object(_))) => {
                remove(old, new, patch.entry(key.clone()).or_insert(Value::Null), key, strategic);
            }
            (Value::Array(old), Some(Value::Array(new))) if strategic => {
                if let (Some(merge_key), Some(Value::Array(list))) = (merge_key(parent, key, new, old), patch.get_mut(key)) {
                    remove_items(old, new, list, merge_key, key);
                }
            }
            _ => {}
        }
    }
}

fn remove_items(old: &[Value], new: &[Value], patch: &mut Vec<Value>, merge_key: &str, parent: &str) {
    for item in old {
        match new.iter().position(|n| n[merge_key] == item[merge_key]) {
            Some(at) => remove(item, &new[at], &mut patch[at], parent, true),
            None => {
                let mut gone = Map::new();
                gone.insert("$patch".into(), json!("delete"));
                gone.insert(merge_key.into(), item[merge_key].clone());
                patch.push(Value::Object(gone));
            }
        }
    }
}

/// The member by which the server tells the items of a list apart; `None` where a list is replaced as a whole.
fn merge_key(parent: &str, list: &str, new: &[Value], old: &[Value]) -> Option<&'static str> {
    let key = match list {
        "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets" | "secrets" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        "ownerReferences" => "uid",
        "conditions" => "type",
        "ports" if matches!(parent, "containers" | "initContainers" | "ephemeralContainers") => "containerPort",
        "ports" if parent == "spec" => "port",
        _ => return None,
    };
    new.iter().chain(old).all(|item| item.get(key).is_some()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_said_is_removed_and_nothing_else() {
        let before = json!({"kind":"Pod","metadata":{"name":"a","labels":{"x":"1","y":"2"}},"spec":{"containers":[
            {"name":"c","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]},{"name":"d"}],"tolerations":[{"key":"k"}],"hostname":"h"}});
        let now = json!({"kind":"Pod","metadata":{"name":"a","labels":{"x":"3"}},"spec":{"containers":[
            {"name":"c","env":[{"name":"A","value":"1"}]}],"tolerations":[]}});
        let want = json!({"kind":"Pod","metadata":{"name":"a","labels":{"x":"3","y":null}},"spec":{"containers":[
            {"name":"c","env":[{"name":"A","value":"1"},{"$patch":"delete","name":"B"}]},{"$patch":"delete","name":"d"}],
            "tolerations":[],"hostname":null}});
        assert_eq!(three_way(&before, &now, true), want);
        // A custom resource has no merge keys: its lists are replaced.
        let list = three_way(&json!({"spec":{"volumes":[{"name":"a"}]}}), &json!({"spec":{"volumes":[]}}), false);
        assert_eq!(list, json!({"spec":{"volumes":[]}}));
        // Nothing was applied before: nothing is removed.
        assert_eq!(three_way(&Value::Null, &now, true), now);
    }

    #[test]
    fn the_annotation_holds_the_text_without_itself() {
        let object = with_annotation(&json!({"kind":"Service","metadata":{"name":"a","uid":"u"},"status":{}}));
        let kept: Value = serde_json::from_str(object["metadata"]["annotations"][LAST_APPLIED].as_str().expect("text")).expect("json");
        assert_eq!(kept, json!({"kind":"Service","metadata":{"name":"a","annotations":{}}}));
        assert_eq!(last_applied(&with_annotation(&object)), kept);
    }
}
