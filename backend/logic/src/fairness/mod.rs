//! Which callers share a lane of the server, who has the next turn in it, and whose connection ends when there are too many.
pub mod connections;
pub mod queue;
pub mod spending;

/// Who calls, as far as sharing the server is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Administrators of the cluster, and the control plane's own parts.
    Admin,
    Node,
    /// Programs in pods.
    Account,
    Person,
    /// Without credentials.
    Nobody,
}

/// Two lanes, each with threads, turns and connections of its own: what crowds the one does not slow the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Whoever keeps the cluster going.
    Reserved,
    /// Everybody else.
    Crowd,
}

const ADMIN_GROUPS: [&str; 2] = ["system:masters", "system:cluster-admins"];
const PARTS: [&str; 2] = ["system:kube-controller-manager", "system:kube-scheduler"];

/// The class of an identity.
pub fn class<'a>(name: &str, mut groups: impl Iterator<Item = &'a str> + Clone) -> Class {
    if groups.clone().any(|g| g == "system:nodes") {
        return Class::Node;
    }
    if PARTS.contains(&name) || groups.clone().any(|g| ADMIN_GROUPS.contains(&g)) {
        return Class::Admin;
    }
    if name.starts_with("system:serviceaccount:") {
        return Class::Account;
    }
    if name == "system:anonymous" || groups.any(|g| g == "system:unauthenticated") { Class::Nobody } else { Class::Person }
}

impl Class {
    pub fn lane(self) -> Lane {
        match self {
            Class::Admin | Class::Node => Lane::Reserved,
            Class::Account | Class::Person | Class::Nobody => Lane::Crowd,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Class::Admin => "admin",
            Class::Node => "node",
            Class::Account => "account",
            Class::Person => "person",
            Class::Nobody => "nobody",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_keeps_the_cluster_going_has_a_lane_of_their_own() {
        let of = |name: &str, groups: &[&str]| class(name, groups.iter().copied());
        assert_eq!(of("system:admin", &["system:masters", "system:authenticated"]).lane(), Lane::Reserved);
        assert_eq!(of("anypassword:root", &["system:cluster-admins"]), Class::Admin);
        assert_eq!(of("system:node:n1", &["system:nodes", "system:masters"]), Class::Node);
        assert_eq!(of("system:kube-scheduler", &["system:authenticated"]), Class::Admin);
        assert_eq!(of("system:serviceaccount:a:b", &["system:authenticated"]), Class::Account);
        assert_eq!(of("anypassword:joe", &["system:authenticated"]), Class::Person);
        assert_eq!(of("system:anonymous", &["system:unauthenticated"]).lane(), Lane::Crowd);
    }
}
