//! Deleting: what goes, what goes with it, the equal command, and the name to type before it goes.
use crate::api::fetch;
use crate::components::copy::Copy;
use crate::components::dialog::Dialog;
use crate::components::notice::Problem;
use crate::state::told::told;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;

#[component]
pub fn ConfirmDelete(
    open: RwSignal<bool>,
    /// `pod`, `project`, as people say it.
    #[prop(into)]
    what: String,
    #[prop(into)] name: String,
    /// What goes with it, as a sentence.
    #[prop(into)]
    consequence: Signal<String>,
    #[prop(into)] path: String,
    #[prop(into)] command: String,
    on_done: Callback<()>,
) -> impl IntoView {
    let typed = RwSignal::new(String::new());
    let problem = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let title = format!("Delete {what} {name}?");
    let told = told();
    let all = StoredValue::new((name, what, path, command));
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let (name, path) = all.with_value(|a| (a.0.clone(), a.2.clone()));
        let (what, command) = all.with_value(|a| (a.1.clone(), a.3.clone()));
        if typed.get_untracked() != name || busy.get_untracked() {
            return;
        }
        busy.set(true);
        spawn_local(async move {
            let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
            let outcome = fetch::send("DELETE", &path, &options).await;
            busy.set(false);
            match outcome {
                Ok(_) => {
                    open.set(false);
                    typed.set(String::new());
                    told.tell(format!("The {what} {name} is deleted."), command);
                    // The page may be gone already.
                    let _ = on_done.try_run(());
                }
                Err(error) => problem.set(format!("{name} was not deleted. {}", error.sentence())),
            }
        });
    };
    view! {
        <Dialog open title>
            <form on:submit=submit>
                <p>{move || consequence.get()}</p>
                <label class="field">
                    <span>"Type "<strong>{all.with_value(|a| a.0.clone())}</strong>" to confirm"</span>
                    <input type="text" autocomplete="off" spellcheck="false" bind:value=typed />
                </label>
                <p class="equal">"The same with the command line:"</p>
                <Copy command=all.with_value(|a| a.3.clone()) />
                <Problem text=problem />
                <div class="buttons">
                    <button type="button" on:click=move |_| open.set(false)>"Keep"</button>
                    <button type="submit" class="danger" disabled=move || busy.get() || all.with_value(|a| a.0 != typed.get())>"Delete"</button>
                </div>
            </form>
        </Dialog>
    }
}
