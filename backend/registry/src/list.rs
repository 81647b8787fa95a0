//! Lists: selectors, pages at one revision, and the tokens that continue them.
use crate::error::from_store;
use crate::object::Object;
use crate::options::ListOptions;
use crate::registry_impl::{List, Registry};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::kinds::Kind;
use shared::selector::FieldSelector;
use shared::status::Status;
use store::{Range, Revision};

/// What a continue token says, in Kubernetes' own form.
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    /// -1: at whatever revision is newest (what an expired token is exchanged for).
    rv: i64,
    start: String,
}

/// Only the kind's selectable fields, and name and namespace, may be named.
pub(crate) fn check_fields(kind: &Kind, fields: &FieldSelector) -> Result<(), Status> {
    for r in &fields.requirements {
        if !matches!(r.field.as_str(), "metadata.name" | "metadata.namespace") && !kind.selectable_fields.contains(&r.field.as_str()) {
            let text = format!("field label not supported: {} (of {}: metadata.name, metadata.namespace", r.field, kind.plural);
            let more: String = kind.selectable_fields.iter().map(|f| format!(", {f}")).collect();
            return Err(Status::bad_request(format!("{text}{more})")));
        }
    }
    Ok(())
}

impl Registry {
    pub(crate) fn list_stored(&self, kind: &'static Kind, namespace: Option<&str>, options: &ListOptions) -> Result<List, Status> {
        // One object by name is a look-up, not a walk.
        let namespace = namespace.or_else(|| options.fields.required("metadata.namespace"));
        let prefix = store::key::collection(kind, namespace);
        let mut at = Registry::list_at(options, self.revision())?;
        let mut after = None;
        if let Some(token) = options.continue_token.as_deref().filter(|t| !t.is_empty()) {
            let token = parse_token(token)?;
            at = u64::try_from(token.rv).ok();
            after = Some(format!("{prefix}{}", token.start));
        }
        let range = Range { prefix: prefix.clone(), after: after.clone(), limit: 0, at };
        let snapshot = self.0.store.list(&range).map_err(|e| match e {
            store::Error::Compacted { .. } if after.is_some() => expired_token(after.as_deref().unwrap_or_default(), &prefix),
            other => from_store(other, kind, ""),
        })?;
        Ok(page(kind, snapshot, options, &prefix))
    }
}

fn page(kind: &'static Kind, snapshot: store::Snapshot, options: &ListOptions, prefix: &str) -> List {
    let filtered = !options.labels.is_empty() || !options.fields.is_empty();
    let total = snapshot.records.len();
    let (mut items, mut last, mut seen) = (Vec::new(), None, 0);
    for record in snapshot.records {
        if options.limit > 0 && items.len() == options.limit {
            break;
        }
        seen += 1;
        let object = Object { kind, record };
        if filtered {
            let index = object.index();
            if !options.labels.matches(&index.meta.labels) || !options.fields.matches_with(|f| index.field(kind, f)) {
                continue;
            }
        }
        last = Some(object.record.key.clone());
        items.push(object);
    }
    let remaining = total - seen;
    let continue_token = (remaining > 0).then(|| token(last.as_deref().unwrap_or_default(), prefix, snapshot.revision as i64));
    List { revision: snapshot.revision, items, continue_token, remaining: (remaining > 0 && !filtered).then_some(remaining) }
}

fn token(last: &str, prefix: &str, revision: i64) -> String {
    let start = last.strip_prefix(prefix).unwrap_or(last).to_string();
    let token = Token { v: "meta.k8s.io/v1".into(), rv: revision, start };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is JSON"))
}

fn parse_token(text: &str) -> Result<Token, Status> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let token: Option<Token> = bytes.and_then(|b| serde_json::from_slice(&b).ok());
    let good = |t: &Token| t.v == "meta.k8s.io/v1" && t.rv >= -1 && !t.start.contains("..") && !t.start.is_empty();
    token.filter(good).ok_or_else(|| Status::bad_request("continue key is not valid: it was not issued by this server"))
}

/// 410 with a token by which the client may go on at the newest revision, if it accepts the inconsistency.
fn expired_token(after: &str, prefix: &str) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.metadata.continue_token = token(after, prefix, -1);
    status
}

/// Parses a resourceVersion of a request: empty is none.
pub fn parse_revision(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Status::bad_request(format!("invalid resource version {text:?}: it must be a number")))
}
