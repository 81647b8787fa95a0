//! The client: finds a cluster, speaks its API, and is the command tree of `osc`, `openshift cli` and `openshift ex`.
//!
//! Commands talk to the server in today's versions only; the forms of 2015 are conversions at this edge.
pub mod cli;
pub mod config;
pub mod convert;
pub mod files;
pub mod http;
pub mod output;
pub mod resources;
pub mod socket;
pub mod terminal;
pub mod tls;
pub mod watch;

use crate::status::Status;

/// What can go wrong in a command, as the one line that the user reads.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with a Status that is not success.
    #[error("{}", .0.message)]
    Status(Box<Status>),
    /// The server was not reached.
    #[error("{0}")]
    Connect(String),
    /// The server was reached and the exchange broke.
    #[error("{0}")]
    Transport(String),
    /// Wrong use: words, flags, files.
    #[error("{0}")]
    Usage(String),
    /// Nothing more to say: the message has been printed, only the exit code counts.
    #[error("")]
    Exit(u8),
}

impl ClientError {
    pub fn usage(text: impl Into<String>) -> ClientError {
        ClientError::Usage(text.into())
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, ClientError::Status(s) if s.is_not_found())
    }

    /// HTTP code of the server's answer, 0 when there was none.
    pub fn code(&self) -> u16 {
        match self {
            ClientError::Status(s) => s.code,
            _ => 0,
        }
    }
}

pub type Result<T> = std::result::Result<T, ClientError>;
