//! ResourceQuota and LimitRange: how much a namespace, and each thing in it, may use.
use crate::meta::{ObjectMeta, StringMap, null_default, string_map};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceQuota {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub spec: ResourceQuotaSpec,
    #[serde(deserialize_with = "null_default")]
    pub status: ResourceQuotaStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceQuotaSpec {
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub hard: StringMap,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_selector: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceQuotaStatus {
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub hard: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub used: StringMap,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitRange {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub spec: LimitRangeSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitRangeSpec {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub limits: Vec<LimitRangeItem>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitRangeItem {
    #[serde(rename = "type", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub max: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub min: StringMap,
    #[serde(rename = "default", skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub default_: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub default_request: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub max_limit_request_ratio: StringMap,
}
