//! What a change would change, line by line.
use similar::{ChangeTag, TextDiff};

/// Lines shown around a change.
const CONTEXT: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Same,
    Added,
    Removed,
    /// Lines are left out here.
    Gap,
}

impl Mark {
    pub fn class(self) -> &'static str {
        match self {
            Mark::Same => "line",
            Mark::Added => "line added",
            Mark::Removed => "line removed",
            Mark::Gap => "line gap",
        }
    }

    pub fn sign(self) -> &'static str {
        match self {
            Mark::Same => "  ",
            Mark::Added => "+ ",
            Mark::Removed => "- ",
            Mark::Gap => "… ",
        }
    }
}

/// The lines to show; none when both texts are equal.
pub fn lines(before: &str, after: &str) -> Vec<(Mark, String)> {
    let diff = TextDiff::from_lines(before, after);
    let mut all = vec![];
    for (i, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if i > 0 {
            all.push((Mark::Gap, String::new()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let mark = match change.tag() {
                ChangeTag::Equal => Mark::Same,
                ChangeTag::Insert => Mark::Added,
                ChangeTag::Delete => Mark::Removed,
            };
            all.push((mark, change.value().trim_end_matches('\n').to_string()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_shown() {
        assert!(lines("a\nb\n", "a\nb\n").is_empty());
        let shown = lines("a\nb\n", "a\nc\n");
        assert_eq!(shown, [(Mark::Same, "a".into()), (Mark::Removed, "b".into()), (Mark::Added, "c".into())]);
    }
}
