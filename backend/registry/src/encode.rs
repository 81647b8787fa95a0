//! An object's JSON as it is stored: encoded once, with a gap where the commit puts the resourceVersion.
use bytes::Bytes;
use serde_json::{Map, Value};

/// The bytes, and the offset at which the revision's digits belong.
pub(crate) fn encode(object: &Map<String, Value>) -> (Bytes, usize) {
    let mut out = Vec::with_capacity(1024);
    let mut revision_at = 0;
    out.push(b'{');
    for (i, (key, value)) in object.iter().enumerate() {
        member(&mut out, i, key);
        match value {
            Value::Object(metadata) if key == "metadata" => revision_at = encode_metadata(&mut out, metadata),
            other => write(&mut out, other),
        }
    }
    out.push(b'}');
    (Bytes::from(out), revision_at)
}

fn encode_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>) -> usize {
    out.push(b'{');
    out.extend_from_slice(br#""resourceVersion":""#);
    let at = out.len();
    out.push(b'"');
    for (key, value) in metadata.iter().filter(|(k, _)| *k != "resourceVersion") {
        member(out, 1, key);
        write(out, value);
    }
    out.push(b'}');
    at
}

fn member(out: &mut Vec<u8>, position: usize, key: &str) {
    if position > 0 {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, key).expect("writing to memory cannot fail");
    out.push(b':');
}

fn write(out: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(out, value).expect("writing to memory cannot fail");
}

/// The same object with another resourceVersion: for DELETED events, which carry the deletion's.
pub(crate) fn with_revision(bytes: &[u8], revision: u64) -> Bytes {
    let Ok(Value::Object(object)) = serde_json::from_slice(bytes) else { return Bytes::copy_from_slice(bytes) };
    let (encoded, at) = encode(&object);
    [&encoded[..at], revision.to_string().as_bytes(), &encoded[at..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_gap_is_the_resource_version() {
        let object = json!({"kind": "Pod", "metadata": {"name": "a", "annotations": {"resourceVersion": "\"x"}, "resourceVersion": "3"}, "spec": {"resourceVersion": ""}});
        let bytes = with_revision(&serde_json::to_vec(&object).unwrap(), 42);
        let mut wanted = object.clone();
        wanted["metadata"]["resourceVersion"] = json!("42");
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), wanted);
    }
}
