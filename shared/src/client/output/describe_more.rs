//! Descriptions of the kinds around the workload: projects, quotas, limits, secrets, roles, and any other kind by its fields.
use super::describe::{Related, events, line};
use super::{items, labels, name, pairs, rows, text, time};
use crate::kinds::Kind;
use serde_json::Value;

pub fn describe(kind: &Kind, o: &Value, related: &Related) -> String {
    match (kind.group, kind.plural) {
        (_, "projects") => project(o, related),
        ("", "namespaces") => namespace(o, related),
        ("", "resourcequotas") => quota(o),
        ("", "limitranges") => limits(o),
        ("", "secrets" | "configmaps") => data(o),
        (_, "roles" | "clusterroles") => role(o),
        (_, "rolebindings" | "clusterrolebindings") => binding(o),
        ("", "endpoints") => endpoints(o),
        _ => generic(o, related),
    }
}

fn head(o: &Value) -> String {
    let mut out = String::new();
    line(&mut out, "Name", name(o));
    line(&mut out, "Created", time::plain(text(&o["metadata"]["creationTimestamp"])));
    line(&mut out, "Labels", labels(o));
    out
}

fn project(o: &Value, related: &Related) -> String {
    let mut out = head(o);
    let annotations = &o["metadata"]["annotations"];
    let description = annotations["openshift.io/description"].as_str().or(annotations["description"].as_str()).unwrap_or_default();
    if !description.is_empty() {
        line(&mut out, "Description", description);
    }
    let others: serde_json::Map<String, Value> = annotations
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(k, _)| !matches!(k.as_str(), "openshift.io/description" | "description" | "openshift.io/display-name"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if !others.is_empty() {
        line(&mut out, "Annotations", pairs(&Value::Object(others)));
    }
    line(&mut out, "Display Name", rows::display_name(o));
    out + &tenancy(related) + "\n"
}

fn namespace(o: &Value, related: &Related) -> String {
    let mut out = head(o);
    line(&mut out, "Status", text(&o["status"]["phase"]));
    out + &tenancy(related)
}

fn tenancy(related: &Related) -> String {
    related.quotas.iter().map(|q| format!("\n{}", quota(q))).chain(related.limits.iter().map(|l| format!("\n{}", limits(l)))).collect()
}

fn quota(o: &Value) -> String {
    let mut out = String::new();
    line(&mut out, "Name", name(o));
    out.push_str("Resource\tUsed\tHard\n--------\t----\t----\n");
    let hard = if o["status"]["hard"].is_object() { &o["status"]["hard"] } else { &o["spec"]["hard"] };
    for (resource, limit) in hard.as_object().into_iter().flatten() {
        let used = o["status"]["used"][resource].as_str().unwrap_or("0");
        out.push_str(&format!("{resource}\t{used}\t{}\n", text(limit)));
    }
    out
}

fn limits(o: &Value) -> String {
    let mut out = String::new();
    line(&mut out, "Name", name(o));
    out.push_str("Type\tResource\tMin\tMax\tDefault\n----\t--------\t---\t---\t-------\n");
    for limit in items(&o["spec"]["limits"]) {
        let mut resources: Vec<&String> = ["min", "max", "default", "defaultRequest"]
            .iter()
            .flat_map(|k| limit[*k].as_object().into_iter().flatten().map(|(k, _)| k))
            .collect();
        resources.sort();
        resources.dedup();
        for r in resources {
            let cell = |key: &str| limit[key][r].as_str().unwrap_or("-").to_string();
            out.push_str(&format!("{}\t{r}\t{}\t{}\t{}\n", text(&limit["type"]), cell("min"), cell("max"), cell("default")));
        }
    }
    out
}

/// Sizes only: a description must not show a secret.
fn data(o: &Value) -> String {
    use base64::Engine;
    let mut out = head(o);
    if o["kind"] == "Secret" {
        line(&mut out, "Type", o["type"].as_str().unwrap_or("Opaque"));
    }
    out.push_str("\nData\n====\n");
    for (key, value) in o["data"].as_object().into_iter().flatten() {
        if o["kind"] == "ConfigMap" {
            out.push_str(&format!("{key}:\n----\n{}\n\n", text(value)));
        } else {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text(value)).map_or(0, |b| b.len());
            line(&mut out, key, format!("{bytes} bytes"));
        }
    }
    out
}

fn list(value: &Value) -> String {
    format!("[{}]", items(value).iter().map(text).collect::<Vec<_>>().join(" "))
}

fn role(o: &Value) -> String {
    let mut out = head(o);
    out.push_str("Verbs\tResources\tAPI Groups\tNames\tURLs\n");
    for rule in items(&o["rules"]) {
        let cells = ["verbs", "resources", "apiGroups", "resourceNames", "nonResourceURLs"].map(|k| list(&rule[k]));
        out.push_str(&(cells.join("\t") + "\n"));
    }
    out
}

fn binding(o: &Value) -> String {
    let mut out = head(o);
    line(&mut out, "Role", format!("{} ({})", text(&o["roleRef"]["name"]), text(&o["roleRef"]["kind"])));
    line(&mut out, "Users", format!("[{}]", rows::subjects(o, &["User", "ServiceAccount"])));
    line(&mut out, "Groups", format!("[{}]", rows::subjects(o, &["Group"])));
    out
}

fn endpoints(o: &Value) -> String {
    let mut out = head(o);
    line(&mut out, "Endpoints", rows::endpoints(o));
    out
}

/// Any kind: its metadata, then its members as an indented outline.
fn generic(o: &Value, related: &Related) -> String {
    let mut out = head(o);
    if o["metadata"]["annotations"].is_object() {
        line(&mut out, "Annotations", pairs(&o["metadata"]["annotations"]));
    }
    line(&mut out, "Kind", text(&o["kind"]));
    for (key, value) in o.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "metadata" | "kind" | "apiVersion") {
            outline(&mut out, key, value, 0);
        }
    }
    out + events(&related.events).trim_end() + "\n"
}

fn outline(out: &mut String, key: &str, value: &Value, depth: usize) {
    let pad = "  ".repeat(depth);
    let mut title = key.to_string();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    match value {
        Value::Object(map) => {
            out.push_str(&format!("{pad}{title}:\n"));
            map.iter().for_each(|(k, v)| outline(out, k, v, depth + 1));
        }
        Value::Array(list) if list.iter().any(|v| v.is_object()) => {
            out.push_str(&format!("{pad}{title}:\n"));
            for (i, item) in list.iter().enumerate() {
                outline(out, &i.to_string(), item, depth + 1);
            }
        }
        Value::Array(list) => out.push_str(&format!("{pad}{title}:\t{}\n", list.iter().map(plain).collect::<Vec<_>>().join(", "))),
        other => out.push_str(&format!("{pad}{title}:\t{}\n", plain(other).replace('\n', " "))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::output::describe::describe;
    use crate::kinds;
    use serde_json::json;

    #[test]
    fn quota_and_project_as_recorded() {
        let q = json!({"metadata":{"name":"quota"},"spec":{"hard":{}},"status":{
            "hard":{"cpu":"20","memory":"1Gi","pods":"4","replicationcontrollers":"5"},
            "used":{"cpu":"200m","memory":"128Mi","pods":"11","replicationcontrollers":"2"}}});
        let want = "Name:\t\t\tquota\nResource\t\tUsed\tHard\n--------\t\t----\t----\ncpu\t\t\t200m\t20\nmemory\t\t\t128Mi\t1Gi\npods\t\t\t11\t4\nreplicationcontrollers\t2\t5\n";
        assert_eq!(describe(&kinds::RESOURCE_QUOTA, &q, &Related::default()), want);
        let p = json!({"metadata":{"name":"hack","creationTimestamp":"2026-11-23T14:44:25Z",
            "annotations":{"openshift.io/display-name":"Hack Night","openshift.io/description":"The Hack Night Demo Project"}}});
        let want = "Name:\t\thack\nCreated:\t2026-11-23 14:44:25 +0000 UTC\nLabels:\t\t<none>\nDescription:\tThe Hack Night Demo Project\nDisplay Name:\tHack Night\n\n";
        assert_eq!(describe(&kinds::PROJECT, &p, &Related::default()), want);
    }

    #[test]
    fn a_secret_is_described_by_size() {
        let s = json!({"kind":"Secret","metadata":{"name":"s"},"data":{"password":"aGVsbG8="}});
        let text = describe(&kinds::SECRET, &s, &Related::default());
        assert!(text.contains("5 bytes") && !text.contains("hello") && !text.contains("aGVs"), "{text}");
    }
}
