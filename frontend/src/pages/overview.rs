//! A project alive: services, the controllers behind them with + and −, and every pod as it changes.
use crate::api::fetch;
use crate::components::copy::Copy;
use crate::components::notice::{Liveness, Problem};
use crate::components::status::Status;
use crate::model::overview::{PodChip, Service, Tile, tiles};
use crate::model::route::{Route, Tab};
use crate::state::live::{Live, State};
use crate::state::nav::nav;
use crate::state::told::told;
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
        tile_view(name.get_value(), found, problem)
    };
    view! {
        <header class="page">
            <h1>"Overview"</h1>
            <Liveness live=pods />
            <Views project=project.clone() />
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

/// The two ways to look at a project as a whole.
#[component]
pub fn Views(project: String) -> impl IntoView {
    let nav = nav();
    let one = |title: &'static str, route: Route| {
        let (href, own) = (route.path(), route);
        view! { <a class="button" href=href aria-current=move || nav.0.with(|r| *r == own).then_some("page")>{title}</a> }
    };
    view! {
        <nav class="views" aria-label="Views">
            {one("Tiles", Route::Overview { project: project.clone() })}
            {one("Topology", Route::Topology { project })}
        </nav>
    }
}

fn object(project: &str, kind: &'static Kind, name: &str) -> String {
    Route::Object { project: Some(project.to_string()), kind, name: name.to_string(), tab: Tab::Details }.path()
}

/// A tile, its controllers and their buttons stay the same elements while numbers and pods change.
fn tile_view(project: String, tile: Memo<Tile>, problem: RwSignal<String>) -> impl IntoView {
    let service = Memo::new(move |_| tile.with(|t| t.service.clone()));
    let nothing = Memo::new(move |_| tile.with(|t| t.controllers.is_empty() && t.pods.is_empty()));
    let names = Memo::new(move |_| tile.with(|t| t.controllers.iter().map(|c| c.name.clone()).collect::<Vec<_>>()));
    let loose = Memo::new(move |_| tile.with(|t| t.pods.clone()));
    let (for_head, for_controllers) = (project.clone(), project.clone());
    view! {
        <article class="tile wide">
            {move || head(&for_head, service.get(), nothing.get())}
            <For each=move || names.get() key=|n| n.clone() let:name>{controller(&for_controllers, name, tile, problem)}</For>
            {move || {
                let pods = loose.get();
                (!pods.is_empty()).then(|| view! { <div class="controller"><p class="kind">"Pods"</p>{chips(&project, pods)}</div> })
            }}
        </article>
    }
}

fn head(project: &str, service: Option<Service>, nothing: bool) -> AnyView {
    let Some(s) = service else {
        return view! { <header class="service"><h2 class="plain">"Not behind a service"</h2></header> }.into_any();
    };
    view! {
        <header class="service">
            <h2><a href=object(project, &SERVICE, &s.name)>{s.name.clone()}</a></h2>
            <span class="kind">"Service"</span>
            <code class="address">{s.address}</code>
        </header>
        {(nothing && s.selects).then(|| view! { <p class="hint warn">"No pod matches "<code>{s.selector}</code>": nothing answers at this address."</p> })}
    }
    .into_any()
}

fn controller(project: &str, name: String, tile: Memo<Tile>, problem: RwSignal<String>) -> impl IntoView + use<> {
    let path = format!("{}/scale", REPLICATION_CONTROLLER.object_path(Some(project), &name));
    let (href, project) = (object(project, &REPLICATION_CONTROLLER, &name), project.to_string());
    let (fewer, more) = (format!("One replica less of {name}"), format!("One replica more of {name}"));
    let title = name.clone();
    let now = Memo::new(move |_| tile.with(|t| t.controllers.iter().find(|c| c.name == name).cloned()));
    let wanted = Memo::new(move |_| now.with(|c| c.as_ref().map_or(0, |c| c.wanted)));
    let image = Memo::new(move |_| now.with(|c| c.as_ref().map(|c| c.image.clone()).unwrap_or_default()));
    let count = move || now.with(|c| c.as_ref().map(|c| format!("{} of {} ready", c.ready, c.wanted)));
    let pods = Memo::new(move |_| now.with(|c| c.as_ref().map(|c| c.pods.clone()).unwrap_or_default()));
    let told = told();
    let (for_command, of_project) = (title.clone(), project.clone());
    let scale = Callback::new(move |by: i64| {
        let (path, to) = (path.clone(), wanted.get_untracked() + by);
        let said = format!("{for_command} is to have {to} {}.", if to == 1 { "replica" } else { "replicas" });
        let command = format!("osc resize rc {for_command} --replicas={to} -n {of_project}");
        spawn_local(async move {
            let outcome = fetch::send("PATCH", &path, &json!({"spec": {"replicas": to}})).await;
            if outcome.is_ok() {
                told.tell(said, command);
            }
            problem.set(outcome.err().map(|e| format!("The number of replicas is as it was. {}", e.sentence())).unwrap_or_default());
        });
    });
    view! {
        <div class="controller">
            <div class="line">
                <h3><a href=href>{title}</a></h3>
                <span class="kind">"Replication controller"</span>
                <span class="image" title=move || image.get()>{move || image.get()}</span>
                <span class="scale" role="group" aria-label="Replicas">
                    <button type="button" disabled={move || wanted.get() == 0} aria-label=fewer on:click=move |_| scale.run(-1)>"−"</button>
                    <output>{count}</output>
                    <button type="button" aria-label=more on:click=move |_| scale.run(1)>"+"</button>
                </span>
            </div>
            {move || chips(&project, pods.get())}
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
