//! One project as a tile.
use serde_json::Value;

/// What the tile shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub name: String,
    /// The display name, or the name where none was given.
    pub title: String,
    pub description: String,
    pub ending: bool,
    pub created: String,
}

/// The tile of a Project.
pub fn project(object: &Value) -> Project {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_string();
    let name = text("/metadata/name");
    let display = text("/metadata/annotations/openshift.io~1display-name");
    Project {
        title: if display.is_empty() { name.clone() } else { display },
        description: text("/metadata/annotations/openshift.io~1description"),
        ending: text("/status/phase") == "Terminating",
        created: text("/metadata/creationTimestamp"),
        name,
    }
}

impl Project {
    /// Whether every word that was typed appears in the tile.
    pub fn matches(&self, search: &str) -> bool {
        let all = format!("{} {} {}", self.name, self.title, self.description).to_lowercase();
        search.to_lowercase().split_whitespace().all(|w| all.contains(w))
    }

    /// Projects of the cluster itself come last: people look for their own.
    pub fn of_the_system(&self) -> bool {
        matches!(self.name.as_str(), "default" | "openshift") || ["kube-", "openshift-"].iter().any(|p| self.name.starts_with(p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tile_has_the_name_that_people_gave() {
        let tile = project(&json!({"metadata": {"name": "hack", "annotations": {"openshift.io/display-name": "Hack Night"}}}));
        assert_eq!((tile.title.as_str(), tile.name.as_str()), ("Hack Night", "hack"));
        assert!(tile.matches("night HACK") && !tile.matches("day") && !tile.of_the_system());
        assert_eq!(project(&json!({"metadata": {"name": "x"}})).title, "x");
    }
}
