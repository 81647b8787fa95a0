//! `osc explain`: what the fields of a kind mean, from the server's own OpenAPI document.
use super::print;
use crate::client::http::Client;
use crate::client::{ClientError, Result, resources};
use clap::Args;
use serde_json::Value;

/// References that are followed one after the other; schemas may refer to themselves.
const DEPTH_MAX: usize = 12;
const WIDTH: usize = 80;
/// `--recursive` stops here: some schemas contain themselves several times.
const OUTPUT_MAX: usize = 1 << 20;

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// RESOURCE or RESOURCE.FIELD.FIELD
    path: String,
    /// Every field below, names only
    #[arg(long)]
    recursive: bool,
}

pub(super) async fn run(client: &Client, args: ExplainArgs) -> Result<()> {
    let mut words = args.path.trim_end_matches('.').split('.');
    let kind = resources::kind_of(client, words.next().unwrap_or_default()).await?;
    let version = kind.api_version();
    let place = if kind.group.is_empty() { format!("api/{version}") } else { format!("apis/{version}") };
    let document = client.get(&format!("/openapi/v3/{place}")).await?;
    let schemas = &document["components"]["schemas"];
    let is_it = |s: &&Value| {
        let names = s["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
        names
            .into_iter()
            .any(|n| n["kind"] == kind.kind && n["group"].as_str().unwrap_or_default() == kind.group && n["version"] == kind.version)
    };
    let root = schemas.as_object().into_iter().flatten().map(|(_, s)| s).find(is_it);
    let root = root.ok_or_else(|| ClientError::usage(format!("the server describes no fields of {}", kind.plural)))?;
    let head = format!("KIND:     {}\nVERSION:  {version}\n\n", kind.kind);
    print(&(head + &describe(schemas, root, &words.collect::<Vec<_>>(), args.recursive)?))
}

/// The schema that a reference, a list or a map leads to.
fn target<'a>(schemas: &'a Value, schema: &'a Value) -> &'a Value {
    let mut at = schema;
    for _ in 0..DEPTH_MAX {
        let next = if let Some(name) = at["$ref"].as_str() {
            &schemas[name.rsplit('/').next().unwrap_or_default()]
        } else if let Some(first) = at["allOf"].get(0) {
            first
        } else if at["items"].is_object() {
            &at["items"]
        } else if at["additionalProperties"].is_object() {
            &at["additionalProperties"]
        } else {
            return at;
        };
        at = next;
    }
    at
}

/// `string`, `[]Object`, `map[string]string`.
fn type_name(schemas: &Value, schema: &Value, depth: usize) -> String {
    if depth == 0 {
        return "Object".into();
    }
    if schema["items"].is_object() {
        return format!("[]{}", type_name(schemas, &schema["items"], depth - 1));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map[string]{}", type_name(schemas, &schema["additionalProperties"], depth - 1));
    }
    let referred = schema["$ref"].as_str().or(schema["allOf"][0]["$ref"].as_str());
    if let Some(name) = referred.and_then(|r| r.rsplit('/').next()) {
        let inner = &schemas[name];
        return if inner["properties"].is_object() {
            name.rsplit('.').next().unwrap_or(name).to_string()
        } else {
            type_name(schemas, inner, depth - 1)
        };
    }
    match schema["type"].as_str() {
        Some("object") | None => "Object".into(),
        Some(word) => word.into(),
    }
}

fn describe(schemas: &Value, root: &Value, path: &[&str], recursive: bool) -> Result<String> {
    let (mut at, mut field) = (root, None);
    for word in path {
        let within = target(schemas, at);
        at = within["properties"].get(*word).ok_or_else(|| {
            let known: Vec<&str> = within["properties"].as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
            ClientError::usage(match known.is_empty() {
                true => format!("field \"{word}\" does not exist: what is before it has no fields"),
                false => format!("field \"{word}\" does not exist; there are: {}", known.join(", ")),
            })
        })?;
        field = Some(*word);
    }
    let mut out = String::new();
    if let Some(field) = field {
        out.push_str(&format!("FIELD: {field} <{}>\n\n", type_name(schemas, at, DEPTH_MAX)));
    }
    let inner = target(schemas, at);
    let own = at["description"].as_str().or(inner["description"].as_str()).unwrap_or("<empty>");
    out.push_str(&format!("DESCRIPTION:\n{}", wrapped(own, 4)));
    if inner["properties"].is_object() {
        out.push_str("\nFIELDS:\n");
        fields(schemas, inner, 2, if recursive { DEPTH_MAX } else { 1 }, !recursive, &mut out);
    }
    Ok(out)
}

fn fields(schemas: &Value, schema: &Value, pad: usize, depth: usize, texts: bool, out: &mut String) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let mark = if required.contains(&name.as_str()) { " -required-" } else { "" };
        out.push_str(&format!("{}{name}\t<{}>{mark}\n", " ".repeat(pad), type_name(schemas, field, DEPTH_MAX)));
        let inner = target(schemas, field);
        if texts {
            let text = field["description"].as_str().or(inner["description"].as_str()).unwrap_or("<no description>");
            out.push_str(&(wrapped(text, pad + 2) + "\n"));
        }
        if depth > 1 && out.len() < OUTPUT_MAX {
            fields(schemas, inner, pad + 2, depth - 1, texts, out);
        }
    }
}

fn wrapped(text: &str, pad: usize) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && pad + line.len() + 1 + word.len() > WIDTH {
            out.push_str(&format!("{}{line}\n", " ".repeat(pad)));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out + &format!("{}{line}\n", " ".repeat(pad))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_found_along_references_lists_and_maps() {
        let schemas = json!({
            "v1.Pod": {"description": "A pod.", "properties": {"spec": {"description": "Wanted.", "allOf": [{"$ref": "#/components/schemas/v1.Spec"}]}}},
            "v1.Spec": {"required": ["containers"], "properties": {
                "containers": {"type": "array", "items": {"$ref": "#/components/schemas/v1.Container"}},
                "nodeSelector": {"type": "object", "additionalProperties": {"type": "string"}}}},
            "v1.Container": {"description": "Runs.", "properties": {"name": {"type": "string", "description": "Its name."}, "self": {"$ref": "#/components/schemas/v1.Container"}}}});
        let say = |path: &[&str]| describe(&schemas, &schemas["v1.Pod"], path, false);
        let spec = say(&["spec"]).expect("there");
        assert!(spec.starts_with("FIELD: spec <Spec>\n\nDESCRIPTION:\n    Wanted.\n"), "{spec}");
        assert!(spec.contains("  containers\t<[]Container> -required-\n    Runs.\n"), "{spec}");
        assert!(spec.contains("  nodeSelector\t<map[string]string>\n"), "{spec}");
        assert!(say(&["spec", "containers", "name"]).expect("there").contains("Its name."));
        assert!(say(&["spec", "nope"]).expect_err("not there").to_string().contains("containers, nodeSelector"));
        assert!(describe(&schemas, &schemas["v1.Pod"], &[], true).expect("ends").len() < 100_000);
    }
}
