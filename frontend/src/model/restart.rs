//! How something is started anew: its pods are deleted, and their controller makes new ones.
use serde_json::Value;
use shared::kinds::{Kind, POD, REPLICATION_CONTROLLER};

#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    pub said: String,
    pub command: String,
    /// What is deleted.
    pub delete: String,
}

/// `None` for what would not come back.
pub fn restart(kind: &Kind, object: &Value, project: &str) -> Option<Restart> {
    let name = object.pointer("/metadata/name")?.as_str()?;
    if *kind == POD {
        let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
        let owner = owners.iter().find(|o| o["controller"] == true)?["name"].as_str()?;
        return Some(Restart {
            said: format!("{name} goes, and {owner} makes a new pod."),
            command: format!("osc delete pod {name} -n {project}"),
            delete: POD.object_path(Some(project), name),
        });
    }
    if *kind != REPLICATION_CONTROLLER {
        return None;
    }
    let selector = object.pointer("/spec/selector")?.as_object().filter(|s| !s.is_empty())?;
    let pairs: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    let (pairs, path) = (pairs.join(","), POD.collection_path(Some(project)));
    Some(Restart {
        said: format!("All pods of {name} go, and new ones come."),
        command: format!("osc delete pods -l {pairs} -n {project}"),
        delete: format!("{path}?labelSelector={}", pairs.replace('=', "%3D").replace(',', "%2C")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_comes_back_is_restarted() {
        let lone = json!({"metadata": {"name": "lone"}});
        assert_eq!(restart(&POD, &lone, "p"), None);
        let owned = json!({"metadata": {"name": "a", "ownerReferences": [{"controller": true, "name": "rc"}]}});
        assert_eq!(restart(&POD, &owned, "p").unwrap().delete, "/api/v1/namespaces/p/pods/a");
        let rc = json!({"metadata": {"name": "rc"}, "spec": {"selector": {"app": "web", "tier": "x"}}});
        let plan = restart(&REPLICATION_CONTROLLER, &rc, "p").unwrap();
        assert_eq!(plan.delete, "/api/v1/namespaces/p/pods?labelSelector=app%3Dweb%2Ctier%3Dx");
        assert_eq!(plan.command, "osc delete pods -l app=web,tier=x -n p");
    }
}
