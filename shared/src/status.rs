//! The error body every program understands: Kubernetes' `Status`, with a constructor per situation.
//!
//! Texts and codes follow the API conventions: <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#response-status-kind>.
use crate::kinds::Kind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a request failed, machine readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    AlreadyExists,
    Conflict,
    Gone,
    Expired,
    Invalid,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
    ServerTimeout,
    Timeout,
    #[serde(other)]
    Unknown,
}

/// One field's fault, or another machine-readable cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldValueDuplicate`, `FieldValueForbidden`, `FieldValueNotSupported`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural resource name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::meta::null_default")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "crate::meta::is_zero")]
    pub retry_after_seconds: i64,
}

/// A failed request's answer. As an error type it is what every layer above the store returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub kind: StatusKind,
    #[serde(rename = "apiVersion")]
    pub api_version: V1,
    #[serde(default)]
    pub metadata: ListMeta,
    pub status: String,
    #[serde(default)]
    pub message: String,
    #[serde(default = "unknown")]
    pub reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    #[serde(default)]
    pub code: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatusKind {
    #[default]
    Status,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum V1 {
    #[default]
    #[serde(rename = "v1")]
    V1,
}
/// `metadata` of lists and of Status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<i64>,
}

fn unknown() -> Reason {
    Reason::Unknown
}

impl Status {
    pub fn failure(code: u16, reason: Reason, message: impl Into<String>) -> Status {
        Status {
            kind: StatusKind::Status,
            api_version: V1::V1,
            metadata: ListMeta::default(),
            status: "Failure".into(),
            message: message.into(),
            reason,
            details: None,
            code,
        }
    }

    pub fn with_details(mut self, kind: &Kind, name: &str) -> Status {
        self.details =
            Some(Box::new(Details { name: name.into(), group: kind.group.into(), kind: kind.plural.into(), ..Details::default() }));
        self
    }

    pub fn with_causes(mut self, causes: Vec<Cause>) -> Status {
        self.details.get_or_insert_with(Default::default).causes = causes;
        self
    }

    pub fn with_retry_after(mut self, seconds: i64) -> Status {
        self.details.get_or_insert_with(Default::default).retry_after_seconds = seconds;
        self
    }

    pub fn not_found(kind: &Kind, name: &str) -> Status {
        Status::failure(404, Reason::NotFound, format!("{} \"{name}\" not found", kind.qualified())).with_details(kind, name)
    }

    pub fn already_exists(kind: &Kind, name: &str) -> Status {
        Status::failure(409, Reason::AlreadyExists, format!("{} \"{name}\" already exists", kind.qualified())).with_details(kind, name)
    }

    /// The object changed since the caller read it.
    pub fn modified(kind: &Kind, name: &str) -> Status {
        Status::conflict(kind, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Status {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Status::failure(409, Reason::Conflict, message).with_details(kind, name)
    }

    /// `why` completes the sentence `pods "x" is forbidden: …`.
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Status {
        let what = if name.is_empty() { kind.qualified() } else { format!("{} \"{name}\"", kind.qualified()) };
        Status::failure(403, Reason::Forbidden, format!("{what} is forbidden: {why}")).with_details(kind, name)
    }

    /// One or more fields are wrong; the message lists them all.
    pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Status {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let text = match list.len() {
            1 => list[0].clone(),
            _ => format!("[{}]", list.join(", ")),
        };
        let what = if kind.group.is_empty() { kind.kind.to_string() } else { format!("{}.{}", kind.kind, kind.group) };
        let causes =
            errors.iter().map(|e| Cause { reason: e.reason.cause().into(), message: e.detail_text(), field: e.field.clone() }).collect();
        let mut status = Status::failure(422, Reason::Invalid, format!("{what} \"{name}\" is invalid: {text}"));
        status.details =
            Some(Box::new(Details { name: name.into(), group: kind.group.into(), kind: kind.kind.into(), causes, ..Details::default() }));
        status
    }

    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::failure(400, Reason::BadRequest, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Status {
        Status::failure(401, Reason::Unauthorized, message)
    }

    /// The revision asked for is older than the history that is kept.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::failure(410, Reason::Expired, message)
    }

    pub fn internal(message: impl Into<String>) -> Status {
        Status::failure(500, Reason::InternalError, format!("Internal error occurred: {}", message.into()))
    }

    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::failure(503, Reason::ServiceUnavailable, message)
    }

    pub fn timeout(message: impl Into<String>) -> Status {
        Status::failure(504, Reason::Timeout, message)
    }

    pub fn is_not_found(&self) -> bool {
        self.reason == Reason::NotFound
    }

    pub fn is_conflict(&self) -> bool {
        self.reason == Reason::Conflict
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Status {}

/// What is wrong with one field, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldReason {
    Required,
    Invalid,
    Duplicate,
    Forbidden,
    NotSupported,
    NotFound,
    TooLong,
    TooMany,
    TypeInvalid,
}

impl FieldReason {
    fn cause(self) -> &'static str {
        match self {
            FieldReason::Required => "FieldValueRequired",
            FieldReason::Invalid => "FieldValueInvalid",
            FieldReason::Duplicate => "FieldValueDuplicate",
            FieldReason::Forbidden => "FieldValueForbidden",
            FieldReason::NotSupported => "FieldValueNotSupported",
            FieldReason::NotFound => "FieldValueNotFound",
            FieldReason::TooLong => "FieldValueTooLong",
            FieldReason::TooMany => "FieldValueTooMany",
            FieldReason::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            FieldReason::Required => "Required value",
            FieldReason::Invalid | FieldReason::TypeInvalid => "Invalid value",
            FieldReason::Duplicate => "Duplicate value",
            FieldReason::Forbidden => "Forbidden",
            FieldReason::NotSupported => "Unsupported value",
            FieldReason::NotFound => "Not found",
            FieldReason::TooLong => "Too long",
            FieldReason::TooMany => "Too many",
        }
    }
}

/// A fault of one field: `spec.containers[0].name: Required value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Path such as `spec.ports[0].targetPort`.
    pub field: String,
    pub reason: FieldReason,
    /// The value found, already printed as JSON; empty when there is none to show.
    pub value: String,
    pub detail: String,
}

impl FieldError {
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), reason: FieldReason::Required, value: String::new(), detail: detail.into() }
    }

    pub fn invalid(field: impl Into<String>, value: impl Serialize, detail: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), reason: FieldReason::Invalid, value: show(value), detail: detail.into() }
    }

    pub fn duplicate(field: impl Into<String>, value: impl Serialize) -> FieldError {
        FieldError { field: field.into(), reason: FieldReason::Duplicate, value: show(value), detail: String::new() }
    }

    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), reason: FieldReason::Forbidden, value: String::new(), detail: detail.into() }
    }

    pub fn not_found(field: impl Into<String>, value: impl Serialize) -> FieldError {
        FieldError { field: field.into(), reason: FieldReason::NotFound, value: show(value), detail: String::new() }
    }

    pub fn too_long(field: impl Into<String>, max: usize) -> FieldError {
        FieldError {
            field: field.into(),
            reason: FieldReason::TooLong,
            value: String::new(),
            detail: format!("may not be more than {max} bytes"),
        }
    }

    pub fn not_supported(field: impl Into<String>, value: impl Serialize, supported: &[&str]) -> FieldError {
        let list: Vec<String> = supported.iter().map(|s| format!("\"{s}\"")).collect();
        FieldError {
            field: field.into(),
            reason: FieldReason::NotSupported,
            value: show(value),
            detail: format!("supported values: {}", list.join(", ")),
        }
    }

    fn detail_text(&self) -> String {
        let mut text = self.reason.words().to_string();
        if !self.value.is_empty() {
            text.push_str(": ");
            text.push_str(&self.value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail_text())
    }
}

/// Longest value that an error message repeats; a hostile value must not blow up the answer.
const SHOWN_VALUE_MAX: usize = 256;

fn show(value: impl Serialize) -> String {
    let text = serde_json::to_string(&value).unwrap_or_default();
    match text.char_indices().nth(SHOWN_VALUE_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
