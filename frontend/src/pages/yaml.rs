//! An object's YAML: read, edited, tried on the server, compared, saved.
use crate::api::fetch::{self, Body};
use crate::components::notice::Problem;
use crate::model::diff::{Mark, lines};
use crate::model::yaml::without_managed_fields;
use leptos::prelude::*;
use leptos::task::spawn_local;

#[component]
pub fn Yaml(path: String, title: String) -> impl IntoView {
    let (before, text) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let changes = RwSignal::new(None::<Vec<(Mark, String)>>);
    let (problem, said, busy) = (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(false));
    let path = StoredValue::new(path);
    let load = move || {
        changes.set(None);
        problem.set(String::new());
        spawn_local(async move {
            match fetch::get_yaml(&path.get_value()).await {
                Ok(yaml) => {
                    let yaml = without_managed_fields(&yaml);
                    before.set(yaml.clone());
                    text.set(yaml);
                }
                Err(error) => problem.set(error.sentence()),
            }
        });
    };
    load();
    let put = move |dry: bool| {
        busy.set(true);
        said.set(String::new());
        spawn_local(async move {
            let url = format!("{}?fieldValidation=Strict{}", path.get_value(), if dry { "&dryRun=All" } else { "" });
            let body = Body { content_type: "application/yaml", text: text.get_untracked() };
            let outcome = fetch::text("PUT", &url, Some(body), "application/yaml").await;
            busy.set(false);
            problem.set(String::new());
            match outcome {
                Ok(after) if dry => changes.set(Some(lines(&before.get_untracked(), &without_managed_fields(&after)))),
                Ok(after) => {
                    let after = without_managed_fields(&after);
                    before.set(after.clone());
                    text.set(after);
                    changes.set(None);
                    said.set("Saved.".into());
                }
                Err(error) if error.code() == 409 => problem.set(
                    "Somebody else has changed this object since you opened it. Your text is kept here; copy what you need, then Reload."
                        .into(),
                ),
                Err(error) => problem.set(error.sentence()),
            }
        });
    };
    let changed = move || text.with(|t| before.with(|b| t != b));
    view! {
        <section class="yaml">
            <label class="field"><span class="hidden">{format!("YAML of {title}")}</span>
                <textarea class="code" rows="28" spellcheck="false" autocapitalize="none" prop:value=move || text.get()
                    on:input=move |e| { text.set(event_target_value(&e)); changes.set(None); }></textarea>
            </label>
            <Problem text=problem />
            <p role="status" class="hint">{move || said.get()}</p>
            {move || changes.get().map(comparison)}
            <div class="buttons">
                <button type="button" on:click=move |_| load()>"Reload"</button>
                <Show when=move || changes.with(Option::is_none)>
                    <button type="button" class="primary" disabled=move || busy.get() || !changed() on:click=move |_| put(true)>"Review changes"</button>
                </Show>
                <Show when=move || changes.with(Option::is_some)>
                    <button type="button" class="primary" disabled=move || busy.get() on:click=move |_| put(false)>"Save"</button>
                </Show>
            </div>
        </section>
    }
}

fn comparison(lines: Vec<(Mark, String)>) -> impl IntoView {
    let nothing = lines.is_empty().then(|| view! { <p class="hint">"The server would change nothing."</p> });
    let all = lines.into_iter().map(|(mark, text)| view! { <span class=mark.class()>{mark.sign()}{text}"\n"</span> }).collect_view();
    view! { <h2>"What saving changes"</h2>{nothing}<pre class="diff" tabindex="0">{all}</pre> }
}
