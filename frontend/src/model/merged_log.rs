//! The lines of several logs in the order of their times.
use std::collections::VecDeque;

/// Older lines are dropped.
pub const LINES_MAX: usize = 5000;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// RFC 3339 with nanoseconds, as the engine wrote it; it sorts as text.
    pub at: String,
    /// Which of the sources it is from.
    pub source: usize,
    pub text: String,
}

/// Time and text of a line as `timestamps=true` gives it: `2026-01-01T00:00:00.5Z text`.
pub fn split(line: &str) -> (String, String) {
    match line.split_once(' ') {
        Some((at, text)) if at.len() >= 20 && at.ends_with('Z') => (at.into(), text.into()),
        _ => (String::new(), line.into()),
    }
}

/// Puts new lines where their times belong; lines without a time stay where they came.
pub fn insert(all: &mut VecDeque<Line>, new: impl IntoIterator<Item = Line>) {
    for mut line in new {
        if line.at.is_empty() {
            line.at = all.back().map(|l| l.at.clone()).unwrap_or_default();
        }
        let place = all.len() - all.iter().rev().take_while(|l| later(&l.at, &line.at)).count();
        all.insert(place, line);
    }
    let over = all.len().saturating_sub(LINES_MAX);
    all.drain(..over);
}

/// Whether one time is after another; fractions of a second come with their last zeros left out.
pub fn later(a: &str, b: &str) -> bool {
    a.trim_end_matches('Z') > b.trim_end_matches('Z')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: usize, at: &str, text: &str) -> Line {
        Line { at: at.into(), source, text: text.into() }
    }

    #[test]
    fn a_line_without_a_time_is_all_text() {
        assert_eq!(split("2026-01-01T00:00:00.5Z a b"), ("2026-01-01T00:00:00.5Z".into(), "a b".into()));
        assert_eq!(split("2026 was good"), (String::new(), "2026 was good".into()));
        assert!(later("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00Z") && !later("", "2026-01-01T00:00:00Z"));
    }

    #[test]
    fn lines_are_in_the_order_of_their_times() {
        let mut all = VecDeque::new();
        insert(&mut all, [line(0, "2026-01-01T00:00:01Z", "a"), line(0, "2026-01-01T00:00:03.5Z", "c")]);
        insert(&mut all, [line(1, "2026-01-01T00:00:01.25Z", "b"), line(1, "2026-01-01T00:00:04Z", "d")]);
        let texts: Vec<&str> = all.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "c", "d"]);
    }

    #[test]
    fn old_lines_make_room() {
        let mut all = VecDeque::new();
        insert(&mut all, (0..LINES_MAX + 3).map(|n| line(0, "", &n.to_string())));
        assert_eq!((all.len(), all[0].text.as_str()), (LINES_MAX, "3"));
    }
}
