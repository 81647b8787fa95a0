//! Who is calling: client certificate, bearer token, login, or nobody.
pub mod anypassword;
pub mod impersonate;
pub mod oauth;
pub mod password;
pub mod sessions;
pub mod tokens;

use crate::app::{App, Peer};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method};
use logic::bootstrap_token;
use registry::caller::{Caller, GROUP_AUTHENTICATED, Identity};
use shared::kinds;
use shared::status::Status;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The console's login cookie; the prefix makes browsers bind it to this very host over TLS.
pub const COOKIE_NAME: &str = "__Host-openshift";
/// How browsers, which cannot set headers on a WebSocket, hand over a token.
const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
const AGENT_MAX: usize = 128;

/// What a request shows of itself.
pub(crate) enum Credential {
    Bearer(String),
    Basic { user: String, password: String },
    Malformed,
}

/// The caller of a request, before impersonation. Wrong credentials are an error, none is `system:anonymous`.
pub async fn authenticate(app: &App, peer: &Peer, parts: &Parts) -> Result<Caller, Status> {
    let agent = agent(&parts.headers);
    let identity = match credential(parts) {
        Some(Credential::Bearer(token)) => bearer(app, &token)?,
        Some(Credential::Basic { user, password }) => password::check(app, peer, &user, &password).await?,
        Some(Credential::Malformed) => return Err(unauthorized()),
        None => return Ok(without_credentials(peer, agent)),
    };
    Ok(Caller(Arc::new(Identity { agent: agent.into(), ..identity })))
}

/// The answer to credentials that are wrong or lacking; it does not say which.
pub fn unauthorized() -> Status {
    Status::unauthorized("Unauthorized")
}

/// The token that a request was made with, if any.
pub fn token_of(parts: &Parts) -> Option<String> {
    match credential(parts) {
        Some(Credential::Bearer(token)) => Some(token),
        _ => None,
    }
}

/// Who holds this token.
pub fn bearer(app: &App, token: &str) -> Result<Identity, Status> {
    let now = jiff::Timestamp::now().as_second();
    if let Some(shown) = bootstrap_token::Token::parse(token) {
        return bootstrapper(app, &shown, now);
    }
    if let Some(session) = app.sessions.find(token, now) {
        return Ok(Identity { name: session.user, uid: session.uid, groups: session.groups, ..Identity::default() });
    }
    let claims = app.tokens.verify(token, now).ok_or_else(unauthorized)?;
    if !claims.aud.iter().any(|a| tokens::AUDIENCES.contains(&a.as_str())) {
        return Err(unauthorized());
    }
    service_account(app, &claims)
}

/// A machine that is to become a node and has only the token for it.
fn bootstrapper(app: &App, shown: &bootstrap_token::Token, now: i64) -> Result<Identity, Status> {
    let kept = app.registry.get(&app.myself, &kinds::SECRET, Some(bootstrap_token::NAMESPACE), &shown.object_name());
    let kept = kept.map_err(|_| unauthorized())?.value();
    let groups = bootstrap_token::groups(&kept, shown, now).ok_or_else(unauthorized)?;
    Ok(Identity { name: format!("system:bootstrap:{}", shown.id), groups, ..Identity::default() })
}

/// The identity of a token's service account; the account and what the token is bound to must still exist.
pub fn service_account(app: &App, claims: &tokens::Claims) -> Result<Identity, Status> {
    let bound = &claims.bound;
    let namespace = bound.namespace.as_str();
    let exists = |kind, reference: &tokens::Reference| {
        let object = app.registry.get(&app.myself, kind, Some(namespace), &reference.name).map_err(|_| unauthorized())?;
        let uid = object.value().pointer("/metadata/uid").and_then(|u| u.as_str()).unwrap_or_default() == reference.uid;
        if uid { Ok(()) } else { Err(unauthorized()) }
    };
    exists(&kinds::SERVICE_ACCOUNT, &bound.serviceaccount)?;
    let mut extra = BTreeMap::from([("authentication.kubernetes.io/credential-id".to_string(), vec![format!("JTI={}", claims.jti)])]);
    if let Some(pod) = &bound.pod {
        exists(&kinds::POD, pod)?;
        extra.insert("authentication.kubernetes.io/pod-name".into(), vec![pod.name.clone()]);
        extra.insert("authentication.kubernetes.io/pod-uid".into(), vec![pod.uid.clone()]);
    }
    if let Some(secret) = &bound.secret {
        exists(&kinds::SECRET, secret)?;
    }
    Ok(Identity {
        name: format!("system:serviceaccount:{namespace}:{}", bound.serviceaccount.name),
        uid: bound.serviceaccount.uid.clone(),
        groups: service_account_groups(namespace),
        extra,
        agent: String::new(),
    })
}

/// The groups of every service account of a namespace.
pub fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}"), GROUP_AUTHENTICATED.into()]
}

fn without_credentials(peer: &Peer, agent: &str) -> Caller {
    let mut last = peer.last_caller.lock();
    if let Some(caller) = last.as_ref().filter(|c| c.0.agent == agent) {
        return caller.clone();
    }
    let identity = match &peer.certificate {
        Some(identity) => identity.clone(),
        None => (*Caller::anonymous().0).clone(),
    };
    let caller = Caller(Arc::new(Identity { agent: agent.into(), ..identity }));
    *last = Some(caller.clone());
    caller
}

fn credential(parts: &Parts) -> Option<Credential> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        return Some(value.to_str().ok().and_then(authorization).unwrap_or(Credential::Malformed));
    }
    let query = parts.uri.query().unwrap_or_default();
    if query.contains("access_token=")
        && let Some(token) = crate::query::first(query, "access_token").filter(|t| !t.is_empty())
    {
        return Some(Credential::Bearer(token));
    }
    for protocols in parts.headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let found = protocols.to_str().ok()?.split(',').find_map(|p| p.trim().strip_prefix(PROTOCOL_PREFIX).map(str::to_string));
        if let Some(encoded) = found {
            let token = URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|b| String::from_utf8(b).ok());
            return Some(token.map_or(Credential::Malformed, Credential::Bearer));
        }
    }
    cookie(parts).map(Credential::Bearer)
}

pub(crate) fn authorization(value: &str) -> Option<Credential> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        return Some(Credential::Bearer(rest.into()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        return Some(Credential::Basic { user: user.into(), password: password.into() });
    }
    None
}

/// The login cookie, unless another site made the browser send the request.
fn cookie(parts: &Parts) -> Option<String> {
    let mut pairs = parts.headers.get_all(COOKIE).iter().filter_map(|c| c.to_str().ok()).flat_map(|c| c.split(';'));
    let token = pairs.find_map(|p| p.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('=').map(str::to_string))?;
    same_origin(parts).then_some(token)
}

/// Whether the page that sent this request is ours, as far as the browser tells.
pub fn same_origin(parts: &Parts) -> bool {
    let header = |name: http::HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok());
    let safe = parts.method == Method::GET && !parts.headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
    match parts.headers.get("sec-fetch-site").and_then(|v| v.to_str().ok()) {
        Some("same-origin" | "none") => return true,
        Some(_) if !safe => return false,
        _ => {}
    }
    let host = header(HOST).or_else(|| parts.uri.authority().map(|a| a.as_str()));
    match (header(ORIGIN), host) {
        (Some(origin), Some(host)) => origin.strip_prefix("https://") == Some(host),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

fn agent(headers: &HeaderMap) -> &str {
    let text = headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = text.split('/').next().unwrap_or_default();
    name.char_indices().nth(AGENT_MAX).map_or(name, |(end, _)| &name[..end])
}
