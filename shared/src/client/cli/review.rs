//! Who may do what: `auth can-i` asks the server, `policy who-can` reads the bindings.
use super::print;
use crate::client::http::Client;
use crate::client::{ClientError, Result, resources};
use crate::kinds::{self, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Args, Debug)]
pub(super) struct CanIArgs {
    /// VERB RESOURCE[/NAME] [NAME], or VERB /PATH
    words: Vec<String>,
    #[arg(long, default_value = "")]
    subresource: String,
    /// All that you may do in the project
    #[arg(long)]
    list: bool,
    /// No output, only the exit code
    #[arg(short, long)]
    quiet: bool,
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

pub(super) async fn can_i(client: &Client, args: CanIArgs) -> Result<()> {
    let namespace = if args.all_namespaces { "" } else { client.target.namespace.as_str() };
    if args.list {
        return rules(client, namespace).await;
    }
    let [verb, what, rest @ ..] = args.words.as_slice() else {
        return Err(ClientError::usage("say what: osc auth can-i VERB RESOURCE [NAME]"));
    };
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (word, name) = what.split_once('/').unwrap_or((what, rest.first().map_or("", String::as_str)));
        let (group, plural) = names(word);
        json!({"resourceAttributes": {"verb": verb, "resource": plural, "group": group, "subresource": args.subresource,
            "namespace": namespace, "name": name}})
    };
    let body = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec});
    let answer = client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &body).await?;
    let allowed = answer["status"]["allowed"] == true;
    if !args.quiet {
        print(if allowed { "yes\n" } else { "no\n" })?;
    }
    if allowed { Ok(()) } else { Err(ClientError::Exit(1)) }
}

/// Group and plural of a word; one that is not known is asked about as it is.
fn names(word: &str) -> (String, String) {
    match kinds::by_word(word) {
        Some(kind) => (kind.group.into(), kind.plural.into()),
        None => {
            let (plural, group) = word.split_once('.').unwrap_or((word, ""));
            (group.into(), plural.into())
        }
    }
}

async fn rules(client: &Client, namespace: &str) -> Result<()> {
    let body = json!({"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": namespace}});
    let answer = client.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &body).await?;
    let list = |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let mut text = String::from("RESOURCES\tURLS\tNAMES\tVERBS\n");
    for rule in answer["status"]["resourceRules"].as_array().into_iter().flatten() {
        text.push_str(&format!("{}\t[]\t[{}]\t[{}]\n", list(&rule["resources"]), list(&rule["resourceNames"]), list(&rule["verbs"])));
    }
    for rule in answer["status"]["nonResourceRules"].as_array().into_iter().flatten() {
        text.push_str(&format!("\t[{}]\t[]\t[{}]\n", list(&rule["nonResourceURLs"]), list(&rule["verbs"])));
    }
    print(&crate::client::output::tabwriter::align(&text, crate::client::output::tabwriter::TABLE))
}

/// Whether a rule of a role allows the verb on the resource.
fn allows(rule: &Value, verb: &str, group: &str, plural: &str) -> bool {
    let has = |member: &str, want: &str| rule[member].as_array().into_iter().flatten().any(|v| v == "*" || v == want);
    has("verbs", verb) && has("resources", plural) && has("apiGroups", group) && rule["resourceNames"].as_array().is_none_or(Vec::is_empty)
}

/// Users and groups of the bindings whose role allows it.
fn holders(roles: &[Value], bindings: &[Value], verb: &str, group: &str, plural: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for binding in bindings {
        let of = &binding["roleRef"];
        let same_place = |r: &Value| of["kind"] != "Role" || r["metadata"]["namespace"] == binding["metadata"]["namespace"];
        let role = roles.iter().find(|r| r["kind"] == of["kind"] && r["metadata"]["name"] == of["name"] && same_place(r));
        let granted = role.is_some_and(|r| r["rules"].as_array().into_iter().flatten().any(|r| allows(r, verb, group, plural)));
        for subject in binding["subjects"].as_array().into_iter().flatten().filter(|_| granted) {
            let name = subject["name"].as_str().unwrap_or_default().to_string();
            match subject["kind"].as_str() {
                Some("Group") => {
                    groups.insert(name);
                }
                Some("ServiceAccount") => {
                    let namespace = subject["namespace"].as_str().unwrap_or_default();
                    users.insert(format!("system:serviceaccount:{namespace}:{name}"));
                }
                _ => {
                    users.insert(name);
                }
            }
        }
    }
    (users, groups)
}

pub(super) async fn who_can(client: &Client, verb: &str, resource: &str) -> Result<()> {
    let (group, plural) = names(resource);
    let (mut roles, mut bindings) = (Vec::new(), Vec::new());
    let namespace = client.target.namespace.as_str();
    for (kind, to) in [(&CLUSTER_ROLE, 0), (&ROLE, 0), (&CLUSTER_ROLE_BINDING, 1), (&ROLE_BINDING, 1)] {
        let mut list = client.get(&resources::path(kind, namespace, "")).await?;
        let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let items = items.into_iter().map(|mut o| {
            o["kind"] = json!(kind.kind);
            o
        });
        if to == 0 { roles.extend(items) } else { bindings.extend(items) }
    }
    let (users, groups) = holders(&roles, &bindings, verb, &group, &plural);
    let line = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    print(&format!("Users: [{}]\nGroups: [{}]\n", line(&users), line(&groups)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_come_from_bindings_of_roles_that_allow() {
        let roles = [
            json!({"kind":"ClusterRole","metadata":{"name":"admin"},"rules":[{"verbs":["*"],"apiGroups":[""],"resources":["pods"]}]}),
            json!({"kind":"ClusterRole","metadata":{"name":"view"},"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}),
        ];
        let bind = |role: &str, kind: &str, name: &str| json!({"metadata":{"namespace":"hack"},"roleRef":{"kind":"ClusterRole","name":role},"subjects":[{"kind":kind,"name":name}]});
        let bindings = [bind("admin", "User", "a"), bind("view", "Group", "g"), bind("gone", "User", "x")];
        let names = |verb: &str| {
            let (users, groups) = holders(&roles, &bindings, verb, "", "pods");
            (users.into_iter().collect::<Vec<_>>(), groups.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(names("get"), (vec!["a".to_string()], vec!["g".to_string()]));
        assert_eq!(names("delete"), (vec!["a".to_string()], vec![]));
    }
}
