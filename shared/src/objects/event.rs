//! Event: something happened to an object.
use crate::meta::{ObjectMeta, ObjectReference, null_default};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub involved_object: ObjectReference,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub message: String,
    #[serde(deserialize_with = "null_default")]
    pub source: EventSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    #[serde(deserialize_with = "null_default")]
    pub count: i64,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub reporting_component: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub reporting_instance: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSource {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub component: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub host: String,
}
