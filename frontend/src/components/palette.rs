//! The palette: Ctrl-K, a few letters, Enter.
use crate::components::dialog::Dialog;
use crate::model::palette::{Entry, fitting, places};
use crate::model::route::Route;
use crate::state::finder::Finder;
use crate::state::nav::nav;
use leptos::ev;
use leptos::html;
use leptos::prelude::*;

#[component]
pub fn Palette(open: RwSignal<bool>) -> impl IntoView {
    let finder: Finder = expect_context();
    let nav = nav();
    let (typed, chosen) = (RwSignal::new(String::new()), RwSignal::new(0_usize));
    let keys = window_event_listener(ev::keydown, move |event| {
        if (event.ctrl_key() || event.meta_key()) && event.key().eq_ignore_ascii_case("k") && !event.shift_key() {
            event.prevent_default();
            open.update(|o| *o = !*o);
        }
    });
    on_cleanup(move || keys.remove());
    Effect::new(move || {
        if open.get() {
            typed.set(String::new());
            finder.refresh();
        }
    });
    let found = Memo::new(move |_| {
        let project = nav.0.with(|r| r.project().map(str::to_string));
        let mut all = places(project.as_deref());
        finder.entries.with(|e| all.extend(e.iter().map(|(entry, _)| entry.clone())));
        fitting(&typed.get(), &all)
    });
    Effect::new(move || {
        found.track();
        chosen.set(0);
    });
    let go = move |route: Route| {
        open.set(false);
        nav.go(route);
    };
    let on_key = move |event: ev::KeyboardEvent| {
        let last = found.with_untracked(Vec::len).saturating_sub(1);
        match event.key().as_str() {
            "ArrowDown" => chosen.update(|c| *c = (*c + 1).min(last)),
            "ArrowUp" => chosen.update(|c| *c = c.saturating_sub(1)),
            "Enter" => {
                let words = typed.get_untracked();
                let entry = found.with_untracked(|f| f.get(chosen.get_untracked()).cloned());
                go(entry.map_or(Route::Search { words }, |e| e.route));
            }
            _ => return,
        }
        event.prevent_default();
    };
    view! {
        <Dialog open title="Go to" class="palette">
            <Letters typed chosen on_key=Callback::new(on_key) />
            <ul id="palette-found" role="listbox" aria-label="Found">
                {move || found.get().into_iter().enumerate().map(|(i, e)| line(i, e, chosen, go)).collect_view()}
            </ul>
            {move || (found.with(Vec::is_empty)).then(|| view! { <p class="hint">"Nothing here fits. Enter searches all projects."</p> })}
            <p class="equal">"↑ ↓ choose · Enter opens · Escape closes · the same key opens this everywhere"</p>
        </Dialog>
    }
}

#[component]
fn Letters(typed: RwSignal<String>, chosen: RwSignal<usize>, on_key: Callback<ev::KeyboardEvent>) -> impl IntoView {
    let input: NodeRef<html::Input> = NodeRef::new();
    Effect::new(move || {
        if let Some(input) = input.get() {
            let _ = input.focus();
        }
    });
    view! {
        <input node_ref=input type="text" role="combobox" class="wide" autocomplete="off" spellcheck="false" aria-label="Page, kind, project or object"
            placeholder="Page, kind, project or object" aria-expanded="true" aria-controls="palette-found"
            aria-activedescendant=move || format!("palette-{}", chosen.get()) bind:value=typed on:keydown=move |e| on_key.run(e) />
    }
}

fn line(i: usize, entry: Entry, chosen: RwSignal<usize>, go: impl Fn(Route) + Copy + Send + 'static) -> impl IntoView {
    let route = entry.route;
    view! {
        <li id=format!("palette-{i}") role="option" aria-selected=move || (chosen.get() == i).to_string() on:click=move |_| go(route.clone())>
            <span class="chip-name">{entry.title}</span><span class="kind">{entry.hint}</span>
        </li>
    }
}
