//! What a URL of 2015 addresses, in today's words.
use super::words::{self, Absent};
use crate::router::percent_decode;
use shared::kinds::{self, Kind};
use shared::legacy::{Version, resource_to_v1};

/// Groups whose kinds `/osapi` served.
const OSAPI_GROUPS: [&str; 3] = ["project.openshift.io", "user.openshift.io", "rbac.authorization.k8s.io"];
/// Kinds that the core of 2015 had; those that came later have no old form.
const CORE: [&Kind; 11] = [
    &kinds::POD,
    &kinds::SERVICE,
    &kinds::ENDPOINTS,
    &kinds::REPLICATION_CONTROLLER,
    &kinds::NODE,
    &kinds::NAMESPACE,
    &kinds::EVENT,
    &kinds::SECRET,
    &kinds::LIMIT_RANGE,
    &kinds::RESOURCE_QUOTA,
    &kinds::BINDING,
];

#[derive(Debug, PartialEq)]
pub enum Address {
    /// `/osapi`
    OsapiVersions,
    /// `/api/v1beta1` and the like.
    Root(Version),
    /// `/swaggerapi/…`, with what follows.
    Swagger(String),
    /// `…/proxy/minions/HOST/…`: what the agent on a node answered about one container.
    Container(Container),
    /// `…/proxy/pods/NAME/…`, `…/redirect/services/NAME`
    Through(Through),
    /// A namespace's roles as one `Policy`, or its bindings as one `PolicyBinding`.
    Policy {
        bindings: bool,
        name: Option<String>,
    },
    /// `resourceAccessReviews` (who may?) and `subjectAccessReviews` (may he?)
    Review {
        who: bool,
    },
    /// `templateConfigs`: makes of a template what it stands for.
    Process,
    Absent {
        kind: &'static Absent,
        name: Option<String>,
        watch: bool,
    },
    Objects(Objects),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Errand {
    Log,
    Exec,
    PortForward,
}

#[derive(Debug, PartialEq)]
pub struct Container {
    pub errand: Errand,
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

#[derive(Debug, PartialEq)]
pub struct Through {
    pub kind: &'static Kind,
    /// Only v1beta3 has it in the path.
    pub namespace: Option<String>,
    /// May end with `:PORT`.
    pub name: String,
    /// What follows, as it was written; `None`: the caller is only told where to go.
    pub rest: Option<String>,
}

#[derive(Debug, PartialEq)]
pub struct Objects {
    pub version: Version,
    pub kind: &'static Kind,
    /// The word that was used, in the version's own spelling.
    pub word: &'static str,
    /// Only v1beta3 has it in the path.
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// Empty, or `binding`.
    pub subresource: &'static str,
    pub watch: bool,
}

/// `None`: there is nothing at that path.
pub fn parse(path: &str) -> Option<Address> {
    let segments: Option<Vec<String>> = path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect();
    let segments = segments?;
    if segments.iter().any(|s| s == "." || s == "..") {
        return None;
    }
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["osapi"] => Some(Address::OsapiVersions),
        ["swaggerapi", rest @ ..] => Some(Address::Swagger(rest.join("/"))),
        ["proxy", rest @ ..] => container(rest),
        ["osapi", "v1beta1"] => Some(Address::Root(Version::Osapi)),
        ["osapi", "v1beta1", rest @ ..] => osapi(rest),
        ["api", version] => Some(Address::Root(Version::parse(version)?)),
        ["api", version, "proxy", rest @ ..] => {
            let version = Version::parse(version)?;
            container(rest).or_else(|| through(version, rest, true, path))
        }
        ["api", version, "redirect", rest @ ..] => through(Version::parse(version)?, rest, false, path),
        ["api", version, rest @ ..] => objects(Version::parse(version)?, rest).map(Address::Objects),
        _ => None,
    }
}

fn container(rest: &[&str]) -> Option<Address> {
    let (errand, [namespace, pod, rest @ ..]) = (match rest {
        ["minions" | "nodes", _, "containerLogs", rest @ ..] => (Errand::Log, rest),
        ["minions" | "nodes", _, "exec", rest @ ..] => (Errand::Exec, rest),
        ["minions" | "nodes", _, "portForward", rest @ ..] => (Errand::PortForward, rest),
        _ => return None,
    }) else {
        return None;
    };
    let container = match (errand, rest) {
        (Errand::PortForward, []) => "",
        (Errand::Log | Errand::Exec, [container]) => container,
        _ => return None,
    };
    Some(Address::Container(Container { errand, namespace: (*namespace).into(), pod: (*pod).into(), container: container.into() }))
}

fn through(version: Version, rest: &[&str], proxies: bool, path: &str) -> Option<Address> {
    let (namespace, rest, before) = match rest {
        ["namespaces", namespace, rest @ ..] if version == Version::V1Beta3 => (Some(namespace.to_string()), rest, 7),
        rest => (None, rest, 5),
    };
    let [word, name, more @ ..] = rest else { return None };
    let kind = [&kinds::POD, &kinds::SERVICE, &kinds::NODE].into_iter().find(|k| k.plural == resource_to_v1(word))?;
    if !proxies && !more.is_empty() {
        return None;
    }
    // What follows is passed on as it was written.
    let after = path.trim_start_matches('/').splitn(before + 1, '/').nth(before).unwrap_or_default();
    Some(Address::Through(Through { kind, namespace, name: (*name).into(), rest: proxies.then(|| after.to_string()) }))
}

fn osapi(rest: &[&str]) -> Option<Address> {
    let (watch, words) = match rest {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (word, name) = match words {
        [word] => (word.to_ascii_lowercase(), None),
        [word, name] => (word.to_ascii_lowercase(), Some(name.to_string())),
        _ => return None,
    };
    match (word.as_str(), watch) {
        ("policies" | "policybindings", false) => return Some(Address::Policy { bindings: word != "policies", name }),
        ("templateconfigs", false) if name.is_none() => return Some(Address::Process),
        ("resourceaccessreviews" | "subjectaccessreviews", false) if name.is_none() => {
            return Some(Address::Review { who: word.starts_with("resource") });
        }
        _ => {}
    }
    if let Some(kind) = words::absent_by_word(&word) {
        return Some(Address::Absent { kind, name, watch });
    }
    objects(Version::Osapi, rest).map(Address::Objects)
}

fn objects(version: Version, rest: &[&str]) -> Option<Objects> {
    let (watch, rest) = match rest {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if version == Version::V1Beta3 && !rest.is_empty() => (Some(namespace.to_string()), rest),
        rest => (None, rest),
    };
    let (word, name, subresource) = match rest {
        [word] => (*word, None, ""),
        [word, name] => (*word, Some(name.to_string()), ""),
        ["pods", name, "binding"] if !watch => ("pods", Some(name.to_string()), "binding"),
        _ => return None,
    };
    let plural = resource_to_v1(word);
    let kind = match version {
        Version::Osapi => OSAPI_GROUPS.iter().find_map(|group| kinds::by_resource(group, "v1", &plural))?,
        _ => CORE.into_iter().find(|k| k.plural == plural)?,
    };
    let word = if word == "nodes" { "nodes" } else { words::in_urls(kind, version) };
    Some(Objects { version, kind, word, namespace, name, subresource, watch })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Objects {
        match parse(path) {
            Some(Address::Objects(o)) => o,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn the_words_of_2015_are_found() {
        assert_eq!(found("/api/v1beta1/minions/master").kind.plural, "nodes");
        assert_eq!(found("/api/v1beta1/nodes").word, "nodes");
        assert_eq!(found("/api/v1beta2/replicationcontrollers").word, "replicationControllers");
        let pod = found("/api/v1beta3/watch/namespaces/hack/pods");
        assert_eq!((pod.namespace.as_deref(), pod.watch, pod.version), (Some("hack"), true, Version::V1Beta3));
        assert_eq!(found("/api/v1beta3/namespaces/hack").name.as_deref(), Some("hack"));
        assert_eq!(found("/api/v1beta3/namespaces/hack/pods/p/binding").subresource, "binding");
        assert_eq!(found("/osapi/v1beta1/roleBindings").kind.plural, "rolebindings");
        assert_eq!(found("/osapi/v1beta1/watch/projects").kind.plural, "projects");
        for nothing in ["/api/v1beta1/nonsense", "/api/v1beta1/configmaps", "/osapi/v1beta1/pods", "/api/v1beta1/pods/../x", "/api/v9"] {
            assert_eq!(parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn containers_and_what_lies_behind_objects_are_found() {
        let log = |path: &str| match parse(path) {
            Some(Address::Container(c)) => (c.errand, c.namespace, c.pod, c.container),
            other => panic!("{path} is {other:?}"),
        };
        let wanted = (Errand::Log, "hack".to_string(), "p".to_string(), "c".to_string());
        assert_eq!(log("/api/v1beta1/proxy/minions/master/containerLogs/hack/p/c"), wanted);
        assert_eq!(log("/proxy/nodes/master/containerLogs/hack/p/c"), wanted);
        assert_eq!(log("/api/v1beta1/proxy/minions/m/portForward/hack/p").0, Errand::PortForward);
        let rest = |path: &str| match parse(path) {
            Some(Address::Through(t)) => (t.namespace, t.name, t.rest),
            other => panic!("{path} is {other:?}"),
        };
        assert_eq!(rest("/api/v1beta1/proxy/services/web:81/a%2Fb/c"), (None, "web:81".into(), Some("a%2Fb/c".into())));
        let hack = Some("hack".to_string());
        assert_eq!(rest("/api/v1beta3/proxy/namespaces/hack/pods/web/x"), (hack.clone(), "web".into(), Some("x".into())));
        assert_eq!(rest("/api/v1beta3/redirect/namespaces/hack/pods/web"), (hack, "web".into(), None));
    }

    #[test]
    fn kinds_that_are_not_kept_are_known() {
        let Some(Address::Absent { kind, watch, .. }) = parse("/osapi/v1beta1/watch/buildConfigs") else { panic!() };
        assert_eq!((kind.kind, watch), ("BuildConfig", true));
        assert_eq!(parse("/osapi/v1beta1/policyBindings/master"), Some(Address::Policy { bindings: true, name: Some("master".into()) }));
    }
}
