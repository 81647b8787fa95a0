//! What server and node say to each other within one stream: a question first, then pieces of input and output.
//!
//! ```text
//! ┌──────┬────────────┬───────────────┐
//! │ kind │ length, BE │ payload       │   one piece: 1 + 4 + length bytes
//! └──────┴────────────┴───────────────┘
//! ```
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use shared::status::Status;

/// Longest piece: a command line as long as the API takes one.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// What the server wants of the node. The first piece of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Answered by the log's bytes, without pieces.
    Logs {
        uid: String,
        container: String,
        previous: bool,
        follow: bool,
        tail: Option<u64>,
        since: Option<i64>,
        timestamps: bool,
    },
    Exec {
        uid: String,
        container: String,
        command: Vec<String>,
        tty: bool,
        stdin: bool,
    },
    Attach {
        uid: String,
        container: String,
        tty: bool,
        stdin: bool,
    },
    /// After the question both directions are plain bytes.
    Connect {
        uid: String,
        port: u16,
    },
    /// Answered by [`Stats`] as JSON.
    Stats,
}

/// What the machine and its containers have used: CPU time in nanoseconds, memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub node: (u64, u64),
    /// Pod uid, container, CPU time, memory.
    pub containers: Vec<(String, String, u64, u64)>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum End {
    Code(i32),
    Failed(Box<Status>),
}

/// One piece.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Ask(Ask),
    Stdin(Bytes),
    StdinEnd,
    /// Columns, rows.
    Resize(u16, u16),
    Stdout(Bytes),
    Stderr(Bytes),
    End(End),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    #[error("a piece of {0} bytes is too long")]
    TooLong(usize),
    #[error("a piece of kind {0} makes no sense")]
    Unknown(u8),
}

impl Piece {
    pub fn encode(&self) -> Bytes {
        let json = |value: serde_json::Result<Vec<u8>>| Bytes::from(value.expect("strings, numbers and lists are always JSON"));
        let (kind, payload) = match self {
            Piece::Ask(ask) => (0, json(serde_json::to_vec(ask))),
            Piece::Stdin(bytes) => (1, bytes.clone()),
            Piece::StdinEnd => (2, Bytes::new()),
            Piece::Resize(columns, rows) => (3, Bytes::from([columns.to_be_bytes(), rows.to_be_bytes()].concat())),
            Piece::Stdout(bytes) => (4, bytes.clone()),
            Piece::Stderr(bytes) => (5, bytes.clone()),
            Piece::End(end) => (6, json(serde_json::to_vec(end))),
        };
        let mut out = BytesMut::with_capacity(5 + payload.len());
        out.put_u8(kind);
        out.put_u32(u32::try_from(payload.len()).expect("pieces are made of what fits into memory twice"));
        out.put(payload);
        out.freeze()
    }

    fn decode(kind: u8, mut payload: Bytes) -> Result<Piece, WireError> {
        let unknown = WireError::Unknown(kind);
        Ok(match kind {
            0 => Piece::Ask(serde_json::from_slice(&payload).map_err(|_| unknown)?),
            1 => Piece::Stdin(payload),
            2 => Piece::StdinEnd,
            3 if payload.len() == 4 => Piece::Resize(payload.get_u16(), payload.get_u16()),
            4 => Piece::Stdout(payload),
            5 => Piece::Stderr(payload),
            6 => Piece::End(serde_json::from_slice(&payload).map_err(|_| unknown)?),
            _ => return Err(unknown),
        })
    }
}

/// Puts pieces together from bytes that come in any cuts.
#[derive(Default)]
pub struct Pieces(BytesMut);

impl Pieces {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole piece, if it has come.
    pub fn next(&mut self) -> Result<Option<Piece>, WireError> {
        let Some((kind, length)) = self.0.first().copied().zip(self.0.get(1..5)) else { return Ok(None) };
        let length = length.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
        if length > PIECE_BYTES_MAX {
            return Err(WireError::TooLong(length));
        }
        if self.0.len() < 5 + length {
            return Ok(None);
        }
        self.0.advance(5);
        Piece::decode(kind, self.0.split_to(length).freeze()).map(Some)
    }

    /// What came after the last piece that was taken.
    pub fn rest(self) -> Bytes {
        self.0.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_survive_any_cutting() {
        let ask = Ask::Exec { uid: "u".into(), container: "c".into(), command: vec!["a".into(), "ü".into()], tty: true, stdin: false };
        let all = [
            Piece::Ask(ask),
            Piece::Stdin(Bytes::from_static(b"in")),
            Piece::StdinEnd,
            Piece::Resize(80, 24),
            Piece::Stdout(Bytes::new()),
            Piece::Stderr(Bytes::from_static(b"err")),
            Piece::End(End::Code(3)),
            Piece::End(End::Failed(Box::new(Status::internal("no")))),
        ];
        let bytes: Vec<u8> = all.iter().flat_map(|p| p.encode().to_vec()).collect();
        for size in 1..bytes.len() {
            let (mut pieces, mut got) = (Pieces::default(), Vec::new());
            for part in bytes.chunks(size) {
                pieces.push(part);
                while let Some(piece) = pieces.next().unwrap() {
                    got.push(piece);
                }
            }
            assert_eq!(got, all);
            assert!(pieces.rest().is_empty());
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_it_is_kept() {
        let mut pieces = Pieces::default();
        pieces.push(&[1, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(pieces.next(), Err(WireError::TooLong(0xffff_ffff)));
        let mut pieces = Pieces::default();
        pieces.push(&[9, 0, 0, 0, 0]);
        assert_eq!(pieces.next(), Err(WireError::Unknown(9)));
    }
}
