//! Who the server thinks we are. The session itself is a cookie that no script can read.
use crate::api::{self, ApiError, fetch};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Not asked yet.
    Asking,
    Nobody {
        expired: bool,
    },
    User(String),
}

#[derive(Clone, Copy)]
pub struct Session(pub RwSignal<Who>);

impl Session {
    /// Asks the server whether the browser still has a session.
    pub fn start() -> Session {
        let session = Session(RwSignal::new(Who::Asking));
        api::when_session_is_lost(move || {
            let was_in = session.0.with_untracked(|w| matches!(w, Who::User(_)));
            if was_in {
                session.0.set(Who::Nobody { expired: true });
            }
        });
        // Who has never logged in here is asked nothing, and reads no refusal in the browser's log.
        if remembered() {
            spawn_local(async move { session.ask().await });
        } else {
            session.0.set(Who::Nobody { expired: false });
        }
        session
    }

    async fn ask(self) {
        let answer = fetch::get("/apis/user.openshift.io/v1/users/~").await;
        let name = answer.ok().and_then(|u| u.pointer("/metadata/name").and_then(Value::as_str).map(str::to_string));
        let who = name.filter(|n| n != "system:anonymous").map_or(Who::Nobody { expired: true }, Who::User);
        remember(matches!(who, Who::User(_)));
        self.0.set(who);
    }

    /// Logs in; the error is one sentence that does not say which of both was wrong.
    pub async fn login(self, name: String, password: String) -> Result<(), String> {
        match fetch::send("POST", "/login", &json!({"username": name, "password": password})).await {
            Ok(answer) => {
                remember(true);
                self.0.set(Who::User(answer["user"].as_str().unwrap_or(&name).to_string()));
                Ok(())
            }
            Err(ApiError::Refused(status)) if status.code == 401 => Err("Wrong username or password. Please try again.".into()),
            Err(error) => Err(error.sentence()),
        }
    }

    /// Ends the session on the server.
    pub fn logout(self) {
        spawn_local(async move {
            let _ = fetch::send("POST", "/logout", &json!({})).await;
            remember(false);
            self.0.set(Who::Nobody { expired: false });
        });
    }

    /// The user's name, empty when there is none.
    pub fn name(self) -> String {
        self.0.with(|w| if let Who::User(name) = w { name.clone() } else { String::new() })
    }
}

/// Set in this browser while there may be a session; no secret.
const MARK: &str = "pilothouse-session";

fn remembered() -> bool {
    window().local_storage().ok().flatten().and_then(|s| s.get_item(MARK).ok().flatten()).is_some()
}

fn remember(there_is: bool) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = if there_is { storage.set_item(MARK, "1") } else { storage.remove_item(MARK) };
    }
}
