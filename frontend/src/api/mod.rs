//! The only code that touches the network: requests, streams and their errors, always to the server the page is from.
pub mod exec;
pub mod fetch;
pub mod log;
pub mod watch;

use shared::status::Status;
use std::cell::RefCell;

/// Why a request did not give what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiError {
    /// No answer at all.
    Unreachable,
    /// The page has gone on and no longer wants the answer.
    Aborted,
    /// The server's refusal.
    Refused(Box<Status>),
}

impl ApiError {
    pub fn code(&self) -> u16 {
        match self {
            ApiError::Refused(status) => status.code,
            _ => 0,
        }
    }

    /// One sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            ApiError::Unreachable => "The server does not answer.".into(),
            ApiError::Aborted => "Stopped.".into(),
            ApiError::Refused(status) if status.code == 403 => format!("You may not do this: {}", status.message),
            ApiError::Refused(status) => status.message.clone(),
        }
    }
}

thread_local! {
    static LOST: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// What happens when the server no longer knows who we are.
pub fn when_session_is_lost(action: impl Fn() + 'static) {
    LOST.with(|l| *l.borrow_mut() = Some(Box::new(action)));
}

fn session_lost() {
    LOST.with(|l| {
        if let Some(action) = &*l.borrow() {
            action();
        }
    });
}
