//! Every address of the console, as one closed set.
use super::known;
use shared::kinds::{Kind, POD, REPLICATION_CONTROLLER, SERVICE};

/// What an object's page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Details,
    Yaml,
    Events,
    Logs,
    Terminal,
}

impl Tab {
    /// The tabs that a kind has.
    pub fn of(kind: &Kind) -> &'static [Tab] {
        if *kind == POD {
            &[Tab::Details, Tab::Logs, Tab::Terminal, Tab::Events, Tab::Yaml]
        } else if [&REPLICATION_CONTROLLER, &SERVICE].contains(&kind) {
            &[Tab::Details, Tab::Logs, Tab::Events, Tab::Yaml]
        } else {
            &[Tab::Details, Tab::Events, Tab::Yaml]
        }
    }

    /// What stands on it.
    pub fn title(self) -> &'static str {
        match self {
            Tab::Details => "Details",
            Tab::Yaml => "YAML",
            Tab::Events => "Events",
            Tab::Logs => "Logs",
            Tab::Terminal => "Terminal",
        }
    }

    fn segment(self) -> &'static str {
        match self {
            Tab::Details => "",
            Tab::Yaml => "yaml",
            Tab::Events => "events",
            Tab::Logs => "logs",
            Tab::Terminal => "terminal",
        }
    }
}

/// Where the reader is.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    Projects,
    About,
    /// All projects and kinds by words.
    Search {
        words: String,
    },
    Overview {
        project: String,
    },
    Topology {
        project: String,
    },
    Settings {
        project: String,
    },
    /// Every kind that the server has, of a project or of the cluster.
    Kinds {
        project: Option<String>,
    },
    Create {
        project: String,
    },
    List {
        project: Option<String>,
        kind: &'static Kind,
    },
    Object {
        project: Option<String>,
        kind: &'static Kind,
        name: String,
        tab: Tab,
    },
    Unknown(String),
}

impl Route {
    /// The route of a path such as `/projects/hack/pods/web-1/logs`.
    pub fn parse(path: &str) -> Route {
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let found = match segments.as_slice() {
            [] | ["login"] | ["projects"] => Some(Route::Projects),
            ["about"] => Some(Route::About),
            ["search"] => Some(Route::Search { words: String::new() }),
            ["search", words] => Some(Route::Search { words: decoded(words) }),
            ["projects", project] => Some(Route::Overview { project: project.to_string() }),
            ["projects", project, "topology"] => Some(Route::Topology { project: project.to_string() }),
            ["projects", project, "settings"] => Some(Route::Settings { project: project.to_string() }),
            ["projects", project, "kinds"] => Some(Route::Kinds { project: Some(project.to_string()) }),
            ["cluster", "kinds"] => Some(Route::Kinds { project: None }),
            ["projects", project, "create"] => Some(Route::Create { project: project.to_string() }),
            ["projects", project, rest @ ..] => of_kind(Some(project.to_string()), rest),
            ["cluster", rest @ ..] => of_kind(None, rest),
            _ => None,
        };
        found.unwrap_or_else(|| Route::Unknown(path.to_string()))
    }

    /// The path of the route; `parse` undoes it.
    pub fn path(&self) -> String {
        let base = |project: &Option<String>| project.as_ref().map_or("/cluster".to_string(), |p| format!("/projects/{p}"));
        match self {
            Route::Projects => "/".into(),
            Route::About => "/about".into(),
            Route::Search { words } if words.is_empty() => "/search".into(),
            Route::Search { words } => format!("/search/{}", encoded(words)),
            Route::Overview { project } => format!("/projects/{project}"),
            Route::Topology { project } => format!("/projects/{project}/topology"),
            Route::Settings { project } => format!("/projects/{project}/settings"),
            Route::Kinds { project } => format!("{}/kinds", base(project)),
            Route::Create { project } => format!("/projects/{project}/create"),
            Route::List { project, kind } => format!("{}/{}", base(project), kind.qualified()),
            Route::Object { project, kind, name, tab } => {
                let path = format!("{}/{}/{name}", base(project), kind.qualified());
                if *tab == Tab::Details { path } else { format!("{path}/{}", tab.segment()) }
            }
            Route::Unknown(path) => path.clone(),
        }
    }

    /// The project that the route is in.
    pub fn project(&self) -> Option<&str> {
        match self {
            Route::Overview { project } | Route::Create { project } | Route::Topology { project } | Route::Settings { project } => {
                Some(project)
            }
            Route::List { project, .. } | Route::Kinds { project } | Route::Object { project, .. } => project.as_deref(),
            _ => None,
        }
    }

    /// The browser tab's title.
    pub fn title(&self) -> String {
        let what = match self {
            Route::Projects => "Projects".to_string(),
            Route::About => "About".into(),
            Route::Overview { project } => format!("{project} overview"),
            Route::Create { project } => format!("Create in {project}"),
            Route::Search { .. } => "Search".into(),
            Route::Topology { project } => format!("{project} topology"),
            Route::Settings { project } => format!("{project} settings"),
            Route::Kinds { project: Some(project) } => format!("All kinds in {project}"),
            Route::Kinds { project: None } => "All kinds".into(),
            Route::List { project: Some(project), kind } => format!("{} in {project}", kind_title(kind)),
            Route::List { project: None, kind } => kind_title(kind),
            Route::Object { kind, name, .. } => format!("{name} ({})", kind.kind),
            Route::Unknown(_) => "Not found".into(),
        };
        format!("{what} · Pilothouse")
    }
}

fn of_kind(project: Option<String>, rest: &[&str]) -> Option<Route> {
    let wanted = *rest.first()?;
    let kind = known::by_qualified(wanted);
    let kind = kind.filter(|k| k.namespaced() == project.is_some())?;
    let tab_of = |segment: &str| Tab::of(kind).iter().copied().find(|t| t.segment() == segment);
    match rest {
        [_] => Some(Route::List { project, kind }),
        [_, name] => Some(Route::Object { project, kind, name: name.to_string(), tab: Tab::Details }),
        [_, name, tab] => Some(Route::Object { project, kind, name: name.to_string(), tab: tab_of(tab)? }),
        _ => None,
    }
}

/// Everything but letters, digits and `-._~` as `%XX` (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (vec![], 0);
    while at < bytes.len() {
        let code = if bytes[at] == b'%' { text.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok()) } else { None };
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `ReplicationController` → `Replication Controllers`.
pub fn kind_title(kind: &Kind) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for c in kind.kind.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            words.push(' ');
        }
        words.push(c);
        before = c;
    }
    match words.as_str() {
        w if w.ends_with("ndpoints") => words,
        w if w.ends_with('s') => format!("{words}es"),
        w if w.ends_with('y') => format!("{}ies", &w[..w.len() - 1]),
        _ => format!("{words}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_found_again() {
        let paths = [
            "/",
            "/about",
            "/projects/hack",
            "/projects/hack/create",
            "/projects/hack/topology",
            "/projects/hack/settings",
            "/projects/hack/kinds",
            "/cluster/kinds",
            "/search",
            "/search/a%20b%2Fc%C3%A4",
            "/projects/hack/services/web/logs",
            "/projects/hack/pods",
            "/projects/hack/pods/web-1",
            "/projects/hack/pods/web-1/logs",
            "/projects/hack/pods/web-1/terminal",
            "/projects/hack/rolebindings.rbac.authorization.k8s.io/x/yaml",
            "/cluster/nodes/master/events",
        ];
        for path in paths {
            assert_eq!(Route::parse(path).path(), path);
            assert!(!matches!(Route::parse(path), Route::Unknown(_)), "{path}");
        }
    }

    #[test]
    fn other_addresses_are_unknown() {
        for path in ["/x", "/projects/a/nodes", "/cluster/pods", "/projects/a/services/b/terminal", "/projects/a/pods/b/logs/c", "/cluster"]
        {
            assert_eq!(Route::parse(path), Route::Unknown(path.into()));
        }
    }

    #[test]
    fn kinds_are_called_as_people_call_them() {
        let titles: Vec<String> =
            [&shared::kinds::REPLICATION_CONTROLLER, &shared::kinds::ENDPOINTS, &shared::kinds::IDENTITY].map(kind_title).into();
        assert_eq!(titles, ["Replication Controllers", "Endpoints", "Identities"]);
    }
}
