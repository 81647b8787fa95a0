//! One table of URLs: which handler answers which path.
use shared::kinds::{self, Kind};

/// What a path addresses.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// Objects, and everything under them.
    Resource(Resource),
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    GroupVersion {
        group: String,
        version: String,
    },
    Version,
    /// `/healthz`, `/livez`, `/readyz`, and single checks below them.
    Health {
        endpoint: &'static str,
        check: Option<String>,
    },
    Metrics,
    /// The connection of a node's agent.
    NodeTunnel,
    /// The whole cluster as one file, for administrators.
    Backup,
    OpenApiV3(Option<String>),
    OpenApiV2,
    OpenIdConfiguration,
    Jwks,
    Login,
    Logout,
    /// `/oauth/…`
    OAuth(String),
    /// `/`
    Root,
    /// Paths of the API of 2015: `/api/v1beta1…3`, `/osapi/…`, `/proxy/…`, `/swaggerapi/…` (see `handlers::legacy`).
    Legacy,
    Unknown,
}

/// A path to objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub kind: &'static Kind,
    /// The version of the URL: some virtual kinds answer under several.
    pub version: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: String,
    /// What follows the subresource, for proxies.
    pub rest: String,
    /// `/api/v1/watch/…`: a watch whatever the query says.
    pub watch: bool,
}

/// Finds what a path (still percent-encoded, without the query) addresses.
pub fn route(path: &str) -> Route {
    if is_legacy(path) {
        return Route::Legacy;
    }
    let mut segments = Vec::with_capacity(8);
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        match percent_decode(segment) {
            // A dot segment names nothing: clients resolve them before they ask.
            Some(s) if s != "." && s != ".." => segments.push(s),
            _ => return Route::Unknown,
        }
    }
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Route::Root,
        ["api"] => Route::CoreVersions,
        ["api", "v1"] => Route::GroupVersion { group: String::new(), version: "v1".into() },
        ["api", "v1", rest @ ..] => resource("", "v1", rest, path),
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).into()),
        ["apis", group, version] => Route::GroupVersion { group: (*group).into(), version: (*version).into() },
        ["apis", group, version, rest @ ..] => resource(group, version, rest, path),
        ["version"] => Route::Version,
        ["healthz" | "livez" | "readyz"] | ["healthz" | "livez" | "readyz", _] => Route::Health {
            endpoint: match words[0] {
                "healthz" => "healthz",
                "livez" => "livez",
                _ => "readyz",
            },
            check: words.get(1).map(ToString::to_string),
        },
        ["backup"] => Route::Backup,
        ["metrics"] => Route::Metrics,
        ["node-tunnel"] => Route::NodeTunnel,
        ["openapi", "v3"] => Route::OpenApiV3(None),
        ["openapi", "v3", rest @ ..] => Route::OpenApiV3(Some(rest.join("/"))),
        ["openapi", "v2"] => Route::OpenApiV2,
        [".well-known", "openid-configuration"] => Route::OpenIdConfiguration,
        ["openid", "v1", "jwks"] => Route::Jwks,
        ["login"] => Route::Login,
        ["logout"] => Route::Logout,
        ["oauth", rest @ ..] => Route::OAuth(rest.join("/")),
        _ => Route::Unknown,
    }
}

/// The hook for the API of 2015.
fn is_legacy(path: &str) -> bool {
    ["/api/v1beta1", "/api/v1beta2", "/api/v1beta3", "/osapi", "/proxy/", "/swaggerapi"].iter().any(|prefix| path.starts_with(prefix))
}

/// Kinds that answer under versions beside their own row's.
fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    match (group, version, plural) {
        ("authentication.k8s.io", "v1beta1" | "v1alpha1", "selfsubjectreviews") => Some(&kinds::SELF_SUBJECT_REVIEW),
        _ => kinds::by_resource(group, version, plural),
    }
}

fn resource(group: &str, version: &str, rest: &[&str], path: &str) -> Route {
    let (watch, rest) = match rest {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // `namespaces/NAME/status` is a subresource; `namespaces/NAME/pods` a collection.
    let namespaced = match rest {
        ["namespaces", _, "status" | "finalize"] | ["namespaces", _] | ["namespaces"] => None,
        ["namespaces", namespace, plural, rest @ ..] => Some((*namespace, *plural, rest)),
        _ => None,
    };
    let (namespace, plural, rest) = match (namespaced, rest) {
        (Some((namespace, plural, rest)), _) => (Some(namespace.to_string()), plural, rest),
        (None, [plural, rest @ ..]) => (None, *plural, rest),
        (None, []) => return Route::Unknown,
    };
    let Some(kind) = find(group, version, plural) else { return Route::Unknown };
    // Only collections of a namespaced kind span namespaces; cluster kinds live in none.
    if namespace.is_some() != kind.namespaced() && (namespace.is_some() || !rest.is_empty()) {
        return Route::Unknown;
    }
    let subresource = rest.get(1).copied().unwrap_or_default();
    if !subresource.is_empty() && !kind.subresources.contains(&subresource) || rest.len() > 2 && subresource != "proxy" {
        return Route::Unknown;
    }
    // What follows `/proxy` is passed on as it was written.
    let after = if rest.len() > 2 { path.split_once("/proxy/").map_or("", |(_, after)| after) } else { "" };
    Route::Resource(Resource {
        kind,
        version: version.into(),
        namespace,
        name: rest.first().map(ToString::to_string),
        subresource: subresource.into(),
        rest: after.into(),
        watch,
    })
}

/// Decodes `%41`; `None` when the result is no UTF-8 or an escape is broken.
pub fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_string());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        bytes.push(digit(*high)? * 16 + digit(*low)?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource_of(path: &str) -> Resource {
        match route(path) {
            Route::Resource(r) => r,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn resources_are_found() {
        let r = resource_of("/api/v1/namespaces/default/pods/web/log");
        assert_eq!(
            (r.kind.plural, r.namespace.as_deref(), r.name.as_deref(), r.subresource.as_str()),
            ("pods", Some("default"), Some("web"), "log")
        );
        let r = resource_of("/api/v1/namespaces/default/status");
        assert_eq!((r.kind.plural, r.name.as_deref(), r.subresource.as_str()), ("namespaces", Some("default"), "status"));
        let r = resource_of("/api/v1/pods");
        assert_eq!((r.namespace, r.name), (None, None));
        let r = resource_of("/api/v1/watch/namespaces/x/pods");
        assert!(r.watch && r.namespace.as_deref() == Some("x"));
        let r = resource_of("/apis/user.openshift.io/v1/users/anypassword%3Aadmin");
        assert_eq!(r.name.as_deref(), Some("anypassword:admin"));
        let r = resource_of("/api/v1/namespaces/d/services/web/proxy/a%2Fb/c");
        assert_eq!(r.rest, "a%2Fb/c");
        assert_eq!(resource_of("/apis/authentication.k8s.io/v1beta1/selfsubjectreviews").version, "v1beta1");
    }

    #[test]
    fn what_is_no_resource_is_unknown() {
        for path in [
            "/api/v1/namespaces/default/nodes",
            "/api/v1/pods/web",
            "/api/v1/nonsense",
            "/apis/apps/v9/pods",
            "/api/v1/namespaces/default/pods/web/nonsense",
            "/api/v1/namespaces/default/pods/web/log/more",
            "/api/v1/namespaces/%ff/pods",
            "/api/v1/namespaces/../pods",
            "/nonsense",
        ] {
            assert_eq!(route(path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn old_paths_go_to_the_old_api() {
        for path in ["/api/v1beta1/pods", "/api/v1beta3/watch/pods", "/osapi/v1beta1/users/~", "/proxy/minions/h/containerLogs/a/b/c"] {
            assert_eq!(route(path), Route::Legacy, "{path}");
        }
    }
}
