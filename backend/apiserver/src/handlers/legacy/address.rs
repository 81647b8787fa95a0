//! What a URL of 2015 addresses, in today's words.
use crate::router::percent_decode;
use shared::kinds::{self, Kind};
use shared::legacy::{Version, resource_to_v1};

/// Groups whose kinds `/osapi` served.
const OSAPI_GROUPS: [&str; 4] = ["project.openshift.io", "user.openshift.io", "rbac.authorization.k8s.io", "authorization.k8s.io"];

#[derive(Debug, PartialEq)]
pub enum Address {
    /// `/osapi`
    OsapiVersions,
    /// `…/proxy/minions/HOST/containerLogs/NAMESPACE/POD/CONTAINER`
    Log {
        namespace: String,
        pod: String,
        container: String,
    },
    /// The era's wrapping of the role bindings of one namespace.
    PolicyBindings {
        name: Option<String>,
    },
    Objects(Objects),
}

#[derive(Debug, PartialEq)]
pub struct Objects {
    pub version: Version,
    pub kind: &'static Kind,
    /// Only v1beta3 has it in the path.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub watch: bool,
}

/// `None`: there is nothing at that path.
pub fn parse(path: &str) -> Option<Address> {
    let segments: Option<Vec<String>> = path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect();
    let segments = segments?;
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["osapi"] => Some(Address::OsapiVersions),
        ["proxy", "minions" | "nodes", _, "containerLogs", namespace, pod, container]
        | ["api", _, "proxy", "minions" | "nodes", _, "containerLogs", namespace, pod, container] => {
            Some(Address::Log { namespace: (*namespace).into(), pod: (*pod).into(), container: (*container).into() })
        }
        ["osapi", "v1beta1", "policyBindings" | "policybindings", rest @ ..] if rest.len() < 2 => {
            Some(Address::PolicyBindings { name: rest.first().map(ToString::to_string) })
        }
        ["osapi", "v1beta1", rest @ ..] => objects(Version::Osapi, rest),
        ["api", version, rest @ ..] => objects(Version::parse(version)?, rest),
        _ => None,
    }
}

fn objects(version: Version, rest: &[&str]) -> Option<Address> {
    let (watch, rest) = match rest {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if version == Version::V1Beta3 && !rest.is_empty() => (Some(namespace.to_string()), rest),
        rest => (None, rest),
    };
    let (word, name) = match rest {
        [word] => (*word, None),
        [word, name] => (*word, Some(name.to_string())),
        _ => return None,
    };
    let plural = resource_to_v1(word);
    let kind = match version {
        Version::Osapi => OSAPI_GROUPS.iter().find_map(|group| kinds::by_resource(group, "v1", &plural))?,
        _ => kinds::by_resource("", "v1", &plural)?,
    };
    Some(Address::Objects(Objects { version, kind, namespace, name, watch }))
}

/// Field names of 2015 in a field selector, in today's names.
pub fn fields(selector: &str) -> String {
    let today = |name: &str| match name {
        "name" | "id" => "metadata.name".to_string(),
        "namespace" => "metadata.namespace".into(),
        "DesiredState.Host" | "Status.Host" | "spec.host" | "host" => "spec.nodeName".into(),
        "Status.Phase" | "CurrentState.Status" | "currentState.status" => "status.phase".into(),
        "involvedObject.id" => "involvedObject.name".into(),
        other => other.into(),
    };
    let one = |term: &str| {
        let end = term.find(['=', '!']).unwrap_or(term.len());
        today(&term[..end]) + &term[end..]
    };
    selector.split(',').map(one).collect::<Vec<_>>().join(",")
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
        assert_eq!(found("/api/v1beta2/replicationControllers").kind.plural, "replicationcontrollers");
        let pod = found("/api/v1beta3/watch/namespaces/hack/pods");
        assert_eq!((pod.namespace.as_deref(), pod.watch, pod.version), (Some("hack"), true, Version::V1Beta3));
        assert_eq!(found("/api/v1beta3/namespaces/hack").name.as_deref(), Some("hack"));
        assert_eq!(found("/osapi/v1beta1/roleBindings").kind.plural, "rolebindings");
        let log = parse("/api/v1beta1/proxy/minions/master/containerLogs/hack/p/c");
        assert_eq!(log, Some(Address::Log { namespace: "hack".into(), pod: "p".into(), container: "c".into() }));
        assert_eq!(parse("/api/v1beta1/nonsense"), None);
    }

    #[test]
    fn old_field_names_are_translated() {
        assert_eq!(fields("DesiredState.Host=master,Status.Phase!=Failed"), "spec.nodeName=master,status.phase!=Failed");
        assert_eq!(fields(""), "");
    }
}
