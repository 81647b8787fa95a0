//! Takes request bodies in before their turn, within bounds of size, time and memory; and counts answers until they are sent.
use super::connections::Line;
use super::held::Part;
use super::{Limits, Who, busy};
use crate::body::{BODY_BYTES_MAX, too_large};
use crate::held::Held;
use crate::respond::Response;
use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use logic::fairness::Lane;
use shared::status::Status;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// From the request's head to the end of its body.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Answers up to this size are in the connection's buffers at once: nothing is held for them.
const SMALL: u64 = 16 * 1024;

/// The whole body, and the room that it takes up.
pub async fn take_in(limits: &Limits, who: Who, mut body: Held) -> Result<(Bytes, Part), Status> {
    let held = if who.lane() == Lane::Reserved { &limits.reserved_bodies } else { &limits.bodies };
    let mut room = held.take(who.flow, 0).ok_or_else(busy)?;
    let reading = async {
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Status::bad_request(format!("the request body could not be read: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            bytes += data.len();
            if bytes > BODY_BYTES_MAX {
                return Err(too_large());
            }
            if !room.grow(data.len() as u64) {
                return Err(busy());
            }
            pieces.push(data);
        }
        Ok(match pieces.len() {
            0 | 1 => pieces.pop().unwrap_or_default(),
            _ => pieces.concat().into(),
        })
    };
    let bytes = tokio::time::timeout(BODY_DEADLINE, reading)
        .await
        .map_err(|_| Status::failure(408, shared::status::Reason::Timeout, "the request body did not arrive in time"))??;
    Ok((bytes, room))
}

/// What an answer holds beside what is shared with others, in bytes; set where it is not the body's length.
#[derive(Clone, Copy, Debug)]
pub struct Own(pub u64);

/// A body that counts as open until it has been sent or given up.
struct Counted {
    body: Body,
    line: Arc<Line>,
    _parts: Option<(Part, Part)>,
}

/// Counts an answer until it is sent; refuses it when its flow has too much under way. Small answers are not counted.
pub fn count(limits: &Limits, who: Who, line: &Arc<Line>, response: Response) -> Result<Response, Status> {
    let length = hyper::body::Body::size_hint(response.body()).exact();
    if length.is_some_and(|n| n <= SMALL) {
        return Ok(response);
    }
    let own = response.extensions().get::<Own>().map_or(length.unwrap_or(0), |own| own.0);
    let parts = match who.lane() {
        Lane::Reserved => None,
        Lane::Crowd => {
            let open = limits.open.take(who.flow, 1).ok_or_else(busy)?;
            Some((open, limits.answers.take_one_at_least(who.flow, own).ok_or_else(busy)?))
        }
    };
    line.begin();
    let line = line.clone();
    Ok(response.map(|body| Body::new(Counted { body, line, _parts: parts })))
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.line.finish();
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        hyper::body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        hyper::body::Body::size_hint(&self.body)
    }
}
