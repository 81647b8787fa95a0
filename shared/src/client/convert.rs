//! The one seam to the forms of 2015: files of any version in, any version out; kinds without an old form pass as they are.
use super::{ClientError, Result};
use crate::kinds;
use crate::legacy::{self, Version};
use serde_json::{Value, json};

/// Any accepted version to today's.
pub fn to_v1(object: Value) -> Result<Value> {
    legacy::to_v1(object).map_err(|e| ClientError::usage(e.to_string()))
}

/// Today's form to `version` (`v1beta1`, `v1beta2`, `v1beta3` or `v1`).
pub fn from_v1(object: &Value, version: &str) -> Result<Value> {
    match version {
        "" | "v1" => Ok(object.clone()),
        other => match Version::parse(other) {
            Some(version) => Ok(linked(legacy::from_v1(object, version), object)),
            None => Err(ClientError::usage(format!("output version {other:?} is not known; use v1, v1beta1, v1beta2 or v1beta3"))),
        },
    }
}

/// The `selfLink` of the era, which today's objects lack: always in the client's own version, v1beta1.
fn linked(mut old: Value, object: &Value) -> Value {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let Some(kind) = kinds::by_api_version(api_version, object["kind"].as_str().unwrap_or_default()) else { return old };
    let (name, namespace) = (object["metadata"]["name"].as_str(), object["metadata"]["namespace"].as_str().unwrap_or_default());
    let Some(name) = name else { return old };
    let word = match kind.plural {
        "nodes" => "minions",
        "replicationcontrollers" => "replicationControllers",
        "limitranges" => "limitRanges",
        "resourcequotas" => "resourceQuotas",
        plural => plural,
    };
    let root = if kind.group.is_empty() { "/api" } else { "/osapi" };
    let query = if namespace.is_empty() { String::new() } else { format!("?namespace={namespace}") };
    let link = json!(format!("{root}/v1beta1/{word}/{name}{query}"));
    if old["metadata"].is_object() {
        old["metadata"]["selfLink"] = link;
    } else if old.get("id").is_some() {
        old["selfLink"] = link;
    }
    old
}

/// Several objects as one `List` of a version, each with its own kind.
pub fn list(objects: &[Value], revision: &str, version: &str) -> Result<Value> {
    let items = objects.iter().map(|o| from_v1(o, version)).collect::<Result<Vec<_>>>()?;
    Ok(match Version::parse(version) {
        Some(Version::V1Beta1 | Version::V1Beta2) => {
            json!({"kind": "List", "apiVersion": version, "creationTimestamp": null, "resourceVersion": revision.parse::<u64>().unwrap_or(0), "items": items})
        }
        _ => {
            json!({"kind": "List", "apiVersion": if version.is_empty() { "v1" } else { version }, "metadata": {"resourceVersion": revision}, "items": items})
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_the_era_names_each_kind_and_links_to_it() {
        let pod = json!({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"hack"},"spec":{"containers":[]},"status":{}});
        let rc = json!({"kind":"ReplicationController","apiVersion":"v1","metadata":{"name":"c","namespace":"hack"},"spec":{"replicas":2}});
        let old = list(&[pod.clone(), rc], "7", "v1beta1").expect("known");
        assert_eq!((&old["kind"], &old["resourceVersion"]), (&json!("List"), &json!(7)));
        assert_eq!(old["items"][0]["selfLink"], "/api/v1beta1/pods/a?namespace=hack");
        assert_eq!(old["items"][1]["kind"], "ReplicationController");
        assert_eq!(old["items"][1]["selfLink"], "/api/v1beta1/replicationControllers/c?namespace=hack");
        assert_eq!(list(&[pod], "7", "v1beta3").expect("known")["items"][0]["metadata"]["selfLink"], "/api/v1beta1/pods/a?namespace=hack");
        assert!(list(&[], "", "v9").is_ok() && from_v1(&json!({}), "v9").is_err());
    }
}
