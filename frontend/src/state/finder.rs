//! Every object that the user may see, by name: what the palette and the search look through.
use crate::api::{ApiError, fetch};
use crate::model::palette::{Entry, of_object};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};
use shared::kinds::{self, Kind, PROJECT, SELF_SUBJECT_ACCESS_REVIEW};

/// Kinds that everybody with a role in a project may list.
static OF_PROJECTS: &[&Kind] =
    &[&kinds::REPLICATION_CONTROLLER, &kinds::SERVICE, &kinds::POD, &kinds::CONFIG_MAP, &kinds::SERVICE_ACCOUNT, &kinds::RESOURCE_QUOTA];
/// What administrators of the cluster see besides.
static OF_CLUSTER: &[&Kind] = &[&kinds::SECRET, &kinds::ROLE_BINDING, &kinds::NODE, &kinds::USER, &kinds::CLUSTER_ROLE];
/// Names and labels are enough.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json";
/// Projects that are looked through one by one for those who may not list all at once.
const PROJECTS_MAX: usize = 100;

/// What there is, as it was when it was last asked for.
#[derive(Clone, Copy)]
pub struct Finder {
    pub entries: RwSignal<Vec<(Entry, Value)>>,
    pub busy: RwSignal<bool>,
    pub problem: RwSignal<String>,
}

impl Finder {
    pub fn start() -> Finder {
        Finder { entries: RwSignal::new(vec![]), busy: RwSignal::new(false), problem: RwSignal::new(String::new()) }
    }

    /// Reads everything anew; what was found before stays until the end.
    pub fn refresh(self) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        spawn_local(async move {
            let mut all = vec![];
            let outcome = gather(&mut all).await;
            self.busy.set(false);
            self.problem.set(outcome.err().map(|e| e.sentence()).unwrap_or_default());
            self.entries.set(all);
        });
    }
}

async fn gather(all: &mut Vec<(Entry, Value)>) -> Result<(), ApiError> {
    let projects = list(&PROJECT, None).await?;
    let names: Vec<String> = projects.iter().filter_map(|p| p.pointer("/metadata/name")?.as_str().map(str::to_string)).collect();
    add(all, &PROJECT, projects);
    if may_see_all().await {
        for kind in OF_PROJECTS.iter().chain(OF_CLUSTER) {
            add(all, kind, list(kind, None).await?);
        }
        return Ok(());
    }
    for project in names.iter().take(PROJECTS_MAX) {
        for kind in OF_PROJECTS {
            add(all, kind, list(kind, Some(project)).await?);
        }
    }
    Ok(())
}

fn add(all: &mut Vec<(Entry, Value)>, kind: &'static Kind, items: Vec<Value>) {
    all.extend(items.into_iter().map(|o| (of_object(kind, &o), o)));
}

async fn list(kind: &Kind, project: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let text = fetch::text("GET", &kind.collection_path(project), None, METADATA).await?;
    let mut answer: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(answer.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
}

async fn may_see_all() -> bool {
    let review = json!({
        "apiVersion": SELF_SUBJECT_ACCESS_REVIEW.api_version(),
        "kind": SELF_SUBJECT_ACCESS_REVIEW.kind,
        "spec": {"resourceAttributes": {"verb": "list", "group": "*", "resource": "*"}},
    });
    let answer = fetch::send("POST", &SELF_SUBJECT_ACCESS_REVIEW.collection_path(None), &review).await;
    answer.is_ok_and(|a| a["status"]["allowed"] == true)
}
