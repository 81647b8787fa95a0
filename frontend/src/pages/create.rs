//! Creating objects from pasted text or a file: JSON or YAML, many at once, the files of 2015 too.
use crate::api::fetch::{self, Body};
use crate::components::copy::Copy;
use crate::components::notice::Problem;
use crate::model::create::{Request, requests};
use crate::model::route::Route;
use crate::state::told::told;
use crate::state::typing::Typing;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::{File, FileList, HtmlInputElement};

const EXAMPLE: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: hello-openshift\n  labels:\n    name: hello-openshift\nspec:\n  containers:\n  - name: hello-openshift\n    image: openshift/hello-openshift\n    ports:\n    - containerPort: 8080\n";

/// Larger files are no objects.
const FILE_BYTES_MAX: f64 = 4_000_000.0;

type Results = Vec<(String, Result<(), String>)>;

#[component]
pub fn Create(project: String) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let problem = RwSignal::new(String::new());
    let results = RwSignal::new((false, Results::new()));
    let (busy, typing) = (RwSignal::new(false), Typing::start());
    let overview = Route::Overview { project: project.clone() }.path();
    let command = format!("osc create -n {project} -f FILE");
    let said = StoredValue::new(command.clone());
    let project = StoredValue::new(project);
    let told = told();
    let run = move |dry: bool, shown: bool| match requests(&text.get_untracked(), &project.get_value()) {
        Err(sentence) => {
            results.set((dry, vec![]));
            problem.set(sentence);
        }
        Ok(all) => {
            problem.set(String::new());
            busy.set(shown);
            let asked = typing.now();
            spawn_local(async move {
                let mut outcomes = Results::new();
                for request in all {
                    let outcome = send(&request, dry).await;
                    outcomes.push((request.what, outcome));
                }
                let now = typing.now();
                if now.is_none() {
                    return;
                }
                busy.set(false);
                // Of a text that has changed since nothing is said.
                if !dry || now == asked {
                    let good = outcomes.iter().filter(|(_, o)| o.is_ok()).count();
                    if !dry && good > 0 {
                        told.tell(format!("{good} {} created.", if good == 1 { "object" } else { "objects" }), said.get_value());
                    }
                    results.set((dry, outcomes));
                }
            });
        }
    };
    let put = move |value: String| {
        text.set(value);
        problem.set(String::new());
        results.set((true, vec![]));
        typing.typed(move || {
            if !text.with_untracked(|t| t.trim().is_empty()) {
                run(true, false);
            }
        });
    };
    let take = move |files: Option<FileList>| read_all(files, put, problem);
    let on_drop = move |event: ev::DragEvent| {
        event.prevent_default();
        take(event.data_transfer().and_then(|d| d.files()));
    };
    let line = |dry: bool, what: String, outcome: Result<(), String>| match outcome {
        Ok(()) if dry => view! { <li class="good">{format!("✓ {what} can be created")}</li> },
        Ok(()) => view! { <li class="good">{format!("✓ {what} is created")}</li> },
        Err(sentence) => view! { <li class="bad">{format!("▲ {what}: {sentence}")}</li> },
    };
    view! {
        <header class="page"><h1>"Create"</h1><span class="hint">"JSON or YAML, several objects at once; type, paste, choose a file or drop one here."</span></header>
        <section class="yaml" on:dragover=|e: ev::DragEvent| e.prevent_default() on:drop=on_drop>
            <label class="field"><span>"Objects"</span>
                <textarea class="code" rows="22" spellcheck="false" autocapitalize="none" placeholder=EXAMPLE prop:value=move || text.get()
                    on:input=move |e| put(event_target_value(&e))></textarea>
            </label>
            <label class="field"><span>"File"</span>
                <input type="file" multiple=true accept=".json,.yaml,.yml,application/json" on:change=move |e| take(event_target::<HtmlInputElement>(&e).files()) />
            </label>
            <Problem text=problem />
            <ul class="results" role="status">
                {move || { let (dry, all) = results.get(); all.into_iter().map(|(what, outcome)| line(dry, what, outcome)).collect_view() }}
            </ul>
            <p class="equal">"The same with the command line:"</p>
            <Copy command />
            <div class="buttons">
                <button type="button" on:click=move |_| put(EXAMPLE.into())>"Insert an example"</button>
                <button type="button" disabled=move || busy.get() on:click=move |_| run(true, true)>"Try"</button>
                <button type="button" class="primary" disabled=move || busy.get() on:click=move |_| run(false, true)>"Create"</button>
                <a class="button" href=overview>"Overview"</a>
            </div>
        </section>
    }
}

/// The texts of files, one after the other, as documents of one stream.
fn read_all(files: Option<FileList>, put: impl Fn(String) + 'static, problem: RwSignal<String>) {
    let Some(files) = files else { return };
    let files: Vec<File> = (0..files.length()).filter_map(|i| files.item(i)).collect();
    if let Some(large) = files.iter().find(|f| f.size() > FILE_BYTES_MAX) {
        return problem.set(format!("{} is too large.", large.name()));
    }
    spawn_local(async move {
        let mut all = String::new();
        for file in files {
            let text = wasm_bindgen_futures::JsFuture::from(file.text()).await.ok().and_then(|t| t.as_string()).unwrap_or_default();
            let json = text.trim_start().starts_with(['{', '[']);
            if !all.is_empty() && !json {
                all.push_str("---\n");
            }
            all.push_str(&text);
            if !all.ends_with('\n') {
                all.push('\n');
            }
        }
        put(all);
    });
}

async fn send(request: &Request, dry: bool) -> Result<(), String> {
    let join = if request.path.contains('?') { '&' } else { '?' };
    let url = if dry { format!("{}{join}dryRun=All", request.path) } else { request.path.clone() };
    let body = Body { content_type: request.content_type, text: request.body.clone() };
    fetch::text("POST", &url, Some(body), "application/json").await.map(|_| ()).map_err(|e| e.sentence())
}
