//! What was done last, with the command that would have done the same.
use leptos::prelude::*;
use std::time::Duration;

/// How long it stays on the screen.
const SHOWN: Duration = Duration::from_secs(12);

#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// `web was scaled to 3.`
    pub what: String,
    pub command: String,
}

#[derive(Clone, Copy)]
pub struct Told(pub RwSignal<Option<Deed>>);

impl Told {
    pub fn start() -> Told {
        Told(RwSignal::new(None))
    }

    pub fn tell(self, what: impl Into<String>, command: impl Into<String>) {
        let deed = Deed { what: what.into(), command: command.into() };
        self.0.set(Some(deed.clone()));
        let later = move || {
            if self.0.with_untracked(|now| now.as_ref() == Some(&deed)) {
                self.0.set(None);
            }
        };
        set_timeout(later, SHOWN);
    }
}

/// Where deeds are told.
pub fn told() -> Told {
    expect_context()
}
