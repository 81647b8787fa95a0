//! `osc get`: tables and every other form of output, once or as things change.
use super::args::GetArgs;
use super::print;
use crate::client::http::{Client, with_query};
use crate::client::output::{columns, gotemplate, json, jsonpath, rows, yaml};
use crate::client::resources::{self, Selection};
use crate::client::watch::Watch;
use crate::client::{ClientError, Result, convert};
use crate::kinds::Kind;
use crate::watch::EventType;
use serde_json::{Value, json};

/// What one printed group consists of.
struct Group {
    kind: &'static Kind,
    objects: Vec<Value>,
    /// The list's own resourceVersion.
    revision: String,
    single: bool,
}

pub(super) async fn run(client: &Client, args: GetArgs) -> Result<()> {
    let groups = fetch(client, &args).await?;
    if args.watch || args.watch_only {
        let [group] = groups.as_slice() else { return Err(ClientError::usage("watching takes one kind of object")) };
        if !args.watch_only {
            output(std::slice::from_ref(group), &args)?;
        }
        return follow(client, group, &args).await;
    }
    output(&groups, &args)
}

fn namespace<'a>(client: &'a Client, args: &GetArgs) -> &'a str {
    if args.all_namespaces { "" } else { &client.target.namespace }
}

async fn fetch(client: &Client, args: &GetArgs) -> Result<Vec<Group>> {
    match resources::select(client, &args.words).await? {
        Selection::Names(names) => {
            let mut groups: Vec<Group> = Vec::new();
            let one = names.len() == 1;
            for named in names {
                let object = client.get(&resources::path(named.kind, &client.target.namespace, &named.name)).await?;
                let revision = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_string();
                match groups.last_mut().filter(|g| g.kind == named.kind) {
                    Some(group) => group.objects.push(object),
                    None => groups.push(Group { kind: named.kind, objects: vec![object], revision, single: one }),
                }
            }
            Ok(groups)
        }
        Selection::Kinds(words) => {
            let mut groups = Vec::new();
            for word in words {
                groups.push(list(client, word.kind, args).await?);
            }
            Ok(groups)
        }
    }
}

async fn list(client: &Client, kind: &'static Kind, args: &GetArgs) -> Result<Group> {
    let path = resources::path(kind, namespace(client, args), "");
    let path = with_query(&path, &query(args));
    let mut list = client.get(&path).await?;
    let mut objects = match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    for object in &mut objects {
        // Items of a list carry no type; templates and files need it.
        object["kind"] = json!(kind.kind);
        object["apiVersion"] = json!(kind.api_version());
    }
    if let Some(path) = &args.sort_by {
        let key = |o: &Value| jsonpath::render(path, o).unwrap_or_default();
        objects.sort_by_key(key);
    }
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_string();
    Ok(Group { kind, objects, revision, single: false })
}

fn query(args: &GetArgs) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    if let Some(selector) = &args.selector {
        pairs.push(("labelSelector", selector.as_str()));
    }
    if let Some(fields) = &args.fields {
        pairs.push(("fieldSelector", fields.as_str()));
    }
    pairs
}

fn output(groups: &[Group], args: &GetArgs) -> Result<()> {
    let (form, inline) = match args.output.split_once('=') {
        Some((form, text)) => (form, Some(text.to_string())),
        None => (args.output.as_str(), None),
    };
    let template = inline.or_else(|| args.template.clone());
    let form = if form.is_empty() && template.is_some() { "template" } else { form };
    match form {
        "" | "wide" => tables(groups, args, form == "wide"),
        "name" => {
            let names = groups.iter().flat_map(|g| {
                g.objects.iter().map(move |o| format!("{}/{}\n", g.kind.singular, o["metadata"]["name"].as_str().unwrap_or_default()))
            });
            print(&names.collect::<String>())
        }
        "json" => print(&json::to_json(&document(groups, args)?)),
        "yaml" => print(&yaml::to_yaml_with(&document(groups, args)?, version(args) != "v1")),
        "template" | "go-template" | "templatefile" | "go-template-file" => {
            let text = template.ok_or_else(|| ClientError::usage("give the template with --template"))?;
            let text = if form.ends_with("file") {
                std::fs::read_to_string(&text).map_err(|e| ClientError::usage(format!("{text}: {e}")))?
            } else {
                text
            };
            let (old, today) = (document(groups, args)?, whole(groups)?);
            print(&gotemplate::render(&text, &old, &today).map_err(ClientError::usage)?)
        }
        "jsonpath" => {
            let text = template.ok_or_else(|| ClientError::usage("give the path as -o jsonpath={…}"))?;
            print(&jsonpath::render(&text, &whole(groups)?).map_err(ClientError::usage)?)
        }
        "custom-columns" => {
            let text = template.ok_or_else(|| ClientError::usage("give the columns as -o custom-columns=HEADER:PATH,…"))?;
            let objects: Vec<Value> = groups.iter().flat_map(|g| g.objects.clone()).collect();
            print(&columns::render(&text, &objects, args.no_headers).map_err(ClientError::usage)?)
        }
        other => Err(ClientError::usage(format!(
            "output format {other:?} is not known; use json, yaml, wide, name, template, jsonpath or custom-columns"
        ))),
    }
}

fn tables(groups: &[Group], args: &GetArgs, wide: bool) -> Result<()> {
    let options = rows::TableOptions { no_headers: args.no_headers, wide, all_namespaces: args.all_namespaces };
    let now = jiff::Timestamp::now();
    groups.iter().try_for_each(|g| print(&rows::table(g.kind, &g.objects, options, now)))
}

/// One object or a list of several, in the version asked for.
fn in_version(groups: &[Group], version: &str) -> Result<Value> {
    let objects: Vec<Value> = groups.iter().flat_map(|g| g.objects.iter().cloned()).collect();
    match (groups, objects.as_slice()) {
        ([group], [object]) if group.single => convert::from_v1(object, version),
        _ => convert::list(&objects, groups.last().map_or("", |g| g.revision.as_str()), version),
    }
}

/// In today's form.
fn whole(groups: &[Group]) -> Result<Value> {
    in_version(groups, "v1")
}

/// The version of output: the original's default was v1beta1.
fn version(args: &GetArgs) -> &str {
    args.output_version.as_deref().unwrap_or("v1beta1")
}

fn document(groups: &[Group], args: &GetArgs) -> Result<Value> {
    in_version(groups, version(args))
}

async fn follow(client: &Client, group: &Group, args: &GetArgs) -> Result<()> {
    let name =
        group.single.then(|| group.objects.first().map(|o| o["metadata"]["name"].as_str().unwrap_or_default().to_string())).flatten();
    let fields = name.map(|n| format!("metadata.name={n}"));
    let mut pairs = query(args);
    pairs.extend([("watch", "true"), ("resourceVersion", group.revision.as_str())]);
    if let Some(fields) = &fields {
        pairs.push(("fieldSelector", fields));
    }
    let mut watch = Watch::open(client, &with_query(&resources::path(group.kind, namespace(client, args), ""), &pairs)).await?;
    let mut quiet = GetArgs { no_headers: true, watch: false, watch_only: false, ..clone(args) };
    quiet.no_headers = !args.watch_only;
    while let Some(event) = watch.next().await? {
        if matches!(event.event_type, EventType::Bookmark) {
            continue;
        }
        if event.event_type == EventType::Error {
            return Err(ClientError::usage(event.object["message"].as_str().unwrap_or("the watch ended").to_string()));
        }
        output(&[Group { kind: group.kind, objects: vec![event.object], revision: String::new(), single: true }], &quiet)?;
        quiet.no_headers = true;
    }
    Ok(())
}

fn clone(args: &GetArgs) -> GetArgs {
    GetArgs {
        words: args.words.clone(),
        output: args.output.clone(),
        template: args.template.clone(),
        output_version: args.output_version.clone(),
        selector: args.selector.clone(),
        fields: args.fields.clone(),
        sort_by: args.sort_by.clone(),
        ..*args
    }
}
