//! What the store says, in the API's words.
use shared::kinds::Kind;
use shared::status::Status;
use store::Error;

/// Revision that cannot be served any more.
pub(crate) fn expired(asked: u64, oldest: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} ({oldest})"))
}

pub(crate) fn from_store(error: Error, kind: &Kind, name: &str) -> Status {
    match error {
        Error::Conflict { .. } => Status::modified(kind, name),
        Error::Compacted { asked, oldest } => expired(asked, oldest),
        Error::Future { asked, current } => future(asked, current),
        Error::TooLarge { bytes, max, .. } => {
            let text = format!("Request entity too large: {} \"{name}\" has {bytes} bytes, at most {max} are kept", kind.qualified());
            Status::failure(413, shared::status::Reason::RequestEntityTooLarge, text)
        }
        Error::Full { used, max } => full(used, max),
        Error::Invalid(why) => Status::internal(why),
        Error::Unavailable(why) => {
            tracing::error!(error = %why, "the store does not take writes");
            Status::unavailable(format!("the store does not take writes: {why}"))
        }
    }
}

/// Nothing more is kept; reads, deletions and reports of nodes go on.
pub(crate) fn full(used: usize, max: usize) -> Status {
    let text =
        format!("database space exceeded: objects take {used} of {max} bytes; delete some, or start the server with a larger --store-max");
    Status::failure(FULL, shared::status::Reason::InternalError, text)
}

/// Insufficient Storage: unlike after other failures of the server, nothing was stored.
pub(crate) const FULL: u16 = 507;

pub(crate) fn future(asked: u64, current: u64) -> Status {
    let cause = shared::status::Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    };
    Status::timeout(format!("Too large resource version: {asked}, current: {current}")).with_causes(vec![cause]).with_retry_after(1)
}
