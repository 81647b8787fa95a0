//! The login, shown in place of any page: after it the page that was asked for appears.
use crate::components::notice::Problem;
use crate::components::shell::Wheel;
use crate::state::session::Session;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

#[component]
pub fn Login(expired: bool) -> impl IntoView {
    let session: Session = expect_context();
    let (name, password) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let problem = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let first: NodeRef<html::Input> = NodeRef::new();
    Effect::new(move || {
        if let Some(input) = first.get() {
            let _ = input.focus();
        }
    });
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        if name.get_untracked().is_empty() || password.get_untracked().is_empty() {
            problem.set("Enter a username and a password.".into());
            return;
        }
        busy.set(true);
        problem.set(String::new());
        spawn_local(async move {
            let outcome = session.login(name.get_untracked(), password.get_untracked()).await;
            busy.set(false);
            match outcome {
                Ok(()) => go_where_the_address_says(),
                Err(sentence) => {
                    password.set(String::new());
                    problem.set(sentence);
                }
            }
        });
    };
    view! {
        <main class="login">
            <form class="card" on:submit=submit novalidate=true>
                <h1 class="brand"><Wheel />"Pilothouse"</h1>
                <p class="hint">{if expired { "Your session has ended. Log in to go on where you were." } else { "Log in to your cluster." }}</p>
                <label class="field"><span>"Username"</span>
                    <input node_ref=first name="username" type="text" autocomplete="username" autocapitalize="none" spellcheck="false" required=true bind:value=name />
                </label>
                <label class="field"><span>"Password"</span>
                    <input name="password" type="password" autocomplete="current-password" required=true bind:value=password />
                </label>
                <Problem text=problem />
                <button type="submit" class="primary wide" disabled=move || busy.get()>"Log in"</button>
            </form>
        </main>
    }
}

/// `/login?then=/oauth/…`: the command line sent the browser here and waits for it to come back.
fn go_where_the_address_says() {
    let location = window().location();
    let query = location.search().unwrap_or_default();
    let then = web_sys::UrlSearchParams::new_with_str(&query).ok().and_then(|q| q.get("then")).unwrap_or_default();
    if location.pathname().is_ok_and(|p| p == "/login") && then.starts_with("/oauth/") {
        let _ = location.assign(&then);
    }
}
