//! What every request goes through: identity, limits, deadline, panic barrier, counting; then its handler.
use crate::app::{App, Peer, Port};
use crate::authn;
use crate::body::{BODY_BYTES_MAX, too_large};
use crate::handlers::{self, Call};
use crate::held::Held;
use crate::limits::connections::Line;
use crate::limits::{Who, bodies};
use crate::metrics::{self, Asked as Counted};
use crate::respond::{self, Response};
use crate::router::{self, Route};
use axum::body::Body;
use futures::FutureExt;
use http::header::{CONTENT_LENGTH, HeaderName, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use hyper::body::{Body as _, Incoming};
use parking_lot::Mutex;
use registry::caller::Caller;
use shared::status::Status;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From the first header to the answer's; streams go on after it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// A request that is being answered; one that its client takes back is counted.
struct Asked {
    line: Arc<Line>,
    answered: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.line.finish();
        if !self.answered {
            self.line.reset();
        }
    }
}

/// Answers one request, whatever happens.
pub async fn answer(app: Arc<App>, peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response, Infallible> {
    let started = Instant::now();
    peer.line.begin();
    let mut asked = Asked { line: peer.line.clone(), answered: false };
    let route = router::route(request.uri().path());
    let counted = app.metrics.asked(metrics::verb(&route, &request), &route);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let in_flight = if reads { metrics::READING.hold() } else { metrics::WRITING.hold() };
    let work = AssertUnwindSafe(handle(app.clone(), peer, route, request, counted)).catch_unwind();
    let outcome = match tokio::time::timeout(ANSWER_DEADLINE, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Status::internal("this request made the server panic; it goes on")),
        Err(_) => Err(Status::timeout("the server could not answer in time")),
    };
    let mut response = outcome.unwrap_or_else(|status| respond::failure(&status));
    response.headers_mut().insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
    drop(in_flight);
    counted.answered(response.status().as_u16(), started.elapsed(), response.body().size_hint().exact());
    asked.answered = true;
    Ok(response)
}

async fn handle(app: Arc<App>, peer: Arc<Peer>, route: Route, request: Request<Incoming>, counted: &Counted) -> Result<Response, Status> {
    let (parts, body) = request.into_parts();
    let held = Held::new(body);
    let outcome = limited(app, peer, route, parts, held.clone(), counted).await;
    held.drain().await;
    outcome
}

async fn limited(app: Arc<App>, peer: Arc<Peer>, route: Route, parts: Parts, body: Held, counted: &Counted) -> Result<Response, Status> {
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let page = is_page(&app, &peer, &route, &parts.method);
    let caller = caller(&app, &peer, &route, &parts, page).await?;
    let limits = &app.limits;
    let who = Who::of(&caller.0, peer.id, peer.remote.ip());
    let turned_away = |status: &Status| {
        if status.code == 429 {
            metrics::rejected(who.lane());
        }
    };
    if !matches!(route, Route::Health { .. }) {
        limits.share(who).await.inspect_err(turned_away)?;
    }
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let (mut turn, mut room, mut bytes_in) = (None, None, 0);
    let body = if reads || streams(&route, &parts) || page {
        Body::new(body)
    } else {
        let (bytes, part) = bodies::take_in(limits, who, body).await.inspect_err(turned_away)?;
        bytes_in = bytes.len();
        counted.took_in(bytes_in);
        turn = Some(limits.turn(who, bytes_in).await.inspect_err(turned_away)?);
        room = Some(part);
        Body::from(bytes)
    };
    let began = Instant::now();
    let outcome = dispatch(app.clone(), peer.clone(), route, parts, body, caller, page).await;
    drop((turn, room));
    let bytes_out = outcome.as_ref().ok().and_then(|r| r.body().size_hint().exact()).unwrap_or(0);
    limits.charge(who, reads.then(|| began.elapsed()), bytes_in as u64 + bytes_out);
    bodies::count(limits, who, &peer.line, outcome?).inspect_err(turned_away)
}

/// On the console's port people log in on the console's page; POST is for both.
fn is_page(app: &App, peer: &Peer, route: &Route, method: &Method) -> bool {
    let page = matches!(route, Route::Unknown | Route::Root) || matches!(route, Route::Login) && *method == Method::GET;
    peer.port == Port::Console && page && app.console.is_some()
}

async fn caller(app: &Arc<App>, peer: &Peer, route: &Route, parts: &Parts, page: bool) -> Result<Caller, Status> {
    // Logging in must be possible with nothing, and with a login that has ended.
    if matches!(route, Route::Login | Route::OAuth(_)) || page {
        return Ok(Caller::anonymous());
    }
    match authn::authenticate(app, peer, parts).await {
        Ok(caller) => authn::impersonate::apply(&app.registry, caller, &parts.headers),
        Err(status) => {
            // Looking at false credentials is work too.
            let who = Who::of(&Caller::anonymous().0, peer.id, peer.remote.ip());
            app.limits.share(who).await?;
            app.limits.charge(who, None, 0);
            Err(status)
        }
    }
}

/// Whether the answer may go on for ever, or what is sent is not for us: neither takes a turn, both are counted while they last.
fn streams(route: &Route, parts: &Parts) -> bool {
    match route {
        Route::Resource(target) => {
            target.watch
                || parts.headers.contains_key(UPGRADE)
                || matches!(target.subresource.as_str(), "exec" | "attach" | "portforward" | "log" | "proxy")
        }
        Route::Legacy => parts.headers.contains_key(UPGRADE) || ["/proxy/", "/redirect/"].iter().any(|p| parts.uri.path().contains(p)),
        _ => false,
    }
}

async fn dispatch(
    app: Arc<App>,
    peer: Arc<Peer>,
    route: Route,
    parts: Parts,
    body: Body,
    caller: Caller,
    page: bool,
) -> Result<Response, Status> {
    if page && let Some(console) = app.console.clone() {
        return Ok(tower::ServiceExt::oneshot(console, Request::from_parts(parts, body)).await.unwrap_or_else(|e| match e {}));
    }
    handlers::dispatch(Call { app, peer, parts, body: Mutex::new(body), caller }, route).await
}
