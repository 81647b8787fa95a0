//! Creating objects from pasted text or a file: JSON or YAML, many at once, the files of 2015 too.
use crate::api::fetch::{self, Body};
use crate::components::notice::Problem;
use crate::model::create::{Request, requests};
use crate::model::route::Route;
use leptos::prelude::*;
use leptos::task::spawn_local;

const EXAMPLE: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: hello-openshift\n  labels:\n    name: hello-openshift\nspec:\n  containers:\n  - name: hello-openshift\n    image: openshift/hello-openshift\n    ports:\n    - containerPort: 8080\n";

#[component]
pub fn Create(project: String) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let problem = RwSignal::new(String::new());
    let results = RwSignal::new(Vec::<(String, Result<(), String>)>::new());
    let busy = RwSignal::new(false);
    let overview = Route::Overview { project: project.clone() }.path();
    let command = format!("osc create -n {project} -f FILE");
    let project = StoredValue::new(project);
    let run = move |dry: bool| {
        results.set(vec![]);
        match requests(&text.get_untracked(), &project.get_value()) {
            Err(sentence) => problem.set(sentence),
            Ok(all) => {
                problem.set(String::new());
                busy.set(true);
                spawn_local(async move {
                    for request in all {
                        let outcome = send(&request, dry).await;
                        results.update(|r| r.push((request.what, outcome)));
                    }
                    busy.set(false);
                });
            }
        }
    };
    view! {
        <header class="page"><h1>"Create"</h1><span class="hint">"JSON or YAML, several objects at once. The same with the command line: "<code>{command}</code></span></header>
        <section class="yaml">
            <label class="field"><span>"Objects"</span>
                <textarea class="code" rows="22" spellcheck="false" autocapitalize="none" placeholder=EXAMPLE bind:value=text></textarea>
            </label>
            <Problem text=problem />
            <ul class="results" role="status">
                {move || results.get().into_iter().map(|(what, outcome)| match outcome {
                    Ok(()) => view! { <li class="good">{format!("✓ {what}")}</li> },
                    Err(sentence) => view! { <li class="bad">{format!("▲ {what}: {sentence}")}</li> },
                }).collect_view()}
            </ul>
            <div class="buttons">
                <button type="button" on:click=move |_| text.set(EXAMPLE.into())>"Insert an example"</button>
                <button type="button" disabled=move || busy.get() on:click=move |_| run(true)>"Try"</button>
                <button type="button" class="primary" disabled=move || busy.get() on:click=move |_| run(false)>"Create"</button>
                <a class="button" href=overview>"Overview"</a>
            </div>
        </section>
    }
}

async fn send(request: &Request, dry: bool) -> Result<(), String> {
    let join = if request.path.contains('?') { '&' } else { '?' };
    let url = if dry { format!("{}{join}dryRun=All", request.path) } else { request.path.clone() };
    let body = Body { content_type: request.content_type, text: request.body.clone() };
    fetch::text("POST", &url, Some(body), "application/json").await.map(|_| ()).map_err(|e| e.sentence())
}
