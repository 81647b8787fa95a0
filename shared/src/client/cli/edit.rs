//! `osc edit`: an object as text in the user's editor; what was typed is never lost.
use super::print;
use crate::client::http::{Client, PatchKind};
use crate::client::output::yaml;
use crate::client::resources::{self, Named, Selection};
use crate::client::{ClientError, Result, files};
use clap::Args;
use serde_json::{Map, Value};
use std::io::Write;

/// Rounds through the editor before a text that the server refuses is only kept.
const ROUNDS_MAX: usize = 20;

#[derive(Args, Debug)]
pub(super) struct EditArgs {
    /// RESOURCE NAME or RESOURCE/NAME
    #[arg(required = true, value_name = "RESOURCE")]
    words: Vec<String>,
}

pub(super) async fn run(client: &Client, args: EditArgs) -> Result<()> {
    let Selection::Names(names) = resources::select(client, &args.words).await? else {
        return Err(ClientError::usage("name the object: edit RESOURCE NAME"));
    };
    for named in names {
        one(client, &named).await?;
    }
    Ok(())
}

/// The merge patch that makes `to` of `from`.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(a), Value::Object(b)) = (from, to) else { return to.clone() };
    let mut out = Map::new();
    for (key, new) in b {
        match a.get(key) {
            Some(old) if old == new => {}
            Some(old @ Value::Object(_)) if new.is_object() => drop(out.insert(key.clone(), difference(old, new))),
            _ => drop(out.insert(key.clone(), new.clone())),
        }
    }
    out.extend(a.keys().filter(|k| !b.contains_key(*k)).map(|k| (k.clone(), Value::Null)));
    Value::Object(out)
}

/// A merge patch put onto a value.
fn merged(mut onto: Value, patch: &Value) -> Value {
    let Value::Object(members) = patch else { return patch.clone() };
    if !onto.is_object() {
        onto = Value::Object(Map::new());
    }
    for (key, value) in members {
        if let Some(map) = onto.as_object_mut() {
            if value.is_null() {
                map.remove(key);
            } else {
                let old = map.remove(key).unwrap_or_default();
                map.insert(key.clone(), merged(old, value));
            }
        }
    }
    onto
}

fn without_managed(mut object: Value) -> Value {
    object["metadata"].as_object_mut().map(|m| m.remove("managedFields"));
    object
}

fn document(object: &Value, note: &str) -> String {
    let head = "# Edit the object and save it. Lines that begin with '#' are left out; an unchanged or empty text changes nothing.\n";
    let note: String = note.lines().map(|l| format!("# {l}\n")).collect();
    format!("{head}{note}#\n{}", yaml::to_yaml(object))
}

async fn one(client: &Client, named: &Named) -> Result<()> {
    let path = resources::path(named.kind, &client.target.namespace, &named.name);
    let mut original = without_managed(client.get(&path).await?);
    let mut text = document(&original, "");
    let kept = |text: &str, why: &str| -> ClientError {
        match keep(text) {
            Ok(file) => ClientError::usage(format!("{why}; your text is kept in {file}")),
            Err(error) => error,
        }
    };
    let mut last_error = String::new();
    for _ in 0..ROUNDS_MAX {
        let typed = in_editor(&text)?;
        if typed.trim().is_empty() || typed == text {
            if last_error.is_empty() {
                eprintln!("Edit cancelled, no changes made.");
                return Ok(());
            }
            return Err(kept(&typed, &last_error));
        }
        let edited = match files::parse_document(&typed) {
            Ok(edited) => edited,
            Err(why) => {
                last_error = why;
                text = with_note(&typed, &last_error);
                continue;
            }
        };
        let mut patch = difference(&original, &edited);
        if patch.as_object().is_some_and(Map::is_empty) {
            eprintln!("Edit cancelled, no changes made.");
            return Ok(());
        }
        // The version read makes the server refuse when somebody else was quicker.
        let wish = patch.clone();
        patch["metadata"]["resourceVersion"] = original["metadata"]["resourceVersion"].clone();
        match client.patch(&path, PatchKind::Merge, &patch).await {
            Ok(_) => return print(&format!("{}/{} edited\n", named.kind.singular, named.name)),
            Err(error) if error.code() == 409 => {
                original = without_managed(client.get(&path).await.map_err(|e| kept(&typed, &e.to_string()))?);
                last_error = "somebody else changed the object meanwhile; below is theirs with your changes put onto it".into();
                text = document(&merged(original.clone(), &wish), &last_error);
                // Saving it as it stands means yes, so the text must not count as unchanged.
                text.push('\n');
            }
            Err(error @ (ClientError::Status(_) | ClientError::Usage(_))) => {
                last_error = error.to_string();
                text = with_note(&typed, &last_error);
            }
            Err(error) => return Err(kept(&typed, &error.to_string())),
        }
    }
    Err(kept(&text, &last_error))
}

fn with_note(typed: &str, note: &str) -> String {
    let body: String = typed.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    let note: String = note.lines().map(|l| format!("# {l}\n")).collect();
    format!("# The text was not accepted:\n{note}#\n{body}")
}

fn in_editor(text: &str) -> Result<String> {
    let failed = |e: std::io::Error| ClientError::usage(format!("cannot edit: {e}"));
    let mut file = tempfile::Builder::new().prefix("osc-edit-").suffix(".yaml").tempfile().map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    let names = ["OSC_EDITOR", "KUBE_EDITOR", "VISUAL", "EDITOR"];
    let editor = names.iter().find_map(|n| std::env::var(n).ok().filter(|v| !v.trim().is_empty())).unwrap_or_else(|| "vi".into());
    // The variable may hold flags, so a shell takes it apart.
    let command = format!("{editor} \"$1\"");
    let status = std::process::Command::new("sh").args(["-c", &command, "sh"]).arg(file.path()).status().map_err(failed)?;
    if !status.success() {
        return Err(ClientError::usage(format!("the editor {editor:?} failed ({status}); set EDITOR to one that is installed")));
    }
    std::fs::read_to_string(file.path()).map_err(failed)
}

fn keep(text: &str) -> Result<String> {
    let failed = |e: std::io::Error| ClientError::usage(format!("the text could not be kept: {e}"));
    let mut file = tempfile::Builder::new().prefix("osc-edit-").suffix(".yaml").tempfile().map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let (_, path) = file.keep().map_err(|e| failed(e.error))?;
    Ok(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_put_onto_its_origin_is_the_goal() {
        let from = json!({"a":{"x":1,"y":[1,2]},"b":2,"c":{"d":1}});
        let to = json!({"a":{"x":1,"y":[2]},"c":{"d":1,"e":{"f":0}}});
        let patch = difference(&from, &to);
        assert_eq!(patch, json!({"a":{"y":[2]},"b":null,"c":{"e":{"f":0}}}));
        assert_eq!(merged(from.clone(), &patch), to);
        // Onto what somebody else made of it: both changes are there.
        assert_eq!(merged(json!({"a":{"x":9},"b":2,"c":{}}), &patch), json!({"a":{"x":9,"y":[2]},"c":{"e":{"f":0}}}));
    }
}
