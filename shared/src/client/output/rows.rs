//! The tables of `osc get`: per kind a header and the rows of one object, from today's JSON to the columns of 2015.
use super::{items, labels, name, pairs, tabwriter, text, time};
use crate::kinds::Kind;
use jiff::Timestamp;
use serde_json::Value;

/// What the flags say about a table.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableOptions {
    pub no_headers: bool,
    pub wide: bool,
    /// Adds a first column with the namespace.
    pub all_namespaces: bool,
}

/// The aligned table of objects of one kind; the header stands there also when there is no object.
pub fn table(kind: &Kind, objects: &[Value], options: TableOptions, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if !options.no_headers {
        lines.push(header(kind, options));
    }
    if kind.plural == "events" {
        let mut sorted: Vec<&Value> = objects.iter().collect();
        sorted.sort_by_key(|e| (last_seen(e).to_string(), first_seen(e).to_string()));
        lines.extend(sorted.into_iter().flat_map(|o| rows(kind, o, options, now)));
    } else {
        lines.extend(objects.iter().flat_map(|o| rows(kind, o, options, now)));
    }
    let text: String = lines.into_iter().map(|cells| cells.join("\t") + "\n").collect();
    tabwriter::align(&text, tabwriter::TABLE)
}

fn columns(kind: &Kind) -> &'static [&'static str] {
    match (kind.group, kind.plural) {
        ("", "pods") => &["POD", "IP", "CONTAINER(S)", "IMAGE(S)", "HOST", "LABELS", "STATUS"],
        ("", "replicationcontrollers") => &["CONTROLLER", "CONTAINER(S)", "IMAGE(S)", "SELECTOR", "REPLICAS"],
        ("", "services") => &["NAME", "LABELS", "SELECTOR", "IP", "PORT"],
        (_, "endpoints" | "endpointslices") => &["NAME", "ENDPOINTS"],
        ("", "nodes") => &["NAME", "LABELS", "STATUS"],
        (_, "events") => &["FIRSTSEEN", "LASTSEEN", "COUNT", "NAME", "KIND", "SUBOBJECT", "REASON", "SOURCE", "MESSAGE"],
        ("", "namespaces") => &["NAME", "LABELS"],
        ("", "secrets" | "configmaps") => &["NAME", "DATA"],
        ("", "serviceaccounts") => &["NAME", "SECRETS"],
        ("", "limitranges" | "resourcequotas") => &["NAME"],
        (_, "projects") => &["NAME", "DISPLAY NAME"],
        (_, "roles" | "clusterroles") => &["NAME"],
        (_, "rolebindings" | "clusterrolebindings") => &["NAME", "ROLE", "USERS", "GROUPS"],
        (_, "users") => &["NAME", "UID", "FULL NAME"],
        (_, "identities") => &["NAME", "IDP NAME", "IDP USER NAME", "USER NAME", "USER UID"],
        (_, "leases") => &["NAME", "HOLDER"],
        _ => &["NAME", "LABELS"],
    }
}

/// Columns that `-o wide` adds.
fn wide_columns(kind: &Kind) -> &'static [&'static str] {
    match (kind.group, kind.plural) {
        ("", "pods") => &["RESTARTS", "AGE", "MESSAGE"],
        ("", "services") => &["TYPE", "AGE"],
        ("", "nodes") => &["ADDRESS", "VERSION", "AGE"],
        (_, "events") => &[],
        _ => &["AGE"],
    }
}

fn header(kind: &Kind, options: TableOptions) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    if options.all_namespaces && kind.namespaced() {
        cells.push("NAMESPACE".into());
    }
    cells.extend(columns(kind).iter().map(|c| c.to_string()));
    if options.wide {
        cells.extend(wide_columns(kind).iter().map(|c| c.to_string()));
    }
    cells
}

/// The rows of one object: more than one for pods and controllers with several containers.
fn rows(kind: &Kind, object: &Value, options: TableOptions, now: Timestamp) -> Vec<Vec<String>> {
    let mut all = match (kind.group, kind.plural) {
        ("", "pods") => pod(object),
        ("", "replicationcontrollers") => controller(object),
        _ => vec![one_row(kind, object)],
    };
    for (i, row) in all.iter_mut().enumerate() {
        let first = i == 0;
        if options.wide {
            let cells = wide(kind, object, now);
            row.extend(cells.into_iter().map(|c| if first { c } else { String::new() }));
        }
        if options.all_namespaces && kind.namespaced() {
            row.insert(0, if first { text(&object["metadata"]["namespace"]).into() } else { String::new() });
        }
    }
    all
}

fn wide(kind: &Kind, o: &Value, now: Timestamp) -> Vec<String> {
    let age = time::age(text(&o["metadata"]["creationTimestamp"]), now);
    match (kind.group, kind.plural) {
        ("", "pods") => {
            let restarts: i64 = items(&o["status"]["containerStatuses"]).iter().filter_map(|c| c["restartCount"].as_i64()).sum();
            vec![restarts.to_string(), age, pod_message(o)]
        }
        ("", "services") => vec![text(&o["spec"]["type"]).into(), age],
        ("", "nodes") => {
            let address = items(&o["status"]["addresses"]).iter().find(|a| a["type"] == "InternalIP").map(|a| text(&a["address"]));
            vec![address.unwrap_or_default().into(), text(&o["status"]["nodeInfo"]["kubeletVersion"]).into(), age]
        }
        (_, "events") => Vec::new(),
        _ => vec![age],
    }
}

/// Why a pod does not run, in the words of its status.
fn pod_message(o: &Value) -> String {
    let waiting = items(&o["status"]["containerStatuses"]).iter().find_map(|c| c["state"]["waiting"]["reason"].as_str());
    let condition = items(&o["status"]["conditions"]).iter().find(|c| c["status"] == "False" && c["message"].is_string());
    let own = o["status"]["message"].as_str();
    own.or(waiting)
        .or(condition.and_then(|c| c["message"].as_str()).filter(|_| o["status"]["phase"] == "Pending"))
        .unwrap_or_default()
        .into()
}

/// Rows of the containers after the first carry only the container's name and image.
fn with_containers(spec: &Value, first: impl FnOnce(String, String) -> Vec<String>, width: usize, at: usize) -> Vec<Vec<String>> {
    let containers = items(&spec["containers"]);
    let cell = |c: Option<&Value>, key: &str| c.map(|c| text(&c[key]).to_string()).unwrap_or_default();
    let mut out = vec![first(cell(containers.first(), "name"), cell(containers.first(), "image"))];
    for c in containers.iter().skip(1) {
        let mut row = vec![String::new(); width];
        row[at] = cell(Some(c), "name");
        row[at + 1] = cell(Some(c), "image");
        out.push(row);
    }
    out
}

/// `host/ip` of a pod's node.
pub fn pod_host(pod: &Value) -> String {
    let (host, ip) = (text(&pod["spec"]["nodeName"]), text(&pod["status"]["hostIP"]));
    if host.is_empty() && ip.is_empty() { "<unassigned>".into() } else { format!("{host}/{ip}") }
}

fn pod(o: &Value) -> Vec<Vec<String>> {
    let row = |container: String, image: String| {
        let (ip, phase) = (text(&o["status"]["podIP"]), text(&o["status"]["phase"]));
        vec![name(o).into(), ip.into(), container, image, pod_host(o), labels(o), phase.into()]
    };
    with_containers(&o["spec"], row, 7, 2)
}

fn controller(o: &Value) -> Vec<Vec<String>> {
    let row = |container: String, image: String| {
        let replicas = o["spec"]["replicas"].as_i64().unwrap_or(1);
        vec![name(o).into(), container, image, pairs(&o["spec"]["selector"]), replicas.to_string()]
    };
    with_containers(&o["spec"]["template"]["spec"], row, 5, 1)
}

/// `ip:port,…` of an Endpoints object or a slice, or `<none>`.
pub fn endpoints(o: &Value) -> String {
    let mut out = Vec::new();
    for subset in items(&o["subsets"]) {
        for port in items(&subset["ports"]) {
            out.extend(items(&subset["addresses"]).iter().map(|a| format!("{}:{}", text(&a["ip"]), port["port"])));
        }
    }
    for port in items(&o["ports"]) {
        let addresses = items(&o["endpoints"]).iter().flat_map(|e| items(&e["addresses"]));
        out.extend(addresses.map(|a| format!("{}:{}", text(a), port["port"])));
    }
    if out.is_empty() { "<none>".into() } else { out.join(",") }
}

/// The known conditions of a node in order, `Not` before those that do not hold.
pub fn node_status(o: &Value) -> String {
    let mut out = Vec::new();
    for known in ["Ready", "Reachable"] {
        if let Some(c) = items(&o["status"]["conditions"]).iter().find(|c| c["type"] == known) {
            out.push(if c["status"] == "True" { known.to_string() } else { format!("Not{known}") });
        }
    }
    if out.is_empty() {
        out.push("Unknown".into());
    }
    if o["spec"]["unschedulable"] == true {
        out.push("SchedulingDisabled".into());
    }
    out.join(",")
}

fn first_seen(e: &Value) -> &str {
    e["firstTimestamp"].as_str().or(e["eventTime"].as_str()).or(e["metadata"]["creationTimestamp"].as_str()).unwrap_or_default()
}

pub fn last_seen(e: &Value) -> &str {
    e["lastTimestamp"].as_str().or(e["series"]["lastObservedTime"].as_str()).unwrap_or_else(|| first_seen(e))
}

/// First seen, last seen, count and source of an event, as the table and the descriptions print them.
pub fn event_head(e: &Value) -> (String, String, String, String) {
    let source = match text(&e["source"]["component"]) {
        "" => format!("{{{} {}}}", text(&e["reportingComponent"]), text(&e["reportingInstance"])),
        component => format!("{{{component} {}}}", text(&e["source"]["host"])),
    };
    let count = e["count"].as_i64().or(e["series"]["count"].as_i64()).unwrap_or(1).max(1);
    (time::rfc1123(first_seen(e)), time::rfc1123(last_seen(e)), count.to_string(), source)
}

fn event(o: &Value) -> Vec<String> {
    let about = if o["regarding"].is_object() { &o["regarding"] } else { &o["involvedObject"] };
    let message = o["message"].as_str().unwrap_or(text(&o["note"]));
    let (first, last, count, source) = event_head(o);
    let mut row = vec![first, last, count];
    row.extend([&about["name"], &about["kind"], &about["fieldPath"], &o["reason"]].map(|v| text(v).to_string()));
    row.extend([source, message.trim_end().replace('\n', " ")]);
    row
}

/// Names of a binding's subjects of one kind.
pub fn subjects(o: &Value, kinds: &[&str]) -> String {
    let of = |s: &&Value| kinds.contains(&text(&s["kind"]));
    let full = |s: &Value| match text(&s["kind"]) {
        "ServiceAccount" => format!("system:serviceaccount:{}:{}", text(&s["namespace"]), text(&s["name"])),
        _ => text(&s["name"]).to_string(),
    };
    items(&o["subjects"]).iter().filter(of).map(full).collect::<Vec<_>>().join(", ")
}

fn ports(o: &Value) -> String {
    items(&o["spec"]["ports"]).iter().map(|p| p["port"].to_string()).collect::<Vec<_>>().join(",")
}

fn one_row(kind: &Kind, o: &Value) -> Vec<String> {
    let n = name(o).to_string();
    let count = |v: &Value| v.as_object().map_or(0, serde_json::Map::len);
    match (kind.group, kind.plural) {
        ("", "services") => vec![n, labels(o), pairs(&o["spec"]["selector"]), text(&o["spec"]["clusterIP"]).into(), ports(o)],
        (_, "endpoints" | "endpointslices") => vec![n, endpoints(o)],
        ("", "nodes") => vec![n, labels(o), node_status(o)],
        (_, "events") => event(o),
        ("", "secrets") => vec![n, count(&o["data"]).to_string()],
        ("", "configmaps") => vec![n, (count(&o["data"]) + count(&o["binaryData"])).to_string()],
        ("", "serviceaccounts") => vec![n, items(&o["secrets"]).len().to_string()],
        ("", "limitranges" | "resourcequotas") => vec![n],
        (_, "projects") => vec![n, display_name(o).into()],
        (_, "roles" | "clusterroles") => vec![n],
        (_, "rolebindings" | "clusterrolebindings") => {
            let role = text(&o["roleRef"]["name"]).to_string();
            vec![n, role, subjects(o, &["User", "ServiceAccount"]), subjects(o, &["Group"])]
        }
        (_, "users") => vec![n, text(&o["metadata"]["uid"]).into(), text(&o["fullName"]).into()],
        (_, "identities") => {
            let fields = [&o["providerName"], &o["providerUserName"], &o["user"]["name"], &o["user"]["uid"]];
            std::iter::once(n).chain(fields.map(|v| text(v).to_string())).collect()
        }
        (_, "leases") => vec![n, text(&o["spec"]["holderIdentity"]).into()],
        _ => vec![n, labels(o)],
    }
}

/// A project's name for people.
pub fn display_name(o: &Value) -> &str {
    let annotations = &o["metadata"]["annotations"];
    annotations["openshift.io/display-name"].as_str().or(annotations["displayname"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;
    use serde_json::json;

    fn print(kind: &Kind, objects: &[Value]) -> String {
        table(kind, objects, TableOptions::default(), Timestamp::UNIX_EPOCH)
    }

    fn hello_pod(name: &str, ip: &str) -> Value {
        json!({"kind":"Pod","metadata":{"name":name,"labels":{"name":"hello-openshift"}},
            "spec":{"nodeName":"master","containers":[{"name":"hello-openshift","image":"openshift/hello-openshift"}]},
            "status":{"phase":"Running","podIP":ip,"hostIP":"127.0.0.1"}})
    }

    /// The tables that the original printed in the tutorial, blank for blank.
    #[test]
    fn tables_of_the_tutorial() {
        let header = "POD                 IP                  CONTAINER(S)        IMAGE(S)            HOST                LABELS              STATUS\n";
        assert_eq!(print(&kinds::POD, &[]), header);
        let want = "\
POD                      IP                  CONTAINER(S)        IMAGE(S)                    HOST                LABELS                 STATUS
hello-controller-b0khr   172.17.0.3          hello-openshift     openshift/hello-openshift   master/127.0.0.1    name=hello-openshift   Running
hello-openshift          172.17.0.2          hello-openshift     openshift/hello-openshift   master/127.0.0.1    name=hello-openshift   Running
";
        assert_eq!(
            print(&kinds::POD, &[hello_pod("hello-controller-b0khr", "172.17.0.3"), hello_pod("hello-openshift", "172.17.0.2")]),
            want
        );
        let service = json!({"metadata":{"name":"hello-openshift"},
            "spec":{"selector":{"name":"hello-openshift"},"clusterIP":"172.30.17.138","ports":[{"port":27017}]}});
        let want = "\
NAME                LABELS              SELECTOR               IP                  PORT
hello-openshift     <none>              name=hello-openshift   172.30.17.138       27017
";
        assert_eq!(print(&kinds::SERVICE, &[service]), want);
        let rc = json!({"metadata":{"name":"hello-controller"},"spec":{"replicas":3,"selector":{"name":"hello-openshift"},
            "template":{"spec":{"containers":[{"name":"hello-openshift","image":"openshift/hello-openshift"}]}}}});
        let want = "\
CONTROLLER          CONTAINER(S)        IMAGE(S)                    SELECTOR               REPLICAS
hello-controller    hello-openshift     openshift/hello-openshift   name=hello-openshift   3
";
        assert_eq!(print(&kinds::REPLICATION_CONTROLLER, &[rc]), want);
        let node = json!({"kind":"Node","metadata":{"name":"master","labels":{"kubernetes.io/hostname":"master"}},
            "status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}]}});
        let want = "NAME                LABELS              STATUS\nmaster              <none>              Ready\n";
        assert_eq!(print(&kinds::NODE, &[node]), want);
    }

    #[test]
    fn projects_and_namespaces() {
        let hack = json!({"metadata":{"name":"hack","annotations":{"openshift.io/display-name":"Hack Night"}}});
        let default = json!({"metadata":{"name":"default"}});
        let want = "NAME                DISPLAY NAME\ndefault             \nhack                Hack Night\n";
        assert_eq!(print(&kinds::PROJECT, &[default, hack]), want);
        let ns = json!({"metadata":{"name":"hack","labels":{"kubernetes.io/metadata.name":"hack"}}});
        assert_eq!(print(&kinds::NAMESPACE, &[ns]), "NAME                LABELS\nhack                <none>\n");
    }

    #[test]
    fn a_second_container_has_a_line_of_its_own() {
        let mut pod = hello_pod("two", "1.2.3.4");
        pod["spec"]["containers"] = json!([{"name":"web","image":"a"},{"name":"side","image":"b"}]);
        let text = print(&kinds::POD, &[pod.clone()]);
        let last = text.lines().last().expect("three lines");
        assert_eq!(last, format!("{:40}{:20}{:20}{:20}{:23}", "", "side", "b", "", ""));
        pod["status"] = json!({"phase":"Pending"});
        pod["spec"]["nodeName"] = Value::Null;
        assert!(print(&kinds::POD, &[pod]).contains("<unassigned>"));
    }

    #[test]
    fn endpoints_and_empty_ones() {
        let ep = json!({"subsets":[{"addresses":[{"ip":"10.1.2.3"},{"ip":"10.1.2.4"}],"ports":[{"port":80}]}]});
        assert_eq!(endpoints(&ep), "10.1.2.3:80,10.1.2.4:80");
        assert_eq!(endpoints(&json!({})), "<none>");
    }
}
