//! What the palette (Ctrl-K) offers: places and things by a few letters.
use super::fuzzy::score;
use super::known;
use super::route::{Route, Tab, kind_title};
use serde_json::Value;
use shared::kinds::{Kind, PROJECT};
use shared::selector::LabelSelector;

/// Entries that the palette shows.
const SHOWN_MAX: usize = 12;
/// Rows that the search shows.
pub const FOUND_MAX: usize = 200;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub title: String,
    /// What it is: `Page`, `Pod in hack`.
    pub hint: String,
    pub route: Route,
}

/// Places that are always there: the pages, and the lists of the project where the reader is, or of the cluster.
pub fn places(project: Option<&str>) -> Vec<Entry> {
    let page = |title: &str, hint: String, route: Route| Entry { title: title.into(), hint, route };
    let mut all = vec![page("Projects", "Page".into(), Route::Projects), page("About", "Page".into(), Route::About)];
    if let Some(p) = project {
        let hint = || format!("Page of {p}");
        let project = || p.to_string();
        all.push(page("Overview", hint(), Route::Overview { project: project() }));
        all.push(page("Topology", hint(), Route::Topology { project: project() }));
        all.push(page("Create", hint(), Route::Create { project: project() }));
        all.push(page("Settings", hint(), Route::Settings { project: project() }));
    }
    for kind in known::all() {
        let at = if kind.namespaced() { project.map(|p| Some(p.to_string())) } else { Some(None) };
        if let Some(project) = at
            && *kind != PROJECT
        {
            let hint = project.as_ref().map_or("List of the cluster".to_string(), |p| format!("List in {p}"));
            all.push(Entry { title: kind_title(kind), hint, route: Route::List { project, kind } });
        }
    }
    all
}

/// The entry of an object.
pub fn of_object(kind: &'static Kind, object: &Value) -> Entry {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_string();
    let name = text("/metadata/name");
    if *kind == PROJECT {
        return Entry { title: name.clone(), hint: "Project".into(), route: Route::Overview { project: name } };
    }
    let project = Some(text("/metadata/namespace")).filter(|n| !n.is_empty());
    let hint = project.as_ref().map_or(kind.kind.to_string(), |p| format!("{} in {p}", kind.kind));
    Entry { title: name.clone(), hint, route: Route::Object { project, kind, name, tab: Tab::Details } }
}

/// What fits the typed letters, best first; with nothing typed the first places.
pub fn fitting(typed: &str, entries: &[Entry]) -> Vec<Entry> {
    let whole = |e: &Entry| {
        let all = format!("{} {}", e.title, e.hint).to_lowercase();
        typed.to_lowercase().split_whitespace().all(|w| all.contains(w)).then_some(0)
    };
    let mut found: Vec<(i32, &Entry)> = entries.iter().filter_map(|e| Some((score(typed, &e.title).or_else(|| whole(e))?, e))).collect();
    found.sort_by_key(|(score, _)| -score);
    found.into_iter().take(SHOWN_MAX).map(|(_, e)| e.clone()).collect()
}

/// What the search shows of everything: by a label selector when it has an operator, else by words, best first.
pub fn matching(typed: &str, all: &[(Entry, Value)]) -> Vec<Entry> {
    if typed.contains(['=', '!'])
        && let Ok(selector) = LabelSelector::parse(typed)
    {
        let label = |o: &Value| selector.matches_with(|key| o.pointer("/metadata/labels")?.get(key)?.as_str());
        return all.iter().filter(|(_, o)| label(o)).map(|(e, _)| e.clone()).take(FOUND_MAX).collect();
    }
    let fit = |e: &Entry| score(typed, &format!("{} {}", e.title, e.hint));
    let mut scored: Vec<(i32, &Entry)> = all.iter().filter_map(|(e, _)| Some((fit(e)?, e))).collect();
    scored.sort_by_key(|(s, _)| -s);
    scored.into_iter().take(FOUND_MAX).map(|(_, e)| e.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_search_takes_words_and_labels() {
        let pod = |name: &str, app: &str| {
            let object = json!({"metadata": {"name": name, "namespace": "hack", "labels": {"app": app}}});
            (of_object(&shared::kinds::POD, &object), object)
        };
        let all = [pod("one", "web"), pod("two", "db")];
        let names = |typed: &str| matching(typed, &all).into_iter().map(|e| e.title).collect::<Vec<_>>();
        assert_eq!(names("app=web"), ["one"]);
        assert_eq!(names("app!=web"), ["two"]);
        assert_eq!(names("two hack"), ["two"]);
        assert_eq!(names("").len(), 2);
    }

    #[test]
    fn places_and_things_are_found_by_letters() {
        let mut all = places(Some("hack"));
        all.push(of_object(&shared::kinds::POD, &json!({"metadata": {"name": "web-1", "namespace": "hack"}})));
        let first = |typed: &str| fitting(typed, &all).first().map(|e| e.route.path());
        assert_eq!(first("web").as_deref(), Some("/projects/hack/pods/web-1"));
        assert_eq!(first("pods").as_deref(), Some("/projects/hack/pods"));
        assert_eq!(first("topo").as_deref(), Some("/projects/hack/topology"));
        assert_eq!(first("nod").as_deref(), Some("/cluster/nodes"));
        assert_eq!(first("qqq"), None);
        assert_eq!(fitting("", &all).len(), SHOWN_MAX);
    }
}
