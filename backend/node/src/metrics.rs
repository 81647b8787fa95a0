//! The node's part of `/metrics`: pods, calls to the engine, probes, service rules, names.
use meter::{CALLS, Counter, Gauge, Histogram, Kind, LONG, Page};
use std::time::Instant;

/// What is asked of the engine; in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Version,
    List,
    Inspect,
    Create,
    Start,
    Stop,
    Remove,
    ImageStatus,
    Pull,
    LoadImage,
    Logs,
    Exec,
    Attach,
    PortForward,
    Stats,
}

struct Calls {
    name: &'static str,
    seconds: Histogram,
    errors: Counter,
}

impl Calls {
    const fn new(name: &'static str) -> Calls {
        Calls { name, seconds: Histogram::seconds(LONG), errors: Counter::new() }
    }
}

/// In the order of [`Operation`].
static OPERATIONS: [Calls; 15] = [
    Calls::new("version"),
    Calls::new("list_containers"),
    Calls::new("container_status"),
    Calls::new("create_container"),
    Calls::new("start_container"),
    Calls::new("stop_container"),
    Calls::new("remove_container"),
    Calls::new("image_status"),
    Calls::new("pull_image"),
    Calls::new("load_image"),
    Calls::new("container_logs"),
    Calls::new("exec"),
    Calls::new("attach"),
    Calls::new("port_forward"),
    Calls::new("container_stats"),
];

/// Makes a call to the engine, and notes it.
pub(crate) async fn called<T, E>(operation: Operation, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let began = Instant::now();
    let outcome = call.await;
    let calls = &OPERATIONS[operation as usize];
    calls.seconds.since(began);
    outcome.inspect_err(|_| calls.errors.inc())
}

/// The three kinds of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Startup,
    Liveness,
    Readiness,
}

const PROBES: [&str; 3] = ["Startup", "Liveness", "Readiness"];
/// For each kind of probe: how often it succeeded, how often it failed.
static PROBED: [[Counter; 2]; 3] = [const { [const { Counter::new() }; 2] }; 3];

/// Notes what a probe found.
pub(crate) fn probed<T, E>(probe: Probe, outcome: Result<T, E>) -> Result<T, E> {
    PROBED[probe as usize][usize::from(outcome.is_err())].inc();
    outcome
}

pub(crate) static POD_START: Histogram = Histogram::seconds(LONG);
pub(crate) static POD_START_SINCE_CREATED: Histogram = Histogram::seconds(LONG);
pub(crate) static RUNNING_PODS: Gauge = Gauge::new();
pub(crate) static RUNNING_CONTAINERS: Gauge = Gauge::new();
pub(crate) static STARTED: Counter = Counter::new();
pub(crate) static RESTARTED: Counter = Counter::new();
pub(crate) static START_ERRORS: Counter = Counter::new();
pub(crate) static RULES_SYNC: Histogram = Histogram::seconds(CALLS);
pub(crate) static RULES_FAILED: Counter = Counter::new();
pub(crate) static SERVICE_PORTS: Gauge = Gauge::new();
pub(crate) static BACKENDS: Gauge = Gauge::new();
pub(crate) static DNS_REQUESTS: Counter = Counter::new();
pub(crate) static DNS_FORWARDED: Histogram = Histogram::seconds(CALLS);
pub(crate) static DNS_FAILED: Counter = Counter::new();

/// Writes the families of node agent, service proxy and DNS.
pub fn write(page: &mut Page) {
    page.histogram("kubelet_pod_start_duration_seconds", "From this node seeing a pod to the API knowing that it runs", &POD_START);
    let help = "From a pod's creation (in whole seconds) to the API knowing that it runs";
    page.histogram("kubelet_pod_start_sli_duration_seconds", help, &POD_START_SINCE_CREATED);
    page.gauge("kubelet_running_pods", "Pods whose sandbox runs", &RUNNING_PODS);
    let mut family = page.family("kubelet_running_containers", Kind::Gauge, "Containers that run, sandboxes excepted");
    family.value(&[("container_state", "running")], RUNNING_CONTAINERS.get());
    page.counter("kubelet_started_containers_total", "Containers that were started, sandboxes excepted", &STARTED);
    page.counter("kubelet_started_containers_errors_total", "Containers that could not be started", &START_ERRORS);
    page.counter("openshift_container_restarts_total", "Containers that were started again in place of one that ended", &RESTARTED);
    let mut family = page.family("kubelet_runtime_operations_total", Kind::Counter, "Calls to the container engine");
    OPERATIONS.iter().for_each(|c| family.value(&[("operation_type", c.name)], c.seconds.count()));
    let mut family = page.family("kubelet_runtime_operations_errors_total", Kind::Counter, "Calls to the container engine that failed");
    OPERATIONS.iter().for_each(|c| family.value(&[("operation_type", c.name)], c.errors.get()));
    let mut family = page.family("kubelet_runtime_operations_duration_seconds", Kind::Histogram, "Time of calls to the container engine");
    OPERATIONS.iter().for_each(|c| family.histogram(&[("operation_type", c.name)], &c.seconds));
    let mut family = page.family("prober_probe_total", Kind::Counter, "Probes by kind and result");
    for (name, [good, bad]) in PROBES.iter().zip(&PROBED) {
        family.value(&[("probe_type", name), ("result", "successful")], good.get());
        family.value(&[("probe_type", name), ("result", "failed")], bad.get());
    }
    page.histogram("kubeproxy_sync_proxy_rules_duration_seconds", "Time to bring the kernel's service rules up to date", &RULES_SYNC);
    page.counter("openshift_proxy_sync_failures_total", "Rules that the kernel's tools refused", &RULES_FAILED);
    page.gauge("openshift_proxy_service_ports", "Service ports that are served", &SERVICE_PORTS);
    page.gauge("openshift_proxy_backends", "Addresses behind them", &BACKENDS);
    page.counter("coredns_dns_requests_total", "Questions that pods put to the cluster's DNS on this node", &DNS_REQUESTS);
    page.histogram("coredns_forward_request_duration_seconds", "Time of the host's servers for questions of others' names", &DNS_FORWARDED);
    page.counter("openshift_dns_failures_total", "Questions that nobody could answer in time", &DNS_FAILED);
}
