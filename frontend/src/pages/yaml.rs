//! An object's YAML: read, edited, tried on the server, compared, saved.
use crate::api::ApiError;
use crate::api::fetch::{self, Body};
use crate::components::copy::Copy;
use crate::components::notice::Problem;
use crate::model::diff::{Mark, lines};
use crate::model::merge::merge;
use crate::model::yaml::without_managed_fields;
use crate::state::told::{Told, told};
use crate::state::typing::Typing;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// The page's state: the text as it was read, as it is now, and what the server said of it.
#[derive(Clone, Copy)]
struct Edit {
    path: StoredValue<String>,
    before: RwSignal<String>,
    text: RwSignal<String>,
    changes: RwSignal<Option<Vec<(Mark, String)>>>,
    problem: RwSignal<String>,
    said: RwSignal<String>,
    busy: RwSignal<bool>,
    /// Somebody else has saved meanwhile.
    overtaken: RwSignal<bool>,
    /// Only the last text is judged.
    typing: Typing,
}

impl Edit {
    fn load(self) {
        self.changes.set(None);
        self.problem.set(String::new());
        self.overtaken.set(false);
        spawn_local(async move {
            match fetch::get_yaml(&self.path.get_value()).await {
                Ok(yaml) => self.take(&yaml),
                Err(error) => self.problem.set(error.sentence()),
            }
        });
    }

    fn take(self, yaml: &str) {
        let yaml = without_managed_fields(yaml);
        self.before.set(yaml.clone());
        self.text.set(yaml);
        self.changes.set(None);
    }

    async fn put(self, dry: bool) -> Result<String, ApiError> {
        let url = format!("{}?fieldValidation=Strict{}", self.path.get_value(), if dry { "&dryRun=All" } else { "" });
        let body = Body { content_type: "application/yaml", text: self.text.get_untracked() };
        fetch::text("PUT", &url, Some(body), "application/yaml").await
    }

    /// Asks the server, without changing anything.
    fn review(self, show: bool) {
        let asked = self.typing.now();
        if show {
            self.busy.set(true);
        }
        spawn_local(async move {
            let outcome = self.put(true).await;
            let now = self.typing.now();
            if show && now.is_some() {
                self.busy.set(false);
            }
            if now != asked || now.is_none() {
                return;
            }
            match outcome {
                Ok(after) => {
                    self.problem.set(String::new());
                    self.said.set("The server would take this.".into());
                    if show {
                        self.changes.set(Some(lines(&self.before.get_untracked(), &without_managed_fields(&after))));
                    }
                }
                Err(error) => self.failed(&error),
            }
        });
    }

    fn save(self, told: Told, what: String, command: String) {
        self.busy.set(true);
        spawn_local(async move {
            let outcome = self.put(false).await;
            self.busy.set(false);
            match outcome {
                Ok(after) => {
                    self.problem.set(String::new());
                    self.take(&after);
                    self.said.set("Saved.".into());
                    told.tell(what, command);
                }
                Err(error) => self.failed(&error),
            }
        });
    }

    fn failed(self, error: &ApiError) {
        self.said.set(String::new());
        self.overtaken.set(error.code() == 409);
        self.problem.set(match error.code() {
            409 => "Somebody else has changed this object since you opened it. Your text is kept.".into(),
            _ => error.sentence(),
        });
    }

    /// Puts their change and ours into one text.
    fn merge(self) {
        spawn_local(async move {
            let theirs = match fetch::get_yaml(&self.path.get_value()).await {
                Ok(yaml) => without_managed_fields(&yaml),
                Err(error) => return self.problem.set(error.sentence()),
            };
            if self.typing.now().is_none() {
                return;
            }
            let (merged, open) = merge(&self.before.get_untracked(), &self.text.get_untracked(), &theirs);
            self.before.set(theirs);
            self.text.set(merged);
            self.changes.set(None);
            self.overtaken.set(false);
            self.problem.set(match open {
                0 => String::new(),
                1 => "Both of you changed the same lines: choose at the one place between <<<<<<< and >>>>>>>.".into(),
                n => format!("Both of you changed the same lines: choose at the {n} places between <<<<<<< and >>>>>>>."),
            });
            if open == 0 {
                self.review(true);
            }
        });
    }
}

#[component]
pub fn Yaml(#[prop(into)] path: String, #[prop(into)] title: String, command: String) -> impl IntoView {
    let text = || RwSignal::new(String::new());
    let edit = Edit {
        path: StoredValue::new(path),
        before: text(),
        text: text(),
        changes: RwSignal::new(None),
        problem: text(),
        said: text(),
        busy: RwSignal::new(false),
        overtaken: RwSignal::new(false),
        typing: Typing::start(),
    };
    edit.load();
    let told = told();
    let on_input = move |value: String| {
        edit.text.set(value);
        edit.changes.set(None);
        edit.said.set(String::new());
        edit.typing.typed(move || {
            if edit.text.get_untracked() != edit.before.get_untracked() {
                edit.review(false);
            }
        });
    };
    let changed = move || edit.text.with(|t| edit.before.with(|b| t != b));
    let saved = format!("The {title} is changed.");
    let equal = command.clone();
    let save = Callback::new(move |()| edit.save(told, saved.clone(), command.clone()));
    view! {
        <section class="yaml">
            <label class="field"><span class="hidden">{format!("YAML of {title}")}</span>
                <textarea class="code" rows="28" spellcheck="false" autocapitalize="none" prop:value=move || edit.text.get()
                    on:input=move |e| on_input(event_target_value(&e))></textarea>
            </label>
            <Problem text=edit.problem />
            <p role="status" class="hint">{move || edit.said.get()}</p>
            {move || edit.changes.get().map(comparison)}
            <p class="equal">"The same with the command line:"</p>
            <Copy command=equal />
            <div class="buttons">
                <Show when=move || edit.overtaken.get()>
                    <button type="button" class="primary" on:click=move |_| edit.merge()>"Merge with theirs"</button>
                </Show>
                <button type="button" on:click=move |_| edit.load()>"Reload"</button>
                <Show when=move || edit.changes.with(Option::is_none)>
                    <button type="button" class="primary" disabled=move || edit.busy.get() || !changed() on:click=move |_| edit.review(true)>"Review changes"</button>
                </Show>
                <Show when=move || edit.changes.with(Option::is_some)>
                    <button type="button" class="primary" disabled=move || edit.busy.get() on:click=move |_| save.run(())>"Save"</button>
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
