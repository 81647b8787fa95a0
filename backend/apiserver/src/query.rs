//! Reads the query parameters of the API into the registry's options.
use registry::options::{DeleteOptions, FieldValidation, ListAt, ListOptions, WatchOptions, WriteOptions};
use shared::selector::{FieldSelector, LabelSelector};
use shared::status::{Cause, FieldError, Reason, Status};
use std::time::Duration;

/// A query string with more parameters than this is refused.
const PARAMETERS_MAX: usize = 1000;

/// The parameters of one request, decoded once. Most requests have none, which costs nothing.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

/// The first value of one parameter of a raw query string.
pub fn first(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key)? == name).then(|| decode(value)).flatten()
    })
}

fn decode(text: &str) -> Option<String> {
    if text.contains('+') { crate::router::percent_decode(&text.replace('+', " ")) } else { crate::router::percent_decode(text) }
}

impl Query {
    pub fn parse(query: Option<&str>) -> Result<Query, Status> {
        let Some(query) = query.filter(|q| !q.is_empty()) else { return Ok(Query::default()) };
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() >= PARAMETERS_MAX {
                return Err(Status::bad_request(format!("at most {PARAMETERS_MAX} query parameters are read")));
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(key), decode(value)) {
                (Some(key), Some(value)) => pairs.push((key, value)),
                _ => return Err(Status::bad_request(format!("query parameter {pair:?} is not valid percent-encoded UTF-8"))),
            }
        }
        Ok(Query(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Go's idea of a boolean; a parameter without a value is true.
    pub fn flag(&self, name: &str) -> Result<bool, Status> {
        match self.get(name) {
            None | Some("false" | "0" | "f" | "F" | "False" | "FALSE") => Ok(false),
            Some("" | "true" | "1" | "t" | "T" | "True" | "TRUE") => Ok(true),
            Some(other) => Err(bad_value(name, other, "a boolean")),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| bad_value(name, text, "a whole number")),
        }
    }

    fn selectors(&self) -> Result<(LabelSelector, FieldSelector), Status> {
        let labels = LabelSelector::parse(self.text("labelSelector")).map_err(|e| Status::bad_request(format!("labelSelector: {e}")))?;
        let fields = FieldSelector::parse(self.text("fieldSelector")).map_err(|e| Status::bad_request(e.to_string()))?;
        Ok((labels, fields))
    }

    fn revision(&self) -> Result<Option<u64>, Status> {
        match self.text("resourceVersion") {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                let error = FieldError::invalid("resourceVersion", text, format!("strconv.ParseUint: parsing {text:?}: invalid syntax"));
                invalid("ListOptions", &error)
            }),
        }
    }

    pub fn list(&self) -> Result<ListOptions, Status> {
        let (labels, fields) = self.selectors()?;
        let limit = usize::try_from(self.number("limit")?.unwrap_or(0)).unwrap_or(0);
        let continue_token = self.get("continue").filter(|t| !t.is_empty()).map(str::to_string);
        let revision = self.revision()?;
        let at = match (self.text("resourceVersionMatch"), revision) {
            ("", _) if continue_token.is_some() && !matches!(self.text("resourceVersion"), "" | "0") => {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            ("", None | Some(0)) => ListAt::Latest,
            // With a limit and no match rule the version is exact, as ever.
            ("", Some(n)) if limit > 0 => ListAt::Exact(n),
            ("", Some(n)) => ListAt::NotOlderThan(n),
            (_, _) if continue_token.is_some() => return Err(forbidden("resourceVersionMatch is forbidden when continue is provided")),
            (_, None) => return Err(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")),
            ("NotOlderThan", Some(0)) => ListAt::Latest,
            ("NotOlderThan", Some(n)) => ListAt::NotOlderThan(n),
            ("Exact", Some(0)) => {
                return Err(forbidden("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""));
            }
            ("Exact", Some(n)) => ListAt::Exact(n),
            (other, _) => {
                let error = FieldError::not_supported("resourceVersionMatch", other, &["Exact", "NotOlderThan", ""]);
                return Err(invalid("ListOptions", &error));
            }
        };
        if self.get("sendInitialEvents").is_some() {
            let error = FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
            return Err(invalid("ListOptions", &error));
        }
        Ok(ListOptions { labels, fields, limit, continue_token, at })
    }

    /// The options of a watch; `now` is the newest revision, for watches that begin at the present.
    pub fn watch(&self, now: u64) -> Result<WatchOptions, Status> {
        let (labels, fields) = self.selectors()?;
        let bookmarks = self.flag("allowWatchBookmarks")?;
        let revision = self.revision()?;
        let initial = match self.get("sendInitialEvents") {
            None => None,
            Some(_) => Some(self.flag("sendInitialEvents")?),
        };
        match (initial, self.text("resourceVersionMatch")) {
            (Some(_), "NotOlderThan") | (None, "") => {}
            (Some(_), _) => {
                return Err(forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
            }
            (None, _) => return Err(forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")),
        }
        let from = match (initial, revision) {
            (Some(true), _) => None,
            (Some(false), None | Some(0)) => Some(now),
            (_, Some(0) | None) => None,
            (_, from) => from,
        };
        Ok(WatchOptions { labels, fields, from, send_initial_events: initial == Some(true), bookmarks })
    }

    /// How long a watch may last, if the client says.
    pub fn watch_duration(&self) -> Result<Option<Duration>, Status> {
        Ok(self.number("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).map(Duration::from_secs))
    }

    fn dry_run(&self) -> Result<bool, Status> {
        let mut dry = false;
        for value in self.all("dryRun") {
            match value {
                "" => {}
                "All" => dry = true,
                other => return Err(invalid("options", &FieldError::not_supported("dryRun", other, &["All"]))),
            }
        }
        Ok(dry)
    }

    pub fn write(&self) -> Result<WriteOptions, Status> {
        let field_validation = match self.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let error = FieldError::not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]);
                return Err(invalid("options", &error));
            }
        };
        let field_manager = self.get("fieldManager").filter(|m| !m.is_empty()).map(str::to_string);
        Ok(WriteOptions { dry_run: self.dry_run()?, field_manager, field_validation, force: self.flag("force")? })
    }

    /// What the query says beside what the body said.
    pub fn delete(&self, mut options: DeleteOptions) -> Result<DeleteOptions, Status> {
        options.dry_run |= self.dry_run()?;
        if let Some(seconds) = self.number("gracePeriodSeconds")? {
            options.grace_period_seconds = Some(seconds);
        }
        if let Some(policy) = self.get("propagationPolicy").filter(|p| !p.is_empty()) {
            options.propagation_policy = Some(policy.into());
        }
        if self.get("orphanDependents").is_some() {
            options.orphan_dependents = Some(self.flag("orphanDependents")?);
        }
        match options.propagation_policy.as_deref() {
            None | Some("" | "Orphan" | "Background" | "Foreground") => Ok(options),
            Some(other) => {
                let error = FieldError::not_supported("propagationPolicy", other, &["Background", "Foreground", "Orphan"]);
                Err(invalid("DeleteOptions", &error))
            }
        }
    }
}

fn bad_value(name: &str, value: &str, wanted: &str) -> Status {
    Status::bad_request(format!("query parameter {name}={value:?} is not {wanted}"))
}

fn forbidden(why: &str) -> Status {
    invalid("ListOptions", &FieldError::forbidden("resourceVersionMatch", why))
}

/// 422 for options, which are of no served kind.
pub fn invalid(kind: &str, error: &FieldError) -> Status {
    let cause = Cause { reason: format!("FieldValue{:?}", error.reason), message: error.detail.clone(), field: error.field.clone() };
    Status::failure(422, Reason::Invalid, format!("{kind}.meta.k8s.io \"\" is invalid: {error}")).with_causes(vec![cause])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text)).unwrap()
    }

    #[test]
    fn revisions_and_their_match_rules() {
        let at = |q: &str| query(q).list().map(|o| o.at);
        assert_eq!(at("").unwrap(), ListAt::Latest);
        assert_eq!(at("resourceVersion=0").unwrap(), ListAt::Latest);
        assert_eq!(at("resourceVersion=7").unwrap(), ListAt::NotOlderThan(7));
        assert_eq!(at("resourceVersion=7&limit=5").unwrap(), ListAt::Exact(7));
        assert_eq!(at("resourceVersion=7&resourceVersionMatch=Exact").unwrap(), ListAt::Exact(7));
        for bad in
            ["resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=Exact", "resourceVersion=1&resourceVersionMatch=x"]
        {
            assert_eq!(at(bad).unwrap_err().code, 422, "{bad}");
        }
        assert!(at("resourceVersion=abc").is_err());
    }

    #[test]
    fn watch_lists_need_their_match_rule() {
        let o = query("watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true").watch(9).unwrap();
        assert!(o.send_initial_events && o.bookmarks && o.from.is_none());
        assert_eq!(query("sendInitialEvents=true").watch(9).unwrap_err().code, 422);
        assert_eq!(query("resourceVersion=5").watch(9).unwrap().from, Some(5));
        assert_eq!(query("resourceVersion=0").watch(9).unwrap().from, None);
        assert_eq!(query("sendInitialEvents=false&resourceVersionMatch=NotOlderThan").watch(9).unwrap().from, Some(9));
    }

    #[test]
    fn unknown_choices_are_refused() {
        assert_eq!(query("dryRun=Some").write().unwrap_err().code, 422);
        assert_eq!(query("fieldValidation=no").write().unwrap_err().code, 422);
        assert!(query("dryRun=All&fieldManager=k").write().unwrap().dry_run);
        assert!(query("propagationPolicy=Nope").delete(DeleteOptions::default()).is_err());
        assert!(Query::parse(Some("a=%ff")).is_err());
        assert_eq!(query("a=b+c%2Bd").get("a"), Some("b c+d"));
    }
}
