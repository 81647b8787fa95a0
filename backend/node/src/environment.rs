//! A container's environment: its own variables, those from references, and those of services.
use crate::api::NodeApi;
use base64::Engine;
use logic::pod::values::{expand, field, resource};
use serde_json::Value;
use shared::kinds::{CONFIG_MAP, Kind, SECRET};
use shared::objects::pod::{Container, EnvVar, Pod};
use shared::objects::service::Service;
use shared::service_env;
use std::collections::BTreeMap;

/// What references are resolved against.
pub(crate) struct Sources<'a> {
    pub(crate) api: &'a dyn NodeApi,
    pub(crate) pod: &'a Pod,
    pub(crate) services: &'a [Service],
    pub(crate) host_ip: &'a str,
    pub(crate) pod_ip: &'a str,
    /// The node's CPU (thousandths) and memory (bytes).
    pub(crate) node: (i64, i64),
}

/// `NAME=value` lines, the container's own first; and the values for `$(NAME)` in its command.
pub(crate) async fn resolve(s: &Sources<'_>, container: &Container) -> Result<(Vec<String>, BTreeMap<String, String>), String> {
    let linked = s.pod.spec.enable_service_links != Some(false);
    let services: Vec<(String, String)> = service_env::variables(s.services, &s.pod.metadata.namespace)
        .into_iter()
        .filter(|(name, _)| linked || name.starts_with("KUBERNETES_"))
        .collect();
    let mut known: BTreeMap<String, String> = services.iter().cloned().collect();
    let mut own: Vec<(String, String)> = Vec::new();
    let mut set = |known: &mut BTreeMap<String, String>, name: &str, value: String| {
        known.insert(name.to_string(), value.clone());
        own.retain(|(n, _)| n != name);
        own.push((name.to_string(), value));
    };
    for from in &container.env_from {
        let source =
            [(&from.config_map_ref, &CONFIG_MAP), (&from.secret_ref, &SECRET)].into_iter().find_map(|(r, kind)| Some((r.as_ref()?, kind)));
        let Some((reference, kind)) = source else { continue };
        let Some(data) = load(s, kind, &reference.name, reference.optional == Some(true)).await? else { continue };
        for (key, value) in data {
            set(&mut known, &format!("{}{key}", from.prefix), String::from_utf8_lossy(&value).into_owned());
        }
    }
    for variable in &container.env {
        if let Some(value) = value_of(s, container, variable, &known).await? {
            set(&mut known, &variable.name, value);
        }
    }
    let mut lines: Vec<String> = own.iter().map(|(n, v)| format!("{n}={v}")).collect();
    lines.extend(services.into_iter().filter(|(n, _)| !own.iter().any(|(o, _)| o == n)).map(|(n, v)| format!("{n}={v}")));
    Ok((lines, known))
}

async fn value_of(
    s: &Sources<'_>,
    container: &Container,
    variable: &EnvVar,
    known: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    let Some(from) = &variable.value_from else { return Ok(Some(expand(&variable.value, known))) };
    if let Some(f) = &from.field_ref {
        let value = field(s.pod, &f.field_path, s.host_ip, s.pod_ip);
        return value.map(Some).ok_or_else(|| format!("env {}: field {:?} cannot be referred to", variable.name, f.field_path));
    }
    if let Some(r) = &from.resource_field_ref {
        let name = if r.container_name.is_empty() { &container.name } else { &r.container_name };
        let value = resource(s.pod, name, &r.resource, r.divisor.as_deref().unwrap_or_default(), s.node);
        return value.map(Some).ok_or_else(|| format!("env {}: resource {:?} cannot be referred to", variable.name, r.resource));
    }
    let key = [(&from.config_map_key_ref, &CONFIG_MAP), (&from.secret_key_ref, &SECRET)]
        .into_iter()
        .find_map(|(r, kind)| Some((r.as_ref()?, kind)));
    let Some((reference, kind)) = key else { return Ok(Some(String::new())) };
    let optional = reference.optional == Some(true);
    let Some(data) = load(s, kind, &reference.name, optional).await? else { return Ok(None) };
    match data.get(&reference.key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional => Ok(None),
        None => Err(format!("couldn't find key {} in {} {}/{}", reference.key, kind.kind, s.pod.metadata.namespace, reference.name)),
    }
}

async fn load(s: &Sources<'_>, kind: &'static Kind, name: &str, optional: bool) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
    data(s.api, kind, &s.pod.metadata.namespace, name, optional).await
}

/// The entries of a secret or config map; `None` when it is absent and may be.
pub(crate) async fn data(
    api: &dyn NodeApi,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    optional: bool,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
    let object = match api.get(kind, Some(namespace), name).await {
        Ok(object) => object,
        Err(status) if status.is_not_found() && optional => return Ok(None),
        Err(status) => return Err(status.message),
    };
    let mut entries = BTreeMap::new();
    let decode = |v: &Value| base64::engine::general_purpose::STANDARD.decode(v.as_str().unwrap_or_default()).unwrap_or_default();
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let bytes = if *kind == SECRET { decode(value) } else { value.as_str().unwrap_or_default().as_bytes().to_vec() };
        entries.insert(key.clone(), bytes);
    }
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        entries.insert(key.clone(), decode(value));
    }
    Ok(Some(entries))
}
