//! Access tokens of people: random, kept as hashes, ended by time or logout; they survive a restart of the server.
use crate::ca::write_secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How long a login lasts, in seconds.
pub const LIFETIME: i64 = 3600;
/// Beyond this many the oldest login ends.
const SESSIONS_MAX: usize = 10_000;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
const FILE: &str = "sessions.json";

/// One login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub user: String,
    pub uid: String,
    pub groups: Vec<String>,
    /// Unix seconds.
    pub expires: i64,
}

/// All logins, by the hash of their tokens: who reads the file cannot log in with it.
pub struct Sessions {
    by_hash: Mutex<BTreeMap<String, Session>>,
    file: PathBuf,
}

impl Sessions {
    /// Reads what an earlier run left; an unreadable file only means that people log in again.
    pub fn open(dir: &Path) -> Sessions {
        let file = dir.join(FILE);
        let by_hash = std::fs::read(&file).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Sessions { by_hash: Mutex::new(by_hash), file }
    }

    /// Begins a session and returns its token.
    pub fn begin(&self, user: &str, uid: &str, groups: Vec<String>, now: i64) -> String {
        let mut random = [0; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut random);
        let token = URL_SAFE_NO_PAD.encode(random);
        let mut all = self.by_hash.lock();
        all.retain(|_, s| s.expires > now);
        if all.len() >= SESSIONS_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, s)| s.expires).map(|(h, _)| h.clone())
        {
            all.remove(&oldest);
        }
        all.insert(hash(&token), Session { user: user.into(), uid: uid.into(), groups, expires: now + LIFETIME });
        self.save(&all);
        token
    }

    pub fn find(&self, token: &str, now: i64) -> Option<Session> {
        self.by_hash.lock().get(&hash(token)).filter(|s| s.expires > now).cloned()
    }

    /// Ends a session; whether there was one.
    pub fn end(&self, token: &str) -> bool {
        let mut all = self.by_hash.lock();
        let found = all.remove(&hash(token)).is_some();
        if found {
            self.save(&all);
        }
        found
    }

    fn save(&self, all: &BTreeMap<String, Session>) {
        let bytes = serde_json::to_vec(all).unwrap_or_default();
        if let Err(error) = write_secret(&self.file, &bytes) {
            tracing::warn!(%error, "logins will not survive a restart");
        }
    }
}

fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_by_time_and_by_logout_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(dir.path());
        let token = sessions.begin("anypassword:a", "1", vec![], 1000);
        assert_eq!(sessions.find(&token, 1001).unwrap().user, "anypassword:a");
        assert!(sessions.find(&token, 1000 + LIFETIME).is_none());
        assert!(sessions.find("other", 1001).is_none());
        assert!(!std::fs::read_to_string(dir.path().join(FILE)).unwrap().contains(&token));
        let again = Sessions::open(dir.path());
        assert!(again.find(&token, 1001).is_some());
        assert!(again.end(&token));
        assert!(!again.end(&token));
        assert!(Sessions::open(dir.path()).find(&token, 1001).is_none());
    }
}
