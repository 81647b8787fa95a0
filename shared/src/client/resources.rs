//! From the words a person types (`rc`, `pods/x`, `get a,b`) to kinds, names and URLs.
use super::http::Client;
use super::{ClientError, Result};
use crate::kinds::{self, Kind, Scope, Storage};
use serde_json::Value;

/// A kind together with the word that named it: tables are printed in the order of the typed words.
#[derive(Clone, Debug)]
pub struct Word {
    pub text: String,
    pub kind: &'static Kind,
}

/// One object that a command line names.
#[derive(Clone, Debug)]
pub struct Named {
    pub kind: &'static Kind,
    pub name: String,
}

/// Which objects a command line asks for.
#[derive(Clone, Debug)]
pub enum Selection {
    /// `pods`, `rc,services`, `all`.
    Kinds(Vec<Word>),
    /// `pod a b`, `pod/a svc/b`.
    Names(Vec<Named>),
}

/// Kinds that the word `all` stands for.
fn all() -> Vec<Word> {
    kinds::KINDS.iter().filter(|k| k.categories.contains(&"all")).map(|k| Word { text: k.plural.into(), kind: k }).collect()
}

/// The kind of a word; the server is asked only for words that the table does not hold.
pub async fn kind_of(client: &Client, word: &str) -> Result<&'static Kind> {
    if let Some(kind) = kinds::by_word(word) {
        return Ok(kind);
    }
    match discover(client, |r| r.is_named(word)).await {
        Ok(Some(kind)) => Ok(kind),
        _ => Err(unknown_word(word)),
    }
}

/// The error for a word that names nothing, with the nearest word that does.
pub fn unknown_word(word: &str) -> ClientError {
    let lower = word.to_ascii_lowercase();
    let words = kinds::KINDS.iter().flat_map(|k| [k.plural, k.singular]).chain(["minions", "minion"]);
    let near = words.map(|w| (strsim::osa_distance(&lower, w), w)).min().filter(|(d, w)| *d <= 1 + w.len() / 4);
    match near {
        Some((_, near)) => ClientError::usage(format!("no resource \"{word}\" has been defined; did you mean \"{near}\"?")),
        None => ClientError::usage(format!("no resource \"{word}\" has been defined; 'osc api-resources' lists them")),
    }
}

/// Reads the positional words of get, delete, describe, label and their like.
pub async fn select(client: &Client, args: &[String]) -> Result<Selection> {
    if args.iter().any(|a| a.contains('/')) {
        let mut names = Vec::new();
        for arg in args {
            let Some((word, name)) = arg.split_once('/') else {
                return Err(ClientError::usage(format!(
                    "{arg:?} stands among words of the form RESOURCE/NAME; write it as RESOURCE/{arg}"
                )));
            };
            if name.is_empty() {
                return Err(ClientError::usage(format!("{arg:?} has no name after the slash")));
            }
            names.push(Named { kind: kind_of(client, word).await?, name: name.into() });
        }
        return Ok(Selection::Names(names));
    }
    let (Some(first), names) = (args.first(), args.get(1..).unwrap_or_default()) else {
        return Err(ClientError::usage("you must say which resource, such as pods, services or rc; 'osc api-resources' lists them"));
    };
    let mut words = Vec::new();
    for word in first.split(',').filter(|w| !w.is_empty()) {
        if word.eq_ignore_ascii_case("all") {
            words.extend(all());
        } else {
            words.push(Word { text: word.to_string(), kind: kind_of(client, word).await? });
        }
    }
    if names.is_empty() {
        words.sort_by(|a, b| a.text.cmp(&b.text));
        return Ok(Selection::Kinds(words));
    }
    Ok(Selection::Names(names.iter().flat_map(|n| words.iter().map(|w| Named { kind: w.kind, name: n.clone() })).collect()))
}

/// The kind that an object (in today's form) declares.
pub async fn kind_of_object(client: &Client, object: &Value) -> Result<&'static Kind> {
    let (version, kind) = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    if let Some(kind) = kinds::by_api_version(version, kind) {
        return Ok(kind);
    }
    let found = discover_in(client, version, |r| r.kind == kind).await.ok().flatten();
    found.ok_or_else(|| {
        let names = kinds::KINDS.iter().map(|k| k.kind);
        let near = names.map(|n| (strsim::osa_distance(kind, n), n)).min().filter(|(d, n)| *d <= 1 + n.len() / 4);
        let hint = near.map(|(_, n)| format!("; did you mean \"{n}\"?")).unwrap_or_default();
        ClientError::usage(format!("the server has no kind \"{kind}\" in version \"{version}\"{hint}"))
    })
}

/// URL of an object or, with an empty name, of its collection.
pub fn path(kind: &Kind, namespace: &str, name: &str) -> String {
    let namespace = kind.namespaced().then_some(namespace).filter(|n| !n.is_empty());
    if name.is_empty() { kind.collection_path(namespace) } else { kind.object_path(namespace, &super::http::encode(name)) }
}

struct Discovered {
    group: String,
    version: String,
    kind: String,
    plural: String,
    singular: String,
    short: Vec<String>,
    namespaced: bool,
}

impl Discovered {
    fn is_named(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').map_or((word, None), |(n, g)| (n, Some(g)));
        let same = |w: &str| w.eq_ignore_ascii_case(name);
        group.is_none_or(|g| self.group.starts_with(g))
            && (same(&self.plural) || same(&self.singular) || same(&self.kind) || self.short.iter().any(|s| same(s)))
    }

    /// A table row for a kind that only the server knows. It lives as long as the process, which is one command.
    fn into_kind(self) -> &'static Kind {
        fn keep(text: String) -> &'static str {
            Box::leak(text.into_boxed_str())
        }
        Box::leak(Box::new(Kind {
            group: keep(self.group),
            version: keep(self.version),
            kind: keep(self.kind),
            plural: keep(self.plural),
            singular: keep(self.singular),
            short_names: &[],
            categories: &[],
            scope: if self.namespaced { Scope::Namespaced } else { Scope::Cluster },
            storage: Storage::Stored,
            subresources: &[],
            selectable_fields: &[],
            has_generation: false,
        }))
    }
}

async fn discover(client: &Client, wanted: impl Fn(&Discovered) -> bool + Copy) -> Result<Option<&'static Kind>> {
    if let Some(kind) = discover_in(client, "v1", wanted).await? {
        return Ok(Some(kind));
    }
    let groups = client.get("/apis").await?;
    for group in groups["groups"].as_array().into_iter().flatten() {
        let version = group["preferredVersion"]["groupVersion"].as_str().unwrap_or_default();
        if let Ok(Some(kind)) = discover_in(client, version, wanted).await {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

async fn discover_in(client: &Client, version: &str, wanted: impl Fn(&Discovered) -> bool) -> Result<Option<&'static Kind>> {
    let list = client.get(&if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") }).await?;
    let (group, short_version) = version.split_once('/').unwrap_or(("", version));
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    for r in list["resources"].as_array().into_iter().flatten() {
        let found = Discovered {
            group: group.into(),
            version: short_version.into(),
            kind: text(&r["kind"]),
            plural: text(&r["name"]),
            singular: text(&r["singularName"]),
            short: r["shortNames"].as_array().into_iter().flatten().map(text).collect(),
            namespaced: r["namespaced"].as_bool().unwrap_or(false),
        };
        if !found.plural.contains('/') && wanted(&found) {
            return Ok(Some(found.into_kind()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_gets_a_hint() {
        assert!(unknown_word("servces").to_string().contains("did you mean \"services\"?"));
        assert!(unknown_word("qqqqqq").to_string().contains("api-resources"));
    }

    #[test]
    fn paths_leave_out_what_a_kind_does_not_have() {
        assert_eq!(path(&kinds::POD, "hack", "a"), "/api/v1/namespaces/hack/pods/a");
        assert_eq!(path(&kinds::NODE, "hack", "anypassword:x"), "/api/v1/nodes/anypassword%3Ax");
        assert_eq!(path(&kinds::POD, "", ""), "/api/v1/pods");
    }
}
