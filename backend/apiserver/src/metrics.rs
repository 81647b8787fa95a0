//! The API server's part of `/metrics`: requests by what they ask, what is under way, what the limits refuse.
use crate::app::App;
use crate::router::{Resource, Route};
use http::{Method, Request};
use logic::fairness::Lane;
use meter::{BYTES, CALLS, Counter, Gauge, Histogram, Kind as Of, Page};
use shared::kinds::{KINDS, Kind, MEASURED};
use std::sync::OnceLock;
use std::time::Duration;

/// What a request does, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Post,
    Put,
    Patch,
    Delete,
    DeleteCollection,
    Connect,
    Other,
}

/// In the order of [`Verb`].
const VERBS: [&str; 10] = ["GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION", "CONNECT", "other"];
/// Codes that are told apart; all others are `other`.
const CODES: [u16; 28] = [
    101, 200, 201, 202, 204, 301, 302, 304, 307, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 416, 422, 429, 500, 501, 502, 503, 504,
    507,
];
/// Subresources of one kind that are told apart.
const SUBRESOURCES_MAX: usize = 15;

/// Requests that ask the same.
pub struct Asked {
    codes: [Counter; CODES.len() + 1],
    seconds: Histogram,
    bytes_in: Histogram,
    bytes_out: Histogram,
}

impl Asked {
    fn new() -> Asked {
        Asked {
            codes: [const { Counter::new() }; CODES.len() + 1],
            seconds: Histogram::seconds(CALLS),
            bytes_in: Histogram::numbers(BYTES),
            bytes_out: Histogram::numbers(BYTES),
        }
    }

    pub fn took_in(&self, bytes: usize) {
        self.bytes_in.observe(bytes as u64);
    }

    /// The answer's head is on its way.
    pub fn answered(&self, code: u16, took: Duration, bytes_out: Option<u64>) {
        let at = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len());
        self.codes[at].inc();
        self.seconds.took(took);
        bytes_out.into_iter().for_each(|bytes| self.bytes_out.observe(bytes));
    }
}

/// One place for each verb, kind and subresource; made when it is first asked for, so that most never cost anything.
pub struct Metrics {
    asked: Vec<OnceLock<Box<Asked>>>,
    events: Vec<Counter>,
}

pub static READING: Gauge = Gauge::new();
pub static WRITING: Gauge = Gauge::new();
pub static WATCHES: Gauge = Gauge::new();
pub static STREAMS: Gauge = Gauge::new();
pub static WATCH_BYTES: Counter = Counter::new();
static REJECTED: [Counter; 2] = [Counter::new(), Counter::new()];
static LANES: [(Lane, &str); 2] = [(Lane::Reserved, "reserved"), (Lane::Crowd, "crowd")];

/// Counts a request that the limits turned away.
pub fn rejected(lane: Lane) {
    REJECTED[LANES.iter().position(|(known, _)| *known == lane).unwrap_or(0)].inc();
}

/// Every kind that a URL can name, and last what is no object.
fn kinds() -> impl Iterator<Item = Option<&'static Kind>> {
    KINDS.iter().chain(MEASURED).copied().map(Some).chain([None])
}

fn place(kind: &Kind) -> usize {
    kinds().position(|known| known.is_some_and(|known| std::ptr::eq(known, kind))).unwrap_or(KINDS.len() + MEASURED.len())
}

impl Default for Metrics {
    fn default() -> Metrics {
        let kinds = KINDS.len() + MEASURED.len() + 1;
        Metrics {
            asked: std::iter::repeat_with(OnceLock::new).take(kinds * VERBS.len() * (SUBRESOURCES_MAX + 1)).collect(),
            events: std::iter::repeat_with(Counter::new).take(kinds).collect(),
        }
    }
}

impl Metrics {
    /// Where requests like this one are counted.
    pub fn asked(&self, verb: Verb, route: &Route) -> &Asked {
        let (kind, subresource) = match route {
            Route::Resource(target) => {
                let known = target.kind.subresources.iter().position(|s| *s == target.subresource);
                (place(target.kind), known.map_or(0, |at| (at + 1).min(SUBRESOURCES_MAX)))
            }
            _ => (KINDS.len() + MEASURED.len(), 0),
        };
        let at = (kind * VERBS.len() + verb as usize) * (SUBRESOURCES_MAX + 1) + subresource;
        self.asked[at].get_or_init(|| Box::new(Asked::new()))
    }

    /// Events of this kind that were sent.
    pub fn events(&self, kind: &Kind) -> &Counter {
        &self.events[place(kind)]
    }

    /// The places that were asked for, with their labels.
    fn each(&self, mut see: impl FnMut(&[(&'static str, &str)], &Asked)) {
        for (kind, known) in kinds().enumerate() {
            for (verb, name) in VERBS.iter().enumerate() {
                for subresource in 0..=SUBRESOURCES_MAX {
                    let Some(asked) = self.asked[(kind * VERBS.len() + verb) * (SUBRESOURCES_MAX + 1) + subresource].get() else {
                        continue;
                    };
                    let (group, version, resource) = known.map_or(("", "", ""), |k| (k.group, k.version, k.plural));
                    let subresource = subresource.checked_sub(1).and_then(|at| known?.subresources.get(at).copied()).unwrap_or_default();
                    see(
                        &[
                            ("verb", name),
                            ("group", group),
                            ("version", version),
                            ("resource", resource),
                            ("subresource", subresource),
                            ("component", "apiserver"),
                        ],
                        asked,
                    );
                }
            }
        }
    }

    fn write(&self, page: &mut Page) {
        let mut family = page.family("apiserver_request_total", Of::Counter, "Requests answered");
        self.each(|labels, asked| {
            let names = CODES.iter().map(ToString::to_string).chain(["other".to_string()]);
            for (code, count) in names.zip(&asked.codes).filter(|(_, count)| count.get() > 0) {
                family.value(&[labels, &[("code", code.as_str())]].concat(), count.get());
            }
        });
        let mut family = page.family("apiserver_request_duration_seconds", Of::Histogram, "From a request's head to its answer's head");
        self.each(|labels, asked| family.histogram(labels, &asked.seconds));
        let mut family = page.family("apiserver_request_body_size_bytes", Of::Histogram, "Bodies of requests, streams excepted");
        self.each(|labels, asked| family.histogram(labels, &asked.bytes_in));
        let mut family = page.family("apiserver_response_sizes", Of::Histogram, "Bytes of answers, streams excepted");
        self.each(|labels, asked| family.histogram(labels, &asked.bytes_out));
        let mut family = page.family("apiserver_watch_events_total", Of::Counter, "Events sent to clients");
        for (kind, count) in kinds().flatten().zip(&self.events).filter(|(_, count)| count.get() > 0) {
            family.value(&[("group", kind.group), ("version", kind.version), ("kind", kind.kind)], count.get());
        }
    }
}

/// What a request does.
pub fn verb<B>(route: &Route, request: &Request<B>) -> Verb {
    let target = match route {
        Route::Resource(target) => Some(target),
        _ => None,
    };
    let named = target.is_none_or(|target| target.name.is_some());
    let asks_to_watch = || request.uri().query().is_some_and(|q| q.split('&').any(|p| matches!(p, "watch" | "watch=1" | "watch=true")));
    match *request.method() {
        _ if target.is_some_and(connects) => Verb::Connect,
        Method::GET | Method::HEAD if target.is_some_and(|target| target.watch || asks_to_watch()) => Verb::Watch,
        Method::GET | Method::HEAD if named => Verb::Get,
        Method::GET | Method::HEAD => Verb::List,
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::PATCH => Verb::Patch,
        Method::DELETE if named => Verb::Delete,
        Method::DELETE => Verb::DeleteCollection,
        _ => Verb::Other,
    }
}

fn connects(target: &Resource) -> bool {
    matches!(target.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy")
}

/// The page of the whole process.
pub fn render(app: &App) -> String {
    let mut page = Page::default();
    app.metrics.write(&mut page);
    let mut family = page.family("apiserver_current_inflight_requests", Of::Gauge, "Requests being answered");
    family.value(&[("request_kind", "readOnly")], READING.get());
    family.value(&[("request_kind", "mutating")], WRITING.get());
    let mut family = page.family("apiserver_longrunning_requests", Of::Gauge, "Open watches, and streams to and from pods");
    family.value(&[("verb", "WATCH")], WATCHES.get());
    family.value(&[("verb", "CONNECT")], STREAMS.get());
    page.counter("openshift_watch_sent_bytes_total", "Bytes of events sent to clients", &WATCH_BYTES);
    let mut family = page.family("apiserver_flowcontrol_rejected_requests_total", Of::Counter, "Requests that the limits turned away");
    for ((_, name), count) in LANES.iter().zip(&REJECTED) {
        family.value(&[("priority_level", name)], count.get());
    }
    let loads = LANES.map(|(lane, name)| (name, app.limits.load(lane)));
    let mut family =
        page.family("apiserver_flowcontrol_current_executing_seats", Of::Gauge, "Seats taken by requests that change something");
    loads.iter().for_each(|(name, (seats, _))| family.value(&[("priority_level", name)], seats));
    let mut family = page.family("apiserver_flowcontrol_current_inqueue_requests", Of::Gauge, "Requests that wait for their turn");
    loads.iter().for_each(|(name, (_, waiting))| family.value(&[("priority_level", name)], waiting));
    page.number("openshift_request_bodies_held_bytes", "Bytes of request bodies in memory", app.limits.bodies.all());
    page.number("openshift_answers_held_bytes", "Bytes of answers being sent", app.limits.answers.all());
    app.registry.write_metrics(&mut page);
    (app.more_metrics)(&mut page);
    page.into_text()
}
