//! One object: its name, state and actions, and the tabs that lead to its parts.
use crate::api::fetch;
use crate::components::confirm::ConfirmDelete;
use crate::components::notice::Liveness;
use crate::components::notice::Problem;
use crate::components::status::Status;
use crate::components::table::Table;
use crate::components::why::Why;
use crate::model::restart::{Restart, restart};
use crate::model::route::{Route, Tab};
use crate::model::rows::{Filter, Made, Order, row};
use crate::pages::details::Details;
use crate::pages::logs::Logs;
use crate::pages::merged_logs::MergedLogs;
use crate::pages::terminal::Terminal;
use crate::pages::yaml::Yaml;
use crate::state::live::{Clock, Live, State};
use crate::state::nav::nav;
use crate::state::told::told;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};
use shared::kinds::{EVENT, Kind, POD, REPLICATION_CONTROLLER};

#[component]
pub fn ObjectPage(project: Option<String>, kind: &'static Kind, name: String, tab: Tab) -> impl IntoView {
    let live = Live::watch(kind.collection_path(project.as_deref()), format!("fieldSelector=metadata.name%3D{name}"));
    let object = Memo::new(move |_| live.objects.with(|o| o.values().next().cloned()));
    let missing = Memo::new(move |_| live.state.get() == State::Live && object.with(Option::is_none));
    let deleting = RwSignal::new(false);
    let problem = RwSignal::new(String::new());
    let list = Route::List { project: project.clone(), kind };
    let back = list.clone();
    let nav = nav();
    let space = project.as_ref().map(|p| format!(" -n {p}")).unwrap_or_default();
    let consequence =
        if *kind == REPLICATION_CONTROLLER { "Its pods go with it. This cannot be undone." } else { "This cannot be undone." };
    let tabs = Tab::of(kind).iter().map(|t| {
        let href = Route::Object { project: project.clone(), kind, name: name.clone(), tab: *t }.path();
        view! { <a href=href aria-current=(*t == tab).then_some("page")>{t.title()}</a> }
    });
    let body = match tab {
        Tab::Details => view! { <Why kind project=project.clone() object /><Details kind project=project.clone() name=name.clone() object /> }.into_any(),
        Tab::Yaml => {
            view! { <Yaml path=kind.object_path(project.as_deref(), &name) title=format!("{} {name}", kind.singular) command=format!("osc edit {} {name}{space}", kind.singular) /> }.into_any()
        }
        Tab::Events => view! { <Events project=project.clone() kind name=name.clone() /> }.into_any(),
        Tab::Terminal => view! { <Terminal project=project.clone().unwrap_or_default() pod=name.clone() object /> }.into_any(),
        Tab::Logs if *kind != POD => view! { <MergedLogs kind project=project.clone().unwrap_or_default() object /> }.into_any(),
        Tab::Logs => view! { <Logs project=project.clone().unwrap_or_default() pod=name.clone() object /> }.into_any(),
    };
    let gone = name.clone();
    view! {
        <header class="page">
            <p class="crumb"><a href=list.path()>{crate::model::route::kind_title(kind)}</a></p>
            <h1 class="long">{name.clone()}</h1>
            {move || object.get().map(|o| status_of(kind, &o))}
            <Liveness live />
            <RestartButton kind project=project.clone() object problem />
            <button type="button" on:click=move |_| deleting.set(true)>"Delete"</button>
        </header>
        <Problem text=problem />
        <nav class="tabs" aria-label="Parts of the object">{tabs.collect_view()}</nav>
        <Show when=move || missing.get()>
            <p class="problem" role="alert">{format!("There is no {} {gone} (any more).", kind.singular)}</p>
        </Show>
        {body}
        <ConfirmDelete
            open=deleting
            what=kind.singular
            name=name.clone()
            consequence
            path=kind.object_path(project.as_deref(), &name)
            command=format!("osc delete {} {name}{space}", kind.plural)
            on_done=Callback::new(move |()| nav.go(back.clone()))
        />
    }
}

/// Only for what comes back by itself: pods that a controller owns, and controllers.
#[component]
fn RestartButton(kind: &'static Kind, project: Option<String>, object: Memo<Option<Value>>, problem: RwSignal<String>) -> impl IntoView {
    let told = told();
    let plan = Memo::new(move |_| object.with(|o| o.as_ref().and_then(|o| restart(kind, o, project.as_deref().unwrap_or_default()))));
    let run = move |_| {
        let Some(Restart { said, command, delete }) = plan.get_untracked() else { return };
        spawn_local(async move {
            match fetch::send("DELETE", &delete, &json!({"kind": "DeleteOptions", "apiVersion": "v1"})).await {
                Ok(_) => {
                    problem.set(String::new());
                    told.tell(said, command);
                }
                Err(error) => problem.set(format!("Nothing was restarted. {}", error.sentence())),
            }
        });
    };
    view! { <Show when=move || plan.with(Option::is_some)><button type="button" on:click=run>"Restart"</button></Show> }
}

fn status_of(kind: &'static Kind, object: &Value) -> impl IntoView + use<> {
    let cell = row(kind, object, 0).cells.into_iter().find_map(|c| c.tone.map(|tone| (c.text, tone)));
    cell.map(|(text, tone)| view! { <Status text tone /> })
}

#[component]
fn Events(project: Option<String>, kind: &'static Kind, name: String) -> impl IntoView {
    let selector = format!("fieldSelector=involvedObject.name%3D{name},involvedObject.kind%3D{}", kind.kind);
    let live = Live::watch(EVENT.collection_path(project.as_deref()), selector);
    let clock: Clock = expect_context();
    let order = RwSignal::new(Order::default());
    let made = StoredValue::new(Made::default());
    let all = Memo::new(move |_| {
        let now = clock.0.get();
        live.objects.with(|all| made.try_update_value(|m| m.rows(&EVENT, all.iter(), now)).unwrap_or_default())
    });
    let rows = Memo::new(move |_| all.with(|all| all.seen(&Filter::parse(""), order.get())));
    let of = project.unwrap_or_else(|| "default".into());
    let href = Callback::new(move |event: String| {
        Route::Object { project: Some(of.clone()), kind: &EVENT, name: event, tab: Tab::Details }.path()
    });
    view! {
        <Show when=move || !rows.with(|r| r.0.is_empty())><Table kind=&EVENT rows order href /></Show>
        <Show when=move || live.state.get() == State::Live && rows.with(|r| r.0.is_empty())>
            <section class="empty"><h2>"Nothing has happened"</h2><p>"Events of the last hour appear here as they come."</p></section>
        </Show>
    }
}
