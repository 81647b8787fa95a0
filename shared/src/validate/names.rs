//! Names, labels and the rest of an object's metadata.
use crate::kinds::Kind;
use crate::status::FieldError;
use serde_json::Value;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// Kubernetes' limit on all annotations of an object together.
const ANNOTATION_BYTES_MAX: usize = 256 << 10;

fn label_chars(text: &str, first_alpha: bool) -> bool {
    let b = text.as_bytes();
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    !b.is_empty()
        && b.iter().all(|c| edge(*c) || *c == b'-')
        && edge(b[b.len() - 1])
        && if first_alpha { b[0].is_ascii_lowercase() } else { edge(b[0]) }
}

/// `my-name`, at most 63 characters.
pub fn is_dns_label(text: &str) -> Result<(), String> {
    if text.len() > 63 {
        return Err("must be no more than 63 bytes".into());
    }
    if label_chars(text, false) { Ok(()) } else { Err(LABEL_1123.into()) }
}

/// As `is_dns_label`, and the first character is a letter (names of services).
pub fn is_dns_1035(text: &str) -> Result<(), String> {
    if text.len() > 63 {
        return Err("must be no more than 63 bytes".into());
    }
    if label_chars(text, true) { Ok(()) } else { Err(LABEL_1035.into()) }
}

/// `example.com`, at most 253 characters.
pub fn is_dns_subdomain(text: &str) -> Result<(), String> {
    if text.len() > 253 {
        return Err("must be no more than 253 bytes".into());
    }
    if text.split('.').all(|part| label_chars(part, false)) { Ok(()) } else { Err(SUBDOMAIN.into()) }
}

/// A path segment: RBAC's and users' names may hold almost anything.
fn is_path_segment(text: &str) -> Result<(), String> {
    match text {
        "." | ".." => Err(format!("may not be '{text}'")),
        _ if text.contains('/') => Err("may not contain '/'".into()),
        _ if text.contains('%') => Err("may not contain '%'".into()),
        _ => Ok(()),
    }
}

fn name_rule(kind: &Kind) -> fn(&str) -> Result<(), String> {
    match kind.kind {
        "Namespace" | "Project" => is_dns_label,
        "Service" => is_dns_1035,
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" | "User" | "Identity" => is_path_segment,
        _ => is_dns_subdomain,
    }
}

fn name_part(text: &str) -> bool {
    let b = text.as_bytes();
    !b.is_empty()
        && b.len() <= 63
        && b.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
        && b[0].is_ascii_alphanumeric()
        && b[b.len() - 1].is_ascii_alphanumeric()
}

/// `prefix/name` or `name`, as label keys are.
pub fn is_qualified_name(text: &str) -> Result<(), String> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            is_dns_subdomain(prefix).map_err(|e| format!("prefix part {e}"))?;
            name
        }
        None => text,
    };
    match name {
        "" => Err("name part must be non-empty".into()),
        n if n.len() > 63 => Err("name part must be no more than 63 bytes".into()),
        n if name_part(n) => Ok(()),
        _ => Err(QUALIFIED.into()),
    }
}

pub fn labels(labels: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Err(why) = is_qualified_name(key) {
            errors.push(FieldError::invalid(field, key, why));
        }
        match value.as_str() {
            Some(v) if v.len() > 63 => errors.push(FieldError::invalid(field, v, "must be no more than 63 bytes")),
            Some(v) if v.is_empty() || name_part(v) => {}
            Some(v) => errors.push(FieldError::invalid(field, v, LABEL_VALUE)),
            None => errors.push(FieldError::invalid(format!("{field}[{key}]"), value, "must be a string")),
        }
    }
}

pub(super) fn metadata(kind: &Kind, object: &Value, errors: &mut Vec<FieldError>) {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if let Err(why) = name_rule(kind)(name) {
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
    labels(&meta["labels"], "metadata.labels", errors);
    let mut bytes = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        if let Err(why) = is_qualified_name(&key.to_ascii_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", key, why));
        }
    }
    if bytes > ANNOTATION_BYTES_MAX {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATION_BYTES_MAX));
    }
    let mut controllers = 0;
    for (i, owner) in meta["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for member in ["apiVersion", "kind", "name", "uid"] {
            if owner[member].as_str().is_none_or(str::is_empty) {
                errors.push(FieldError::invalid(format!("metadata.ownerReferences[{i}].{member}"), &owner[member], "must not be empty"));
            }
        }
        controllers += usize::from(owner["controller"] == Value::Bool(true));
    }
    if controllers > 1 {
        errors.push(FieldError::invalid("metadata.ownerReferences", controllers, "Only one reference can have Controller set to true"));
    }
    for (i, finalizer) in meta["finalizers"].as_array().into_iter().flatten().enumerate() {
        if let Err(why) = is_qualified_name(finalizer.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(format!("metadata.finalizers[{i}]"), finalizer, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_strict_as_dns() {
        for good in ["a", "hello-openshift", "a.b-c", "0"] {
            assert!(is_dns_subdomain(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", "é", &"a".repeat(254)] {
            assert!(is_dns_subdomain(bad).is_err(), "{bad}");
        }
        assert!(is_dns_1035("1a").is_err() && is_dns_label("1a").is_ok());
        assert!(is_qualified_name("example.com/My_key").is_ok() && is_qualified_name("/x").is_err() && is_qualified_name("a/b/c").is_err());
    }
}
