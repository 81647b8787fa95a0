//! `/backup`: the whole cluster at one revision, keys included, as one file. For whoever may read every URL.
use super::Call;
use crate::respond::{self, Response};
use axum::body::{Body, Bytes};
use http::StatusCode;
use shared::status::{Reason, Status};
use std::io::{BufWriter, Write};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// Backups at once; each costs a thread and, while it is sent, the memory of what changes meanwhile.
const AT_ONCE_MAX: usize = 2;
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE_MAX);
/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 4;
const PIECE_BYTES: usize = 64 << 10;
const RETRY_SECONDS: i64 = 10;

type Piece = Result<Bytes, std::io::Error>;

/// Hands each write to the body; fails when nobody reads it any more.
struct Pipe(mpsc::Sender<Piece>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn busy() -> Status {
    Status::failure(429, Reason::TooManyRequests, "other backups are being taken").with_retry_after(RETRY_SECONDS)
}

/// The caller's right to the path has been checked.
pub fn serve(call: &Call) -> Result<Response, Status> {
    let backup = call.app.backup.clone().ok_or_else(respond::unknown_path)?;
    let turn = TURNS.try_acquire().map_err(|_| busy())?;
    tracing::info!(user = call.caller.0.name, "a backup is taken");
    let (sender, receiver) = mpsc::channel::<Piece>(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(PIECE_BYTES, Pipe(sender.clone()));
        let written = backup(&mut out).and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::warn!(%error, "a backup was not finished");
            // Breaks the answer off, so that the client does not take it for whole.
            let _ = sender.blocking_send(Err(error));
        }
        drop(turn);
    });
    Ok(respond::with_type(StatusCode::OK, "application/octet-stream", Body::from_stream(ReceiverStream::new(receiver))))
}
