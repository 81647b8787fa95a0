//! What answers each route.
pub mod backup;
pub mod discovery;
pub mod health;
pub mod legacy;
pub mod list_body;
pub mod objects;
pub mod openapi;
pub mod pods;
pub mod proxy;
pub mod reviews;
pub mod scale;
pub mod subresources;
pub mod table;
pub mod token;
pub mod tunnel;
mod usage;
pub mod watch;

use crate::app::{App, Peer};
use crate::authn::oauth;
use crate::query::Query;
use crate::respond::{self, Response};
use crate::router::Route;
use axum::body::Body;
use http::header::{ACCEPT, USER_AGENT};
use http::request::Parts;
use http::{Method, StatusCode};
use registry::AccessRequest;
use registry::caller::Caller;
use shared::status::Status;
use std::sync::Arc;

/// One request on its way to its handler.
pub struct Call {
    pub app: Arc<App>,
    pub peer: Arc<Peer>,
    pub parts: Parts,
    /// Behind a lock only because a body cannot be shared between threads; `take_body` is how to get at it.
    pub body: parking_lot::Mutex<Body>,
    pub caller: Caller,
}

impl Call {
    /// The body, once.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut())
    }

    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    pub fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub fn accept(&self) -> Option<&str> {
        self.header(&ACCEPT)
    }

    pub fn query(&self) -> Result<Query, Status> {
        Query::parse(self.parts.uri.query())
    }

    pub fn reads(&self) -> bool {
        matches!(*self.method(), Method::GET | Method::HEAD)
    }

    /// The caller must be allowed to read a URL that is no object.
    pub fn may_read_path(&self) -> Result<(), Status> {
        let verb = self.method().as_str().to_ascii_lowercase();
        let request = AccessRequest { verb, path: self.parts.uri.path().into(), ..AccessRequest::default() };
        self.app.registry.authorise(&self.caller, &request)
    }
}

/// Hands a request to what its route names.
pub async fn dispatch(call: Call, route: Route) -> Result<Response, Status> {
    match route {
        Route::Resource(target) => return objects::serve(call, target).await,
        Route::Login => return oauth::login(call).await,
        Route::Logout => return oauth::logout(call),
        Route::OAuth(path) => return oauth::serve(call, &path).await,
        Route::Legacy => return legacy::serve(call).await,
        Route::NodeTunnel => return tunnel::serve(call),
        _ => {}
    }
    let known = route != Route::Unknown;
    if known && !call.reads() {
        return Err(respond::method_not_allowed());
    }
    match route {
        Route::Health { endpoint, check } => health::serve(&call, endpoint, check.as_deref()),
        Route::Root => root(&call),
        Route::Unknown => {
            call.may_read_path()?;
            Err(respond::unknown_path())
        }
        route => {
            call.may_read_path()?;
            documents(&call, route)
        }
    }
}

fn documents(call: &Call, route: Route) -> Result<Response, Status> {
    match route {
        Route::CoreVersions => discovery::core_versions(call),
        Route::Groups => discovery::groups(call),
        Route::Group(group) => discovery::group(call, &group),
        Route::GroupVersion { group, version } => discovery::group_version(call, &group, &version),
        Route::Version => {
            let old = legacy::docs::version(call.header(&USER_AGENT).unwrap_or_default());
            Ok(respond::json_value(StatusCode::OK, &old.unwrap_or_else(health::version)))
        }
        Route::Metrics => Ok(respond::with_type(StatusCode::OK, meter::Page::CONTENT_TYPE, crate::metrics::render(&call.app))),
        Route::Backup => backup::serve(call),
        Route::OpenApiV3(path) => openapi::v3(call, path.as_deref()),
        Route::OpenApiV2 => openapi::v2(call),
        Route::OpenIdConfiguration => Ok(respond::json_value(StatusCode::OK, &token::openid_configuration(&call.app))),
        Route::Jwks => Ok(respond::with_type(StatusCode::OK, "application/jwk-set+json", call.app.tokens.jwks().to_string())),
        _ => Err(respond::unknown_path()),
    }
}

/// `/` lists the paths on the API port; on the console's port a page stands there while no console is built in.
fn root(call: &Call) -> Result<Response, Status> {
    if call.peer.port == crate::app::Port::Console {
        let page = "<!doctype html><title>OpenShift</title><p>The API answers here. This build has no console.";
        return Ok(respond::with_type(StatusCode::OK, "text/html; charset=utf-8", page));
    }
    call.may_read_path()?;
    let mut paths = vec!["/api".to_string(), "/api/v1".into(), "/apis".into()];
    for (group, version) in discovery::group_versions() {
        paths.push(format!("/apis/{group}"));
        paths.push(format!("/apis/{group}/{version}"));
    }
    paths.dedup();
    let fixed = ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"];
    paths.extend(fixed.iter().map(ToString::to_string));
    Ok(respond::json_value(StatusCode::OK, &serde_json::json!({ "paths": paths })))
}
