//! A list that keeps itself true: list, then watch from there, again and again, until its owner goes away.
use super::{ApiError, fetch};
use js_sys::Promise;
use serde_json::Value;
use std::time::Duration;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;

/// Waits between attempts: the first and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Objects of the first answer, which should be on the screen soon, and of the others.
const PIECE_FIRST: usize = 250;
const PIECE: usize = 2500;

/// What the owner of a list is told.
pub enum News {
    /// Everything there is.
    All(Vec<Value>),
    /// Some of a long list that is read for the first time; ``Complete` follows.
    Part(Vec<Value>),
    /// The parts so far are everything.
    Complete,
    /// Changes in their order: whether the object is gone, and the object.
    Changes(Vec<(bool, Value)>),
    /// What is shown may be old.
    Disconnected,
    /// The list may not or cannot be read.
    Failed(ApiError),
}

/// Runs until `signal` aborts it or the list is refused.
pub async fn follow(path: String, selector: String, signal: AbortSignal, tell: impl Fn(News)) {
    let mut wait = WAIT_FIRST;
    let mut revision: Option<String> = None;
    let mut broken_once = false;
    let mut listed = false;
    let join = if selector.is_empty() { String::new() } else { format!("&{selector}") };
    while !signal.aborted() {
        let outcome = match revision.clone() {
            None => {
                // Who waits for his first rows gets them as they come; what is shown already is replaced as a whole.
                let mut all = vec![];
                let outcome = list(&path, &join, |items| if listed { all.extend(items) } else { tell(News::Part(items)) }).await;
                outcome.map(|at| {
                    tell(if listed { News::All(std::mem::take(&mut all)) } else { News::Complete });
                    listed = true;
                    revision = Some(at);
                })
            }
            Some(from) => {
                let url = format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={from}{join}");
                let mut last = from;
                let mut gone = false;
                let result = fetch::lines(&url, &signal, |lines| {
                    wait = WAIT_FIRST;
                    let changes = changes(&lines, &mut last, &mut gone);
                    if !changes.is_empty() {
                        tell(News::Changes(changes));
                    }
                })
                .await;
                revision = (!gone).then_some(last);
                result
            }
        };
        match outcome {
            Ok(()) => {
                broken_once = false;
                continue;
            }
            Err(ApiError::Aborted) => return,
            Err(error) if error.code() == 410 => {}
            Err(error @ ApiError::Refused(_)) if matches!(error.code(), 401 | 403 | 404) => return tell(News::Failed(error)),
            // Networks change under browsers; going on where the watch broke needs no word if it works.
            Err(_) if !broken_once && revision.is_some() => {
                broken_once = true;
                continue;
            }
            Err(_) => {
                broken_once = false;
                tell(News::Disconnected);
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
        // Whether the server still knows our revision, and what we missed: a new list answers both.
        revision = None;
    }
}

/// Hands over a list in pieces of one revision, which it returns.
async fn list(path: &str, join: &str, mut take: impl FnMut(Vec<Value>)) -> Result<String, ApiError> {
    let mut limit = PIECE_FIRST;
    let mut from = String::new();
    loop {
        let mut value = fetch::get(&format!("{path}?limit={limit}{from}{join}")).await?;
        take(value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default());
        let metadata = |name: &str| value["metadata"][name].as_str().unwrap_or_default().to_string();
        let next = metadata("continue");
        if next.is_empty() {
            return Ok(metadata("resourceVersion"));
        }
        (limit, from) = (PIECE, format!("&continue={next}"));
    }
}

fn changes(lines: &[String], last: &mut String, gone: &mut bool) -> Vec<(bool, Value)> {
    let mut all = vec![];
    for line in lines {
        let Ok(mut event) = shared::json::without_managed_fields(line.as_bytes()) else { continue };
        let kind = event["type"].as_str().unwrap_or_default().to_string();
        let object = event["object"].take();
        if kind == "ERROR" {
            *gone = true;
            continue;
        }
        if let Some(revision) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
            *last = revision.to_string();
        }
        if kind != "BOOKMARK" {
            all.push((kind == "DELETED", object));
        }
    }
    all
}

/// Waits; used only between attempts to reach the server.
pub async fn sleep(duration: Duration) {
    let promise = Promise::new(&mut |resolve, _| {
        if let Some(window) = web_sys::window() {
            let millis = i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
            let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, millis);
        }
    });
    let _ = JsFuture::from(promise).await;
}
