//! `paths`: the URLs of the served kinds with their verbs and query parameters.
use super::schemas::{PATCH, PREFIX};
use crate::table::table;
use serde_json::{Map, Value, json};
use shared::kinds::{Kind, Storage};

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Query parameters: name, type, description.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "If 'true', then the output is pretty printed.");
const WRITE: &[Parameter] = &[
    (
        "dryRun",
        "string",
        "When present, indicates that modifications should not be persisted. An invalid or unrecognized dryRun directive will result in an error response and no further processing of the request. Valid values are: - All: all dry run stages will be processed",
    ),
    ("fieldManager", "string", "fieldManager is a name associated with the actor or entity that is making these changes."),
    (
        "fieldValidation",
        "string",
        "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values are: Ignore, Warn, Strict.",
    ),
];
const FORCE: &[Parameter] = &[(
    "force",
    "boolean",
    "Force is going to \"force\" Apply requests. It means user will re-acquire conflicting fields owned by other people.",
)];
const DELETE: &[Parameter] = &[
    ("dryRun", "string", "When present, indicates that modifications should not be persisted."),
    (
        "gracePeriodSeconds",
        "integer",
        "The duration in seconds before the object should be deleted. The value zero indicates delete immediately.",
    ),
    ("orphanDependents", "boolean", "Deprecated: please use the PropagationPolicy."),
    ("propagationPolicy", "string", "Whether and how garbage collection will be performed: 'Orphan', 'Background' or 'Foreground'."),
];
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "allowWatchBookmarks requests watch events with type \"BOOKMARK\"."),
    ("continue", "string", "The continue option should be set when retrieving more results from the server."),
    ("fieldSelector", "string", "A selector to restrict the list of returned objects by their fields. Defaults to everything."),
    ("labelSelector", "string", "A selector to restrict the list of returned objects by their labels. Defaults to everything."),
    ("limit", "integer", "limit is a maximum number of responses to return for a list call."),
    ("resourceVersion", "string", "resourceVersion sets a constraint on what resource versions a request may be served from."),
    ("resourceVersionMatch", "string", "resourceVersionMatch determines how resourceVersion is applied to list calls."),
    (
        "sendInitialEvents",
        "boolean",
        "sendInitialEvents=true may be set together with watch=true: the watch then begins with the current objects.",
    ),
    ("timeoutSeconds", "integer", "Timeout for the list/watch call."),
    (
        "watch",
        "boolean",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications.",
    ),
];
const LOG: &[Parameter] = &[
    ("container", "string", "The container for which to stream logs. Defaults to only container if there is one container in the pod."),
    ("follow", "boolean", "Follow the log stream of the pod. Defaults to false."),
    ("limitBytes", "integer", "If set, the number of bytes to read from the server before terminating the log output."),
    ("previous", "boolean", "Return previous terminated container logs. Defaults to false."),
    ("sinceSeconds", "integer", "A relative time in seconds before the current time from which to show logs."),
    ("tailLines", "integer", "If set, the number of lines from the end of the logs to show."),
    ("timestamps", "boolean", "If true, add an RFC3339 timestamp at the beginning of every line of log output. Defaults to false."),
];
const EXEC: &[Parameter] = &[
    ("command", "string", "Command is the remote command to execute. argv array. Not executed within a shell."),
    (
        "container",
        "string",
        "Container in which to execute the command. Defaults to only container if there is only one container in the pod.",
    ),
    ("stderr", "boolean", "Redirect the standard error stream of the pod for this call."),
    ("stdin", "boolean", "Redirect the standard input stream of the pod for this call. Defaults to false."),
    ("stdout", "boolean", "Redirect the standard output stream of the pod for this call."),
    ("tty", "boolean", "TTY if true indicates that a tty will be allocated for the exec call. Defaults to false."),
];
const FORWARD: &[Parameter] = &[("ports", "integer", "List of ports to forward. Required when using WebSockets.")];
const PROXY: &[Parameter] = &[("path", "string", "Path is the URL path to use for the current proxy request.")];

/// The paths of all these kinds, which share one group and version.
pub(super) fn of(kinds: &[&Kind]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        if let Some(urls) = Urls::of(kind) {
            urls.add(&mut paths);
        }
    }
    Value::Object(paths)
}

/// One kind, with what its URLs are made of.
struct Urls<'a> {
    kind: &'a Kind,
    /// The schema of the object and of its list.
    schema: &'static str,
    list: Option<&'static str>,
    /// `CoreV1`, for operation ids.
    prefix: String,
    /// `Namespaced` or nothing.
    scope: &'static str,
}

/// What an operation works on: group, version, kind and schema.
type Subject<'a> = (&'a str, &'a str, &'a str, &'a str);

impl<'a> Urls<'a> {
    fn of(kind: &'a Kind) -> Option<Urls<'a>> {
        let id = table().by_kind(kind)?;
        let list = table().by_api_version(&kind.api_version(), &format!("{}List", kind.kind)).map(|id| table().definition(id).name);
        let group = kind.group.split('.').next().unwrap_or_default();
        let prefix = format!("{}{}", capital(if group.is_empty() { "core" } else { group }), capital(kind.version));
        let scope = if kind.namespaced() { "Namespaced" } else { "" };
        Some(Urls { kind, schema: table().definition(id).name, list, prefix, scope })
    }

    fn subject(&self) -> Subject<'a> {
        (self.kind.group, self.kind.version, self.kind.kind, self.schema)
    }

    fn add(&self, paths: &mut Map<String, Value>) {
        let collection = self.kind.collection_path(self.kind.namespaced().then_some("{namespace}"));
        let (name, prefix, scope) = (self.kind.kind, &self.prefix, self.scope);
        let mut on_collection = self.parameters(self.kind.namespaced(), false);
        let create = self.operation("post", &format!("create{prefix}{scope}{name}"), self.subject(), &[WRITE]);
        on_collection.insert("post".into(), create);
        if self.kind.storage == Storage::Virtual {
            paths.insert(collection, Value::Object(on_collection));
            return;
        }
        if let Some(list) = self.list {
            let subject = (self.kind.group, self.kind.version, name, list);
            on_collection.insert("get".into(), self.operation("list", &format!("list{prefix}{scope}{name}"), subject, &[LIST]));
            if self.kind.namespaced() {
                let mut everywhere = self.parameters(false, false);
                everywhere.insert("get".into(), self.operation("list", &format!("list{prefix}{name}ForAllNamespaces"), subject, &[LIST]));
                paths.insert(self.kind.collection_path(None), Value::Object(everywhere));
            }
        }
        let gone = self.operation("deletecollection", &format!("delete{prefix}Collection{scope}{name}"), self.subject(), &[DELETE, LIST]);
        on_collection.insert("delete".into(), gone);
        paths.insert(collection.clone(), Value::Object(on_collection));

        let object = format!("{collection}/{{name}}");
        let mut on_object = self.reads_and_writes("", self.subject());
        on_object.insert("delete".into(), self.operation("delete", &format!("delete{prefix}{scope}{name}"), self.subject(), &[DELETE]));
        paths.insert(object.clone(), Value::Object(on_object));
        for subresource in self.kind.subresources {
            if let Some(item) = self.subresource(subresource) {
                paths.insert(format!("{object}/{subresource}"), Value::Object(item));
            }
        }
    }

    fn reads_and_writes(&self, suffix: &str, subject: Subject) -> Map<String, Value> {
        let (name, prefix, scope) = (self.kind.kind, &self.prefix, self.scope);
        let id = |verb: &str| format!("{verb}{prefix}{scope}{name}{suffix}");
        let mut item = self.parameters(self.kind.namespaced(), true);
        item.insert("get".into(), self.operation("get", &id("read"), subject, &[]));
        item.insert("put".into(), self.operation("put", &id("replace"), subject, &[WRITE]));
        item.insert("patch".into(), self.operation("patch", &id("patch"), subject, &[WRITE, FORCE]));
        item
    }

    fn subresource(&self, name: &str) -> Option<Map<String, Value>> {
        let suffix = capital(name);
        let id = |verb: &str| format!("{verb}{}{}{}{suffix}", self.prefix, self.scope, self.kind.kind);
        let mut item = self.parameters(self.kind.namespaced(), true);
        let posted = |group, version, kind, schema| Some(("post", "create", (group, version, kind, schema)));
        let action = match name {
            "status" | "ephemeralcontainers" | "resize" => return Some(self.reads_and_writes(&suffix, self.subject())),
            "scale" => return Some(self.reads_and_writes(&suffix, ("autoscaling", "v1", "Scale", "io.k8s.api.autoscaling.v1.Scale"))),
            "binding" => posted("", "v1", "Binding", "io.k8s.api.core.v1.Binding"),
            "eviction" => posted("policy", "v1", "Eviction", "io.k8s.api.policy.v1.Eviction"),
            "token" => posted("authentication.k8s.io", "v1", "TokenRequest", "io.k8s.api.authentication.v1.TokenRequest"),
            "finalize" => Some(("put", "replace", self.subject())),
            _ => None,
        };
        if let Some((verb, word, subject)) = action {
            item.insert(verb.into(), self.operation(verb, &id(word), subject, &[WRITE]));
            return Some(item);
        }
        let (parameters, kind, both) = match name {
            "log" => (LOG, "Pod", false),
            "exec" => (EXEC, "PodExecOptions", true),
            "attach" => (&EXEC[1..], "PodAttachOptions", true),
            "portforward" => (FORWARD, "PodPortForwardOptions", true),
            "proxy" => (PROXY, "ProxyOptions", true),
            _ => return None,
        };
        let verbs: &[&str] = if both { &["get", "post"] } else { &["get"] };
        for verb in verbs {
            let word = if both { format!("connect{}", capital(verb)) } else { "read".into() };
            let action = if both { "connect" } else { "get" };
            let operation = json!({
                "description": format!("{action} {name} of {}", self.kind.kind),
                "operationId": id(&word),
                "tags": [self.tag()],
                "parameters": query(&[parameters]),
                "responses": {"200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}}, "401": {"description": "Unauthorized"}},
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": {"group": "", "kind": kind, "version": "v1"},
            });
            item.insert((*verb).into(), operation);
        }
        Some(item)
    }

    /// The parameters in the path, which all operations on it share.
    fn parameters(&self, namespace: bool, name: bool) -> Map<String, Value> {
        let word = |name: &str, description: &str| json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string", "uniqueItems": true}});
        let mut list = Vec::new();
        if name {
            list.push(word("name", &format!("name of the {}", self.kind.kind)));
        }
        if namespace {
            list.push(word("namespace", "object name and auth scope, such as for teams and projects"));
        }
        list.extend(query(&[&[PRETTY]]));
        Map::from_iter([("parameters".to_string(), Value::Array(list))])
    }

    fn tag(&self) -> String {
        let group = self.kind.group.split('.').next().unwrap_or_default();
        format!("{}_{}", if group.is_empty() { "core" } else { group }, self.kind.version)
    }

    fn operation(&self, action: &str, id: &str, subject: Subject, parameters: &[&[Parameter]]) -> Value {
        let (group, version, kind, schema) = subject;
        let content = |name: &str| json!({"application/json": {"schema": {"$ref": format!("{PREFIX}{name}")}}});
        let answer = if action.starts_with("delete") { STATUS } else { schema };
        let mut responses = Map::new();
        let codes: &[(&str, &str)] = match action {
            "post" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
            "put" | "patch" => &[("200", "OK"), ("201", "Created")],
            "delete" => &[("200", "OK"), ("202", "Accepted")],
            _ => &[("200", "OK")],
        };
        for (code, text) in codes {
            responses.insert((*code).into(), json!({"description": text, "content": content(answer)}));
        }
        responses.insert("401".into(), json!({"description": "Unauthorized"}));
        let mut operation = json!({
            "description": format!("{action} {kind}"),
            "operationId": id,
            "tags": [self.tag()],
            "responses": responses,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
        });
        let parameters = query(parameters);
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        let reference = |name: &str| json!({"schema": {"$ref": format!("{PREFIX}{name}")}});
        match action {
            "post" | "put" => operation["requestBody"] = json!({"required": true, "content": {"*/*": reference(schema)}}),
            "delete" | "deletecollection" => operation["requestBody"] = json!({"content": {"*/*": reference(DELETE_OPTIONS)}}),
            "patch" => {
                let kinds = [
                    "application/apply-patch+yaml",
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/strategic-merge-patch+json",
                ];
                let content: Map<String, Value> = kinds.iter().map(|k| (k.to_string(), reference(PATCH))).collect();
                operation["requestBody"] = json!({"required": true, "content": content});
            }
            _ => {}
        }
        operation
    }
}

fn query(lists: &[&[Parameter]]) -> Vec<Value> {
    let mut seen: Vec<&str> = Vec::new();
    let mut parameters = Vec::new();
    for (name, ty, description) in lists.iter().copied().flatten() {
        if !seen.contains(name) {
            seen.push(name);
            parameters.push(json!({"name": name, "in": "query", "description": description, "schema": {"type": ty, "uniqueItems": true}}));
        }
    }
    parameters
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
