//! What an object is: its facts and labels; for pods containers, environment, volumes; for pods and nodes usage.
use crate::components::metrics::Metrics;
use crate::components::status::Status;
use crate::model::environment::{Variable, Volume, variables, volumes};
use crate::model::pod::{Container, containers};
use crate::model::rows::{row, titles};
use crate::state::live::{Clock, Live};
use leptos::prelude::*;
use serde_json::Value;
use shared::kinds::{Kind, NODE, POD, SERVICE};

#[component]
pub fn Details(kind: &'static Kind, project: Option<String>, name: String, object: Memo<Option<Value>>) -> impl IntoView {
    let metrics = match &project {
        Some(project) if *kind == POD => {
            Some(format!("/apis/metrics.k8s.io/v1beta1/namespaces/{project}/pods?fieldSelector=metadata.name%3D{name}"))
        }
        None if *kind == NODE => Some(format!("/apis/metrics.k8s.io/v1beta1/nodes?fieldSelector=metadata.name%3D{name}")),
        _ => None,
    };
    let pod = project.filter(|_| *kind == POD);
    view! {
        <Facts kind object />
        {pod.clone().map(|_| view! {
            <section class="card">
                <h2>"Containers"</h2>
                <div class="containers">{move || object.get().map(|o| containers(&o).into_iter().map(one_container).collect_view())}</div>
            </section>
        })}
        {metrics.map(|path| view! { <Metrics path /> })}
        {pod.map(|project| view! { <Environment project object /><Volumes object /> })}
    }
}

#[component]
fn Facts(kind: &'static Kind, object: Memo<Option<Value>>) -> impl IntoView {
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

/// What each container finds in its environment, the services' variables included.
#[component]
fn Environment(project: String, object: Memo<Option<Value>>) -> impl IntoView {
    let services = Live::watch(SERVICE.collection_path(Some(&project)), String::new());
    let all = Memo::new(move |_| {
        let services: Vec<Value> = services.objects.with(|s| s.values().cloned().collect());
        let pod = object.get().unwrap_or_default();
        let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        let named = |c: &Value| c["name"].as_str().unwrap_or_default().to_string();
        containers.iter().map(|c| (named(c), variables(&pod, c, &services))).collect::<Vec<_>>()
    });
    let line = |v: Variable| {
        view! { <div><dt>{v.name}</dt><dd>{v.value}{(!v.source.is_empty()).then(|| view! { <span class="kind">" "{v.source}</span> })}</dd></div> }
    };
    let one = move |(name, variables): (String, Vec<Variable>)| {
        let count = variables.len();
        view! {
            <details>
                <summary>{format!("{name}: {count} {}", if count == 1 { "variable" } else { "variables" })}</summary>
                <dl class="pairs">{variables.into_iter().map(line).collect_view()}</dl>
            </details>
        }
    };
    view! {
        <section class="card">
            <h2>"Environment"</h2>
            {move || all.get().into_iter().map(one).collect_view()}
            <p class="hint">"Variables of services are those that a container gets when it starts now; in every project it also finds the API, by KUBERNETES_SERVICE_HOST."</p>
        </section>
    }
}

#[component]
fn Volumes(object: Memo<Option<Value>>) -> impl IntoView {
    let all = Memo::new(move |_| object.with(|o| o.as_ref().map(volumes).unwrap_or_default()));
    let line = |v: Volume| {
        let mounts = if v.mounts.is_empty() { "not mounted".to_string() } else { v.mounts.join(", ") };
        view! { <div><dt>{v.name}</dt><dd>{v.what}<span class="kind">" "{mounts}</span></dd></div> }
    };
    view! {
        <Show when=move || !all.with(Vec::is_empty)>
            <section class="card"><h2>"Volumes"</h2><dl class="pairs">{move || all.get().into_iter().map(line).collect_view()}</dl></section>
        </Show>
    }
}
