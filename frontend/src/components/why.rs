//! Why something is not well: one sentence and the chain of causes, the same as `osc why` prints.
use crate::components::copy::Copy;
use crate::state::live::Live;
use leptos::prelude::*;
use serde_json::Value;
use shared::kinds::{EVENT, Kind, POD, REPLICATION_CONTROLLER, RESOURCE_QUOTA, SERVICE};
use shared::why::{Around, explain};

/// Shows nothing for what is well, and for kinds that are never ill.
#[component]
pub fn Why(kind: &'static Kind, project: Option<String>, object: Memo<Option<Value>>) -> impl IntoView {
    let judged = [&POD, &REPLICATION_CONTROLLER, &SERVICE].contains(&kind);
    let project = project.filter(|_| judged)?;
    let of = |kind: &Kind| Live::watch(kind.collection_path(Some(&project)), String::new()).objects;
    let (events, pods, services, quotas) = (of(&EVENT), of(&POD), of(&SERVICE), of(&RESOURCE_QUOTA));
    let all = |list: RwSignal<crate::state::live::Objects>| list.with(|o| o.values().cloned().collect::<Vec<_>>());
    let answer = Memo::new(move |_| {
        let object = object.get()?;
        let (events, pods, services, quotas) = (all(events), all(pods), all(services), all(quotas));
        let around = Around { events: &events, pods: &pods, services: &services, quotas: &quotas, nodes: &[] };
        Some(explain(kind, &object, &around)).filter(|why| !why.healthy)
    });
    let space = project.clone();
    Some(view! {
        <div role="status">
            {move || {
                let name = object.with(|o| o.as_ref().and_then(|o| o.pointer("/metadata/name")?.as_str().map(str::to_string)));
                answer.get().map(|why| view! {
                    <section class="card why">
                        <h2>{why.sentence}</h2>
                        <ol>{why.chain.into_iter().map(|cause| view! { <li>{cause}</li> }).collect_view()}</ol>
                        <Copy command=format!("osc why {}/{} -n {space}", kind.singular, name.unwrap_or_default()) />
                    </section>
                })
            }}
        </div>
    })
}
