//! Takes in what is left of a request's body before its answer is sent: clients that still send lose an answer that comes first.
use axum::body::{Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A longer rest is not waited for: that client learns early that it sends in vain.
const REST_BYTES_MAX: usize = 16 * 1024 * 1024;
const REST_DEADLINE: Duration = Duration::from_millis(500);

/// A body that its handler reads, and that is still there when the handler is done.
#[derive(Clone)]
pub struct Held(Arc<Mutex<Incoming>>);

impl Held {
    pub fn new(body: Incoming) -> Held {
        Held(Arc::new(Mutex::new(body)))
    }

    /// Reads on to the end unless somebody else still does, or there is too much.
    pub async fn drain(mut self) {
        if Arc::strong_count(&self.0) > 1 || self.is_end_stream() {
            return;
        }
        let rest = async {
            let mut taken = 0;
            while taken < REST_BYTES_MAX
                && let Some(Ok(frame)) = self.frame().await
            {
                taken += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // Whoever sends slowly gets the answer first, as ever.
        let _ = tokio::time::timeout(REST_DEADLINE, rest).await;
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}
