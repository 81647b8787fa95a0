//! CPU and memory as the node measures them, drawn while the page is open.
use crate::api::fetch;
use crate::api::watch::sleep;
use crate::model::metrics::{HEIGHT, Sample, WIDTH, bytes, cpu, points, push, sample};
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);

/// Usage of the pod or node at `path` of the metrics API.
#[component]
pub fn Metrics(#[prop(into)] path: String) -> impl IntoView {
    let samples = RwSignal::new(VecDeque::<Sample>::new());
    let missing = RwSignal::new(false);
    let alive = send_wrapper::SendWrapper::new(Rc::new(Cell::new(true)));
    let still = alive.clone();
    on_cleanup(move || still.set(false));
    spawn_local(async move {
        while alive.get() {
            // Nobody looks at a hidden page.
            if !document().hidden() {
                // A list of one: what is not measured yet is an empty list, and no error in the browser's log.
                let answer = fetch::get(&path).await;
                if !alive.get() {
                    return;
                }
                let found = answer.ok().and_then(|list| list["items"].get(0).and_then(sample));
                missing.set(found.is_none());
                if let Some(new) = found {
                    samples.update(|s| push(s, new));
                }
            }
            sleep(EVERY).await;
        }
    });
    let nothing = move || missing.get() && samples.with(VecDeque::is_empty);
    view! {
        <section class="card">
            <h2>"Usage"</h2>
            <div class="usage">
                <Graph title="CPU" of=|s| s.cpu text=cpu samples />
                <Graph title="Memory" of=|s| s.memory text=bytes samples />
            </div>
            <Show when=nothing><p class="hint">"The node has not measured anything yet."</p></Show>
        </section>
    }
}

#[component]
fn Graph(title: &'static str, of: fn(&Sample) -> i64, text: fn(i64) -> String, samples: RwSignal<VecDeque<Sample>>) -> impl IntoView {
    let values = move || samples.with(|s| s.iter().map(of).collect::<Vec<i64>>());
    let now = move || values().last().map_or("–".to_string(), |v| text(*v));
    let top = move || values().iter().max().map(|v| format!("at most {} in the last minutes", text(*v)));
    view! {
        <figure>
            <figcaption><span class="kind">{title}</span>" "<strong>{now}</strong></figcaption>
            <svg class="spark" viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=move || format!("{title}: {}, {}", now(), top().unwrap_or_default())>
                <polyline points=move || points(&values()) fill="none" stroke="currentColor" stroke-width="2" vector-effect="non-scaling-stroke" />
            </svg>
            <p class="kind">{top}</p>
        </figure>
    }
}
