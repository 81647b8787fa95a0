//! A word of status with its colour and its mark.
use crate::model::tone::Tone;
use leptos::prelude::*;

#[component]
pub fn Status(#[prop(into)] text: String, tone: Tone) -> impl IntoView {
    view! { <span class=tone.class()><span class="mark" aria-hidden="true">{tone.mark()}</span>{text}</span> }
}
