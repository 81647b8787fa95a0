//! What every request goes through: limits, identity, deadline, panic barrier, counting; then its handler.
use crate::app::{App, Peer, Port};
use crate::authn;
use crate::body::{BODY_BYTES_MAX, too_large};
use crate::handlers::{self, Call};
use crate::held::Held;
use crate::respond::{self, Response};
use crate::router::{self, Route};
use axum::body::Body;
use futures::FutureExt;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use parking_lot::Mutex;
use shared::status::{Reason, Status};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From the first header to the answer's; streams go on after it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);
/// How long a request may wait for its turn when too many are being answered.
const TURN_DEADLINE: Duration = Duration::from_secs(10);

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// Answers one request, whatever happens.
pub async fn answer(app: Arc<App>, peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response, Infallible> {
    let started = Instant::now();
    let route = router::route(request.uri().path());
    let resource = match &route {
        Route::Resource(r) => r.kind.plural,
        _ => "",
    };
    let verb = verb(request.method());
    app.metrics.in_flight.inc();
    let work = AssertUnwindSafe(handle(app.clone(), peer, route, request)).catch_unwind();
    let outcome = match tokio::time::timeout(ANSWER_DEADLINE, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Status::internal("this request made the server panic; it goes on")),
        Err(_) => Err(Status::timeout("the server could not answer in time")),
    };
    let mut response = outcome.unwrap_or_else(|status| respond::failure(&status));
    response.headers_mut().insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
    app.metrics.in_flight.dec();
    app.metrics.answered(verb, resource, response.status().as_u16(), started.elapsed());
    Ok(response)
}

async fn handle(app: Arc<App>, peer: Arc<Peer>, route: Route, request: Request<Incoming>) -> Result<Response, Status> {
    let (parts, body) = request.into_parts();
    let held = Held::new(body);
    let outcome = in_turn(app, peer, route, parts, Body::new(held.clone())).await;
    held.drain().await;
    outcome
}

async fn in_turn(app: Arc<App>, peer: Arc<Peer>, route: Route, parts: Parts, body: Body) -> Result<Response, Status> {
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let _turn = match app.in_flight.try_acquire() {
        Ok(permit) => permit,
        Err(_) => tokio::time::timeout(TURN_DEADLINE, app.in_flight.acquire()).await.ok().and_then(Result::ok).ok_or_else(busy)?,
    };
    dispatch(app.clone(), peer, route, parts, body).await
}

async fn dispatch(app: Arc<App>, peer: Arc<Peer>, route: Route, parts: Parts, body: Body) -> Result<Response, Status> {
    // On the console's port people log in on the console's page; POST is for both.
    let page = matches!(route, Route::Unknown | Route::Root) || matches!(route, Route::Login) && parts.method == Method::GET;
    let console_page = peer.port == Port::Console && page && app.console.is_some();
    if console_page && let Some(console) = app.console.clone() {
        return Ok(tower::ServiceExt::oneshot(console, Request::from_parts(parts, body)).await.unwrap_or_else(|e| match e {}));
    }
    // Logging in must be possible with nothing, and with a login that has ended.
    let anonymous = matches!(route, Route::Login | Route::OAuth(_)) || console_page;
    let caller = if anonymous {
        registry::caller::Caller::anonymous()
    } else {
        let caller = authn::authenticate(&app, &peer, &parts).await?;
        authn::impersonate::apply(&app.registry, caller, &parts.headers)?
    };
    handlers::dispatch(Call { app: app.clone(), peer, parts, body: Mutex::new(body), caller }, route).await
}

fn busy() -> Status {
    Status::failure(429, Reason::TooManyRequests, "Too many requests, please try again later.").with_retry_after(1)
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
