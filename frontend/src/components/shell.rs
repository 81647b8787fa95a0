//! The frame around every page: brand, where you are, who you are, and the ways of the project.
use crate::components::palette::Palette;
use crate::components::told::LastDeed;
use crate::model::route::{Route, kind_title};
use crate::state::nav::nav;
use crate::state::session::Session;
use leptos::prelude::*;
use shared::kinds::{self, Kind};

/// The kinds in a project's menu, by what they are for.
static MENU: &[(&str, &[&Kind])] = &[
    ("Workloads", &[&kinds::POD, &kinds::REPLICATION_CONTROLLER]),
    ("Network", &[&kinds::SERVICE, &kinds::ENDPOINTS]),
    ("Configuration", &[&kinds::CONFIG_MAP, &kinds::SECRET]),
    ("Project", &[&kinds::EVENT, &kinds::RESOURCE_QUOTA, &kinds::LIMIT_RANGE, &kinds::SERVICE_ACCOUNT, &kinds::ROLE_BINDING]),
];
static CLUSTER: &[&Kind] = &[&kinds::NODE, &kinds::NAMESPACE, &kinds::USER, &kinds::CLUSTER_ROLE, &kinds::CLUSTER_ROLE_BINDING];

const THEME: &str = "pilothouse-theme";

#[component]
pub fn Shell(children: Children) -> impl IntoView {
    let session: Session = expect_context();
    let project = Memo::new(move |_| nav().0.with(|r| r.project().map(str::to_string)));
    let palette = RwSignal::new(false);
    let user = move || {
        let name = session.name();
        name.split_once(':').map_or(name.clone(), |(_, n)| n.to_string())
    };
    view! {
        <a class="skip" href="#main">"Skip to content"</a>
        <header class="top">
            <a class="brand" href="/" aria-label="Pilothouse, all projects"><Wheel /><span class="brand-name">"Pilothouse"</span></a>
            <nav class="trail" aria-label="Where you are">
                <a href="/">"Projects"</a>
                {move || project.get().map(|p| view! { <span aria-hidden="true">"/"</span><a class="project" href=format!("/projects/{p}") title=p.clone()>{p.clone()}</a> })}
            </nav>
            <button type="button" class="find" aria-haspopup="dialog" aria-keyshortcuts="Control+K" on:click=move |_| palette.set(true)>
                "Search"<kbd aria-hidden="true">"Ctrl K"</kbd>
            </button>
            <div class="who">
                <button type="button" class="quiet" on:click=move |_| turn_theme() aria-label="Switch between light and dark">"◐"</button>
                <span class="user" title=move || session.name()>{user}</span>
                <button type="button" on:click=move |_| session.logout()>"Log out"</button>
            </div>
        </header>
        <div class="body">
            {move || menu(project.get())}
            <main id="main" tabindex="-1">{children()}</main>
        </div>
        <Palette open=palette />
        <LastDeed />
    }
}

fn menu(project: Option<String>) -> impl IntoView {
    let entry = |route: Route, title: String| {
        let (path, here) = (route.path(), route);
        let current = move || nav().0.with(|r| same_place(r, &here)).then_some("page");
        view! { <li><a href=path aria-current=current>{title}</a></li> }
    };
    let of_kind = |project: &Option<String>, kind: &'static Kind| entry(Route::List { project: project.clone(), kind }, kind_title(kind));
    let Some(name) = project.clone() else {
        return view! {
            <nav class="side" aria-label="Cluster">
                <ul>{entry(Route::Projects, "Projects".into())}</ul>
                <h2>"Cluster"</h2>
                <ul>{CLUSTER.iter().map(|k| of_kind(&None, k)).collect_view()}</ul>
                <ul>{entry(Route::Kinds { project: None }, "All kinds".into())}{entry(Route::About, "About".into())}</ul>
            </nav>
        }
        .into_any();
    };
    let groups = MENU.iter().map(|(title, list)| {
        view! { <h2>{*title}</h2><ul>{list.iter().map(|k| of_kind(&project, k)).collect_view()}</ul> }
    });
    view! {
        <nav class="side" aria-label="Project">
            <ul>
                {entry(Route::Overview { project: name.clone() }, "Overview".into())}
                {entry(Route::Topology { project: name.clone() }, "Topology".into())}
                {entry(Route::Create { project: name.clone() }, "Create".into())}
            </ul>
            {groups.collect_view()}
            <ul>
                {entry(Route::Settings { project: name.clone() }, "Settings".into())}
                {entry(Route::Kinds { project: Some(name.clone()) }, "All kinds".into())}
            </ul>
        </nav>
    }
    .into_any()
}

/// An object's page belongs to the entry of its list.
fn same_place(here: &Route, entry: &Route) -> bool {
    match (here, entry) {
        (Route::Object { kind, .. } | Route::List { kind, .. }, Route::List { kind: listed, .. }) => kind == listed,
        _ => here == entry,
    }
}

/// Light, dark, and back; `boot.js` reads what is kept here before anything is drawn.
fn turn_theme() {
    let Some(root) = document().document_element() else { return };
    let system_dark = window().match_media("(prefers-color-scheme: dark)").ok().flatten().is_some_and(|m| m.matches());
    let now = root.get_attribute("data-theme").unwrap_or_else(|| if system_dark { "dark".into() } else { "light".into() });
    let next = if now == "dark" { "light" } else { "dark" };
    let _ = root.set_attribute("data-theme", next);
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(THEME, next);
    }
}

/// The ship's wheel of the brand.
#[component]
pub fn Wheel() -> impl IntoView {
    view! {
        <svg class="wheel" viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round">
            <circle cx="12" cy="12" r="6.5" />
            <circle cx="12" cy="12" r="1.6" fill="currentColor" />
            <path d="M12 1.5v7M12 15.5v7M1.5 12h7M15.5 12h7M4.6 4.6l4.6 4.6M14.8 14.8l4.6 4.6M19.4 4.6l-4.6 4.6M9.2 14.8l-4.6 4.6" />
        </svg>
    }
}
