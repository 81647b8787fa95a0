//! Which form of answer the Accept header asks for.
use shared::status::{Reason, Status};

/// A form in which objects can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Yaml,
    Protobuf,
    /// Rows and columns for people; `v1` or `v1beta1`.
    Table {
        version: &'static str,
    },
    /// Only names, labels and so on.
    Metadata,
    /// Aggregated discovery; `v2` or `v2beta1`.
    Discovery {
        version: &'static str,
    },
}

impl Form {
    pub fn content_type(&self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Yaml => "application/yaml",
            Form::Protobuf => "application/vnd.kubernetes.protobuf",
            Form::Table { .. } | Form::Metadata => "application/json",
            Form::Discovery { version: "v2" } => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Form::Discovery { .. } => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }
}

/// What an endpoint can do beside JSON and YAML.
#[derive(Clone, Copy, Debug, Default)]
pub struct Can {
    pub table: bool,
    pub metadata: bool,
    pub discovery: bool,
    pub protobuf: bool,
}

/// What every collection and object of a stored kind can do.
pub const OBJECTS: Can = Can { table: true, metadata: true, discovery: false, protobuf: true };
pub const PLAIN: Can = Can { table: false, metadata: false, discovery: false, protobuf: true };
pub const DISCOVERY: Can = Can { table: false, metadata: false, discovery: true, protobuf: false };

/// The first form that the client wants and the endpoint has. Protobuf is chosen only when nothing else will do,
/// because stored objects are JSON and go out as they are.
pub fn choose(accept: Option<&str>, can: Can) -> Result<Form, Status> {
    let Some(accept) = accept.filter(|a| !a.trim().is_empty()) else { return Ok(Form::Json) };
    let mut protobuf = false;
    for range in accept.split(',') {
        match form(range.trim(), can) {
            Some(Form::Protobuf) => protobuf = true,
            Some(form) => return Ok(form),
            None => {}
        }
    }
    if protobuf {
        return Ok(Form::Protobuf);
    }
    let text = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    Err(Status::failure(406, Reason::NotAcceptable, text))
}

fn form(range: &str, can: Can) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let (mut as_kind, mut group, mut version, mut stream) = ("", "", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("as", v)) => as_kind = v,
            Some(("g", v)) => group = v,
            Some(("v", v)) => version = v,
            Some(("stream", v)) => stream = v,
            Some(("q", "0" | "0.0" | "0.00" | "0.000")) => return None,
            _ => {}
        }
    }
    let json = match media {
        "application/json" | "application/*" | "*/*" => true,
        "application/yaml" | "application/x-yaml" if as_kind.is_empty() => return Some(Form::Yaml),
        "application/vnd.kubernetes.protobuf" if as_kind.is_empty() && can.protobuf => return Some(Form::Protobuf),
        _ => false,
    };
    if !json || !matches!(stream, "" | "watch") {
        return None;
    }
    match (as_kind, group, version) {
        ("", _, _) => Some(Form::Json),
        ("Table", "meta.k8s.io", "v1") if can.table => Some(Form::Table { version: "v1" }),
        ("Table", "meta.k8s.io", "v1beta1") if can.table => Some(Form::Table { version: "v1beta1" }),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") if can.metadata => Some(Form::Metadata),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") if can.discovery => Some(Form::Discovery { version: "v2" }),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") if can.discovery => Some(Form::Discovery { version: "v2beta1" }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_ask_for() {
        let kubectl_get = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(choose(Some(kubectl_get), OBJECTS).unwrap(), Form::Table { version: "v1" });
        assert_eq!(choose(Some(kubectl_get), PLAIN).unwrap(), Form::Json);
        assert_eq!(choose(Some("application/vnd.kubernetes.protobuf,application/json"), OBJECTS).unwrap(), Form::Json);
        assert_eq!(choose(Some("application/vnd.kubernetes.protobuf, */*"), OBJECTS).unwrap(), Form::Json);
        assert_eq!(choose(Some("application/vnd.kubernetes.protobuf"), OBJECTS).unwrap(), Form::Protobuf);
        assert_eq!(choose(None, OBJECTS).unwrap(), Form::Json);
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(choose(Some(discovery), DISCOVERY).unwrap(), Form::Discovery { version: "v2" });
        assert_eq!(choose(Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), OBJECTS).unwrap(), Form::Json);
    }

    #[test]
    fn what_we_do_not_have_is_406() {
        for bad in ["text/plain", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Nonsense;v=v1;g=x"] {
            assert_eq!(choose(Some(bad), PLAIN).unwrap_err().code, 406, "{bad}");
        }
    }
}
