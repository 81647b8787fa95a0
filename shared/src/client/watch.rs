//! Reads a watch stream: one JSON object a line, in pieces of any size.
use super::http::Client;
use super::{ClientError, Result};
use crate::status::Status;
use crate::watch::{EventType, WatchEvent};
use serde_json::Value;

/// Longest line that is accepted: the largest object the server stores, with room to spare.
const LINE_MAX: usize = 16 << 20;

/// Cuts a byte stream into lines.
#[derive(Default)]
pub struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// Adds bytes and returns the lines that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.buffer.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut from = 0;
        while let Some(at) = self.buffer[from..].iter().position(|b| *b == b'\n') {
            if at > 0 {
                lines.push(self.buffer[from..from + at].to_vec());
            }
            from += at + 1;
        }
        self.buffer.drain(..from);
        if self.buffer.len() > LINE_MAX {
            return Err(ClientError::Transport("a line of the watch is longer than 16 MiB".into()));
        }
        Ok(lines)
    }
}

/// An open watch. `next` ends with `None` when the server closes the stream.
pub struct Watch {
    response: reqwest::Response,
    lines: Lines,
    ready: std::collections::VecDeque<Vec<u8>>,
}

impl Watch {
    pub async fn open(client: &Client, path: &str) -> Result<Watch> {
        Ok(Watch { response: client.stream(path).await?, lines: Lines::default(), ready: Default::default() })
    }

    pub async fn next(&mut self) -> Result<Option<WatchEvent<Value>>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                let event: WatchEvent<Value> = serde_json::from_slice(&line)
                    .map_err(|e| ClientError::Transport(format!("the watch sent something that is no event: {e}")))?;
                if event.event_type == EventType::Error {
                    return Err(match serde_json::from_value::<Status>(event.object) {
                        Ok(status) => ClientError::Status(Box::new(status)),
                        Err(_) => ClientError::Transport("the server ended the watch with an error".into()),
                    });
                }
                return Ok(Some(event));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.ready.extend(self.lines.push(&bytes)?),
                Ok(None) => return Ok(None),
                Err(_) => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_any_cutting() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\n{\"c\"";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let got: Vec<Vec<u8>> = text.chunks(size).flat_map(|c| lines.push(c).expect("short")).collect();
            assert_eq!(got, [b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec()]);
        }
    }
}
