//! Which cluster this is, and how to use it from a shell.
use crate::api::fetch;
use crate::components::copy::Copy;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::Value;

#[component]
pub fn About() -> impl IntoView {
    let version = RwSignal::new(String::new());
    spawn_local(async move {
        if let Ok(answer) = fetch::get("/version").await {
            version.set(answer.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_string());
        }
    });
    let mut here = window().location().origin().unwrap_or_default();
    // The console stands on the port after the API's, and serves the API as well.
    if here.is_empty() {
        here = "https://127.0.0.1:8444".into();
    }
    view! {
        <header class="page"><h1>"About"</h1></header>
        <section class="card">
            <dl class="facts">
                <div><dt>"Program"</dt><dd>"Pilothouse"</dd></div>
                <div><dt>"Kubernetes API"</dt><dd>{move || version.get()}</dd></div>
                <div><dt>"This server"</dt><dd><code>{here.clone()}</code></dd></div>
            </dl>
            <h2>"From a shell"</h2>
            <p>"On the server itself nothing needs setting up:"</p>
            <Copy command="osc get pods --all-namespaces" />
            <p>"From another machine, with the same name and password as here:"</p>
            <Copy command=format!("osc login {here}") />
            <p>"Any tool that speaks Kubernetes works with the file "<code>"admin.kubeconfig"</code>" in the server's data directory:"</p>
            <Copy command="kubectl --kubeconfig /var/lib/openshift/admin.kubeconfig get pods --all-namespaces" />
        </section>
    }
}
