//! A project as a picture: what leads to what. Links and arrow keys walk it; a table says the same.
use crate::components::notice::Liveness;
use crate::components::status::Status;
use crate::model::overview::owns;
use crate::model::route::{Route, Tab, kind_title};
use crate::model::topology::{Graph, NODE_HEIGHT, NODE_WIDTH, Node, graph};
use crate::pages::overview::Views;
use crate::state::live::{Live, State};
use leptos::ev;
use leptos::prelude::*;
use shared::kinds::{Kind, POD, REPLICATION_CONTROLLER, SERVICE};
use wasm_bindgen::JsCast;

#[component]
pub fn Topology(project: String) -> impl IntoView {
    let of = |kind: &Kind| Live::watch(kind.collection_path(Some(&project)), String::new());
    let (services, controllers, pods) = (of(&SERVICE), of(&REPLICATION_CONTROLLER), of(&POD));
    let filter = RwSignal::new(String::new());
    let all = Memo::new(move |_| {
        let words = filter.get().to_lowercase();
        let fits = |o: &&serde_json::Value| words.is_empty() || o["metadata"]["name"].as_str().is_some_and(|n| n.contains(&words));
        services.objects.with(|s| {
            controllers.objects.with(|c| {
                pods.objects.with(|p| {
                    // A controller that fits is shown with its pods.
                    let kept: Vec<_> = c.values().filter(fits).collect();
                    let with_owner = |o: &&serde_json::Value| fits(o) || kept.iter().any(|c| owns(c, o));
                    graph(s.values().filter(fits), kept.iter().copied(), p.values().filter(with_owner))
                })
            })
        })
    });
    let ids = Memo::new(move |_| all.with(|g| g.nodes.iter().map(|n| n.id.clone()).collect::<Vec<_>>()));
    let on_key = move |event: ev::KeyboardEvent| {
        let at = document().active_element().and_then(|e| e.get_attribute("data-node"));
        let to = all.with_untracked(|g| {
            let from = g.nodes.iter().position(|n| Some(&n.id) == at.as_ref())?;
            g.step(from, &event.key()).map(|i| g.nodes[i].id.clone())
        });
        if let Some(id) = to {
            event.prevent_default();
            focus(&id);
        }
    };
    let space = StoredValue::new(project.clone());
    let edges = move || all.with(|g| g.edges.iter().map(|e| g.path(*e)).collect::<Vec<_>>().join(""));
    let nothing = move || pods.state.get() == State::Live && ids.with(Vec::is_empty);
    view! {
        <header class="page">
            <h1>"Topology"</h1>
            <Liveness live=pods />
            <input type="search" class="search" placeholder="Only names with…" aria-label="Only names with" bind:value=filter />
            <Views project=project.clone() />
        </header>
        <div class="topology" role="group" aria-label="Services, controllers and pods. Arrow keys go from one to the next." on:keydown=on_key>
            <div class="canvas" style:width=move || format!("{}px", all.with(|g| g.width)) style:height=move || format!("{}px", all.with(|g| g.height))>
                <svg aria-hidden="true" width=move || all.with(|g| g.width) height=move || all.with(|g| g.height)>
                    <path d=edges fill="none" stroke="currentColor" stroke-width="1.5" />
                </svg>
                <For each=move || ids.get() key=|id| id.clone() let:id>{node(space.get_value(), id, all)}</For>
            </div>
        </div>
        <Show when=nothing><section class="empty"><h2>"Nothing to draw"</h2><p>"Services, controllers and pods of this project appear here."</p></section></Show>
        <details class="card"><summary>"The same as a table"</summary>{move || all.with(|g| table(&space.get_value(), g))}</details>
    }
}

fn href(project: &str, node: &Node) -> String {
    let project = Some(project.to_string());
    if node.many {
        return Route::List { project, kind: node.kind }.path();
    }
    Route::Object { project, kind: node.kind, name: node.name.clone(), tab: Tab::Details }.path()
}

/// A box stays the same element while it moves and changes.
fn node(project: String, id: String, all: Memo<Graph>) -> impl IntoView {
    let own = id.clone();
    let now = Memo::new(move |_| all.with(|g| g.nodes.iter().find(|n| n.id == own).cloned()));
    let get = move |f: fn(&Node) -> String| move || now.with(|n| n.as_ref().map(f).unwrap_or_default());
    let link = now.with_untracked(|n| n.as_ref().map(|n| href(&project, n)).unwrap_or_default());
    view! {
        <a class="node" data-node=id href=link title=get(|n| n.name.clone())
            style:left=get(|n| format!("{}px", n.x)) style:top=get(|n| format!("{}px", n.y))
            style:width=format!("{NODE_WIDTH}px") style:height=format!("{NODE_HEIGHT}px")>
            <span class="node-name">{get(|n| n.name.clone())}</span>
            <span class="node-note">
                <span class="kind">{get(|n| kind_word(n.kind).to_string())}</span>
                {move || now.get().map(|n| if *n.kind == SERVICE { view! { <code>{n.note}</code> }.into_any() } else { view! { <Status text=n.note tone=n.tone /> }.into_any() })}
            </span>
        </a>
    }
}

fn kind_word(kind: &Kind) -> &'static str {
    if *kind == REPLICATION_CONTROLLER { "Controller" } else { kind.kind }
}

fn table(project: &str, graph: &Graph) -> impl IntoView + use<> {
    let line = |(i, n): (usize, &Node)| {
        let leads = graph.leads_to(i).join(", ");
        view! { <tr><td>{kind_title(n.kind)}</td><th scope="row"><a href=href(project, n)>{n.name.clone()}</a></th><td>{n.note.clone()}</td><td class="wrap">{leads}</td></tr> }
    };
    let lines = graph.nodes.iter().enumerate().map(line).collect_view();
    view! {
        <div class="table-window" tabindex="0" role="region" aria-label="Table"><table>
            <thead><tr><th scope="col">"Kind"</th><th scope="col">"Name"</th><th scope="col">"State"</th><th scope="col">"Leads to"</th></tr></thead>
            <tbody>{lines}</tbody>
        </table></div>
    }
}

fn focus(id: &str) {
    let all = document().query_selector_all("[data-node]").ok();
    let found = all.and_then(|all| {
        (0..all.length())
            .filter_map(|i| all.item(i)?.dyn_into::<web_sys::HtmlElement>().ok())
            .find(|e| e.get_attribute("data-node").as_deref() == Some(id))
    });
    if let Some(element) = found {
        let _ = element.focus();
    }
}
