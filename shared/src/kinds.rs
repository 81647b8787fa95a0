//! Every kind the API serves, as one table: names, scope, URLs' segments, verbs, subresources, selectable fields.
use std::fmt;

/// Whether objects of a kind live in a namespace or in the cluster as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// How the objects of a kind come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Kept in the store under the kind's own key.
    Stored,
    /// A view of another stored kind (Project of Namespace, events.k8s.io Event of core Event).
    ViewOf(&'static str),
    /// Answered at once and never kept (SubjectAccessReview, TokenReview, Binding).
    Virtual,
}

/// One kind of object. Rows are compared by address: there is one row per group and kind.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// Plural resource name: the URL segment and the first part of the store key.
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub scope: Scope,
    pub storage: Storage,
    pub subresources: &'static [&'static str],
    /// Field paths (beside metadata.name and metadata.namespace) that a field selector may name.
    pub selectable_fields: &'static [&'static str],
    /// `metadata.generation` counts changes of everything but metadata and status.
    pub has_generation: bool,
}

impl Kind {
    /// `v1` or `group/version`: the object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `leases.coordination.k8s.io`: how messages and permissions name the resource.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_string() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    pub fn has_status(&self) -> bool {
        self.subresources.contains(&"status")
    }

    /// URL path of the collection (`namespace` given) or of all namespaces (`None`).
    pub fn collection_path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { format!("/api/{}", self.version) } else { format!("/apis/{}/{}", self.group, self.version) };
        match namespace {
            Some(ns) if self.namespaced() => format!("{root}/namespaces/{ns}/{}", self.plural),
            _ => format!("{root}/{}", self.plural),
        }
    }

    /// URL path of one object.
    pub fn object_path(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{name}", self.collection_path(namespace))
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.group == other.group && self.kind == other.kind)
    }
}
impl Eq for Kind {}
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.qualified())
    }
}

const NONE: &[&str] = &[];

macro_rules! kind {
    ($id:ident, $group:literal, $version:literal, $kind:literal, $plural:literal, $singular:literal, $scope:ident, $storage:expr,
     short $short:expr, cat $cat:expr, sub $sub:expr, fields $fields:expr, gen $gen:literal) => {
        pub static $id: Kind = Kind {
            group: $group,
            version: $version,
            kind: $kind,
            plural: $plural,
            singular: $singular,
            short_names: $short,
            categories: $cat,
            scope: Scope::$scope,
            storage: $storage,
            subresources: $sub,
            selectable_fields: $fields,
            has_generation: $gen,
        };
    };
}

use Storage::{Stored, ViewOf, Virtual};
const ALL: &[&str] = &["all"];
const STATUS: &[&str] = &["status"];
const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];
const POD_SUB: &[&str] = &["status", "binding", "eviction", "log", "exec", "attach", "portforward", "proxy", "ephemeralcontainers"];

kind!(NAMESPACE, "", "v1", "Namespace", "namespaces", "namespace", Cluster, Stored, short &["ns"], cat NONE, sub &["status", "finalize"], fields &["status.phase"], gen false);
kind!(NODE, "", "v1", "Node", "nodes", "node", Cluster, Stored, short &["no"], cat NONE, sub &["status", "proxy"], fields &["spec.unschedulable"], gen false);
kind!(POD, "", "v1", "Pod", "pods", "pod", Namespaced, Stored, short &["po"], cat ALL, sub POD_SUB, fields POD_FIELDS, gen true);
kind!(REPLICATION_CONTROLLER, "", "v1", "ReplicationController", "replicationcontrollers", "replicationcontroller", Namespaced, Stored, short &["rc"], cat ALL, sub &["status", "scale"], fields &["status.replicas"], gen true);
kind!(SERVICE, "", "v1", "Service", "services", "service", Namespaced, Stored, short &["svc"], cat ALL, sub &["status", "proxy"], fields &["spec.clusterIP", "spec.type"], gen false);
kind!(ENDPOINTS, "", "v1", "Endpoints", "endpoints", "endpoints", Namespaced, Stored, short &["ep"], cat NONE, sub NONE, fields NONE, gen false);
kind!(EVENT, "", "v1", "Event", "events", "event", Namespaced, Stored, short &["ev"], cat NONE, sub NONE, fields EVENT_FIELDS, gen false);
kind!(SECRET, "", "v1", "Secret", "secrets", "secret", Namespaced, Stored, short NONE, cat NONE, sub NONE, fields &["type"], gen false);
kind!(CONFIG_MAP, "", "v1", "ConfigMap", "configmaps", "configmap", Namespaced, Stored, short &["cm"], cat NONE, sub NONE, fields NONE, gen false);
kind!(SERVICE_ACCOUNT, "", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", Namespaced, Stored, short &["sa"], cat NONE, sub &["token"], fields NONE, gen false);
kind!(RESOURCE_QUOTA, "", "v1", "ResourceQuota", "resourcequotas", "resourcequota", Namespaced, Stored, short &["quota"], cat NONE, sub STATUS, fields NONE, gen false);
kind!(LIMIT_RANGE, "", "v1", "LimitRange", "limitranges", "limitrange", Namespaced, Stored, short &["limits"], cat NONE, sub NONE, fields NONE, gen false);
kind!(BINDING, "", "v1", "Binding", "bindings", "binding", Namespaced, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(ENDPOINT_SLICE, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", Namespaced, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen true);
kind!(LEASE, "coordination.k8s.io", "v1", "Lease", "leases", "lease", Namespaced, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(EVENTS_EVENT, "events.k8s.io", "v1", "Event", "events", "event", Namespaced, ViewOf("events"), short &["ev"], cat NONE, sub NONE, fields &["reason", "regarding.kind", "regarding.name", "regarding.namespace", "regarding.uid", "type"], gen false);
kind!(CERTIFICATE_SIGNING_REQUEST, "certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", "certificatesigningrequest", Cluster, Stored, short &["csr"], cat NONE, sub &["status", "approval"], fields &["spec.signerName"], gen false);
kind!(ROLE, "rbac.authorization.k8s.io", "v1", "Role", "roles", "role", Namespaced, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(ROLE_BINDING, "rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "rolebinding", Namespaced, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(CLUSTER_ROLE, "rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "clusterrole", Cluster, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(CLUSTER_ROLE_BINDING, "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", Cluster, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(SELF_SUBJECT_ACCESS_REVIEW, "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview", Cluster, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(SELF_SUBJECT_RULES_REVIEW, "authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview", Cluster, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(SUBJECT_ACCESS_REVIEW, "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview", Cluster, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(LOCAL_SUBJECT_ACCESS_REVIEW, "authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview", Namespaced, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(TOKEN_REVIEW, "authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "tokenreview", Cluster, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(SELF_SUBJECT_REVIEW, "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview", Cluster, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(PROJECT, "project.openshift.io", "v1", "Project", "projects", "project", Cluster, ViewOf("namespaces"), short NONE, cat NONE, sub NONE, fields &["status.phase"], gen false);
kind!(USER, "user.openshift.io", "v1", "User", "users", "user", Cluster, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(IDENTITY, "user.openshift.io", "v1", "Identity", "identities", "identity", Cluster, Stored, short NONE, cat NONE, sub NONE, fields NONE, gen false);

kind!(NODE_METRICS, "metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", "", Cluster, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);
kind!(POD_METRICS, "metrics.k8s.io", "v1beta1", "PodMetrics", "pods", "", Namespaced, Virtual, short NONE, cat NONE, sub NONE, fields NONE, gen false);

/// What nobody writes and nothing keeps: measured when it is asked for.
/// <https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/>
pub static MEASURED: &[&Kind] = &[&NODE_METRICS, &POD_METRICS];

/// Every kind, in the order in which discovery lists them.
pub static KINDS: &[&Kind] = &[
    &BINDING,
    &CONFIG_MAP,
    &ENDPOINTS,
    &EVENT,
    &LIMIT_RANGE,
    &NAMESPACE,
    &NODE,
    &POD,
    &REPLICATION_CONTROLLER,
    &RESOURCE_QUOTA,
    &SECRET,
    &SERVICE_ACCOUNT,
    &SERVICE,
    &TOKEN_REVIEW,
    &SELF_SUBJECT_REVIEW,
    &LOCAL_SUBJECT_ACCESS_REVIEW,
    &SELF_SUBJECT_ACCESS_REVIEW,
    &SELF_SUBJECT_RULES_REVIEW,
    &SUBJECT_ACCESS_REVIEW,
    &CERTIFICATE_SIGNING_REQUEST,
    &LEASE,
    &ENDPOINT_SLICE,
    &EVENTS_EVENT,
    &CLUSTER_ROLE_BINDING,
    &CLUSTER_ROLE,
    &ROLE_BINDING,
    &ROLE,
    &PROJECT,
    &USER,
    &IDENTITY,
];

/// The kind served at `/apis/GROUP/VERSION/PLURAL` (core: group empty).
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().chain(MEASURED).copied().find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// The kind that `apiVersion` and `kind` of an object name.
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    KINDS.iter().copied().find(|k| k.group == group && k.version == version && k.kind == kind)
}

/// The kind that a person means by a word: plural, singular, short name or kind, in any case, `plural.group` too.
pub fn by_word(word: &str) -> Option<&'static Kind> {
    let word = word.to_ascii_lowercase();
    let word = match word.as_str() {
        "minion" | "minions" | "mi" => "nodes",
        "se" => "services",
        other => other,
    };
    let (name, group) = word.split_once('.').map_or((word, None), |(n, g)| (n, Some(g)));
    KINDS.iter().copied().find(|k| {
        group.is_none_or(|g| k.group.starts_with(g) || k.group.is_empty() && g.is_empty())
            && (k.plural == name || k.singular == name || k.short_names.contains(&name) || k.kind.to_ascii_lowercase() == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_find_their_kind() {
        assert_eq!(by_word("rc"), Some(&REPLICATION_CONTROLLER));
        assert_eq!(by_word("replicationController"), Some(&REPLICATION_CONTROLLER));
        assert_eq!(by_word("minions"), Some(&NODE));
        assert_eq!(by_word("events"), Some(&EVENT));
        assert_eq!(by_word("events.events.k8s.io"), Some(&EVENTS_EVENT));
        assert_eq!(by_word("nonsense"), None);
    }
}
