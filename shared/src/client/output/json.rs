//! JSON indented by four, kind and version first, as the client of 2015 printed it.
use serde_json::Value;

/// Members that come first, in this order; the rest follow by name.
const FIRST: &[&str] = &[
    "kind",
    "id",
    "uid",
    "creationTimestamp",
    "selfLink",
    "resourceVersion",
    "apiVersion",
    "namespace",
    "generateName",
    "labels",
    "annotations",
    "metadata",
    "spec",
    "desiredState",
    "status",
];

pub fn to_json(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out.push('\n');
    out
}

fn rank(key: &str) -> usize {
    FIRST.iter().position(|k| *k == key).unwrap_or(FIRST.len())
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(out, depth + 1);
                write(item, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            if map.contains_key("kind") {
                entries.sort_by_key(|(k, _)| rank(k));
            }
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                line(out, depth + 1);
                out.push_str(&Value::String(key.clone()).to_string());
                out.push_str(": ");
                write(item, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn kind_first_four_blanks() {
        let object = json!({"apiVersion":"v1beta1","id":"x","kind":"Pod","labels":{},"a":[1,{"b":null}]});
        let want = "{\n    \"kind\": \"Pod\",\n    \"id\": \"x\",\n    \"apiVersion\": \"v1beta1\",\n    \"labels\": {},\n    \"a\": [\n        1,\n        {\n            \"b\": null\n        }\n    ]\n}\n";
        assert_eq!(super::to_json(&object), want);
    }
}
