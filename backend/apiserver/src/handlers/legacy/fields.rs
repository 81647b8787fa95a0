//! The query parameters of 2015 in today's names.
use super::address::Objects;
use crate::handlers::Call;
use crate::query::Query;
use http::Method;
use shared::kinds;
use shared::status::Status;

/// `labels`, `fields` and the rest. Deletions were immediate, and left a controller's pods alone.
pub fn translate(call: &mut Call, query: &Query, target: &Objects) -> Result<(), Status> {
    let first = |names: &[&str]| names.iter().map(|n| query.text(n)).find(|t| !t.is_empty()).unwrap_or_default().to_string();
    let fields = selector(&first(&["fields", "fieldSelector", "field-selector"]));
    let labels = first(&["labels", "labelSelector", "label-selector"]);
    let revision = query.text("resourceVersion").to_string();
    let mut pairs = vec![("labelSelector", labels.as_str()), ("fieldSelector", fields.as_str())];
    if target.watch || query.flag("watch").unwrap_or(false) {
        pairs.push(("resourceVersion", revision.as_str()));
        pairs.push(("timeoutSeconds", query.text("timeoutSeconds")));
    }
    if *call.method() == Method::DELETE {
        if *target.kind == kinds::POD {
            pairs.push(("gracePeriodSeconds", "0"));
        } else if *target.kind == kinds::REPLICATION_CONTROLLER {
            pairs.push(("propagationPolicy", "Orphan"));
        }
    }
    pairs.retain(|(_, value)| !value.is_empty());
    set_query(call, &pairs)
}

/// Puts other parameters into the request's URL.
pub fn set_query(call: &mut Call, pairs: &[(&str, &str)]) -> Result<(), Status> {
    let encode = |text: &str| -> String {
        text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let path = call.parts.uri.path();
    let text = if query.is_empty() { path.to_string() } else { format!("{path}?{}", query.join("&")) };
    call.parts.uri = text.parse().map_err(|_| Status::bad_request("the URL cannot be read"))?;
    Ok(())
}

/// A field selector with old names and words, in today's.
fn selector(text: &str) -> String {
    text.split(',').map(term).collect::<Vec<_>>().join(",")
}

fn term(term: &str) -> String {
    let end = term.find(['=', '!']).unwrap_or(term.len());
    let start = term[end..].find(|c| !matches!(c, '=' | '!')).map_or(term.len(), |n| end + n);
    let name = match term[..end].to_ascii_lowercase().as_str() {
        "name" | "id" => "metadata.name",
        "namespace" => "metadata.namespace",
        "desiredstate.host" | "currentstate.host" | "status.host" | "spec.host" | "host" => "spec.nodeName",
        "status.phase" | "desiredstate.status" | "currentstate.status" | "status.status" => "status.phase",
        "portalip" | "spec.portalip" => "spec.clusterIP",
        "currentstate.replicas" | "status.replicas" => "status.replicas",
        "involvedobject.id" => "involvedObject.name",
        _ => &term[..end],
    };
    let value = match (name, &term[start..]) {
        ("status.phase", "Waiting") => "Pending",
        ("status.phase", "Terminated") => "Failed",
        ("involvedObject.kind", "Minion") => "Node",
        (_, value) => value,
    };
    format!("{name}{}{value}", &term[end..start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_field_names_and_words_are_translated() {
        assert_eq!(selector("DesiredState.Host=master,Status.Phase!=Waiting"), "spec.nodeName=master,status.phase!=Pending");
        assert_eq!(selector("DesiredState.Host=,name==x"), "spec.nodeName=,metadata.name==x");
        assert_eq!(selector("involvedObject.kind=Minion,reason=a"), "involvedObject.kind=Node,reason=a");
        assert_eq!(selector(""), "");
    }
}
