//! How an object's identity becomes a key.
//!
//! ```text
//! /pods/hack/hello-openshift          namespaced, core group
//! /leases.coordination.k8s.io/ns/x    namespaced, other group
//! /namespaces//hack                   cluster-scoped: the namespace is empty
//! ```
//! Keys of one kind, and of one namespace within it, are neighbours, so that a list is a range. Names contain no slash.
use shared::kinds::Kind;
use std::sync::Arc;

/// The key of one object.
pub fn object(kind: &Kind, namespace: Option<&str>, name: &str) -> Arc<str> {
    format!("{}{name}", collection(kind, Some(namespace.unwrap_or_default()))).into()
}

/// The prefix of a collection: of one namespace, or (`None`) of all.
pub fn collection(kind: &Kind, namespace: Option<&str>) -> String {
    let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
    match namespace {
        Some(ns) => format!("/{}{group}/{ns}/", kind.plural),
        None => format!("/{}{group}/", kind.plural),
    }
}

/// Resource, namespace and name of a key; `None` if it is no object's key.
pub fn parse(key: &str) -> Option<(&str, &str, &str)> {
    let mut parts = key.strip_prefix('/')?.splitn(3, '/');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::kinds::{LEASE, NAMESPACE, POD};

    #[test]
    fn keys_and_their_parts() {
        assert_eq!(&*object(&POD, Some("hack"), "a"), "/pods/hack/a");
        assert_eq!(&*object(&NAMESPACE, None, "hack"), "/namespaces//hack");
        assert_eq!(collection(&LEASE, None), "/leases.coordination.k8s.io/");
        assert_eq!(parse("/namespaces//hack"), Some(("namespaces", "", "hack")));
        assert_eq!(parse("/pods/hack/a"), Some(("pods", "hack", "a")));
        assert_eq!(parse("x"), None);
    }
}
