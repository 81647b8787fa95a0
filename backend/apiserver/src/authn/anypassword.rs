//! The tutorial's login: any name with any password that is not empty, for callers on this machine only.
use super::unauthorized;
use crate::app::{App, Peer};
use registry::caller::{Caller, GROUP_AUTHENTICATED, Identity};
use registry::options::WriteOptions;
use serde_json::json;
use shared::kinds;
use shared::status::{Reason, Status};

/// The prefix of user and identity names that this provider makes.
const PROVIDER: &str = "anypassword";
const NAME_MAX: usize = 200;

/// Whether a name can become the name of a user: it must be able to stand in a URL.
fn acceptable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name != "."
        && name != ".."
        && name != "~"
        && !name.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '/' | '%' | ':'))
}

/// Logs a person in, making the User and the Identity at the first time.
pub async fn check(app: &App, peer: &Peer, name: &str, password: &str) -> Result<Identity, Status> {
    if !peer.is_local() || password.is_empty() || !acceptable(name) {
        tracing::info!(remote = %peer.remote, "login refused");
        return Err(unauthorized());
    }
    let user = format!("{PROVIDER}:{name}");
    let uid = ensure_user(app, &user, name).await?;
    Ok(Identity { name: user, uid, groups: vec![GROUP_AUTHENTICATED.into(), "system:authenticated:oauth".into()], ..Identity::default() })
}

async fn ensure_user(app: &App, user: &str, name: &str) -> Result<String, Status> {
    let caller = Caller::system("login");
    let existing = |app: &App| match app.registry.get(&caller, &kinds::USER, None, user) {
        Ok(object) => Ok(Some(uid_of(&object.value()))),
        Err(status) if status.is_not_found() => Ok(None),
        Err(status) => Err(status),
    };
    if let Some(uid) = existing(app)? {
        return Ok(uid);
    }
    let options = WriteOptions::default();
    let body = json!({"kind": "User", "apiVersion": kinds::USER.api_version(), "metadata": {"name": user}, "fullName": name, "identities": [user], "groups": []});
    let uid = match app.registry.create(&caller, &kinds::USER, None, body, &options).await {
        Ok(written) => uid_of(&written.object.value()),
        // Two first logins at once: the other one made it.
        Err(status) if status.reason == Reason::AlreadyExists => existing(app)?.unwrap_or_default(),
        Err(status) => return Err(status),
    };
    let body = json!({"kind": "Identity", "apiVersion": kinds::IDENTITY.api_version(), "metadata": {"name": user}, "providerName": PROVIDER, "providerUserName": name, "user": {"name": user, "uid": uid}});
    match app.registry.create(&caller, &kinds::IDENTITY, None, body, &options).await {
        Err(status) if status.reason != Reason::AlreadyExists => Err(status),
        _ => Ok(uid),
    }
}

fn uid_of(value: &serde_json::Value) -> String {
    value.pointer("/metadata/uid").and_then(|u| u.as_str()).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::acceptable;

    #[test]
    fn names_must_be_able_to_stand_in_a_url() {
        for good in ["admin", "test-admin", "jörg", "a.b@c"] {
            assert!(acceptable(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a%2fb", "a b", "a:b", "a\nb", "~"] {
            assert!(!acceptable(bad), "{bad}");
        }
    }
}
