//! All projects that the user may see, as tiles; creating and deleting them.
use crate::api::fetch;
use crate::components::confirm::ConfirmDelete;
use crate::components::dialog::Dialog;
use crate::components::notice::{Liveness, Problem};
use crate::model::project::{Project, WHAT_GOES, consequence, project};
use crate::model::route::Route;
use crate::state::live::{Live, State};
use crate::state::nav::nav;
use crate::state::told::told;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;
use shared::kinds::PROJECT;

#[component]
pub fn Projects() -> impl IntoView {
    // Only administrators may watch all projects; everybody may list his own.
    let live = Live::poll(PROJECT.collection_path(None));
    let search = RwSignal::new(String::new());
    let creating = RwSignal::new(false);
    let tiles = Memo::new(move |_| {
        let mut all: Vec<Project> = live.objects.with(|o| o.values().map(project).collect());
        all.retain(|p| p.matches(&search.get()));
        all.sort_by_key(|p| (p.of_the_system(), p.title.to_lowercase()));
        all
    });
    let nothing = move || live.state.get() == State::Live && tiles.with(Vec::is_empty);
    view! {
        <header class="page">
            <h1>"Projects"</h1>
            <Liveness live />
            <input type="search" class="search" placeholder="Search projects" aria-label="Search projects" bind:value=search />
            <button type="button" class="primary" on:click=move |_| creating.set(true)>"Create project"</button>
        </header>
        <div class="tiles"><For each=move || tiles.get() key=|p| format!("{p:?}") let:p><Tile project=p /></For></div>
        <Show when=nothing>
            <section class="empty">
                <h2>{move || if search.get().is_empty() { "You have no project yet" } else { "No project matches your search" }}</h2>
                <p>"A project holds what belongs together: pods, their controllers and services."</p>
                <button type="button" class="primary" on:click=move |_| creating.set(true)>"Create project"</button>
            </section>
        </Show>
        <NewProject open=creating />
    }
}

#[component]
fn Tile(project: Project) -> impl IntoView {
    let deleting = RwSignal::new(false);
    let name = project.name.clone();
    let done = Callback::new(move |()| {});
    let consequence = RwSignal::new(String::new());
    let of = name.clone();
    Effect::new(move || {
        if deleting.get() {
            let project = of.clone();
            consequence.set("Everything in it goes too. This cannot be undone.".into());
            spawn_local(async move { consequence.set(what_goes(&project).await) });
        }
    });
    let ending = project.ending;
    view! {
        <article class="tile" class:system=project.of_the_system()>
            <h2><a href=format!("/projects/{name}")>{project.title.clone()}</a></h2>
            <p class="name">{name.clone()}{ending.then_some(" · being deleted")}</p>
            <p class="description">{project.description.clone()}</p>
            <div class="corner">
                <button type="button" class="quiet small" disabled=ending on:click=move |_| deleting.set(true) aria-label=format!("Delete project {name}")>"Delete"</button>
            </div>
            <ConfirmDelete
                open=deleting
                what="project"
                name=name.clone()
                consequence
                path=PROJECT.object_path(None, &name)
                command=format!("osc delete project {name}")
                on_done=done
            />
        </article>
    }
}

/// Counts what a project holds; who may not look is told no number.
async fn what_goes(project: &str) -> String {
    let mut counts = vec![];
    for kind in WHAT_GOES {
        let Ok(list) = fetch::get(&format!("{}?limit=1", kind.collection_path(Some(project)))).await else { continue };
        let shown = list["items"].as_array().map_or(0, Vec::len) as i64;
        counts.push((shown + list.pointer("/metadata/remainingItemCount").and_then(serde_json::Value::as_i64).unwrap_or(0), *kind));
    }
    consequence(&counts)
}

#[component]
fn NewProject(open: RwSignal<bool>) -> impl IntoView {
    let (name, display, description) = (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let problem = RwSignal::new(String::new());
    let (nav, told) = (nav(), told());
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let mut annotations = json!({});
        for (key, value) in
            [("openshift.io/display-name", display.get_untracked()), ("openshift.io/description", description.get_untracked())]
        {
            if !value.is_empty() {
                annotations[key] = value.into();
            }
        }
        let project = name.get_untracked();
        let option = |flag: &str, value: String| if value.is_empty() { String::new() } else { format!(" --{flag}={value:?}") };
        let command = format!(
            "osc new-project {project}{}{}",
            option("display-name", display.get_untracked()),
            option("description", description.get_untracked())
        );
        let body =
            json!({"kind": "Project", "apiVersion": PROJECT.api_version(), "metadata": {"name": project, "annotations": annotations}});
        spawn_local(async move {
            match fetch::send("POST", &PROJECT.collection_path(None), &body).await {
                Ok(_) => {
                    open.set(false);
                    told.tell(format!("The project {project} is created."), command);
                    nav.go(Route::Overview { project });
                }
                Err(error) => problem.set(error.sentence()),
            }
        });
    };
    view! {
        <Dialog open title="Create project">
            <form on:submit=submit>
                <label class="field"><span>"Name"</span>
                    <input type="text" required=true pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" maxlength="63" autocomplete="off" spellcheck="false" bind:value=name />
                    <small>"Lower-case letters, digits and dashes. It cannot be changed later."</small>
                </label>
                <label class="field"><span>"Display name"</span><input type="text" autocomplete="off" bind:value=display /></label>
                <label class="field"><span>"Description"</span><textarea rows="3" bind:value=description></textarea></label>
                <Problem text=problem />
                <div class="buttons">
                    <button type="button" on:click=move |_| open.set(false)>"Cancel"</button>
                    <button type="submit" class="primary">"Create"</button>
                </div>
            </form>
        </Dialog>
    }
}
