//! Logging in and out: the OAuth paths that the command line and the console use, a login page, and tokens.
use super::{COOKIE_NAME, password, same_origin, sessions, token_of, unauthorized};
use crate::body;
use crate::handlers::Call;
use crate::query::{Query, first};
use crate::respond::{self, Response};
use http::header::{ACCEPT, AUTHORIZATION, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use registry::caller::Identity;
use serde_json::json;
use shared::status::Status;

const CHALLENGING_CLIENT: &str = "openshift-challenging-client";
const LOGIN_FAILED: &str = "Invalid login or password. Please try again.";

/// `/oauth/…`
pub async fn serve(call: Call, path: &str) -> Result<Response, Status> {
    let query = call.query()?;
    match path {
        "authorize" | "authorize/" => authorize(call, &query).await,
        "token/request" => token_page(&call).await,
        // Where a token in the fragment ends up; the page itself has nothing to add.
        "token/display" | "token/implicit" => Ok(page("Your login succeeded. The token is in this page's address.")),
        _ => Err(respond::unknown_path()),
    }
}

/// Who is logging in: by password, or by a session that a browser already has.
async fn who(call: &Call) -> Result<Option<Identity>, Status> {
    if let Some(value) = call.header(&AUTHORIZATION)
        && let Some(super::Credential::Basic { user, password }) = super::authorization(value)
    {
        return password::check(&call.app, &call.peer, &user, &password).await.map(Some);
    }
    if let Some(token) = token_of(&call.parts) {
        return Ok(super::bearer(&call.app, &token).ok());
    }
    Ok(None)
}

async fn authorize(call: Call, query: &Query) -> Result<Response, Status> {
    if !matches!(*call.method(), Method::GET | Method::POST | Method::HEAD) {
        return Err(respond::method_not_allowed());
    }
    let client = query.text("client_id");
    let challenging = client == CHALLENGING_CLIENT;
    if !challenging && !matches!(client, "openshift-web-console" | "openshift-browser-client") {
        return Err(Status::bad_request(format!("the OAuth client {client:?} is not known")));
    }
    if query.text("response_type") != "token" {
        return Err(Status::bad_request("response_type must be token"));
    }
    let target = redirect_target(&call, query)?;
    let identity = match who(&call).await {
        Ok(Some(identity)) => identity,
        Err(status) if status.code == 429 => return Err(status),
        Ok(None) | Err(_) if challenging => return Ok(challenge()),
        Err(status) => return Err(status),
        Ok(None) => {
            let then = call.parts.uri.path_and_query().map_or("/", |p| p.as_str());
            return redirect(&format!("/login?then={}", percent_encode(then)));
        }
    };
    let token = begin(&call, &identity);
    let state = query.get("state").map(|s| format!("&state={}", percent_encode(s))).unwrap_or_default();
    redirect(&format!("{target}#access_token={token}&expires_in={}&token_type=bearer{state}", sessions::LIFETIME))
}

/// Tokens only ever go back to this server itself, by whichever of its two ports.
fn redirect_target(call: &Call, query: &Query) -> Result<String, Status> {
    let own = format!("{}/oauth/token/implicit", call.app.public_url);
    let Some(wanted) = query.get("redirect_uri").filter(|u| !u.is_empty()) else { return Ok(own) };
    let refused = || Status::bad_request("redirect_uri is none of this client's");
    let uri: http::Uri = wanted.parse().map_err(|_| refused())?;
    let ours: http::Uri = call.app.public_url.parse().map_err(|_| refused())?;
    let local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let port_ours = uri.port_u16() == ours.port_u16() || uri.port_u16() == ours.port_u16().map(|p| p + 1);
    if uri.scheme_str() == Some("https") && port_ours && (uri.host() == ours.host() || local) && !wanted.contains(['#', '\\', '@']) {
        return Ok(wanted.into());
    }
    Err(refused())
}

fn begin(call: &Call, identity: &Identity) -> String {
    let now = jiff::Timestamp::now().as_second();
    call.app.sessions.begin(&identity.name, &identity.uid, identity.groups.clone(), now)
}

fn challenge() -> Response {
    let mut response = respond::failure(&unauthorized());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"openshift\""));
    response
}

async fn token_page(call: &Call) -> Result<Response, Status> {
    match who(call).await? {
        Some(identity) => {
            Ok(page(&format!("Your API token is <code>{}</code>. Log in with: osc login --token=TOKEN", begin(call, &identity))))
        }
        None => redirect("/login?then=%2Foauth%2Ftoken%2Frequest"),
    }
}

/// `/login`: a page for people; POST takes a form or JSON and answers with a cookie, and programs with the token.
pub async fn login(mut call: Call) -> Result<Response, Status> {
    let then = call.query()?.text("then").to_string();
    match *call.method() {
        Method::GET | Method::HEAD => return Ok(login_page(StatusCode::OK, &then, "")),
        Method::POST => {}
        _ => return Err(respond::method_not_allowed()),
    }
    let wants_json = body::content_type(&call.parts.headers) == "application/json";
    let bytes = body::read(call.take_body()).await?;
    let (name, password, then) = credentials(&bytes, wants_json, then)?;
    let outcome =
        if same_origin(&call.parts) { password::check(&call.app, &call.peer, &name, &password).await } else { Err(unauthorized()) };
    let identity = match outcome {
        Ok(identity) => identity,
        Err(status) if status.code == 429 && !wants_json => return Ok(login_page(StatusCode::TOO_MANY_REQUESTS, &then, &status.message)),
        Err(status) if status.code == 401 && !wants_json => return Ok(login_page(StatusCode::UNAUTHORIZED, &then, LOGIN_FAILED)),
        Err(status) => return Err(status),
    };
    let token = begin(&call, &identity);
    let mut response = if wants_json || call.header(&ACCEPT).is_some_and(|a| a.starts_with("application/json")) {
        let body = json!({"access_token": token, "token_type": "bearer", "expires_in": sessions::LIFETIME, "user": identity.name});
        respond::json_value(StatusCode::OK, &body)
    } else {
        redirect(local_path(&then))?
    };
    let cookie = format!("{COOKIE_NAME}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}", sessions::LIFETIME);
    response.headers_mut().insert(SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|e| Status::internal(e.to_string()))?);
    Ok(response)
}

fn credentials(bytes: &[u8], json: bool, then: String) -> Result<(String, String, String), Status> {
    let text = std::str::from_utf8(bytes).map_err(|_| Status::bad_request("the body is not UTF-8"))?;
    if !json {
        let field = |name: &str| first(text, name).unwrap_or_default();
        let then = Some(field("then")).filter(|t| !t.is_empty()).unwrap_or(then);
        return Ok((field("username"), field("password"), then));
    }
    body::check_shape(bytes)?;
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| Status::bad_request(format!("json parse error: {e}")))?;
    let field = |name: &str| value.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_string();
    let name = if field("username").is_empty() { field("name") } else { field("username") };
    Ok((name, field("password"), then))
}

/// `/logout` ends the session that the request was made with.
pub fn logout(call: Call) -> Result<Response, Status> {
    if *call.method() != Method::POST {
        return Err(respond::method_not_allowed());
    }
    if let Some(token) = token_of(&call.parts) {
        call.app.sessions.end(&token);
    }
    let mut response =
        respond::json_value(StatusCode::OK, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}));
    let cookie = format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    response.headers_mut().insert(SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|e| Status::internal(e.to_string()))?);
    Ok(response)
}

/// Only paths of this server: never a way to send people elsewhere.
fn local_path(then: &str) -> &str {
    let ok = then.starts_with('/') && !then.starts_with("//") && !then.contains('\\') && !then.chars().any(char::is_control);
    if ok { then } else { "/" }
}

fn redirect(to: &str) -> Result<Response, Status> {
    let mut response = respond::text(StatusCode::FOUND, "");
    let value = HeaderValue::from_str(to).map_err(|_| Status::bad_request("the address to go back to is not valid"))?;
    response.headers_mut().insert(LOCATION, value);
    Ok(response)
}

fn page(text: &str) -> Response {
    let html = format!("<!doctype html><meta charset=utf-8><title>OpenShift</title><p>{text}</p>");
    framed(respond::with_type(StatusCode::OK, "text/html; charset=utf-8", html))
}

fn framed(mut response: Response) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    response.headers_mut().insert("content-security-policy", HeaderValue::from_static(policy));
    response
}

fn login_page(code: StatusCode, then: &str, error: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Login - OpenShift Origin</title>\
         <style>body{{font:16px sans-serif;max-width:24em;margin:4em auto}}input{{display:block;width:100%;margin:.3em 0 1em;padding:.5em}}</style>\
         <h1>OpenShift</h1><p role=alert>{error}</p><form method=post action=/login>\
         <input type=hidden name=then value=\"{}\"><label>Username <input name=username autofocus required autocomplete=username></label>\
         <label>Password <input name=password type=password required autocomplete=current-password></label>\
         <button>Log In</button></form></html>",
        escape(local_path(then))
    );
    framed(respond::with_type(code, "text/html; charset=utf-8", html))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

fn percent_encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for bad in ["//evil.example", "https://evil.example", "/\\evil", "javascript:x", "/a\nb", ""] {
            assert_eq!(local_path(bad), "/", "{bad}");
        }
        assert_eq!(local_path("/oauth/authorize?a=b"), "/oauth/authorize?a=b");
    }

    #[test]
    fn forms_and_json_carry_the_same() {
        let form = credentials(b"username=a+b&password=p%26&then=%2Fx", false, String::new()).unwrap();
        assert_eq!(form, ("a b".into(), "p&".into(), "/x".into()));
        let json = credentials(br#"{"username":"u","password":"p"}"#, true, "/y".into()).unwrap();
        assert_eq!(json, ("u".into(), "p".into(), "/y".into()));
    }
}
