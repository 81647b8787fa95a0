//! Who may do what in a project: its role bindings as members, and the bindings that change them.
use serde_json::{Value, json};
use shared::kinds::ROLE_BINDING;

/// One person, group or service account with one role.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub name: String,
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    pub role: String,
    /// The binding that says so, and how many it names.
    pub binding: String,
    pub of_binding: usize,
}

/// All members in the order of their names.
pub fn members<'a>(bindings: impl Iterator<Item = &'a Value>) -> Vec<Member> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let mut all: Vec<Member> = bindings
        .flat_map(|b| {
            let subjects = b["subjects"].as_array().map(Vec::as_slice).unwrap_or_default();
            subjects.iter().map(move |s| Member {
                name: text(&s["name"]),
                kind: text(&s["kind"]),
                role: text(&b["roleRef"]["name"]),
                binding: text(&b["metadata"]["name"]),
                of_binding: subjects.len(),
            })
        })
        .collect();
    all.sort_by(|a, b| (a.kind != "User", &a.name, &a.role).cmp(&(b.kind != "User", &b.name, &b.role)));
    all
}

/// A new binding that gives a role to one.
pub fn binding(kind: &str, name: &str, role: &str, project: &str) -> Value {
    let mut subject = json!({"kind": kind, "name": name});
    match kind {
        "ServiceAccount" => subject["namespace"] = project.into(),
        _ => subject["apiGroup"] = ROLE_BINDING.group.into(),
    }
    // Names of users may hold what names of objects may not.
    let plain: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    json!({
        "apiVersion": ROLE_BINDING.api_version(),
        "kind": ROLE_BINDING.kind,
        "metadata": {"generateName": format!("{role}-{}-", plain.trim_matches('-'))},
        "roleRef": {"apiGroup": ROLE_BINDING.group, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    })
}

/// The subjects of a binding without one of them.
pub fn without(binding: &Value, member: &Member) -> Value {
    let mut left = binding["subjects"].as_array().cloned().unwrap_or_default();
    left.retain(|s| s["name"] != member.name.as_str() || s["kind"] != member.kind.as_str());
    Value::Array(left)
}

/// The equal command; `add` or `remove`.
pub fn command(verb: &str, kind: &str, name: &str, role: &str, project: &str) -> String {
    match kind {
        "Group" => format!("openshift ex policy {verb}-group {role} {name} -n {project}"),
        "ServiceAccount" => format!("openshift ex policy {verb}-user {role} system:serviceaccount:{project}:{name} -n {project}"),
        _ => format!("openshift ex policy {verb}-user {role} {name} -n {project}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_come_before_groups_and_robots() {
        let bindings = [
            json!({"metadata": {"name": "admins"}, "roleRef": {"name": "admin"}, "subjects": [{"kind": "Group", "name": "a"}, {"kind": "User", "name": "zoe"}]}),
            json!({"metadata": {"name": "view"}, "roleRef": {"name": "view"}, "subjects": [{"kind": "User", "name": "bob"}]}),
            json!({"metadata": {"name": "none"}, "roleRef": {"name": "view"}}),
        ];
        let all = members(bindings.iter());
        let seen: Vec<_> = all.iter().map(|m| (m.name.as_str(), m.role.as_str(), m.of_binding)).collect();
        assert_eq!(seen, [("bob", "view", 1), ("zoe", "admin", 2), ("a", "admin", 2)]);
        assert_eq!(without(&bindings[0], &all[1]), json!([{"kind": "Group", "name": "a"}]));
    }

    #[test]
    fn names_of_users_become_names_of_bindings() {
        let made = binding("User", "anypassword:Bob", "view", "hack");
        assert_eq!(made["metadata"]["generateName"], "view-anypassword-bob-");
        assert_eq!(made["subjects"][0]["name"], "anypassword:Bob");
        assert_eq!(
            command("add", "ServiceAccount", "ci", "edit", "hack"),
            "openshift ex policy add-user edit system:serviceaccount:hack:ci -n hack"
        );
    }
}
