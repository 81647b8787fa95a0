//! What one container of a pod prints, or printed in its previous run.
use crate::api::ApiError;
use crate::api::log::{Log, follow};
use crate::components::log_view::LogView;
use crate::model::pod::containers;
use leptos::prelude::*;
use leptos::task::spawn_local;
use send_wrapper::SendWrapper;
use serde_json::Value;
use shared::kinds::POD;
use std::collections::VecDeque;
use web_sys::AbortController;

/// Older lines are dropped.
const LINES_MAX: usize = 5000;
const TAIL_LINES: usize = 1000;

#[component]
pub fn Logs(project: String, pod: String, object: Memo<Option<Value>>) -> impl IntoView {
    let names = Memo::new(move |_| object.with(|o| o.iter().flat_map(containers).map(|c| c.name).collect::<Vec<_>>()));
    let chosen = RwSignal::new(String::new());
    let previous = RwSignal::new(false);
    let container = Memo::new(move |_| names.with(|n| n.iter().find(|c| **c == chosen.get()).or(n.first()).cloned()));
    let (lines, problem) = (RwSignal::new(VecDeque::<String>::new()), RwSignal::new(String::new()));
    let base = POD.object_path(Some(&project), &pod);
    Effect::new(move || {
        let Some(container) = container.get() else { return };
        lines.update(VecDeque::clear);
        problem.set(String::new());
        read(Log { url: format!("{base}/log?container={container}"), tail_lines: TAIL_LINES, previous: previous.get() }, lines, problem);
    });
    let text = Signal::derive(move || lines.with(|l| l.iter().map(|l| (String::new(), l.clone())).collect::<Vec<_>>()));
    let options = move || names.get().into_iter().map(|n| view! { <option value=n.clone()>{n.clone()}</option> }).collect_view();
    view! {
        <LogView lines=text problem>
            <label>"Container "<select on:change=move |e| chosen.set(event_target_value(&e))>{options}</select></label>
            <label><input type="checkbox" bind:checked=previous />" Previous run"</label>
        </LogView>
    }
}

/// Reads a log until something else is read.
fn read(log: Log, into: RwSignal<VecDeque<String>>, problem: RwSignal<String>) {
    let Ok(controller) = AbortController::new() else { return };
    let signal = controller.signal();
    let controller = SendWrapper::new(controller);
    on_cleanup(move || controller.abort());
    let take = move |new: Vec<(String, String)>| {
        into.update(|all| {
            all.extend(new.into_iter().map(|(_, text)| text));
            let over = all.len().saturating_sub(LINES_MAX);
            all.drain(..over);
        });
    };
    let still = signal.clone();
    let say = move |error: Option<ApiError>| {
        if !still.aborted() {
            problem.set(error.map(|e| e.sentence()).unwrap_or_default());
        }
    };
    spawn_local(follow(log, signal, take, say));
}
