//! Every kind that the server has, by group: the way to lists that the menu does not name.
use crate::model::known;
use crate::model::route::{Route, kind_title};
use crate::state::discovery::Discovered;
use leptos::prelude::*;
use shared::kinds::Kind;
use std::collections::BTreeMap;

#[component]
pub fn Kinds(project: Option<String>) -> impl IntoView {
    let discovered: Discovered = expect_context();
    let filter = RwSignal::new(String::new());
    let groups = move || {
        discovered.0.track();
        let words = filter.get().to_lowercase();
        let mut groups: BTreeMap<&str, Vec<&'static Kind>> = BTreeMap::new();
        for kind in known::all() {
            if kind.namespaced() == project.is_some() && (kind.kind.to_lowercase().contains(&words) || kind.group.contains(&words)) {
                groups.entry(kind.group).or_default().push(kind);
            }
        }
        let one = |(group, kinds): (&str, Vec<&'static Kind>)| {
            let title = if group.is_empty() { "Core" } else { group }.to_string();
            let link = |kind: &'static Kind| {
                let href = Route::List { project: project.clone(), kind }.path();
                view! { <li><a class="chip" href=href>{kind_title(kind)}<span class="kind">{kind.version}</span></a></li> }
            };
            view! { <section class="card"><h2>{title}</h2><ul class="chips">{kinds.into_iter().map(link).collect_view()}</ul></section> }
        };
        groups.into_iter().map(one).collect_view()
    };
    view! {
        <header class="page">
            <h1>"All kinds"</h1>
            <input type="search" class="search" placeholder="Only kinds with…" aria-label="Only kinds with" bind:value=filter />
        </header>
        {groups}
    }
}
