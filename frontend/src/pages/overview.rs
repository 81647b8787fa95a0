//! A project alive: services, the controllers behind them with + and −, and every pod as it changes.
use crate::api::fetch;
use crate::components::copy::Copy;
use crate::components::notice::{Liveness, Problem};
use crate::components::status::Status;
use crate::model::overview::{Controller, PodChip, Tile, tiles};
use crate::model::route::{Route, Tab};
use crate::state::live::{Live, State};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;
use shared::kinds::{Kind, POD, REPLICATION_CONTROLLER, SERVICE};

/// More pods than this are counted, not drawn.
const CHIPS_MAX: usize = 60;

#[component]
pub fn Overview(project: String) -> impl IntoView {
    let of = |kind: &Kind| Live::watch(kind.collection_path(Some(&project)), String::new());
    let (services, controllers, pods) = (of(&SERVICE), of(&REPLICATION_CONTROLLER), of(&POD));
    let problem = RwSignal::new(String::new());
    let all = Memo::new(move |_| {
        services.objects.with(|s| controllers.objects.with(|c| pods.objects.with(|p| tiles(s.values(), c.values(), p.values()))))
    });
    let loaded = move || [services, controllers, pods].iter().all(|l| l.state.get() == State::Live);
    let name = StoredValue::new(project.clone());
    // One tile a service stays the same element while its content changes: focus and scroll stay too.
    let keys = Memo::new(move |_| {
        let of = |t: &Tile| t.service.as_ref().map_or(String::new(), |s| s.name.clone());
        all.with(|a| a.iter().map(of).collect::<Vec<_>>())
    });
    let tile = move |key: String| {
        let found = Memo::new(move |_| {
            let same = |t: &&Tile| t.service.as_ref().map_or("", |s| s.name.as_str()) == key;
            all.with(|a| a.iter().find(same).cloned().unwrap_or_default())
        });
        let project = name.get_value();
        view! { <article class="tile wide">{move || tile_body(&project, found.get(), problem)}</article> }
    };
    view! {
        <header class="page">
            <h1>"Overview"</h1>
            <Liveness live=pods />
            <a class="button primary" href=Route::Create { project: project.clone() }.path()>"Create"</a>
        </header>
        <Problem text=problem />
        <div class="stack"><For each=move || keys.get() key=|k| k.clone() let:key>{tile(key)}</For></div>
        <Show when=move || loaded() && all.with(Vec::is_empty)>
            <section class="empty">
                <h2>"This project is empty"</h2>
                <p>"Start with the pod of the tutorial, or paste your own on the Create page:"</p>
                <Copy command=format!("osc create -n {} -f examples/hello-openshift/hello-pod.json", name.get_value()) />
                <p><a class="button primary" href=Route::Create { project: name.get_value() }.path()>"Create"</a></p>
            </section>
        </Show>
    }
}

fn object(project: &str, kind: &'static Kind, name: &str) -> String {
    Route::Object { project: Some(project.to_string()), kind, name: name.to_string(), tab: Tab::Details }.path()
}

fn tile_body(project: &str, tile: Tile, problem: RwSignal<String>) -> impl IntoView + use<> {
    let nothing = tile.controllers.is_empty() && tile.pods.is_empty();
    let head = match tile.service {
        Some(s) => view! {
            <header class="service">
                <h2><a href=object(project, &SERVICE, &s.name)>{s.name.clone()}</a></h2>
                <span class="kind">"Service"</span>
                <code class="address">{s.address}</code>
            </header>
            {(nothing && s.selects).then(|| view! { <p class="hint warn">"No pod matches "<code>{s.selector}</code>": nothing answers at this address."</p> })}
        }
        .into_any(),
        None => view! { <header class="service"><h2 class="plain">"Not behind a service"</h2></header> }.into_any(),
    };
    let project = project.to_string();
    let loose =
        (!tile.pods.is_empty()).then(|| view! { <div class="controller"><p class="kind">"Pods"</p>{chips(&project, tile.pods)}</div> });
    let controllers: Vec<_> = tile.controllers.into_iter().map(|c| controller(&project, c, problem)).collect();
    view! { {head} {controllers} {loose} }
}

fn controller(project: &str, c: Controller, problem: RwSignal<String>) -> impl IntoView + use<> {
    let path = REPLICATION_CONTROLLER.object_path(Some(project), &c.name);
    let wanted = c.wanted;
    let scale = move |to: i64| {
        let path = format!("{path}/scale");
        spawn_local(async move {
            let outcome = fetch::send("PATCH", &path, &json!({"spec": {"replicas": to}})).await;
            problem.set(outcome.err().map(|e| format!("The number of replicas is as it was. {}", e.sentence())).unwrap_or_default());
        });
    };
    let (less, more) = (scale.clone(), scale);
    let (fewer_label, more_label) = (format!("One replica less of {}", c.name), format!("One replica more of {}", c.name));
    let count = format!("{} of {} ready", c.ready, wanted);
    view! {
        <div class="controller">
            <div class="line">
                <h3><a href=object(project, &REPLICATION_CONTROLLER, &c.name)>{c.name.clone()}</a></h3>
                <span class="kind">"Replication controller"</span>
                <span class="image" title=c.image.clone()>{c.image.clone()}</span>
                <span class="scale" role="group" aria-label="Replicas">
                    <button type="button" disabled={wanted == 0} aria-label=fewer_label on:click=move |_| less(wanted - 1)>"−"</button>
                    <output>{count}</output>
                    <button type="button" aria-label=more_label on:click=move |_| more(wanted + 1)>"+"</button>
                </span>
            </div>
            {chips(project, c.pods)}
        </div>
    }
}

fn chips(project: &str, pods: Vec<PodChip>) -> impl IntoView + use<> {
    let hidden = pods.len().saturating_sub(CHIPS_MAX);
    let more = (hidden > 0).then(|| {
        let list = Route::List { project: Some(project.to_string()), kind: &POD }.path();
        view! { <li><a class="chip" href=list>{format!("and {hidden} more")}</a></li> }
    });
    let one = |p: PodChip| {
        let href = object(project, &POD, &p.name);
        view! { <li><a class="chip" href=href><span class="chip-name" title=p.name.clone()>{p.name.clone()}</span><Status text=p.status tone=p.tone /></a></li> }
    };
    view! { <ul class="chips">{pods.into_iter().take(CHIPS_MAX).map(one).collect_view()}{more}</ul> }
}
