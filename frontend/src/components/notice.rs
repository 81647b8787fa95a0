//! What went wrong, or that data is not live, where it belongs.
use crate::state::live::{Live, State};
use leptos::prelude::*;

/// A sentence about a failure; nothing while there is none.
#[component]
pub fn Problem(#[prop(into)] text: Signal<String>) -> impl IntoView {
    view! {
        <div role="alert" class="problem-place">
            {move || {
                let text = text.get();
                (!text.is_empty()).then(|| view! { <p class="problem">{text}</p> })
            }}
        </div>
    }
}

/// Says whether what is shown is as the server has it.
#[component]
pub fn Liveness(live: Live) -> impl IntoView {
    view! {
        <div role="status" class="liveness">
            {move || match live.state.get() {
                State::Live => view! { <span class="status good"><span class="mark" aria-hidden="true">"●"</span>"Live"</span> }.into_any(),
                State::Loading => view! { <span class="status idle">"Loading…"</span> }.into_any(),
                State::Disconnected => {
                    view! { <span class="status bad"><span class="mark" aria-hidden="true">"▲"</span>"Disconnected – what you see may be old. Reconnecting…"</span> }.into_any()
                }
                State::Failed(error) => view! { <p class="problem">{error.sentence()}</p> }.into_any(),
            }}
        </div>
    }
}
