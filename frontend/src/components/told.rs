//! A word at the edge of the page about what was just done, and its command to copy.
use crate::components::copy::Copy;
use crate::state::told::told;
use leptos::prelude::*;

#[component]
pub fn LastDeed() -> impl IntoView {
    let told = told();
    view! {
        <div class="told" role="status">
            {move || told.0.get().map(|deed| view! {
                <div class="card">
                    <p>{deed.what}</p>
                    <Copy command=deed.command />
                    <button type="button" class="quiet small" aria-label="Dismiss" on:click=move |_| told.0.set(None)>"✕"</button>
                </div>
            })}
        </div>
    }
}
