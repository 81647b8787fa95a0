//! Documents about the old API itself: its versions, what each serves, the models that old clients check against.
use super::form::pretty;
use crate::respond::{self, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};
use shared::legacy::Version;

const KINDS: [&str; 13] = [
    "Pod",
    "ReplicationController",
    "Service",
    "Endpoints",
    "Namespace",
    "Event",
    "Secret",
    "LimitRange",
    "ResourceQuota",
    "Binding",
    "List",
    "DeleteOptions",
    "Status",
];
const OSAPI_KINDS: [&str; 6] = ["Project", "User", "Identity", "Role", "RoleBinding", "UserIdentityMapping"];

/// The version that clients built with Kubernetes of this commit call their own, and compare with the server's.
const ERA_COMMIT: &str = "6241a21";

/// `/osapi`
pub fn osapi_versions() -> Response {
    pretty(StatusCode::OK, &json!({"versions": ["v1beta1"]}))
}

/// `/api/v1beta1` and the like. Today's clients look here for resources that they would prefer to v1's, so there are none.
pub fn root(version: Version) -> Response {
    let value = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version.name(), "resources": []});
    pretty(StatusCode::OK, &value)
}

/// Which version the server has, for a client that would speak to no other than its own; `None`: the client is of today.
pub fn version(user_agent: &str) -> Option<Value> {
    user_agent.contains(&format!("kubernetes/{ERA_COMMIT}")).then(|| {
        json!({
            "major": "0", "minor": "11.0+", "gitVersion": format!("v0.11.0-330-g{ERA_COMMIT}"), "gitCommit": ERA_COMMIT,
            "gitTreeState": "not a git tree",
        })
    })
}

/// `/swaggerapi/…`: `osc create --validate` reads the models. They name every kind and leave its members to the server.
pub fn swagger(path: &str) -> Response {
    let version = match path.trim_matches('/').split_once('/') {
        None if path.is_empty() => {
            let paths = ["/api/v1beta1", "/api/v1beta2", "/api/v1beta3", "/osapi/v1beta1"];
            let apis: Vec<Value> = paths.iter().map(|p| json!({"path": p})).collect();
            return pretty(StatusCode::OK, &json!({"swaggerVersion": "1.2", "apis": apis}));
        }
        Some(("api", version)) => Version::parse(version),
        Some(("osapi", "v1beta1")) => Some(Version::Osapi),
        _ => None,
    };
    let Some(version) = version else { return respond::text(StatusCode::NOT_FOUND, "404: Page Not Found") };
    let node = if version == Version::V1Beta3 { "Node" } else { "Minion" };
    let kinds = if version == Version::Osapi { OSAPI_KINDS.to_vec() } else { KINDS.into_iter().chain([node]).collect() };
    let models: Map<String, Value> = kinds
        .into_iter()
        .map(|kind| format!("{}.{kind}", version.name()))
        .map(|id| (id.clone(), json!({"id": id, "properties": {}})))
        .collect();
    let body = json!({
        "swaggerVersion": "1.2", "apiVersion": version.name(), "basePath": "/", "resourcePath": format!("/{path}"), "apis": [], "models": models,
    });
    pretty(StatusCode::OK, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_2015_meets_its_own_version() {
        let old = version("osc/v0.11.0 (linux/amd64) kubernetes/6241a21").unwrap();
        assert_eq!((&old["major"], &old["gitVersion"]), (&json!("0"), &json!("v0.11.0-330-g6241a21")));
        assert_eq!(version("kubectl/v1.33.0 (linux/amd64) kubernetes/1234567"), None);
    }
}
