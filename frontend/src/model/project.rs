//! One project as a tile.
use super::route::kind_title;
use serde_json::Value;
use shared::kinds::{self, Kind};

/// What people ask about before they delete a project.
pub static WHAT_GOES: &[&Kind] = &[
    &kinds::POD,
    &kinds::REPLICATION_CONTROLLER,
    &kinds::SERVICE,
    &kinds::CONFIG_MAP,
    &kinds::SECRET,
    &kinds::SERVICE_ACCOUNT,
    &kinds::ROLE_BINDING,
    &kinds::RESOURCE_QUOTA,
];

/// What goes with a project, as a sentence.
pub fn consequence(counts: &[(i64, &Kind)]) -> String {
    let words = |(n, kind): &(i64, &Kind)| {
        let many = kind_title(kind).to_lowercase();
        format!("{n} {}", if *n == 1 { many.trim_end_matches('s') } else { &many })
    };
    let all: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(words).collect();
    match all.as_slice() {
        [] => "Nothing that you may see is in it. This cannot be undone.".into(),
        [one] => format!("{one} goes too, and whatever else is in it. This cannot be undone."),
        [most @ .., last] => format!("{} and {last} go too, and whatever else is in it. This cannot be undone.", most.join(", ")),
    }
}

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

    #[test]
    fn deleting_a_project_says_what_goes() {
        let text = consequence(&[(3, &kinds::POD), (0, &kinds::SECRET), (1, &kinds::SERVICE)]);
        assert_eq!(text, "3 pods and 1 service go too, and whatever else is in it. This cannot be undone.");
    }
    use serde_json::json;

    #[test]
    fn a_tile_has_the_name_that_people_gave() {
        let tile = project(&json!({"metadata": {"name": "hack", "annotations": {"openshift.io/display-name": "Hack Night"}}}));
        assert_eq!((tile.title.as_str(), tile.name.as_str()), ("Hack Night", "hack"));
        assert!(tile.matches("night HACK") && !tile.matches("day") && !tile.of_the_system());
        assert_eq!(project(&json!({"metadata": {"name": "x"}})).title, "x");
    }
}
