//! Rows of roles, bindings, projects, users and of kinds that show their creation time.
use super::{AGE, Layout, NAME, age, at, find, items, name, text, wide};
use serde_json::{Value, json};

/// Kinds for which Kubernetes prints the time itself and no age.
pub(super) static CREATED_AT: Layout = Layout {
    columns: &[NAME, text("Created At", "CreationTimestamp is a timestamp representing the server time when this object was created.")],
    cells: |o, _| {
        let created = at(o, "/metadata/creationTimestamp");
        vec![name(o), if created.is_empty() { "<unknown>".into() } else { created.into() }]
    },
};

pub(super) static BINDING: Layout = Layout {
    columns: &[
        NAME,
        text("Role", "RoleRef can reference a Role or a ClusterRole."),
        AGE,
        wide("Users", "Users in the roleBinding"),
        wide("Groups", "Groups in the roleBinding"),
        wide("ServiceAccounts", "ServiceAccounts in the roleBinding"),
    ],
    cells: |o, now| {
        let role = format!("{}/{}", at(o, "/roleRef/kind"), at(o, "/roleRef/name"));
        vec![name(o), role.into(), age(o, now), subjects(o, "User"), subjects(o, "Group"), subjects(o, "ServiceAccount")]
    },
};

fn subjects(object: &Value, kind: &str) -> Value {
    let of_kind = items(object, "/subjects").iter().filter(|s| at(s, "/kind") == kind);
    let names: Vec<String> = of_kind
        .map(|s| match at(s, "/namespace") {
            "" => at(s, "/name").to_string(),
            namespace => format!("{namespace}/{}", at(s, "/name")),
        })
        .collect();
    names.join(", ").into()
}

pub(super) static PROJECT: Layout = Layout {
    columns: &[NAME, text("Display Name", "The name that people gave the project."), text("Status", "The phase of the project.")],
    cells: |o, _| {
        let display = o.pointer("/metadata/annotations").and_then(|a| a.get("openshift.io/display-name"));
        vec![name(o), display.cloned().unwrap_or_else(|| json!("")), at(o, "/status/phase").into()]
    },
};

pub(super) static USER: Layout = Layout {
    columns: &[
        NAME,
        text("UID", "Identifies this user over time."),
        text("Full Name", "The full name of the user."),
        text("Identities", "How this user logs in."),
    ],
    cells: |o, _| {
        let identities: Vec<&str> = items(o, "/identities").iter().filter_map(Value::as_str).collect();
        vec![name(o), at(o, "/metadata/uid").into(), at(o, "/fullName").into(), identities.join(", ").into()]
    },
};

pub(super) static IDENTITY: Layout = Layout {
    columns: &[
        NAME,
        text("IDP Name", "Who vouches for this identity."),
        text("IDP User Name", "The name there."),
        text("User Name", "The user that this identity belongs to."),
        text("User UID", "That user's UID."),
    ],
    cells: |o, _| {
        vec![
            name(o),
            at(o, "/providerName").into(),
            at(o, "/providerUserName").into(),
            at(o, "/user/name").into(),
            at(o, "/user/uid").into(),
        ]
    },
};

/// <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>
pub(super) static SIGNING_REQUEST: Layout = Layout {
    columns: &[
        NAME,
        AGE,
        text("SignerName", "Who is to sign."),
        text("Requestor", "Who asked."),
        text("RequestedDuration", "How long the certificate is to be good for."),
        text("Condition", "What has been decided and done."),
    ],
    cells: |o, now| {
        let seconds = find(o, "/spec/expirationSeconds").and_then(Value::as_i64);
        let duration = seconds.map_or_else(|| "<none>".to_string(), super::time::human);
        vec![name(o), age(o, now), at(o, "/spec/signerName").into(), at(o, "/spec/username").into(), duration.into(), condition(o).into()]
    },
};

fn condition(object: &Value) -> String {
    let has = |wanted: &str| items(object, "/status/conditions").iter().any(|c| at(c, "/type") == wanted);
    let decided = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    };
    let issued = if at(object, "/status/certificate").is_empty() { "" } else { ",Issued" };
    format!("{decided}{}{issued}", if has("Failed") { ",Failed" } else { "" })
}
