//! What every field of every kind is called, how it is typed, merged, defaulted and encoded: one table, many readers.
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod scalar;
pub mod ssa;
pub mod table;
pub mod validate;

/// How deep any object may nest; deeper input is refused, so that no walk overflows the stack.
pub const MAX_DEPTH: usize = 100;

/// Why bytes or a patch could not be read with the schema. The texts are meant for the client.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind { api_version: String, kind: String },
    #[error("{0}")]
    Malformed(String),
    #[error("exceeded max depth of {MAX_DEPTH}")]
    TooDeep,
}
