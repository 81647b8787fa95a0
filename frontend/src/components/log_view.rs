//! Lines of a log: filtered and marked by words, followed until the reader scrolls up, wrapped or not, saved as a file.
use crate::components::notice::Problem;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// Nearer to the end than this counts as at the end.
const END_PIXELS: i32 = 24;
/// Kept in this browser: whether long lines are wrapped.
const WRAP: &str = "pilothouse-wrap";

/// `lines` are who printed and what; who is empty where there is only one source.
#[component]
pub fn LogView(lines: Signal<Vec<(String, String)>>, problem: RwSignal<String>, children: Children) -> impl IntoView {
    let follow = RwSignal::new(true);
    let search = RwSignal::new(String::new());
    let storage = window().local_storage().ok().flatten();
    let wrap = RwSignal::new(storage.and_then(|s| s.get_item(WRAP).ok().flatten()).is_none_or(|w| w == "1"));
    Effect::new(move || {
        let wrapped = wrap.get();
        if let Ok(Some(storage)) = window().local_storage() {
            let _ = storage.set_item(WRAP, if wrapped { "1" } else { "0" });
        }
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
    let shown = move || {
        let word = search.get().to_lowercase();
        lines.with(|l| l.iter().filter(|(_, t)| word.is_empty() || t.to_lowercase().contains(&word)).cloned().collect::<Vec<_>>())
    };
    // One text while nothing has to be marked: thousands of lines are one node of the page.
    let content = move || {
        let word = search.get().to_lowercase();
        let several = lines.with(|l| l.iter().any(|(who, _)| !who.is_empty()));
        if word.is_empty() && !several {
            return shown().into_iter().fold(String::new(), |all, (_, l)| all + &l + "\n").into_any();
        }
        shown().into_iter().map(|(who, text)| line(who, text, &word)).collect_view().into_any()
    };
    let nothing = move || lines.with(Vec::is_empty) && problem.with(String::is_empty);
    view! {
        <div class="toolbar">
            {children()}
            <input type="search" placeholder="Only lines with…" aria-label="Only lines with" bind:value=search />
            <label><input type="checkbox" bind:checked=wrap />" Wrap"</label>
            <button type="button" on:click=move |_| save(&shown())>"Save"</button>
            <button type="button" on:click=move |_| follow.set(true) disabled=move || follow.get()>{move || if follow.get() { "Following" } else { "Follow" }}</button>
        </div>
        <Problem text=problem />
        <pre class="log" class:unwrapped=move || !wrap.get() node_ref=node on:scroll=on_scroll tabindex="0" aria-label="Log" role="log">{content}</pre>
        <Show when=nothing><p class="hint">"Nothing has been printed yet."</p></Show>
    }
}

fn line(who: String, text: String, word: &str) -> impl IntoView + use<> {
    let mut parts = vec![];
    let lower = text.to_lowercase();
    let mut rest = 0;
    // Letters whose lower case is longer would shift the marks: such lines stay plain.
    if !word.is_empty() && lower.len() == text.len() {
        while let Some(at) = lower[rest..].find(word).map(|at| at + rest) {
            parts.push(view! { {text[rest..at].to_string()}<mark>{text[at..at + word.len()].to_string()}</mark> });
            rest = at + word.len();
        }
    }
    view! { {(!who.is_empty()).then(|| view! { <span class="source">{who}" "</span> })}{parts}{text[rest..].to_string()}"\n" }
}

/// Hands the lines to the browser as a file.
fn save(lines: &[(String, String)]) {
    let text = lines.iter().fold(String::new(), |all, (who, l)| if who.is_empty() { all + l + "\n" } else { all + who + " " + l + "\n" });
    let parts = js_sys::Array::of1(&text.into());
    let Ok(blob) = web_sys::Blob::new_with_str_sequence(&parts) else { return };
    let Ok(url) = web_sys::Url::create_object_url_with_blob(&blob) else { return };
    if let Some(link) = document().create_element("a").ok().and_then(|e| e.dyn_into::<web_sys::HtmlAnchorElement>().ok()) {
        link.set_href(&url);
        link.set_download("log.txt");
        link.click();
    }
    let _ = web_sys::Url::revoke_object_url(&url);
}
