//! Why the server cannot start.
use std::net::SocketAddr;
use std::path::PathBuf;

/// A fault while starting; requests answer with `shared::status::Status` instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("certificates in the data directory: {0}")]
    Certificates(String),
    #[error("threads cannot be started: {0}")]
    Threads(std::io::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
}

impl From<rcgen::Error> for Error {
    fn from(e: rcgen::Error) -> Error {
        Error::Certificates(e.to_string())
    }
}

impl From<rustls::Error> for Error {
    fn from(e: rustls::Error) -> Error {
        Error::Certificates(e.to_string())
    }
}
