//! `osc wait`: until objects have a condition, a value, or are gone.
use super::logs::seconds;
use super::print;
use super::write::chosen;
use crate::client::http::{Client, with_query};
use crate::client::output::jsonpath;
use crate::client::resources::{self, Named};
use crate::client::watch::Watch;
use crate::client::{ClientError, Result};
use crate::watch::EventType;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

#[derive(Args, Debug)]
pub(super) struct WaitArgs {
    /// RESOURCE/NAME…, RESOURCE NAME…, or RESOURCE with -l or --all
    #[arg(required = true, value_name = "RESOURCE")]
    words: Vec<String>,
    /// condition=NAME[=VALUE], delete, create, or jsonpath='{PATH}'[=VALUE]
    #[arg(long = "for", required = true)]
    wanted: String,
    /// How long at most: 30s, 5m
    #[arg(long, default_value = "30s")]
    timeout: String,
    #[arg(short = 'l', long)]
    selector: Option<String>,
    #[arg(long)]
    all: bool,
}

#[derive(Debug, PartialEq)]
enum Goal {
    Deleted,
    Created,
    Condition(String, String),
    /// A path, and the value it must have; without one any value will do.
    Path(String, Option<String>),
}

fn goal(text: &str) -> Result<Goal> {
    let lower = text.to_ascii_lowercase();
    if lower == "delete" || lower == "create" {
        return Ok(if lower == "delete" { Goal::Deleted } else { Goal::Created });
    }
    if let Some(rest) = text.strip_prefix("condition=") {
        let (name, value) = rest.split_once('=').unwrap_or((rest, "True"));
        return Ok(Goal::Condition(name.into(), value.into()));
    }
    if let Some(rest) = text.strip_prefix("jsonpath=") {
        let (path, value) = match rest.find('}') {
            Some(end) => (&rest[..=end], rest[end + 1..].strip_prefix('=')),
            None => rest.split_once('=').map_or((rest, None), |(p, v)| (p, Some(v))),
        };
        return Ok(Goal::Path(path.into(), value.map(|v| v.trim_matches(['"', '\'']).to_string())));
    }
    Err(ClientError::usage(format!("--for={text:?} is not known; use condition=NAME, delete, create or jsonpath='{{PATH}}'=VALUE")))
}

impl Goal {
    /// Whether it is reached; `None` stands for an object that is not there.
    fn reached(&self, object: Option<&Value>) -> Result<bool> {
        let Some(object) = object else { return Ok(*self == Goal::Deleted) };
        Ok(match self {
            Goal::Deleted => false,
            Goal::Created => true,
            Goal::Condition(name, value) => object["status"]["conditions"].as_array().into_iter().flatten().any(|c| {
                let is = |member: &str, want: &str| c[member].as_str().is_some_and(|t| t.eq_ignore_ascii_case(want));
                is("type", name) && is("status", value)
            }),
            Goal::Path(path, value) => {
                let found = jsonpath::render(path, object).unwrap_or_default();
                value.as_ref().map_or(!found.is_empty(), |v| found == *v)
            }
        })
    }
}

pub(super) async fn run(client: &Client, args: WaitArgs) -> Result<()> {
    let goal = goal(&args.wanted)?;
    let limit = if args.timeout == "-1" { 7 * 86_400 } else { seconds(&args.timeout)? };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(limit);
    let met = if goal == Goal::Deleted { "deleted" } else { "condition met" };
    let chosen = chosen(client, &args.words, args.selector.as_deref(), args.all).await?;
    if chosen.is_empty() {
        return Err(ClientError::usage("no matching resources found"));
    }
    for named in chosen {
        let title = format!("{}/{}", named.kind.singular, named.name);
        match tokio::time::timeout_at(deadline, one(client, &named, &goal)).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                return Err(ClientError::usage(format!("timed out waiting for the condition on {}/{}", named.kind.plural, named.name)));
            }
        }
        print(&format!("{title} {met}\n"))?;
    }
    Ok(())
}

async fn one(client: &Client, named: &Named, goal: &Goal) -> Result<()> {
    let collection = resources::path(named.kind, &client.target.namespace, "");
    let fields = format!("metadata.name={}", named.name);
    loop {
        let list = client.get(&with_query(&collection, &[("fieldSelector", &fields)])).await?;
        let object = list["items"].get(0);
        if goal.reached(object)? {
            return Ok(());
        }
        if object.is_none() && *goal != Goal::Created {
            return Err(ClientError::usage(format!("{} \"{}\" not found", named.kind.plural, named.name)));
        }
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let query = [("fieldSelector", fields.as_str()), ("watch", "true"), ("resourceVersion", revision)];
        let mut watch = Watch::open(client, &with_query(&collection, &query)).await?;
        while let Some(event) = watch.next().await? {
            let object = match event.event_type {
                EventType::Bookmark => continue,
                EventType::Deleted => None,
                _ => Some(&event.object),
            };
            if goal.reached(object)? {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn goals_are_read_and_reached() {
        let pod = json!({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}});
        for (text, want) in [
            ("condition=Ready", true),
            ("condition=ready=false", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath='{.status.phase}'", true),
            ("jsonpath={.status.phase}=Failed", false),
            ("delete", false),
            ("create", true),
        ] {
            let text = text.replace('\'', "");
            assert_eq!(goal(&text).expect("goal").reached(Some(&pod)).expect("path"), want, "{text}");
        }
        assert!(goal("delete").expect("goal").reached(None).expect("gone"));
        assert!(goal("nonsense").is_err());
    }
}
