//! Waits until somebody stops typing, to ask the server then and not at each letter.
use leptos::prelude::*;
use std::time::Duration;

/// How long nobody must have typed.
const PAUSE: Duration = Duration::from_millis(600);

/// Counts what is typed: an answer that was asked for before the last letter is none any more.
#[derive(Clone, Copy)]
pub struct Typing(RwSignal<u32>);

impl Typing {
    pub fn start() -> Typing {
        Typing(RwSignal::new(0))
    }

    /// Something was typed; `then` runs if nothing more follows and the page still stands.
    pub fn typed(self, then: impl FnOnce() + 'static) {
        self.0.update(|n| *n += 1);
        let now = self.now();
        let rested = move || {
            if self.now() == now {
                then();
            }
        };
        set_timeout(rested, PAUSE);
    }

    /// Changes with every letter; `None` when the page is gone, and whatever belongs to it must not be touched.
    pub fn now(self) -> Option<u32> {
        self.0.try_get_untracked()
    }
}
