//! Commands that change objects; each prints the names of what it changed, and nothing else.
use super::args::{DeleteArgs, LabelArgs, PatchArgs, ScaleArgs, UpdateArgs};
use super::print;
use crate::client::files::{self, Input};
use crate::client::http::{Client, PatchKind, with_query};
use crate::client::resources::{self, Named, Selection};
use crate::client::{ClientError, Result};
use crate::kinds::{Kind, REPLICATION_CONTROLLER, SERVICE};
use serde_json::{Value, json};

pub(super) fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The object's namespace: its own or the command line's, which must agree if both are said.
pub(super) fn namespace_of(client: &Client, input: &Input) -> Result<String> {
    let own = input.object["metadata"]["namespace"].as_str().unwrap_or_default();
    let target = &client.target;
    if !own.is_empty() && target.namespace_explicit && own != target.namespace {
        return Err(ClientError::usage(format!(
            "the namespace from the provided object \"{own}\" does not match the namespace \"{}\". You must pass '--namespace={own}' to perform this operation.",
            target.namespace
        )));
    }
    Ok(if own.is_empty() { target.namespace.clone() } else { own.into() })
}

pub(super) async fn read(sources: &[String]) -> Result<Vec<Input>> {
    if sources.is_empty() {
        return Err(ClientError::usage("you must provide one or more resources by argument or filename: -f FILE, -f -"));
    }
    let inputs = files::read_all(sources, false).await?;
    if inputs.is_empty() {
        return Err(ClientError::usage("no objects were found in the input"));
    }
    Ok(inputs)
}

pub(super) async fn create(client: &Client, sources: &[String]) -> Result<()> {
    for input in read(sources).await? {
        let kind = resources::kind_of_object(client, &input.object).await?;
        let namespace = namespace_of(client, &input)?;
        let created = client.post(&resources::path(kind, &namespace, ""), &input.object).await?;
        print(&format!("{}\n", name_of(&created)))?;
    }
    Ok(())
}

/// The words of a command line as named objects.
async fn named(client: &Client, words: &[String]) -> Result<Vec<Named>> {
    match resources::select(client, words).await? {
        Selection::Names(names) => Ok(names),
        Selection::Kinds(_) => Err(ClientError::usage("name the object: RESOURCE NAME")),
    }
}

/// The named objects, or those of a kind that a selector or `--all` chooses.
pub(super) async fn chosen(client: &Client, words: &[String], selector: Option<&str>, all: bool) -> Result<Vec<Named>> {
    let words = match resources::select(client, words).await? {
        Selection::Names(names) => return Ok(names),
        Selection::Kinds(words) if all || selector.is_some() => words,
        Selection::Kinds(_) => return Err(ClientError::usage("name the objects, or give -l SELECTOR or --all")),
    };
    let mut out = Vec::new();
    for word in words {
        let path =
            with_query(&resources::path(word.kind, &client.target.namespace, ""), &[("labelSelector", selector.unwrap_or_default())]);
        let list = client.get(&path).await?;
        out.extend(list["items"].as_array().into_iter().flatten().map(|o| Named { kind: word.kind, name: name_of(o).into() }));
    }
    Ok(out)
}

pub(super) async fn update(client: &Client, args: UpdateArgs) -> Result<()> {
    if args.patch.is_some() {
        return patch(client, args).await;
    }
    for input in read(&args.files.filename).await? {
        let kind = resources::kind_of_object(client, &input.object).await?;
        let path = resources::path(kind, &namespace_of(client, &input)?, name_of(&input.object));
        let mut body = input.object.clone();
        let stored = match client.get(&path).await {
            Ok(stored) => stored,
            // As the original did: a controller that is not there yet is made.
            Err(error) if error.is_not_found() && *kind == REPLICATION_CONTROLLER => {
                let made = client.post(&resources::path(kind, &namespace_of(client, &input)?, ""), &body).await?;
                print(&format!("{}\n", name_of(&made)))?;
                continue;
            }
            Err(error) => return Err(error),
        };
        if body["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty) {
            body["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        }
        if *kind == SERVICE && body["spec"].get("clusterIP").is_none() {
            body["spec"]["clusterIP"] = stored["spec"]["clusterIP"].clone();
        }
        let updated = client.put(&path, &body).await?;
        print(&format!("{}\n", name_of(&updated)))?;
    }
    Ok(())
}

/// `update --patch`: a merge patch, in the words of any version.
pub(super) async fn patch(client: &Client, args: UpdateArgs) -> Result<()> {
    let text = args.patch.ok_or_else(|| ClientError::usage("give the change with --patch='{…}'"))?;
    patch_with(client, &args.words, &text, PatchKind::Merge).await
}

/// `patch`: a change of the form that `--type` names.
pub(super) async fn patch_typed(client: &Client, args: PatchArgs) -> Result<()> {
    let text = match (args.patch, args.patch_file) {
        (Some(text), _) => text,
        (None, Some(file)) => std::fs::read_to_string(&file).map_err(|e| ClientError::usage(format!("cannot read {file}: {e}")))?,
        (None, None) => return Err(ClientError::usage("give the change with --patch='{…}'")),
    };
    let kind = match args.form.as_str() {
        "json" => PatchKind::Json,
        "merge" => PatchKind::Merge,
        _ => PatchKind::Strategic,
    };
    patch_with(client, &args.words, &text, kind).await
}

async fn patch_with(client: &Client, words: &[String], text: &str, form: PatchKind) -> Result<()> {
    let mut patch = files::parse_document(text).map_err(|e| ClientError::usage(format!("the patch is not JSON: {e}")))?;
    // The era's patches named their version; one of an old version is read as such.
    let old = patch["apiVersion"].as_str().is_some_and(|v| v.starts_with("v1beta"));
    for named in named(client, words).await? {
        if old {
            patch["kind"] = json!(named.kind.kind);
            patch = crate::client::convert::to_v1(patch)?;
        }
        patch.as_object_mut().map(|p| p.remove("apiVersion"));
        patch.as_object_mut().map(|p| p.remove("kind"));
        let path = resources::path(named.kind, &client.target.namespace, &named.name);
        let changed = match client.patch(&path, form, &patch).await {
            // Custom resources have no merge keys; what is meant can be said as a merge patch.
            Err(error) if error.code() == 415 && form == PatchKind::Strategic => client.patch(&path, PatchKind::Merge, &patch).await?,
            other => other?,
        };
        print(&format!("{}\n", name_of(&changed)))?;
    }
    Ok(())
}

pub(super) async fn delete(client: &Client, args: DeleteArgs) -> Result<()> {
    let policy = match args.cascade.as_str() {
        "false" | "orphan" => "Orphan",
        "foreground" => "Foreground",
        _ => "Background",
    };
    let mut options = json!({"propagationPolicy": policy});
    let grace = if args.now && args.grace_period < 0 { 1 } else { args.grace_period };
    let grace = if args.force { 0 } else { grace };
    if grace >= 0 {
        options["gracePeriodSeconds"] = json!(grace);
    }
    let mut found: Vec<(&'static Kind, String, String)> = Vec::new();
    if !args.files.filename.is_empty() {
        for input in read(&args.files.filename).await? {
            let kind = resources::kind_of_object(client, &input.object).await?;
            found.push((kind, namespace_of(client, &input)?, name_of(&input.object).into()));
        }
    } else {
        let namespace = client.target.namespace.clone();
        match resources::select(client, &args.words).await? {
            Selection::Names(names) => found.extend(names.into_iter().map(|n| (n.kind, namespace.clone(), n.name))),
            Selection::Kinds(words) if args.all || args.selector.is_some() => {
                for word in words {
                    let pairs: Vec<(&str, &str)> = args.selector.iter().map(|s| ("labelSelector", s.as_str())).collect();
                    let list = client.get(&with_query(&resources::path(word.kind, &namespace, ""), &pairs)).await?;
                    found.extend(
                        list["items"].as_array().into_iter().flatten().map(|o| (word.kind, namespace.clone(), name_of(o).to_string())),
                    );
                }
                if found.is_empty() {
                    return print("No resources found\n");
                }
            }
            Selection::Kinds(_) => return Err(ClientError::usage("name the objects, or give -l SELECTOR or --all")),
        }
    }
    for (kind, namespace, name) in found {
        match client.delete(&resources::path(kind, &namespace, &name), &options).await {
            Err(error) if error.is_not_found() && args.ignore_not_found => continue,
            other => other?,
        };
        print(&format!("{name}\n"))?;
    }
    Ok(())
}

pub(super) async fn label(client: &Client, args: LabelArgs, member: &str) -> Result<()> {
    let is_change = |w: &String| w.contains('=') || w.ends_with('-') && !w.contains('/');
    let (changes, words): (Vec<String>, Vec<String>) = args.words.iter().cloned().partition(is_change);
    if changes.is_empty() {
        return Err(ClientError::usage("say what to set: KEY=VALUE, or KEY- to remove"));
    }
    for named in chosen(client, &words, args.selector.as_deref(), args.all).await? {
        let path = resources::path(named.kind, &client.target.namespace, &named.name);
        let current = client.get(&path).await?;
        let mut set = json!({});
        for change in &changes {
            match change.split_once('=') {
                Some((key, value)) => {
                    let now = current["metadata"][member].get(key).and_then(Value::as_str);
                    if let Some(now) = now.filter(|n| *n != value && !args.overwrite) {
                        return Err(ClientError::usage(format!("'{key}' already has a value ({now}), and --overwrite is false")));
                    }
                    set[key] = json!(value);
                }
                None => set[change.trim_end_matches('-')] = Value::Null,
            }
        }
        let mut patch = json!({"metadata": {member: set}});
        if let Some(version) = &args.resource_version {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        let changed = client.patch(&path, PatchKind::Merge, &patch).await?;
        print(&format!("{}\n", name_of(&changed)))?;
    }
    Ok(())
}

pub(super) async fn scale(client: &Client, args: ScaleArgs) -> Result<()> {
    for named in named(client, &args.words).await? {
        let path = format!("{}/scale", resources::path(named.kind, &client.target.namespace, &named.name));
        client.patch(&path, PatchKind::Merge, &json!({"spec": {"replicas": args.replicas}})).await?;
        print("resized\n")?;
    }
    Ok(())
}
