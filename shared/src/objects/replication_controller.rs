//! ReplicationController: keeps a number of pods alike.
use crate::meta::{ObjectMeta, StringMap, null_default, string_map};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicationController {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub spec: ReplicationControllerSpec,
    #[serde(deserialize_with = "null_default")]
    pub status: ReplicationControllerStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicationControllerSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    #[serde(deserialize_with = "null_default")]
    pub min_ready_seconds: i32,
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub selector: StringMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicationControllerStatus {
    #[serde(deserialize_with = "null_default")]
    pub replicas: i32,
    #[serde(deserialize_with = "null_default")]
    pub fully_labeled_replicas: i32,
    #[serde(deserialize_with = "null_default")]
    pub ready_replicas: i32,
    #[serde(deserialize_with = "null_default")]
    pub available_replicas: i32,
    #[serde(deserialize_with = "null_default")]
    pub observed_generation: i64,
}
