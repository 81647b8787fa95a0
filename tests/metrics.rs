//! `/metrics` of a whole cluster: read as strictly as Prometheus does, with a number for every station of the flow.
use e2e::{Caller, Cluster, eventually};
use reqwest::Method;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Families by name, each with its type and its series: name and labels as they stand → value.
struct Page(BTreeMap<String, (String, BTreeMap<String, f64>)>);

/// Reads a page; panics at whatever is not allowed.
fn read(text: &str) -> Page {
    let mut families: BTreeMap<String, (String, BTreeMap<String, f64>)> = BTreeMap::new();
    let (mut helped, mut open) = (BTreeSet::new(), String::new());
    assert!(text.ends_with('\n'), "the last line ends too");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(helped.insert(name.to_string()) && !help.is_empty(), "{name} has one help text");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind) && helped.contains(name), "{line}");
            assert!(families.insert(name.into(), (kind.into(), BTreeMap::new())).is_none(), "{name} begins once");
            open = name.to_string();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}: no number"));
        let name = series.split('{').next().expect("a name");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
        assert!(!series.contains('{') || series.ends_with('}'), "{line}");
        let (kind, all) = families.get_mut(&open).unwrap_or_else(|| panic!("{line}: no family is open"));
        let suffix = name.strip_prefix(&open).unwrap_or_else(|| panic!("{line} is not of {open}"));
        let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(allowed.contains(&suffix) && value >= 0.0 || kind == "gauge", "{line}");
        assert!(all.insert(series.into(), value).is_none(), "{line}: twice");
    }
    families.values().filter(|(kind, _)| kind == "histogram").for_each(|(_, all)| cumulative(all));
    Page(families)
}

/// Buckets rise with their bounds, the last holds all, and there are as many values as it says.
fn cumulative(all: &BTreeMap<String, f64>) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, value) in all.iter().filter(|(series, _)| series.contains("_bucket{")) {
        let (labels, bound) = series.rsplit_once("le=\"").expect("a bound");
        let bound = bound.trim_end_matches("\"}");
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a number") };
        buckets.entry(labels.trim_end_matches([',', '{']).replacen("_bucket", "", 1)).or_default().push((bound, *value));
    }
    for (series, mut buckets) in buckets {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{series}: {buckets:?}");
        let (name, labels) = series.split_once('{').unwrap_or((&series, ""));
        let count = if labels.is_empty() { format!("{name}_count") } else { format!("{name}_count{{{labels}}}") };
        let last = buckets.last().expect("a bucket");
        assert!(last.0.is_infinite() && all.get(&count) == Some(&last.1), "{count} of {last:?}");
    }
}

impl Page {
    /// The sum of a family's series that hold all these labels.
    fn of(&self, name: &str, labels: &[&str]) -> f64 {
        let family = ["_count", "_sum", ""].iter().find_map(|suffix| self.0.get(name.strip_suffix(suffix)?));
        let (_, all) = family.unwrap_or_else(|| panic!("there is no {name}"));
        let wanted = |series: &str| series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label));
        all.iter().filter(|(series, _)| wanted(series)).map(|(_, value)| value).sum()
    }

    fn series(&self) -> BTreeSet<&String> {
        self.0.values().flat_map(|(_, all)| all.keys()).collect()
    }
}

async fn page(caller: &Caller) -> Page {
    let response = caller.client.send(caller.client.request(Method::GET, "/metrics")).await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    read(&response.text().await.expect("text"))
}

/// Of every station, something that the work below must move.
const MOVED: &[(&str, &[&str])] = &[
    ("apiserver_request_total", &["verb=\"POST\"", "resource=\"pods\"", "code=\"201\""]),
    ("apiserver_request_total", &["verb=\"GET\"", "resource=\"pods\"", "code=\"404\""]),
    ("apiserver_request_total", &["verb=\"LIST\"", "resource=\"pods\"", "code=\"200\""]),
    ("apiserver_request_total", &["verb=\"DELETE\"", "resource=\"pods\"", "code=\"200\""]),
    ("apiserver_request_duration_seconds_count", &["verb=\"POST\"", "resource=\"pods\""]),
    ("apiserver_request_body_size_bytes_sum", &["verb=\"POST\"", "resource=\"pods\""]),
    ("apiserver_response_sizes_sum", &["verb=\"LIST\"", "resource=\"pods\""]),
    ("apiserver_current_inflight_requests", &["readOnly"]),
    ("apiserver_longrunning_requests", &["WATCH"]),
    ("apiserver_watch_events_total", &["kind=\"Pod\""]),
    ("openshift_watch_sent_bytes_total", &[]),
    ("openshift_write_step_duration_seconds_count", &["authorise"]),
    ("openshift_write_step_duration_seconds_count", &["admit"]),
    ("openshift_write_step_duration_seconds_count", &["default"]),
    ("openshift_write_step_duration_seconds_count", &["validate"]),
    ("openshift_write_step_duration_seconds_count", &["quota"]),
    ("openshift_write_refused_total", &["validate"]),
    ("openshift_store_commit_duration_seconds_count", &[]),
    ("openshift_store_group_commits_count", &[]),
    ("openshift_store_sync_duration_seconds_count", &[]),
    ("openshift_store_log_written_bytes_total", &[]),
    ("openshift_store_revision", &[]),
    ("openshift_store_objects", &[]),
    ("openshift_store_history_events", &[]),
    ("openshift_store_history_bytes", &[]),
    ("apiserver_storage_size_bytes", &[]),
    ("apiserver_storage_objects", &["resource=\"namespaces\""]),
    ("apiserver_resource_size_estimate_bytes", &["resource=\"pods\""]),
    ("openshift_watchers", &["resource=\"pods\""]),
    ("openshift_watch_events_total", &[]),
    ("workqueue_adds_total", &["name=\"replication\""]),
    ("workqueue_queue_duration_seconds_count", &["name=\"replication\""]),
    ("workqueue_work_duration_seconds_count", &["name=\"replication\""]),
    ("controller_runtime_reconcile_total", &["controller=\"replication\"", "result=\"success\""]),
    ("scheduler_schedule_attempts_total", &["result=\"scheduled\""]),
    ("scheduler_schedule_attempts_total", &["result=\"unschedulable\""]),
    ("scheduler_scheduling_algorithm_duration_seconds_count", &[]),
    ("scheduler_scheduling_attempt_duration_seconds_count", &[]),
    ("scheduler_pending_pods", &["queue=\"unschedulable\""]),
    ("kubelet_pod_start_duration_seconds_count", &[]),
    ("kubelet_pod_start_sli_duration_seconds_count", &[]),
    ("kubelet_running_pods", &[]),
    ("kubelet_running_containers", &[]),
    ("kubelet_started_containers_total", &[]),
    ("kubelet_runtime_operations_total", &["create_container"]),
    ("kubelet_runtime_operations_total", &["start_container"]),
    ("kubelet_runtime_operations_duration_seconds_count", &["list_containers"]),
    ("kubelet_runtime_operations_total", &["exec"]),
    ("prober_probe_total", &["Readiness", "successful"]),
    ("process_cpu_seconds_total", &[]),
    ("process_resident_memory_bytes", &[]),
    ("process_open_fds", &[]),
    ("process_max_fds", &[]),
    ("process_threads", &[]),
    ("process_start_time_seconds", &[]),
    ("openshift_build_info", &["version="]),
    ("kubernetes_build_info", &["git_version=\"v1.33.0\""]),
];

fn pod(name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x", "imagePullPolicy": "IfNotPresent"}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_station_of_the_flow_has_its_numbers() {
    const PODS: &str = "/api/v1/namespaces/team/pods";
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.namespace("team").await;
    let watching = admin.client.send(admin.client.request(Method::GET, &format!("{PODS}?watch=true"))).await.expect("a watch");
    for name in ["a", "b"] {
        admin.create(PODS, &pod(name)).await;
    }
    let mut probed = pod("probed");
    probed["spec"]["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["true"]}, "periodSeconds": 1});
    admin.create(PODS, &probed).await;
    let mut nowhere = pod("nowhere");
    nowhere["spec"]["nodeSelector"] = json!({"no": "such"});
    admin.create(PODS, &nowhere).await;
    let controller = json!({"metadata": {"name": "rc"}, "spec": {"replicas": 1, "selector": {"app": "rc"},
        "template": {"metadata": {"labels": {"app": "rc"}}, "spec": pod("")["spec"]}}});
    admin.create("/api/v1/namespaces/team/replicationcontrollers", &controller).await;
    assert_eq!(admin.post(PODS, &json!({"metadata": {"name": "No"}, "spec": {}})).await.0, 422);
    assert_eq!(admin.get(&format!("{PODS}/none")).await.0, 404);
    eventually("the pods running", async || {
        let items = admin.get(PODS).await.1["items"].clone();
        items.as_array()?.iter().all(|p| p["metadata"]["name"] == "nowhere" || p["status"]["phase"] == "Running").then_some(())
    })
    .await;
    assert_eq!(admin.status(Method::DELETE, &format!("{PODS}/b?gracePeriodSeconds=0"), "", "").await, 200);
    let missing = eventually("every station having moved", async || {
        let page = page(&admin).await;
        let still: Vec<_> = MOVED.iter().filter(|(name, labels)| page.of(name, labels) <= 0.0).collect();
        still.is_empty().then_some(())
    });
    if tokio::time::timeout(std::time::Duration::from_secs(20), missing).await.is_err() {
        let page = page(&admin).await;
        let still: Vec<_> = MOVED.iter().filter(|(name, labels)| page.of(name, labels) <= 0.0).collect();
        panic!("these stand still: {still:?}");
    }
    drop(watching);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_read_and_what_no_client_can_add() {
    let cluster = Cluster::start().await;
    let (admin, vera) = (cluster.admin(), cluster.user("vera"));
    assert_eq!(vera.status(Method::GET, "/metrics", "", "").await, 403);
    assert_eq!(cluster.nobody().status(Method::GET, "/metrics", "", "").await, 403);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "scrape"}, "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]});
    admin.create(&format!("{rbac}/clusterroles"), &role).await;
    let binding = json!({"metadata": {"name": "scrape"}, "subjects": [{"kind": "User", "name": "anypassword:vera"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scrape"}});
    admin.create(&format!("{rbac}/clusterrolebindings"), &binding).await;
    page(&vera).await;
    assert_eq!(admin.status(Method::POST, "/metrics", "", "").await, 405);

    let wild = async |round: &str| {
        for path in ["/nonsense/", "/api/v1/namespaces/team/pods/", "/api/v1/", "/apis/x/v1/things/", "/api/v1/namespaces/team/pods/a/"] {
            admin.get(&format!("{path}{round}?fieldManager={round}")).await;
        }
        let method = Method::from_bytes(format!("VERB{round}").as_bytes()).expect("a method");
        admin.status(method, "/api/v1/pods", "", "").await;
    };
    wild("first").await;
    // The reading itself is counted too.
    page(&admin).await;
    let before = page(&admin).await;
    for round in 0..20 {
        wild(&format!("other{round}")).await;
    }
    let after = page(&admin).await;
    let only: Vec<_> = after.series().difference(&before.series()).copied().cloned().collect();
    assert!(only.is_empty(), "new series: {only:?}");
    cluster.stop().await;
}
