//! What a container prints, followed; scrolling up stops following, and a button takes it up again.
use crate::api::{ApiError, fetch};
use crate::components::notice::Problem;
use crate::model::pod::containers;
use leptos::html;
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
/// Nearer to the end than this counts as at the end.
const END_PIXELS: i32 = 24;

#[component]
pub fn Logs(project: String, pod: String, object: Memo<Option<Value>>) -> impl IntoView {
    let names = Memo::new(move |_| object.with(|o| o.iter().flat_map(containers).map(|c| c.name).collect::<Vec<_>>()));
    let chosen = RwSignal::new(String::new());
    let previous = RwSignal::new(false);
    let follow = RwSignal::new(true);
    let search = RwSignal::new(String::new());
    let container = Memo::new(move |_| names.with(|n| n.iter().find(|c| **c == chosen.get()).or(n.first()).cloned()));
    let (lines, problem) = (RwSignal::new(VecDeque::<String>::new()), RwSignal::new(String::new()));
    let base = POD.object_path(Some(&project), &pod);
    Effect::new(move || {
        let Some(container) = container.get() else { return };
        let mode = if previous.get() { "previous=true" } else { "follow=true" };
        lines.update(VecDeque::clear);
        problem.set(String::new());
        read(format!("{base}/log?container={container}&tailLines={TAIL_LINES}&{mode}"), lines, problem);
    });
    let node: NodeRef<html::Pre> = NodeRef::new();
    Effect::new(move || {
        lines.track();
        if let Some(view) = node.get()
            && follow.get()
        {
            view.set_scroll_top(view.scroll_height());
        }
    });
    let on_scroll = move |_| {
        if let Some(view) = node.get_untracked() {
            let at_end = view.scroll_height() - view.scroll_top() - view.client_height() < END_PIXELS;
            if at_end != follow.get_untracked() {
                follow.set(at_end);
            }
        }
    };
    let text = move || {
        let word = search.get().to_lowercase();
        lines
            .with(|l| l.iter().filter(|l| word.is_empty() || l.to_lowercase().contains(&word)).fold(String::new(), |all, l| all + l + "\n"))
    };
    let options = move || names.get().into_iter().map(|n| view! { <option value=n.clone()>{n.clone()}</option> }).collect_view();
    view! {
        <div class="toolbar">
            <label>"Container "<select on:change=move |e| chosen.set(event_target_value(&e))>{options}</select></label>
            <label><input type="checkbox" bind:checked=previous />" Previous run"</label>
            <input type="search" placeholder="Only lines with…" aria-label="Only lines with" bind:value=search />
            <button type="button" on:click=move |_| follow.set(true) disabled=move || follow.get()>{move || if follow.get() { "Following" } else { "Follow" }}</button>
        </div>
        <Problem text=problem />
        <pre class="log" node_ref=node on:scroll=on_scroll tabindex="0" aria-label="Log" role="log">{text}</pre>
        <Show when=move || lines.with(VecDeque::is_empty) && problem.with(String::is_empty)><p class="hint">"Nothing has been printed yet."</p></Show>
    }
}

/// Reads a log until it ends or something else is read.
fn read(url: String, into: RwSignal<VecDeque<String>>, problem: RwSignal<String>) {
    let Ok(controller) = AbortController::new() else { return };
    let signal = controller.signal();
    let controller = SendWrapper::new(controller);
    on_cleanup(move || controller.abort());
    spawn_local(async move {
        let still = signal.clone();
        let outcome = fetch::lines(&url, &signal, |new| {
            if !still.aborted() {
                into.update(|all| {
                    all.extend(new);
                    let over = all.len().saturating_sub(LINES_MAX);
                    all.drain(..over);
                });
            }
        })
        .await;
        if !signal.aborted()
            && let Err(error) = outcome
            && error != ApiError::Aborted
        {
            problem.set(error.sentence());
        }
    });
}
