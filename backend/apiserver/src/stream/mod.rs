//! Streams into pods: which protocol a client speaks, and the handshakes.
mod channels;
mod command;
mod forward;
mod over_spdy;
mod spdy;

pub use channels::goodbye;

use crate::handlers::Call;
use crate::limits::held::Part;
use crate::query::Query;
use crate::respond::Response;
use crate::streams::Target;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use shared::status::Status;

/// Larger WebSocket messages end the connection.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
const SPDY: &str = "SPDY/3.1";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
const FORWARD_PROTOCOL: &str = "portforward.k8s.io";

/// What exec and attach are asked to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    attach: bool,
    command: Vec<String>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    fn read(query: &Query, attach: bool) -> Result<Wanted, Status> {
        let tty = query.flag("tty")?;
        let wanted = Wanted {
            attach,
            command: query.all("command").map(str::to_string).collect(),
            stdin: query.flag("stdin")?,
            // Attaching without saying to what means both outputs.
            stdout: query.flag("stdout")? || attach && query.get("stdout").is_none(),
            stderr: !tty && (query.flag("stderr")? || attach && query.get("stderr").is_none()),
            tty,
        };
        if !attach && wanted.command.is_empty() {
            return Err(Status::bad_request("you must specify at least 1 command for the container"));
        }
        if !wanted.stdin && !wanted.stdout && !wanted.stderr {
            return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
        }
        Ok(wanted)
    }

    async fn start(&self, call: &Streams, target: &Target) -> Result<crate::streams::Process, Status> {
        if self.attach {
            call.pods.attach(target, self.tty, self.stdin).await
        } else {
            call.pods.exec(target, &self.command, self.tty, self.stdin).await
        }
    }
}

/// What outlives the request that opened a stream.
struct Streams {
    pods: std::sync::Arc<dyn crate::streams::PodStreams>,
    stop: tokio_util::sync::CancellationToken,
    /// What this stream counts for among the upgraded connections, and in `/metrics`.
    room: (Part, meter::Holding),
}

impl Streams {
    fn of(call: &Call) -> Result<Streams, Status> {
        let room = (call.app.limits.upgrade(&call.caller.0, &call.peer)?, crate::metrics::STREAMS.hold());
        Ok(Streams { pods: call.app.streams.clone(), stop: call.app.stop.clone(), room })
    }
}

fn upgrade_to(headers: &HeaderMap) -> &str {
    headers.get(UPGRADE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// exec and attach.
pub async fn remote_command(mut call: Call, query: &Query, target: Target, attach: bool) -> Result<Response, Status> {
    let wanted = Wanted::read(query, attach)?;
    let streams = Streams::of(&call)?;
    if upgrade_to(&call.parts.headers).eq_ignore_ascii_case(SPDY) {
        return over_spdy::remote_command(call, wanted, target, streams);
    }
    let upgrade = web_socket(&mut call).await?.protocols(channels::PROTOCOLS);
    let dialect = channels::Dialect::of(&chosen(&upgrade));
    Ok(upgrade.on_upgrade(move |socket| async move {
        let mut outputs = vec![channels::ERROR];
        outputs.extend(wanted.stdout.then_some(channels::STDOUT));
        outputs.extend(wanted.stderr.then_some(channels::STDERR));
        outputs.sort_unstable();
        let (mut sink, input) = channels::open(socket, dialect, &outputs).await;
        let process = wanted.start(&streams, &target).await;
        let _room = streams.room;
        command::drive(process, input, &mut sink, streams.stop).await;
    }))
}

/// port-forward.
pub async fn port_forward(mut call: Call, query: &Query, target: Target) -> Result<Response, Status> {
    let streams = Streams::of(&call)?;
    if upgrade_to(&call.parts.headers).eq_ignore_ascii_case(SPDY) {
        let (response, upgraded) = spdy_handshake(&mut call, &[FORWARD_PROTOCOL])?;
        tokio::spawn(async move {
            if let Ok(io) = upgraded.await {
                let opened = spdy::serve(hyper_util::rt::TokioIo::new(io));
                let _room = streams.room;
                forward::serve(opened, streams.pods, target, streams.stop).await;
            }
        });
        return Ok(response);
    }
    let upgrade = web_socket(&mut call).await?.protocols([TUNNEL_PROTOCOL].into_iter().chain(channels::PROTOCOLS));
    let protocol = chosen(&upgrade);
    if protocol == TUNNEL_PROTOCOL {
        return Ok(upgrade.on_upgrade(move |socket| async move {
            let _room = streams.room;
            forward::tunnel(socket, streams.pods, target, streams.stop).await;
        }));
    }
    let ports: Result<Vec<u16>, _> = query.all("ports").flat_map(|p| p.split(',')).map(str::parse::<u16>).collect();
    let ports = ports.map_err(|_| Status::bad_request("query parameter \"ports\" must be port numbers"))?;
    if ports.is_empty() || ports.len() > forward::PORTS_MAX || ports.contains(&0) {
        return Err(Status::bad_request("query parameter \"ports\" is required"));
    }
    let dialect = channels::Dialect::of(&protocol);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _room = streams.room;
        forward::channels(socket, dialect, ports, streams.pods, target, streams.stop).await;
    }))
}

async fn web_socket(call: &mut Call) -> Result<WebSocketUpgrade, Status> {
    if !upgrade_to(&call.parts.headers).eq_ignore_ascii_case("websocket") {
        return Err(Status::bad_request("you must upgrade this connection: to WebSocket or SPDY/3.1"));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut call.parts, &()).await;
    let upgrade = upgrade.map_err(|e| Status::bad_request(format!("this is no WebSocket handshake: {e}")))?;
    Ok(upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX))
}

fn chosen(upgrade: &WebSocketUpgrade) -> String {
    upgrade.selected_protocol().and_then(|p| p.to_str().ok()).unwrap_or_default().to_string()
}

/// The answer that begins SPDY, and the connection that comes of it.
fn spdy_handshake(call: &mut Call, known: &[&'static str]) -> Result<(Response, OnUpgrade), Status> {
    let offered: Vec<String> = call
        .parts
        .headers
        .get_all(&STREAM_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|v| v.trim().to_string())
        .collect();
    let protocol = if offered.is_empty() { known.last() } else { known.iter().find(|k| offered.iter().any(|o| o == *k)) };
    let Some(protocol) = protocol.copied() else {
        let text = format!("unable to negotiate a stream protocol: the client offers {offered:?}, the server {known:?}");
        return Err(Status::failure(403, shared::status::Reason::Forbidden, text));
    };
    let upgraded = call.parts.extensions.remove::<OnUpgrade>().ok_or_else(|| Status::bad_request("this connection cannot be upgraded"))?;
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
    headers.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    Ok((response, upgraded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_words_and_a_stream() {
        let read = |q: &str, attach| Wanted::read(&Query::parse(Some(q)).unwrap(), attach);
        let wanted = read("command=ls&command=-l&stdout=true&stderr=true", false).unwrap();
        assert_eq!(wanted.command, ["ls", "-l"]);
        assert!(read("stdout=1", false).is_err());
        assert!(read("command=ls", false).is_err());
        assert!(!read("command=sh&stdin=true&stdout=true&stderr=true&tty=true", false).unwrap().stderr);
        assert!(read("", true).unwrap().stdout);
    }
}
