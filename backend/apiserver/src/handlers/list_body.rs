//! Sends a list by stringing stored bytes together: nothing is decoded, and no whole copy is ever made.
use axum::body::Bytes;
use bytes::BytesMut;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Pieces are gathered to frames of about this size, so that TLS records are full.
const FRAME_BYTES: usize = 32 * 1024;

/// A body of `head`, the items with commas between them, and `]}`; its length is known before it is sent.
pub struct ListBody {
    head: Bytes,
    items: std::vec::IntoIter<Bytes>,
    first: bool,
    ended: bool,
    left: u64,
}

const TAIL: &[u8] = b"]}";

impl ListBody {
    /// `head` ends with the opening `[` of the items.
    pub fn new(head: Bytes, items: Vec<Bytes>) -> ListBody {
        let commas = items.len().saturating_sub(1);
        let length = head.len() + items.iter().map(Bytes::len).sum::<usize>() + commas + TAIL.len();
        ListBody { head, items: items.into_iter(), first: true, ended: false, left: length as u64 }
    }
}

impl Body for ListBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut frame = BytesMut::with_capacity(FRAME_BYTES.min(usize::try_from(self.left).unwrap_or(FRAME_BYTES)));
        frame.extend_from_slice(&std::mem::take(&mut self.head));
        while frame.len() < FRAME_BYTES {
            let Some(item) = self.items.next() else {
                frame.extend_from_slice(TAIL);
                self.ended = true;
                break;
            };
            if !self.first {
                frame.extend_from_slice(b",");
            }
            self.first = false;
            frame.extend_from_slice(&item);
        }
        self.left = self.left.saturating_sub(frame.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(frame.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn length_is_right_and_items_are_separated() {
        for count in [0usize, 1, 2, 5000] {
            let item = Bytes::from_static(br#"{"kind":"Pod","metadata":{"name":"x"}}"#);
            let body = ListBody::new(Bytes::from_static(b"{\"items\":["), vec![item; count]);
            let said = body.size_hint().exact().unwrap();
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len() as u64, said);
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["items"].as_array().unwrap().len(), count);
        }
    }
}
