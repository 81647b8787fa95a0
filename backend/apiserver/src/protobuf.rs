//! Kubernetes' protobuf encoding of bodies and answers, translated by the schema.
use schema::Error;
use serde_json::Value;
use shared::status::{Reason, Status};

/// Decodes `k8s\0` and the envelope behind it to the object as JSON.
pub fn decode(bytes: &[u8]) -> Result<Value, String> {
    schema::protobuf::decode(bytes).map(|d| d.value).map_err(|e| e.to_string())
}

/// Encodes an object; 406 when its kind has no protobuf form.
pub fn encode(value: &Value) -> Result<Vec<u8>, Status> {
    schema::protobuf::encode(value).map_err(|error| match error {
        Error::UnknownKind { .. } => {
            Status::failure(406, Reason::NotAcceptable, format!("{error}: it has no protobuf form here, ask for application/json"))
        }
        other => Status::internal(other.to_string()),
    })
}
