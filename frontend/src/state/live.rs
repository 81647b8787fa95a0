//! A list of the API as a signal that is always as the server says, or says that it is not.
use crate::api::watch::{News, follow, sleep};
use crate::api::{ApiError, fetch};
use leptos::prelude::*;
use leptos::task::spawn_local;
use send_wrapper::SendWrapper;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use web_sys::AbortController;

/// How often lists that cannot be watched are read again.
const POLL: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Loading,
    Live,
    /// What is shown may be old.
    Disconnected,
    Failed(ApiError),
}

/// Objects by namespace and name.
pub type Objects = BTreeMap<(String, String), Value>;

#[derive(Clone, Copy)]
pub struct Live {
    pub objects: RwSignal<Objects>,
    pub state: RwSignal<State>,
}

impl Live {
    fn new() -> Live {
        Live { objects: RwSignal::new(Objects::new()), state: RwSignal::new(State::Loading) }
    }

    /// Watches a collection for as long as the component lives; `selector` is a part of the query, or empty.
    pub fn watch(path: String, selector: String) -> Live {
        let live = Live::new();
        let Ok(controller) = AbortController::new() else { return live };
        let signal = controller.signal();
        let controller = SendWrapper::new(controller);
        on_cleanup(move || controller.abort());
        let still = signal.clone();
        spawn_local(follow(path, selector, signal, move |news| {
            if !still.aborted() {
                live.take(news);
            }
        }));
        live
    }

    /// Reads a collection again and again for as long as the component lives.
    pub fn poll(path: String) -> Live {
        let live = Live::new();
        let Ok(controller) = AbortController::new() else { return live };
        let signal = controller.signal();
        let controller = SendWrapper::new(controller);
        on_cleanup(move || controller.abort());
        spawn_local(async move {
            while !signal.aborted() {
                let outcome = fetch::get(&path).await;
                if signal.aborted() {
                    return;
                }
                match outcome {
                    Ok(mut list) => {
                        let items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
                        live.take(News::All(items.unwrap_or_default()));
                    }
                    Err(error @ ApiError::Refused(_)) => live.take(News::Failed(error)),
                    Err(_) => live.take(News::Disconnected),
                }
                sleep(POLL).await;
            }
        });
        live
    }

    fn take(self, news: News) {
        match news {
            News::All(items) => {
                let all: Objects = items.into_iter().map(|o| (key(&o), o)).collect();
                if self.objects.with_untracked(|now| now.is_empty() != all.is_empty() || *now != all) {
                    self.objects.set(all);
                }
                self.now(State::Live);
            }
            News::Part(items) => self.objects.update(|all| all.extend(items.into_iter().map(|o| (key(&o), o)))),
            News::Complete => self.now(State::Live),
            News::Changes(changes) => {
                self.objects.update(|all| {
                    for (gone, object) in changes {
                        if gone {
                            all.remove(&key(&object));
                        } else {
                            all.insert(key(&object), object);
                        }
                    }
                });
                self.now(State::Live);
            }
            News::Disconnected => self.now(State::Disconnected),
            News::Failed(error) => self.now(State::Failed(error)),
        }
    }

    fn now(self, state: State) {
        if self.state.with_untracked(|s| *s != state) {
            self.state.set(state);
        }
    }
}

fn key(object: &Value) -> (String, String) {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_string();
    (text("/metadata/namespace"), text("/metadata/name"))
}

/// Unix seconds, refreshed once a second: what ages are counted from.
#[derive(Clone, Copy)]
pub struct Clock(pub RwSignal<i64>);

impl Clock {
    pub fn start() -> Clock {
        let clock = Clock(RwSignal::new(unix_seconds()));
        let tick = move || clock.0.set(unix_seconds());
        let _ = set_interval_with_handle(tick, Duration::from_secs(1));
        clock
    }
}

fn unix_seconds() -> i64 {
    (js_sys::Date::now() / 1000.0) as i64
}
