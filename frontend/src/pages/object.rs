//! One object: what it is, what happened to it, its YAML, and for pods logs.
use crate::components::confirm::ConfirmDelete;
use crate::components::notice::Liveness;
use crate::components::status::Status;
use crate::components::table::Table;
use crate::components::why::Why;
use crate::model::pod::{Container, containers};
use crate::model::route::{Route, Tab};
use crate::model::rows::{Order, Row, row, titles};
use crate::pages::logs::Logs;
use crate::pages::terminal::Terminal;
use crate::pages::yaml::Yaml;
use crate::state::live::{Clock, Live, State};
use crate::state::nav::nav;
use leptos::prelude::*;
use serde_json::Value;
use shared::kinds::{EVENT, Kind, POD, REPLICATION_CONTROLLER};

#[component]
pub fn ObjectPage(project: Option<String>, kind: &'static Kind, name: String, tab: Tab) -> impl IntoView {
    let live = Live::watch(kind.collection_path(project.as_deref()), format!("fieldSelector=metadata.name%3D{name}"));
    let object = Memo::new(move |_| live.objects.with(|o| o.values().next().cloned()));
    let missing = Memo::new(move |_| live.state.get() == State::Live && object.with(Option::is_none));
    let deleting = RwSignal::new(false);
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
        Tab::Details => view! { <Why kind project=project.clone() object /><Details kind object /> }.into_any(),
        Tab::Yaml => {
            view! { <Yaml path=kind.object_path(project.as_deref(), &name) title=format!("{} {name}", kind.singular) /> }.into_any()
        }
        Tab::Events => view! { <Events project=project.clone() kind name=name.clone() /> }.into_any(),
        Tab::Terminal => view! { <Terminal project=project.clone().unwrap_or_default() pod=name.clone() object /> }.into_any(),
        Tab::Logs => view! { <Logs project=project.clone().unwrap_or_default() pod=name.clone() object /> }.into_any(),
    };
    let gone = name.clone();
    view! {
        <header class="page">
            <p class="crumb"><a href=list.path()>{crate::model::route::kind_title(kind)}</a></p>
            <h1 class="long">{name.clone()}</h1>
            {move || object.get().map(|o| status_of(kind, &o))}
            <Liveness live />
            <button type="button" on:click=move |_| deleting.set(true)>"Delete"</button>
        </header>
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

fn status_of(kind: &'static Kind, object: &Value) -> impl IntoView + use<> {
    let cell = row(kind, object, 0).cells.into_iter().find_map(|c| c.tone.map(|tone| (c.text, tone)));
    cell.map(|(text, tone)| view! { <Status text tone /> })
}

#[component]
fn Details(kind: &'static Kind, object: Memo<Option<Value>>) -> impl IntoView {
    let clock: Clock = expect_context();
    let facts = move || {
        let object = object.get()?;
        let row = row(kind, &object, clock.0.get());
        let mut facts: Vec<(String, String)> =
            titles(kind).into_iter().map(str::to_string).zip(row.cells.into_iter().map(|c| c.text)).filter(|(t, _)| t != "Name").collect();
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_string();
        for (title, path) in [("Address", "/status/podIP"), ("Node", "/spec/nodeName"), ("Created", "/metadata/creationTimestamp")] {
            let value = text(path);
            if !value.is_empty() && !facts.iter().any(|(t, _)| t == title) {
                facts.push((title.into(), value));
            }
        }
        Some(facts.into_iter().map(|(t, v)| view! { <div><dt>{t}</dt><dd>{v}</dd></div> }).collect_view())
    };
    let pairs = move |path: &'static str| {
        let map = object.with(|o| o.as_ref().and_then(|o| o.pointer(path).and_then(Value::as_object).cloned())).unwrap_or_default();
        (!map.is_empty()).then(|| {
            map.into_iter().map(|(k, v)| view! { <li class="label">{k}<span aria-hidden="true">"="</span><b>{v.as_str().unwrap_or_default().to_string()}</b></li> }).collect_view()
        })
    };
    view! {
        <section class="card">
            <dl class="facts">{facts}</dl>
            {move || pairs("/metadata/labels").map(|l| view! { <h2>"Labels"</h2><ul class="labels">{l}</ul> })}
            {move || pairs("/metadata/annotations").map(|l| view! { <h2>"Annotations"</h2><ul class="labels">{l}</ul> })}
        </section>
        {(*kind == POD).then(|| view! {
            <section class="card">
                <h2>"Containers"</h2>
                <div class="containers">{move || object.get().map(|o| containers(&o).into_iter().map(one_container).collect_view())}</div>
            </section>
        })}
    }
}

fn one_container(c: Container) -> impl IntoView {
    view! {
        <div class="container">
            <h3>{c.name}</h3>
            <Status text=c.state tone=c.tone />
            <p class="detail">{c.detail}</p>
            <dl class="facts">
                <div><dt>"Image"</dt><dd><code>{c.image}</code></dd></div>
                <div><dt>"Restarts"</dt><dd>{c.restarts}</dd></div>
                {(!c.ports.is_empty()).then(|| view! { <div><dt>"Ports"</dt><dd>{c.ports}</dd></div> })}
            </dl>
        </div>
    }
}

#[component]
fn Events(project: Option<String>, kind: &'static Kind, name: String) -> impl IntoView {
    let selector = format!("fieldSelector=involvedObject.name%3D{name},involvedObject.kind%3D{}", kind.kind);
    let live = Live::watch(EVENT.collection_path(project.as_deref()), selector);
    let clock: Clock = expect_context();
    let order = RwSignal::new(Order::default());
    let rows = Memo::new(move |_| {
        let now = clock.0.get();
        let mut rows: Vec<Row> = live.objects.with(|o| o.values().map(|e| row(&EVENT, e, now)).collect());
        order.get().sort(&mut rows);
        rows
    });
    let of = project.unwrap_or_else(|| "default".into());
    let href = Callback::new(move |event: String| {
        Route::Object { project: Some(of.clone()), kind: &EVENT, name: event, tab: Tab::Details }.path()
    });
    view! {
        <Show when=move || !rows.with(Vec::is_empty)><Table kind=&EVENT rows order href /></Show>
        <Show when=move || live.state.get() == State::Live && rows.with(Vec::is_empty)>
            <section class="empty"><h2>"Nothing has happened"</h2><p>"Events of the last hour appear here as they come."</p></section>
        </Show>
    }
}
