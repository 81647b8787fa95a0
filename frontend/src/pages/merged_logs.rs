//! What all pods of a controller or a service print, in the order of its time, followed.
use crate::api::{ApiError, log};
use crate::components::log_view::LogView;
use crate::model::merged_log::{Line, insert};
use crate::model::overview::{owns, selects};
use crate::state::live::Live;
use leptos::prelude::*;
use leptos::task::spawn_local;
use send_wrapper::SendWrapper;
use serde_json::Value;
use shared::kinds::{Kind, POD, SERVICE};
use std::collections::{BTreeMap, VecDeque};
use web_sys::AbortController;

/// Logs that are followed at once: browsers allow few connections, the server many.
const SOURCES_MAX: usize = 24;
const TAIL_LINES: usize = 200;

/// A pod's container that is followed.
type Source = (String, String);

#[component]
pub fn MergedLogs(kind: &'static Kind, project: String, object: Memo<Option<Value>>) -> impl IntoView {
    let pods = Live::watch(POD.collection_path(Some(&project)), String::new());
    let sources = Memo::new(move |_| {
        let Some(owner) = object.get() else { return vec![] };
        let behind = |pod: &Value| {
            if *kind == SERVICE { selects(&owner["spec"]["selector"], &pod["metadata"]["labels"]) } else { owns(&owner, pod) }
        };
        pods.objects.with(|all| all.values().filter(|p| behind(p)).flat_map(started).collect::<Vec<Source>>())
    });
    let lines = RwSignal::new(VecDeque::<Line>::new());
    let problem = RwSignal::new(String::new());
    // A source once named keeps its number: lines of pods that are gone stay readable.
    let names = RwSignal::new(Vec::<Source>::new());
    let followed = StoredValue::new(SendWrapper::new(BTreeMap::<Source, AbortController>::new()));
    Effect::new(move || {
        let wanted = sources.get();
        followed.update_value(|f| {
            f.retain(|source, controller| {
                let stays = wanted.contains(source);
                if !stays {
                    controller.abort();
                }
                stays
            })
        });
        for source in wanted.into_iter().take(SOURCES_MAX) {
            if followed.with_value(|f| f.contains_key(&source)) {
                continue;
            }
            let Ok(controller) = AbortController::new() else { continue };
            let number = names.with_untracked(|n| n.iter().position(|n| *n == source)).unwrap_or_else(|| {
                names.update(|n| n.push(source.clone()));
                names.with_untracked(|n| n.len() - 1)
            });
            follow(&project, &source, number, controller.signal(), lines, problem);
            followed.update_value(|f| {
                f.insert(source, controller);
            });
        }
    });
    on_cleanup(move || {
        let _ = followed.try_update_value(|f| f.values().for_each(AbortController::abort));
    });
    let text = Signal::derive(move || {
        let single = names.with(|n| n.iter().all(|(_, c)| n.first().is_some_and(|(_, first)| first == c)));
        lines.with(|l| names.with(|n| l.iter().map(|l| (label(n.get(l.source), single), l.text.clone())).collect::<Vec<_>>()))
    });
    let count = move || {
        let n = sources.with(Vec::len);
        let many = if n > SOURCES_MAX { format!("The first {SOURCES_MAX} of {n} containers") } else { format!("{n} containers") };
        if n == 1 { "1 container".to_string() } else { many }
    };
    view! { <LogView lines=text problem><span class="hint" role="status">{count}</span></LogView> }
}

/// The containers of a pod that have begun to run.
fn started(pod: &Value) -> Vec<Source> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let statuses = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let begun = statuses.iter().filter(|s| s["containerID"].as_str().is_some_and(|id| !id.is_empty()));
    begun.filter_map(|s| Some((name.to_string(), s["name"].as_str()?.to_string()))).collect()
}

fn label(source: Option<&Source>, single: bool) -> String {
    source.map(|(pod, container)| if single { pod.clone() } else { format!("{pod}/{container}") }).unwrap_or_default()
}

fn follow(
    project: &str,
    source: &Source,
    number: usize,
    signal: web_sys::AbortSignal,
    into: RwSignal<VecDeque<Line>>,
    problem: RwSignal<String>,
) {
    let (pod, container) = source;
    let url = format!("{}/log?container={container}", POD.object_path(Some(project), pod));
    let take = move |new: Vec<(String, String)>| {
        into.update(|all| insert(all, new.into_iter().map(|(at, text)| Line { at, source: number, text })));
    };
    let (still, pod) = (signal.clone(), pod.clone());
    let say = move |error: Option<ApiError>| {
        if still.aborted() {
            return;
        }
        // A pod that is gone has no more to say.
        let error = error.filter(|e| e.code() != 404);
        problem.set(error.map(|e| format!("{pod}: {}", e.sentence())).unwrap_or_default());
    };
    spawn_local(log::follow(log::Log { url, tail_lines: TAIL_LINES, previous: false }, signal, take, say));
}
