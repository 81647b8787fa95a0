//! Everything that the user may see, across projects and kinds, by words or labels.
use crate::components::notice::Problem;
use crate::model::palette::{Entry, FOUND_MAX, matching};
use crate::model::route::Route;
use crate::state::finder::Finder;
use crate::state::nav::nav;
use leptos::prelude::*;

#[component]
pub fn Search(words: String) -> impl IntoView {
    let finder: Finder = expect_context();
    finder.refresh();
    let nav = nav();
    let typed = RwSignal::new(words);
    let found = Memo::new(move |_| finder.entries.with(|all| matching(&typed.get(), all)));
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        nav.go(Route::Search { words: typed.get_untracked() });
    };
    let line = |e: Entry| view! { <tr><th scope="row"><a href=e.route.path()>{e.title}</a></th><td>{e.hint}</td></tr> };
    let said = move || match (found.with(Vec::len), finder.busy.get()) {
        (0, true) => "Looking…".to_string(),
        (0, false) => "Nothing that you may see fits.".into(),
        (n, _) if n >= FOUND_MAX => format!("The first {n}"),
        (n, _) => n.to_string(),
    };
    view! {
        <header class="page">
            <h1>"Search"<span class="count" role="status">{said}</span></h1>
            <form role="search" on:submit=submit>
                <input type="search" class="search" placeholder="Words, or app=web" aria-label="Search by words or labels" bind:value=typed />
            </form>
        </header>
        <Problem text=finder.problem />
        <Show when=move || !found.with(Vec::is_empty)>
            <div class="table-window" tabindex="0" role="region" aria-label="Found"><table>
                <thead><tr><th scope="col">"Name"</th><th scope="col">"What"</th></tr></thead>
                <tbody>{move || found.get().into_iter().map(line).collect_view()}</tbody>
            </table></div>
        </Show>
    }
}
