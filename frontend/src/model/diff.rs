//! What a change would change, line by line.
use diff::Result::{Both, Left, Right};

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
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let all: Vec<(Mark, &str)> = diff::slice(&before, &after)
        .into_iter()
        .map(|l| match l {
            Both(line, _) => (Mark::Same, *line),
            Left(line) => (Mark::Removed, *line),
            Right(line) => (Mark::Added, *line),
        })
        .collect();
    let changed: Vec<usize> = (0..all.len()).filter(|i| all[*i].0 != Mark::Same).collect();
    let mut shown = vec![];
    let mut next = 0;
    for i in changed {
        let from = i.saturating_sub(CONTEXT).max(next);
        if from > next && next > 0 {
            shown.push((Mark::Gap, String::new()));
        }
        let to = (i + CONTEXT + 1).min(all.len());
        // Context may hold a change that comes next: it is shown once.
        shown.extend(all[from.min(to)..to].iter().map(|(mark, line)| (*mark, line.to_string())));
        next = next.max(to);
    }
    shown
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

    #[test]
    fn what_is_far_from_a_change_is_left_out() {
        let before: String = (0..40).map(|n| format!("{n}\n")).collect();
        let after = before.replace("\n10\n", "\nten\n").replace("\n30\n", "\n").replace("\n12\n", "\ntwelve\n");
        let signs: String = lines(&before, &after).iter().map(|(m, _)| m.sign().trim_end().chars().next().unwrap_or('=')).collect();
        assert_eq!(signs, "===-+=-+===…===-===");
    }
}
