//! All objects of one kind in a project or the cluster, live.
use crate::components::notice::Liveness;
use crate::components::table::Table;
use crate::model::route::{Route, Tab, kind_title};
use crate::model::rows::{Filter, Made, Order};
use crate::state::live::{Clock, Live, State};
use leptos::prelude::*;
use shared::kinds::Kind;

/// More objects than this make a long list.
const LONG: usize = 500;
/// How often the ages of a long list are counted.
const LONG_SECONDS: i64 = 10;

#[component]
pub fn ListPage(project: Option<String>, kind: &'static Kind) -> impl IntoView {
    let live = Live::watch(kind.collection_path(project.as_deref()), String::new());
    let filter = RwSignal::new(String::new());
    let order = RwSignal::new(Order::default());
    let clock: Clock = expect_context();
    // Every second all ages of a long list would be computed for the few that are in sight.
    let now = Memo::new(move |_| {
        let now = clock.0.get();
        if live.objects.with_untracked(|o| o.len()) > LONG { now / LONG_SECONDS * LONG_SECONDS } else { now }
    });
    let made = StoredValue::new(Made::default());
    let all = Memo::new(move |_| {
        let now = now.get();
        live.objects.with(|all| made.try_update_value(|m| m.rows(kind, all.iter(), now)).unwrap_or_default())
    });
    let rows = Memo::new(move |_| all.with(|all| all.seen(&Filter::parse(&filter.get()), order.get())));
    let of = project.clone();
    let href = Callback::new(move |name: String| Route::Object { project: of.clone(), kind, name, tab: Tab::Details }.path());
    let nothing = move || live.state.get() == State::Live && rows.with(|r| r.0.is_empty());
    let total = move || live.objects.with(|o| o.len());
    let count = move || {
        let (shown, all) = (rows.with(|r| r.0.len()), total());
        if shown == all { all.to_string() } else { format!("{shown} of {all}") }
    };
    let create = project.clone().map(|project| Route::Create { project }.path());
    let create_again = create.clone();
    let title = kind_title(kind);
    let many = title.to_lowercase();
    view! {
        <header class="page">
            <h1>{title}<span class="count" role="status">{count}</span></h1>
            <Liveness live />
            <input type="search" class="search" placeholder="Filter: words, or app=web" aria-label="Filter by words or labels" bind:value=filter />
            {create.map(|href| view! { <a class="button" href=href>"Create"</a> })}
        </header>
        <Show when=move || !rows.with(|r| r.0.is_empty())><Table kind rows order href /></Show>
        <Show when=nothing>
            <section class="empty">
                <h2>{
                    let many = many.clone();
                    move || if total() == 0 { format!("No {many} here yet") } else { format!("No {many} match the filter") }
                }</h2>
                {create_again.clone().map(|href| view! { <p>"Paste JSON or YAML on the "<a href=href>"Create"</a>" page, or use "<code>"osc create -f FILE"</code>"."</p> })}
            </section>
        </Show>
    }
}
