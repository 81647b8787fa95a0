//! Who may do what: RBAC over decoded roles and bindings.
//!
//! Source of the rules: <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>.
use serde_json::{Value, json};
use shared::objects::rbac::{PolicyRule, Role, RoleBinding, Subject};
use std::collections::{BTreeMap, BTreeSet};

pub mod bootstrap;
pub mod node;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub user: &'a str,
    pub groups: &'a [String],
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// Set for URLs that are no resource.
    pub path: &'a str,
}

/// All roles and bindings at one revision, indexed by whom they bind.
#[derive(Default)]
pub struct Policy {
    /// Rules by role: namespace ("" for cluster roles) and name.
    roles: BTreeMap<(String, String), Vec<PolicyRule>>,
    /// Bindings by namespace ("" for cluster role bindings).
    bindings: BTreeMap<String, Vec<RoleBinding>>,
}

impl Policy {
    /// From the objects' JSON; what does not decode grants nothing.
    pub fn new(cluster_roles: Vec<Value>, roles: Vec<Value>, cluster_bindings: Vec<Value>, bindings: Vec<Value>) -> Policy {
        let decoded: Vec<Role> = cluster_roles.into_iter().filter_map(|v| serde_json::from_value(v).ok()).collect();
        let mut policy = Policy::default();
        for role in &decoded {
            policy.roles.insert((String::new(), role.metadata.name.clone()), aggregated(role, &decoded));
        }
        for role in roles.into_iter().filter_map(|v| serde_json::from_value::<Role>(v).ok()) {
            policy.roles.insert((role.metadata.namespace, role.metadata.name), role.rules);
        }
        for binding in cluster_bindings.into_iter().chain(bindings).filter_map(|v| serde_json::from_value::<RoleBinding>(v).ok()) {
            policy.bindings.entry(binding.metadata.namespace.clone()).or_default().push(binding);
        }
        policy
    }

    /// Default deny: some rule of some binding of the user must allow it.
    pub fn decide(&self, a: &Attributes<'_>) -> bool {
        self.rules(a.user, a.groups, a.namespace).any(|rule| allows(rule, a))
    }

    /// The rules that hold for a user in a namespace: cluster-wide bindings first, then the namespace's own.
    fn rules<'a>(&'a self, user: &'a str, groups: &'a [String], namespace: &'a str) -> impl Iterator<Item = &'a PolicyRule> {
        let places = if namespace.is_empty() { vec![""] } else { vec!["", namespace] };
        places.into_iter().flat_map(move |place| {
            let bindings = self.bindings.get(place).map(Vec::as_slice).unwrap_or_default();
            bindings
                .iter()
                .filter(move |b| b.subjects.iter().any(|s| is(s, user, groups, place)))
                .flat_map(move |b| self.role_rules(b, place))
        })
    }

    fn role_rules(&self, binding: &RoleBinding, namespace: &str) -> &[PolicyRule] {
        let place = if binding.role_ref.kind == "Role" { namespace } else { "" };
        self.roles.get(&(place.to_string(), binding.role_ref.name.clone())).map(Vec::as_slice).unwrap_or_default()
    }

    /// Namespaces that the user may get: those with a binding of his that allows it.
    pub fn namespaces_of(&self, user: &str, groups: &[String]) -> BTreeSet<String> {
        let asks = |namespace: &str| {
            let a = Attributes {
                user,
                groups,
                verb: "get",
                group: "",
                resource: "namespaces",
                subresource: "",
                namespace,
                name: namespace,
                path: "",
            };
            let project = Attributes { group: "project.openshift.io", resource: "projects", ..a };
            self.decide(&a) || self.decide(&project)
        };
        self.bindings.keys().filter(|ns| !ns.is_empty() && asks(ns)).cloned().collect()
    }

    /// Whoever grants a role must hold all of it himself, so that nobody raises his own rights.
    pub fn may_grant(&self, user: &str, groups: &[String], namespace: &str, rules: &[PolicyRule]) -> bool {
        rules.iter().all(|rule| {
            let each = |list: &[String]| if list.is_empty() { vec![String::new()] } else { list.to_vec() };
            each(&rule.verbs).iter().all(|verb| {
                let paths = rule.non_resource_urls.iter().all(|path| {
                    self.decide(&Attributes { user, groups, verb, group: "", resource: "", subresource: "", namespace: "", name: "", path })
                });
                paths
                    && rule.resources.iter().all(|full| {
                        let (resource, subresource) = full.split_once('/').unwrap_or((full, ""));
                        each(&rule.api_groups).iter().all(|group| {
                            each(&rule.resource_names).iter().all(|name| {
                                self.decide(&Attributes { user, groups, verb, group, resource, subresource, namespace, name, path: "" })
                            })
                        })
                    })
            })
        })
    }

    /// The rules of a role that a binding names.
    pub fn rules_of(&self, kind: &str, namespace: &str, name: &str) -> Vec<PolicyRule> {
        let place = if kind == "Role" { namespace } else { "" };
        self.roles.get(&(place.to_string(), name.to_string())).cloned().unwrap_or_default()
    }

    /// `resourceRules` and `nonResourceRules` of a SelfSubjectRulesReview.
    pub fn rules_for(&self, user: &str, groups: &[String], namespace: &str) -> (Vec<Value>, Vec<Value>) {
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        for rule in self.rules(user, groups, namespace) {
            if rule.non_resource_urls.is_empty() {
                resources.push(json!(rule));
            } else {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
            }
        }
        (resources, paths)
    }
}

fn is(subject: &Subject, user: &str, groups: &[String], namespace: &str) -> bool {
    match subject.kind.as_str() {
        "User" => subject.name == user,
        "Group" => groups.contains(&subject.name),
        "ServiceAccount" => {
            let ns = if subject.namespace.is_empty() { namespace } else { &subject.namespace };
            user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) == Some((ns, subject.name.as_str()))
        }
        _ => false,
    }
}

/// Does a rule allow this?
pub fn allows(rule: &PolicyRule, a: &Attributes<'_>) -> bool {
    let any = |list: &[String], wanted: &str| list.iter().any(|x| x == "*" || x == wanted);
    if !any(&rule.verbs, a.verb) {
        return false;
    }
    if !a.path.is_empty() {
        let covers = |url: &String| url == "*" || url == a.path || url.strip_suffix('*').is_some_and(|stem| a.path.starts_with(stem));
        return rule.non_resource_urls.iter().any(covers);
    }
    let resource = |r: &String| match (r.as_str(), a.subresource) {
        ("*", _) => true,
        (r, "") => r == a.resource,
        (r, sub) => r.split_once('/').is_some_and(|(res, s)| (res == "*" || res == a.resource) && (s == "*" || s == sub)),
    };
    any(&rule.api_groups, a.group)
        && rule.resources.iter().any(resource)
        && (rule.resource_names.is_empty() || rule.resource_names.iter().any(|n| n == a.name))
}

/// A cluster role's rules, with those of all roles that its aggregation selectors match.
fn aggregated(role: &Role, all: &[Role]) -> Vec<PolicyRule> {
    let mut rules = role.rules.clone();
    let selectors = role.aggregation_rule.as_ref().and_then(|a| a.get("clusterRoleSelectors")).and_then(Value::as_array);
    for selector in selectors.into_iter().flatten() {
        let Ok(spec) = serde_json::from_value::<shared::selector::LabelSelectorSpec>(selector.clone()) else { continue };
        let Ok(selector) = spec.to_selector() else { continue };
        for other in all.iter().filter(|o| o.metadata.name != role.metadata.name && selector.matches(&o.metadata.labels)) {
            rules.extend(other.rules.iter().filter(|r| !rules.contains(r)).cloned().collect::<Vec<_>>());
        }
    }
    rules
}

#[cfg(test)]
mod tests;
