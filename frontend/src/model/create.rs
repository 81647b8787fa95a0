//! From a pasted text to the requests that create what it describes.
use serde_json::Value;
use shared::kinds::by_api_version;

/// Documents of one paste.
const DOCUMENTS_MAX: usize = 200;

/// One object to create.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `Pod web`, for messages.
    pub what: String,
    pub path: String,
    pub content_type: &'static str,
    pub body: String,
}

/// The requests of a text of JSON or YAML documents; the error says which document is wrong.
pub fn requests(text: &str, project: &str) -> Result<Vec<Request>, String> {
    let trimmed = text.trim_start();
    let all = if trimmed.starts_with(['{', '[']) { from_json(trimmed, project)? } else { from_yaml(text, project)? };
    match all.len() {
        0 => Err("There is no object in this text.".into()),
        n if n > DOCUMENTS_MAX => Err(format!("{n} objects at once are too many; {DOCUMENTS_MAX} are the limit.")),
        _ => Ok(all),
    }
}

fn from_json(text: &str, project: &str) -> Result<Vec<Request>, String> {
    let mut all = vec![];
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let document = document.map_err(|e| format!("This is not JSON: {e}."))?;
        let listed = |d: &Value| d["kind"].as_str().is_some_and(|k| k.ends_with("List"));
        let inner = if listed(&document) { document["items"].as_array().cloned() } else { None };
        for object in inner.or_else(|| document.as_array().cloned()).unwrap_or_else(|| vec![document]) {
            let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
            let name = if text("/metadata/name").is_empty() { text("/id") } else { text("/metadata/name") };
            let name = if name.is_empty() { text("/metadata/generateName") } else { name };
            let own = if text("/metadata/namespace").is_empty() { text("/namespace") } else { text("/metadata/namespace") };
            let path = path(text("/apiVersion"), text("/kind"), own, project)?;
            all.push(Request {
                what: format!("{} {name}", text("/kind")),
                path,
                content_type: "application/json",
                body: object.to_string(),
            });
        }
    }
    Ok(all)
}

fn from_yaml(text: &str, project: &str) -> Result<Vec<Request>, String> {
    let mut all = vec![];
    for document in documents(text) {
        let top = |key: &str| field(&document, key, 0);
        let (kind, version) = (top("kind"), top("apiVersion"));
        let (name, own) = (nested(&document, "metadata", "name"), nested(&document, "metadata", "namespace"));
        let path = path(&version, &kind, &own, project)?;
        all.push(Request { what: format!("{kind} {name}"), path, content_type: "application/yaml", body: document });
    }
    Ok(all)
}

/// The documents of a YAML stream that hold more than comments.
fn documents(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") {
            all.push(String::new());
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all.retain(|d| d.lines().any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')));
    all
}

/// The value of `key:` at an indentation: enough to know where a document goes; the server reads the whole of it.
fn field(document: &str, key: &str, indent: usize) -> String {
    let found = document.lines().find_map(|line| {
        let rest = line.get(indent..)?.strip_prefix(key)?.strip_prefix(':')?;
        line[..indent].chars().all(|c| c == ' ').then(|| rest.split(" #").next().unwrap_or_default().trim().to_string())
    });
    found.unwrap_or_default().trim_matches(['"', '\'']).to_string()
}

fn nested(document: &str, section: &str, key: &str) -> String {
    let inside: Vec<&str> = document
        .lines()
        .skip_while(|l| l.trim_end() != format!("{section}:"))
        .skip(1)
        .take_while(|l| l.starts_with(' ') || l.trim().is_empty() || l.starts_with('#'))
        .collect();
    let first = inside.iter().find(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
    let indent = first.map_or(0, |l| l.len() - l.trim_start().len());
    field(&inside.join("\n"), key, indent)
}

/// Where an object of this version and kind is posted.
fn path(version: &str, kind: &str, own: &str, project: &str) -> Result<String, String> {
    if kind.is_empty() || version.is_empty() {
        return Err("Every object needs `kind` and `apiVersion`.".into());
    }
    let project = if own.is_empty() { project } else { own };
    let old = matches!(version, "v1beta1" | "v1beta2" | "v1beta3");
    let known =
        by_api_version(if old { "v1" } else { version }, kind).ok_or_else(|| format!("There is no kind {kind} in {version} here."))?;
    Ok(match version {
        // The first versions had their names in lower camel case and the project in the query.
        "v1beta1" | "v1beta2" => {
            let mut plural = kind.to_string();
            plural[..1].make_ascii_lowercase();
            format!("/api/{version}/{plural}s?namespace={project}")
        }
        "v1beta3" => format!("/api/v1beta3/namespaces/{project}/{}", known.plural),
        _ => known.collection_path(known.namespaced().then_some(project)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_documents_find_their_places() {
        let text = "# first\n---\napiVersion: v1 # core\nkind: \"Pod\"\nmetadata:\n  labels:\n    name: no\n  name: web\nspec: {}\n---\nkind: Node\napiVersion: v1\nmetadata:\n    name: n\n---\n# end\n";
        let all = requests(text, "hack").unwrap();
        let seen: Vec<(&str, &str)> = all.iter().map(|r| (r.what.as_str(), r.path.as_str())).collect();
        assert_eq!(seen, [("Pod web", "/api/v1/namespaces/hack/pods"), ("Node n", "/api/v1/nodes")]);
    }

    #[test]
    fn json_lists_and_old_versions_find_their_places() {
        let text = r#"{"kind":"List","apiVersion":"v1","items":[{"kind":"Service","apiVersion":"v1","metadata":{"name":"s","namespace":"other"}}]}
            {"kind":"ReplicationController","apiVersion":"v1beta1","id":"rc"}"#;
        let all = requests(text, "hack").unwrap();
        assert_eq!(all[0].path, "/api/v1/namespaces/other/services");
        assert_eq!(all[1].path, "/api/v1beta1/replicationControllers?namespace=hack");
        assert_eq!(all[1].what, "ReplicationController rc");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(requests("", "p").unwrap_err().contains("no object"));
        assert!(requests("{", "p").unwrap_err().contains("not JSON"));
        assert!(requests("a: b", "p").unwrap_err().contains("`kind`"));
        assert!(requests("kind: Nonsense\napiVersion: v1\n", "p").unwrap_err().contains("Nonsense"));
    }
}
