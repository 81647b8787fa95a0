//! Counts requests for `/metrics`. Labels come from closed sets, so that no client can make series grow.
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: &'static str,
    resource: &'static str,
}

const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 60.0];

pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    pub in_flight: Gauge,
    pub watches: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let requests = Family::default();
        let durations: Family<DurationLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let (in_flight, watches) = (Gauge::default(), Gauge::default());
        let mut registry = Registry::default();
        registry.register("apiserver_request", "Requests answered, by verb, resource and code", requests.clone());
        registry.register("apiserver_request_duration_seconds", "Time to answer, streams excepted", durations.clone());
        registry.register("apiserver_current_inflight_requests", "Requests being answered", in_flight.clone());
        registry.register("apiserver_longrunning_requests", "Open watches and streams", watches.clone());
        Metrics { registry, requests, durations, in_flight, watches }
    }
}

impl Metrics {
    pub fn answered(&self, verb: &'static str, resource: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { verb, resource, code }).inc();
        self.durations.get_or_create(&DurationLabels { verb, resource }).observe(took.as_secs_f64());
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}
