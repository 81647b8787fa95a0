//! Who asks: the identity that every call into the registry carries.
use std::collections::BTreeMap;
use std::sync::Arc;

/// An authenticated (or anonymous) identity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller(pub Arc<Identity>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `system:admin`, `anypassword:admin`, `system:serviceaccount:NS:NAME`, `system:node:NAME`, `system:anonymous`, …
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
    /// User-Agent or component name; becomes the default field manager and the source of events.
    pub agent: String,
}

pub const GROUP_MASTERS: &str = "system:masters";
pub const GROUP_AUTHENTICATED: &str = "system:authenticated";
pub const GROUP_UNAUTHENTICATED: &str = "system:unauthenticated";

impl Caller {
    /// Whether every right is the caller's.
    pub fn is_master(&self) -> bool {
        self.0.groups.iter().any(|g| g == GROUP_MASTERS)
    }

    /// One of our own components, with every right.
    pub fn system(component: &str) -> Caller {
        Caller(Arc::new(Identity {
            name: format!("system:{component}"),
            groups: vec![GROUP_MASTERS.into(), GROUP_AUTHENTICATED.into()],
            agent: component.into(),
            ..Identity::default()
        }))
    }

    pub fn anonymous() -> Caller {
        Caller(Arc::new(Identity { name: "system:anonymous".into(), groups: vec![GROUP_UNAUTHENTICATED.into()], ..Identity::default() }))
    }
}
