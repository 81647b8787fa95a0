//! HTTP to a pod or to a pod behind a service, through the API: `pods/NAME:PORT/proxy/PATH`, `services/NAME:PORT/proxy/PATH`.
use super::{Call, pods};
use crate::respond::{self, Response};
use crate::router::Resource;
use crate::streams::Target;
use axum::body::Body;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, COOKIE, HOST, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper_util::rt::TokioIo;
use registry::AccessRequest;
use serde_json::Value;
use shared::kinds;
use shared::objects::pod::Pod;
use shared::status::Status;

/// Headers of one connection, or of the caller's identity, which is nobody's business behind the proxy.
const KEPT_BACK: [HeaderName; 8] = [AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE];
const DEFAULT_PORT: u16 = 80;

/// Passes a request on and its answer back.
pub async fn serve(mut call: Call, target: Resource) -> Result<Response, Status> {
    let (namespace, addressed) = (target.namespace.clone().unwrap_or_default(), target.name.clone().unwrap_or_default());
    let (name, port) = parse(&addressed)?;
    let verb = match *call.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return Err(respond::method_not_allowed()),
    };
    let request = AccessRequest::resource(verb, target.kind, Some(&namespace), name, "proxy");
    call.app.registry.authorise(&call.caller, &request)?;
    let (to, port) = if *target.kind == kinds::POD {
        pod(&call, &namespace, name, port)?
    } else if *target.kind == kinds::SERVICE {
        service(&call, &namespace, name, port)?
    } else {
        return Err(respond::unknown_path());
    };
    let connection = call.app.streams.connect(&to, port).await.map_err(|s| unreachable(&s.message))?;
    let (mut sender, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.map_err(|e| unreachable(&e.to_string()))?;
    tokio::spawn(async move {
        // Its error is the answer's error too.
        let _ = driver.await;
    });
    let query = call.parts.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let mut onward = http::Request::builder().method(call.method().clone()).uri(format!("/{}{query}", target.rest));
    if let Some(headers) = onward.headers_mut() {
        *headers = passed_on(&call.parts.headers);
        headers.insert(HOST, HeaderValue::from_str(&format!("{name}:{port}")).map_err(|e| Status::bad_request(e.to_string()))?);
    }
    let onward = onward.body(call.take_body()).map_err(|e| Status::bad_request(e.to_string()))?;
    let mut answer = sender.send_request(onward).await.map_err(|e| unreachable(&e.to_string()))?.map(Body::new);
    let headers = answer.headers_mut();
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, SET_COOKIE] {
        headers.remove(name);
    }
    // A page from a pod must not act with the rights of whoever looks at it here.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox allow-scripts allow-forms"));
    Ok(answer)
}

fn unreachable(why: &str) -> Status {
    Status::unavailable(format!("error trying to reach service: {why}"))
}

/// `NAME`, `NAME:PORT`, `http:NAME:PORT`.
fn parse(addressed: &str) -> Result<(&str, &str), Status> {
    match addressed.split(':').collect::<Vec<_>>().as_slice() {
        [name] => Ok((name, "")),
        [name, port] | ["http" | "", name, port] => Ok((name, port)),
        _ => Err(Status::bad_request(format!("invalid proxy target {addressed:?}: only http is passed on"))),
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let keep =
        |name: &HeaderName| !KEPT_BACK.contains(name) && !name.as_str().starts_with("impersonate-") && !name.as_str().starts_with("proxy-");
    headers.iter().filter(|(name, _)| keep(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

fn pod(call: &Call, namespace: &str, name: &str, port: &str) -> Result<(Target, u16), Status> {
    let pod: Pod = call.app.registry.get(&call.app.myself, &kinds::POD, Some(namespace), name)?.view();
    let ports: Vec<_> = pod.spec.containers.iter().flat_map(|c| &c.ports).collect();
    let number = match port {
        "" => ports.first().and_then(|p| u16::try_from(p.container_port).ok()).or(Some(DEFAULT_PORT)),
        text => text.parse().ok().or_else(|| u16::try_from(ports.iter().find(|p| p.name == text)?.container_port).ok()),
    };
    let number = number.filter(|n| *n > 0).ok_or_else(|| Status::bad_request(format!("pod {name} has no port {port:?}")))?;
    let container = pod.spec.containers.first().map(|c| c.name.clone()).unwrap_or_default();
    Ok((pods::target_of(&pod, &container)?, number))
}

fn service(call: &Call, namespace: &str, name: &str, port: &str) -> Result<(Target, u16), Status> {
    let service = call.app.registry.get(&call.app.myself, &kinds::SERVICE, Some(namespace), name)?.value();
    let none = || unreachable(&format!("no endpoints available for service {name:?}"));
    let endpoints = call.app.registry.get(&call.app.myself, &kinds::ENDPOINTS, Some(namespace), name).map_err(|_| none())?.value();
    let wanted = port_name(&service, port).ok_or_else(|| Status::bad_request(format!("service {name:?} has no port {port:?}")))?;
    let (pod_name, number) = endpoint(&endpoints, wanted).ok_or_else(none)?;
    let (target, _) = pod(call, namespace, pod_name, "")?;
    Ok((target, number))
}

/// The name of the port of a service that is meant, by which its endpoints know it.
fn port_name<'a>(service: &'a Value, port: &str) -> Option<&'a str> {
    let ports = service.pointer("/spec/ports")?.as_array()?;
    let name = |p: &'a Value| p.get("name").and_then(Value::as_str).unwrap_or_default();
    let number = |p: &Value| p.get("port").and_then(Value::as_u64).unwrap_or_default().to_string();
    let found = if port.is_empty() { ports.first() } else { ports.iter().find(|p| name(p) == port || number(p) == port) };
    found.map(name)
}

/// A ready pod, and its port of that name.
fn endpoint<'a>(endpoints: &'a Value, port: &str) -> Option<(&'a str, u16)> {
    endpoints.get("subsets")?.as_array()?.iter().find_map(|subset| {
        let ports = subset.get("ports")?.as_array()?;
        let found = ports.iter().find(|p| p.get("name").and_then(Value::as_str).unwrap_or_default() == port)?;
        let number = u16::try_from(found.get("port")?.as_u64()?).ok()?;
        let mut pods = subset.get("addresses")?.as_array()?.iter().filter_map(|a| a.pointer("/targetRef/name")?.as_str());
        Some((pods.next()?, number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets_are_found() {
        assert_eq!(parse("web:80").unwrap(), ("web", "80"));
        assert_eq!(parse("http:web:www").unwrap(), ("web", "www"));
        assert!(parse("https:web:443").is_err());
        let service = json!({"spec": {"ports": [{"name": "www", "port": 80}, {"name": "adm", "port": 81}]}});
        assert_eq!((port_name(&service, ""), port_name(&service, "81"), port_name(&service, "x")), (Some("www"), Some("adm"), None));
        let endpoints = json!({"subsets": [{"addresses": [{"ip": "1.2.3.4", "targetRef": {"kind": "Pod", "name": "p"}}], "ports": [{"name": "adm", "port": 8081}]}]});
        assert_eq!(endpoint(&endpoints, "adm"), Some(("p", 8081)));
        assert_eq!(endpoint(&endpoints, "www"), None);
    }

    #[test]
    fn credentials_stay_here() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "impersonate-user", "x-mine", "connection"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        assert_eq!(passed_on(&headers).keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-mine"]);
    }
}
