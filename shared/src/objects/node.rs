//! Node: a machine that runs pods, what it has and how it is.
use crate::meta::{ObjectMeta, StringMap, null_default, string_map};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    pub metadata: ObjectMeta,
    #[serde(deserialize_with = "null_default")]
    pub spec: NodeSpec,
    #[serde(deserialize_with = "null_default")]
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    #[serde(deserialize_with = "null_default")]
    pub unschedulable: bool,
    #[serde(rename = "podCIDR", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub pod_cidr: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub provider_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub key: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub value: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub effect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub capacity: StringMap,
    #[serde(skip_serializing_if = "StringMap::is_empty", deserialize_with = "string_map")]
    pub allocatable: StringMap,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub conditions: Vec<NodeCondition>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub addresses: Vec<NodeAddress>,
    #[serde(deserialize_with = "null_default")]
    pub node_info: NodeInfo,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub images: Vec<NodeImage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon_endpoints: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCondition {
    #[serde(rename = "type", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAddress {
    #[serde(rename = "type", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub type_: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub address: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub machine_id: String,
    #[serde(rename = "systemUUID", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub system_uuid: String,
    #[serde(rename = "bootID", skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub boot_id: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub kernel_version: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub os_image: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub container_runtime_version: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub kubelet_version: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub kube_proxy_version: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub operating_system: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub architecture: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeImage {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub names: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    pub size_bytes: i64,
}
