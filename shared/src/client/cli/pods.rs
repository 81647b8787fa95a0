//! From `NAME`, `pod/NAME`, `rc/NAME` or `service/NAME` to the pod that is meant.
use crate::client::http::{Client, with_query};
use crate::client::{ClientError, Result, resources};
use crate::kinds::POD;
use serde_json::Value;

pub(super) fn path(client: &Client, pod: &str) -> String {
    resources::path(&POD, &client.target.namespace, pod)
}

/// The selector of an object that has pods, as a query.
fn selector(object: &Value) -> Option<String> {
    let spec = &object["spec"]["selector"];
    let labels = if spec["matchLabels"].is_object() { &spec["matchLabels"] } else { spec };
    let pairs: Vec<String> = labels.as_object()?.iter().filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?))).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

/// The name of one pod: the one named, or the best of those that the named object selects.
pub(super) async fn one(client: &Client, word: &str) -> Result<String> {
    let Some((kind, name)) = word.split_once('/') else { return Ok(word.to_string()) };
    let kind = resources::kind_of(client, kind).await?;
    if *kind == POD {
        return Ok(name.to_string());
    }
    let object = client.get(&resources::path(kind, &client.target.namespace, name)).await?;
    let selector = selector(&object).ok_or_else(|| ClientError::usage(format!("{word} selects no pods; name a pod")))?;
    let list = client.get(&with_query(&path(client, ""), &[("labelSelector", &selector)])).await?;
    let pods = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    best(pods).ok_or_else(|| ClientError::usage(format!("{word} has no pods now")))
}

/// A running pod before others, the oldest of several.
fn best(pods: &[Value]) -> Option<String> {
    let rank =
        |p: &&Value| (p["status"]["phase"] != "Running", p["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_string());
    pods.iter().min_by_key(rank).and_then(|p| p["metadata"]["name"].as_str()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pod_of_a_controller_is_a_running_one() {
        let pods = [
            json!({"metadata":{"name":"a","creationTimestamp":"1"},"status":{"phase":"Pending"}}),
            json!({"metadata":{"name":"b","creationTimestamp":"3"},"status":{"phase":"Running"}}),
            json!({"metadata":{"name":"c","creationTimestamp":"2"},"status":{"phase":"Running"}}),
        ];
        assert_eq!(best(&pods).as_deref(), Some("c"));
        assert_eq!(selector(&json!({"spec":{"selector":{"matchLabels":{"a":"b"}}}})).as_deref(), Some("a=b"));
        assert_eq!(selector(&json!({"spec":{}})), None);
    }
}
