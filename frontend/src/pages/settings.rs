//! What holds for a whole project: quotas, limits, who may do what.
use crate::api::fetch;
use crate::components::notice::{Liveness, Problem};
use crate::model::members::{Member, binding, command, members, without};
use crate::model::quota::{Gauge, Limit, gauges, limits};
use crate::state::live::{Live, State};
use crate::state::told::told;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::json;
use shared::kinds::{Kind, LIMIT_RANGE, RESOURCE_QUOTA, ROLE_BINDING};

#[component]
pub fn Settings(project: String) -> impl IntoView {
    let of = |kind: &Kind| Live::watch(kind.collection_path(Some(&project)), String::new());
    let (quotas, ranges, bindings) = (of(&RESOURCE_QUOTA), of(&LIMIT_RANGE), of(&ROLE_BINDING));
    view! {
        <header class="page"><h1>"Settings"</h1><Liveness live=quotas /></header>
        <section class="card">
            <h2>"Quotas"</h2>
            {move || quotas.objects.with(|all| all.iter().map(|((_, name), q)| quota(name, gauges(q))).collect_view())}
            <Show when=move || empty(quotas)><p class="hint">"No quota: the project may use what the cluster has."</p></Show>
        </section>
        <section class="card">
            <h2>"Limits"</h2>
            {move || ranges.objects.with(|all| all.iter().map(|((_, name), r)| limit_range(name, limits(r))).collect_view())}
            <Show when=move || empty(ranges)><p class="hint">"No limits for single pods or containers."</p></Show>
        </section>
        <Members project bindings />
    }
}

fn empty(live: Live) -> bool {
    live.state.get() == State::Live && live.objects.with(|o| o.is_empty())
}

fn quota(name: &str, gauges: Vec<Gauge>) -> impl IntoView + use<> {
    let one = |g: Gauge| {
        let percent = format!("{:.0}", g.share * 100.0);
        let text = format!("{} of {}, {}", g.used, g.hard, g.word);
        view! {
            <li class=format!("gauge {}", g.tone.class().trim_start_matches("status "))>
                <span class="gauge-name">{g.resource.clone()}</span>
                <span class="bar" role="meter" aria-label=g.resource aria-valuemin="0" aria-valuemax="100" aria-valuenow=percent.clone() aria-valuetext=text>
                    <span style:width=format!("{percent}%")></span>
                </span>
                <span class="gauge-text"><b>{g.used}</b>" of "{g.hard}</span>
                <span class="gauge-word"><span class="mark" aria-hidden="true">{g.tone.mark()}</span>" "{g.word}</span>
            </li>
        }
    };
    view! { <h3>{name.to_string()}</h3><ul class="gauges">{gauges.into_iter().map(one).collect_view()}</ul> }
}

fn limit_range(name: &str, lines: Vec<Limit>) -> impl IntoView + use<> {
    let one = |l: Limit| {
        let values: Vec<String> = l.values.iter().map(|(word, value)| format!("{word} {value}")).collect();
        view! { <div><dt>{l.what}</dt><dd>{values.join(", ")}</dd></div> }
    };
    view! { <h3>{name.to_string()}</h3><dl class="facts">{lines.into_iter().map(one).collect_view()}</dl> }
}

#[component]
fn Members(project: String, bindings: Live) -> impl IntoView {
    let problem = RwSignal::new(String::new());
    let all = Memo::new(move |_| bindings.objects.with(|b| members(b.values())));
    let path = ROLE_BINDING.collection_path(Some(&project));
    let (at, space) = (path.clone(), project.clone());
    let remove = Callback::new(move |m: Member| {
        let found = bindings.objects.with_untracked(|b| b.values().find(|b| b["metadata"]["name"] == m.binding.as_str()).cloned());
        let Some(found) = found else { return };
        let (path, project) = (format!("{at}/{}", m.binding), space.clone());
        let (told, said) = (told(), command("remove", &m.kind, &m.name, &m.role, &space));
        spawn_local(async move {
            let outcome = if m.of_binding > 1 {
                let revision = &found["metadata"]["resourceVersion"];
                fetch::send("PATCH", &path, &json!({"metadata": {"resourceVersion": revision}, "subjects": without(&found, &m)})).await
            } else {
                fetch::send("DELETE", &path, &json!({"kind": "DeleteOptions", "apiVersion": "v1"})).await
            };
            match outcome {
                Ok(_) => {
                    problem.set(String::new());
                    told.tell(format!("{} no longer has the role {} in {project}.", m.name, m.role), said);
                }
                Err(error) => problem.set(format!("{} keeps the role {}. {}", m.name, m.role, error.sentence())),
            }
        });
    });
    let line = move |m: Member| {
        let label = format!("Take the role {} from {}", m.role, m.name);
        let member = m.clone();
        view! {
            <tr><th scope="row">{m.name}</th><td>{m.kind}</td><td>{m.role}</td><td class="end">
                <button type="button" class="small" aria-label=label on:click=move |_| remove.run(member.clone())>"Remove"</button>
            </td></tr>
        }
    };
    view! {
        <section class="card">
            <h2>"Members"</h2>
            <Liveness live=bindings />
            <Problem text=problem />
            <div class="table-window" tabindex="0" role="region" aria-label="Members"><table>
                <thead><tr><th scope="col">"Name"</th><th scope="col">"Is a"</th><th scope="col">"Role"</th><th scope="col"><span class="hidden">"Change"</span></th></tr></thead>
                <tbody>{move || all.get().into_iter().map(line).collect_view()}</tbody>
            </table></div>
            <AddMember project path problem />
        </section>
    }
}

#[component]
fn AddMember(project: String, path: String, problem: RwSignal<String>) -> impl IntoView {
    let (name, kind, role) = (RwSignal::new(String::new()), RwSignal::new("User".to_string()), RwSignal::new("view".to_string()));
    let told = told();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let (who, kind, role) = (name.get_untracked().trim().to_string(), kind.get_untracked(), role.get_untracked());
        if who.is_empty() {
            return problem.set("Enter the name of a user, a group or a service account.".into());
        }
        let (path, body) = (path.clone(), binding(&kind, &who, &role, &project));
        let said = command("add", &kind, &who, &role, &project);
        spawn_local(async move {
            match fetch::send("POST", &path, &body).await {
                Ok(_) => {
                    problem.set(String::new());
                    name.set(String::new());
                    told.tell(format!("{who} now has the role {role}."), said);
                }
                Err(error) => problem.set(format!("{who} was not added. {}", error.sentence())),
            }
        });
    };
    let option = |value: &'static str, text: &'static str| view! { <option value=value>{text}</option> };
    view! {
        <form class="toolbar add" on:submit=submit novalidate=true>
            <label class="field"><span>"Name"</span><input type="text" autocomplete="off" autocapitalize="none" spellcheck="false" bind:value=name /></label>
            <label class="field"><span>"Is a"</span>
                <select on:change=move |e| kind.set(event_target_value(&e))>{option("User", "User")}{option("Group", "Group")}{option("ServiceAccount", "Service account")}</select>
            </label>
            <label class="field"><span>"Role"</span>
                <select on:change=move |e| role.set(event_target_value(&e))>{option("view", "view: may look")}{option("edit", "edit: may change")}{option("admin", "admin: may also give roles")}</select>
            </label>
            <button type="submit" class="primary">"Add member"</button>
        </form>
    }
}
