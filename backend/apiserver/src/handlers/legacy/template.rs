//! Processing of templates: parameters get values, items get them filled in, and labels. Nothing is stored.
use serde_json::{Map, Value, json};
use shared::status::Status;
use std::collections::BTreeMap;

/// A generated value is at most this long, as the original had it.
const GENERATED_CHARS_MAX: usize = 255;
/// What all items together may grow to, in characters put in.
const GROWTH_CHARS_MAX: usize = 4 * 1024 * 1024;

/// The list that a template stands for. `pick` chooses below a bound, at random.
pub fn process(template: &Value, pick: &mut dyn FnMut(usize) -> usize) -> Result<Value, Status> {
    let values = parameters(template, pick)?;
    let labels = template["labels"].as_object().cloned().unwrap_or_default();
    let mut items = template["items"].clone();
    let mut room = GROWTH_CHARS_MAX;
    for item in items.as_array_mut().into_iter().flatten() {
        fill(item, &values, &mut room)?;
        label(item, &labels);
    }
    Ok(json!({"kind": "Config", "apiVersion": "v1beta1", "metadata": {"creationTimestamp": null}, "items": items}))
}

fn parameters(template: &Value, pick: &mut dyn FnMut(usize) -> usize) -> Result<BTreeMap<String, String>, Status> {
    let mut values = BTreeMap::new();
    for parameter in template["parameters"].as_array().into_iter().flatten() {
        let text = |member: &str| parameter[member].as_str().unwrap_or_default();
        let (name, value) = (text("name"), text("value"));
        let value = match text("generate") {
            _ if !value.is_empty() => value.to_string(),
            "" => String::new(),
            "expression" => generate(text("from"), pick).map_err(|why| Status::bad_request(format!("parameter {name}: {why}")))?,
            other => return Err(Status::bad_request(format!("parameter {name}: there is no generator {other:?}, only \"expression\""))),
        };
        values.insert(name.to_string(), value);
    }
    Ok(values)
}

/// `admin[A-Z0-9]{3}`: text as it is, and classes with how many of them.
fn generate(expression: &str, pick: &mut dyn FnMut(usize) -> usize) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let (class, after) = after.split_once(']').ok_or_else(|| format!("{expression:?} has a [ without its ]"))?;
        let (count, after) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
            Some((count, after)) => (count.parse::<usize>().map_err(|_| format!("{count:?} is no number"))?, after),
            None => (1, after),
        };
        let alphabet = alphabet(class)?;
        if out.len().saturating_add(count) > GENERATED_CHARS_MAX {
            return Err(format!("{expression:?} makes more than {GENERATED_CHARS_MAX} characters"));
        }
        out.extend((0..count).map(|_| alphabet[pick(alphabet.len())]));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The characters of `a-z0-9`, `\w`, `\d`, `\a`, `\A`.
fn alphabet(class: &str) -> Result<Vec<char>, String> {
    let letters = || ('a'..='z').chain('A'..='Z').chain('0'..='9');
    let mut out = Vec::new();
    let mut chars = class.chars().peekable();
    while let Some(first) = chars.next() {
        if first == '\\' {
            match chars.next() {
                Some('w') => out.extend(letters().chain(['_'])),
                Some('d') => out.extend('0'..='9'),
                Some('a') => out.extend(letters()),
                Some('A') => out.extend("~!@#$%^&*()-_+={}[]\\|<,>.?/\"';:`".chars()),
                other => return Err(format!("\\{} is no class", other.map(String::from).unwrap_or_default())),
            }
        } else if chars.peek() == Some(&'-') {
            chars.next();
            let last = chars.next().filter(|last| *last >= first && last.is_ascii());
            out.extend(first..=last.ok_or_else(|| format!("[{class}] is no range"))?);
        } else {
            out.push(first);
        }
    }
    if out.is_empty() { Err("an empty class has no characters".into()) } else { Ok(out) }
}

/// Puts values in place of `${NAME}` in every text.
fn fill(value: &mut Value, values: &BTreeMap<String, String>, room: &mut usize) -> Result<(), Status> {
    match value {
        Value::String(text) if text.contains("${") => {
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once("${") {
                out.push_str(before);
                match after.split_once('}').and_then(|(name, after)| Some((values.get(name)?, after))) {
                    Some((value, after)) => {
                        *room = room.checked_sub(value.len()).ok_or_else(|| Status::bad_request("the template grows too large"))?;
                        out.push_str(value);
                        rest = after;
                    }
                    None => {
                        out.push_str("${");
                        rest = after;
                    }
                }
            }
            out.push_str(rest);
            *text = out;
            Ok(())
        }
        Value::Array(list) => list.iter_mut().try_for_each(|v| fill(v, values, room)),
        Value::Object(map) => map.values_mut().try_for_each(|v| fill(v, values, room)),
        _ => Ok(()),
    }
}

/// Adds the template's labels to an item, and to the pods that it will make.
fn label(item: &mut Value, labels: &Map<String, Value>) {
    if labels.is_empty() || !item.is_object() {
        return;
    }
    let mut places = vec![if item["metadata"].is_object() { "/metadata" } else { "" }];
    if item["kind"] == "ReplicationController" {
        places.extend(["/desiredState/podTemplate", "/spec/template/metadata"]);
    }
    for place in places {
        if let Some(map) = item.pointer_mut(place).and_then(Value::as_object_mut) {
            let own = map.entry("labels").or_insert_with(|| json!({}));
            if own.is_null() {
                *own = json!({});
            }
            if let Some(own) = own.as_object_mut() {
                own.extend(labels.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_filled_in_and_labels_added() {
        let template = json!({"kind": "Template", "items": [
            {"kind": "Service", "id": "svc-${A}", "port": 1, "selector": {"n": "${B}-${C}"}},
            {"kind": "ReplicationController", "desiredState": {"podTemplate": {"labels": {"own": "1"}}}}],
            "parameters": [{"name": "A", "value": "x"}, {"name": "B", "generate": "expression", "from": "p[a-c]{3}"}], "labels": {"t": "1"}});
        let done = process(&template, &mut |n| n - 1).unwrap();
        assert_eq!(done["kind"], "Config");
        assert_eq!(
            done["items"][0],
            json!({"kind": "Service", "id": "svc-x", "port": 1, "selector": {"n": "pccc-${C}"}, "labels": {"t": "1"}})
        );
        assert_eq!(done["items"][1]["desiredState"]["podTemplate"]["labels"], json!({"own": "1", "t": "1"}));
    }

    #[test]
    fn expressions_that_mean_nothing_are_refused() {
        let text = |from: &str| generate(from, &mut |_| 0);
        assert_eq!(text("admin[A-Z0-9]{3}").unwrap(), "adminAAA");
        assert_eq!(text("[\\d]{2}[\\w]").unwrap(), "00a");
        for wrong in ["[a-z", "[]{2}", "[z-a]{1}", "[a-z]{999}", "[\\q]", "[a-z]{x}"] {
            assert!(text(wrong).is_err(), "{wrong}");
        }
        let unknown = json!({"parameters": [{"name": "A", "generate": "dice"}]});
        assert!(process(&unknown, &mut |_| 0).unwrap_err().message.contains("dice"));
    }
}
