//! A command to run in a shell, with a button that copies it.
use leptos::prelude::*;

#[component]
pub fn Copy(#[prop(into)] command: String) -> impl IntoView {
    let copied = RwSignal::new(false);
    let text = command.clone();
    let copy = move |_| {
        let _ = window().navigator().clipboard().write_text(&text);
        copied.set(true);
    };
    view! {
        <span class="command">
            <code>{command}</code>
            <button class="quiet small" type="button" on:click=copy aria-label="Copy the command">
                {move || if copied.get() { "Copied" } else { "Copy" }}
            </button>
        </span>
    }
}
