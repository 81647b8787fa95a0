//! Reads objects from what `-f` names: a file, a directory, a URL or stdin; JSON or YAML, one or many, lists unpacked.
use super::{ClientError, Result};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Largest input that is read.
const INPUT_MAX: u64 = 128 << 20;
/// Deepest nesting of lists in lists.
const LIST_DEPTH_MAX: usize = 8;

/// One object of the input, in today's form, and where it came from.
#[derive(Clone, Debug)]
pub struct Input {
    pub object: Value,
    pub source: String,
}

/// All objects of all sources, in order.
pub async fn read_all(sources: &[String], recursive: bool) -> Result<Vec<Input>> {
    let mut out = Vec::new();
    for source in sources {
        for (name, text) in texts(source, recursive).await? {
            let documents = parse_documents(&text).map_err(|e| ClientError::usage(format!("unable to load {name:?}: {e}")))?;
            for document in documents {
                flatten(document, &name, LIST_DEPTH_MAX, &mut out)?;
            }
        }
    }
    Ok(out)
}

async fn texts(source: &str, recursive: bool) -> Result<Vec<(String, String)>> {
    if source == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(INPUT_MAX).read_to_string(&mut text);
        read.map_err(|e| ClientError::usage(format!("cannot read stdin: {e}")))?;
        return Ok(vec![("stdin".into(), text)]);
    }
    if source.starts_with("http://") || source.starts_with("https://") {
        return Ok(vec![(source.to_string(), fetch(source).await?)]);
    }
    let path = Path::new(source);
    if path.is_dir() {
        return directory(path, recursive);
    }
    Ok(vec![(source.to_string(), read_file(path)?)])
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ClientError::usage(format!("the path {:?} does not exist", path.display().to_string())),
        _ => ClientError::usage(format!("cannot read {}: {e}", path.display())),
    })
}

fn directory(path: &Path, recursive: bool) -> Result<Vec<(String, String)>> {
    let failed = |e: std::io::Error| ClientError::usage(format!("cannot read {}: {e}", path.display()));
    let mut entries: Vec<_> = std::fs::read_dir(path).map_err(failed)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    entries.sort();
    let mut out = Vec::new();
    for entry in entries {
        let known = entry.extension().is_some_and(|e| e == "json" || e == "yaml" || e == "yml");
        if entry.is_dir() && recursive {
            out.extend(directory(&entry, true)?);
        } else if known && entry.is_file() {
            out.push((entry.display().to_string(), read_file(&entry)?));
        }
    }
    Ok(out)
}

async fn fetch(url: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let target = super::config::Target { server: format!("{scheme}://{host}"), ..Default::default() };
    super::http::Client::new(target)?
        .get_text(&format!("/{path}"))
        .await
        .map_err(|e| ClientError::usage(format!("cannot fetch {url}: {e}")))
}

/// One document, JSON or YAML.
pub fn parse_document(text: &str) -> std::result::Result<Value, String> {
    let mut documents = parse_documents(text)?;
    match documents.len() {
        1 => Ok(documents.remove(0)),
        0 => Err("it is empty".into()),
        _ => Err("it holds several documents".into()),
    }
}

/// Every document of a text: JSON values one after the other, or YAML separated by `---`.
pub fn parse_documents(text: &str) -> std::result::Result<Vec<Value>, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with(['{', '[']) {
        match serde_json::Deserializer::from_str(text).into_iter::<Value>().collect::<std::result::Result<Vec<_>, _>>() {
            Ok(values) => return Ok(values),
            // JSON that YAML cannot read either keeps JSON's message, which names line and column.
            Err(e) => return yaml_documents(text).map_err(|_| format!("the JSON is not valid: {e}")),
        }
    }
    yaml_documents(text)
}

fn yaml_documents(text: &str) -> std::result::Result<Vec<Value>, String> {
    let first_line = |e: String| e.lines().next().unwrap_or_default().to_string();
    let values: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|e| format!("the YAML is not valid: {}", first_line(e.to_string())))?;
    Ok(values.into_iter().filter(|v| !v.is_null()).collect())
}

fn flatten(document: Value, source: &str, depth: usize, out: &mut Vec<Input>) -> Result<()> {
    let Some(kind) = document["kind"].as_str() else {
        return Err(ClientError::usage(format!(
            "unable to load {source:?}: 'kind' is missing; every object needs \"kind\" and \"apiVersion\""
        )));
    };
    let is_list = kind == "List" || kind == "Config" || (kind.ends_with("List") && document["items"].is_array());
    if !is_list {
        if document["apiVersion"].as_str().is_none_or(str::is_empty) {
            return Err(ClientError::usage(format!("unable to load {source:?}: 'apiVersion' is missing; write \"apiVersion\": \"v1\"")));
        }
        out.push(Input { object: super::convert::to_v1(document)?, source: source.to_string() });
        return Ok(());
    }
    if depth == 0 {
        return Err(ClientError::usage(format!("unable to load {source:?}: lists are nested too deeply")));
    }
    let (version, item_kind) = (document["apiVersion"].clone(), kind.strip_suffix("List").unwrap_or_default().to_string());
    let Value::Object(mut map) = document else { return Ok(()) };
    let items = match map.remove("items") {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    for mut item in items {
        // Items of a typed list may leave their kind to the list.
        if !item_kind.is_empty() && item.is_object() && item["kind"].is_null() {
            item["kind"] = Value::String(item_kind.clone());
            item["apiVersion"] = version.clone();
        }
        if item.is_object() && item["apiVersion"].is_null() {
            item["apiVersion"] = version.clone();
        }
        flatten(item, source, depth - 1, out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_and_yaml_in_any_number() {
        assert_eq!(parse_documents("{\"a\":1}\n{\"b\":2}").expect("json"), [json!({"a":1}), json!({"b":2})]);
        assert_eq!(parse_documents("a: 1\n---\n---\nb: yes-1\n").expect("yaml"), [json!({"a":1}), json!({"b":"yes-1"})]);
        assert_eq!(parse_documents("{a: 1}").expect("flow yaml"), [json!({"a":1})]);
        assert!(parse_documents("{\"a\": ").expect_err("cut").contains("line 1"));
    }

    #[test]
    fn lists_are_unpacked_and_kinds_handed_down() {
        let mut out = Vec::new();
        let list = json!({"kind":"List","apiVersion":"v1","items":[
            {"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}},
            {"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"b"}}]}]});
        flatten(list, "f", LIST_DEPTH_MAX, &mut out).expect("flattens");
        let names: Vec<_> = out.iter().map(|i| i.object["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(out[1].object["kind"], "Pod");
        assert!(flatten(json!({"metadata":{}}), "f", 1, &mut out).is_err());
    }
}
