//! Two people changed the same text: both changes in one text, or the places where they meet.
use diff::Result::{Both, Left, Right};

/// The merged text, and how many places need a decision; those stand between marks as git makes them.
pub fn merge(base: &str, mine: &str, theirs: &str) -> (String, usize) {
    let base_lines: Vec<&str> = base.lines().collect();
    let (mine, theirs) = (against(&base_lines, mine), against(&base_lines, theirs));
    let mut out: Vec<String> = vec![];
    let mut conflicts = 0;
    let mut at = 0;
    while at <= base_lines.len() {
        // A stretch of the base in which either side changed something.
        let mut end = at;
        while end < base_lines.len() && (mine.changed(end) || theirs.changed(end)) {
            end += 1;
        }
        let (m, t) = (mine.stretch(at, end, &base_lines), theirs.stretch(at, end, &base_lines));
        let original: Vec<&str> = base_lines[at..end].to_vec();
        if m == t || t == original {
            out.extend(m.iter().map(|l| l.to_string()));
        } else if m == original {
            out.extend(t.iter().map(|l| l.to_string()));
        } else {
            conflicts += 1;
            out.push("<<<<<<< yours".into());
            out.extend(m.iter().map(|l| l.to_string()));
            out.push("=======".into());
            out.extend(t.iter().map(|l| l.to_string()));
            out.push(">>>>>>> theirs".into());
        }
        if end < base_lines.len() {
            out.push(base_lines[end].to_string());
        }
        at = end + 1;
    }
    (out.join("\n") + "\n", conflicts)
}

/// What one side made of the base: which lines it kept, and what it put before each line and at the end.
struct Side {
    kept: Vec<bool>,
    before: Vec<Vec<String>>,
}

fn against(base: &[&str], text: &str) -> Side {
    let lines: Vec<&str> = text.lines().collect();
    let mut side = Side { kept: vec![false; base.len()], before: vec![vec![]; base.len() + 1] };
    let mut at = 0;
    for change in diff::slice(base, &lines) {
        match change {
            Both(..) => {
                side.kept[at] = true;
                at += 1;
            }
            Left(_) => at += 1,
            Right(line) => side.before[at].push(line.to_string()),
        }
    }
    side
}

impl Side {
    fn changed(&self, line: usize) -> bool {
        !self.kept[line]
    }

    /// What this side has in place of lines `from..to` and before line `to`.
    fn stretch<'a>(&'a self, from: usize, to: usize, base: &[&'a str]) -> Vec<&'a str> {
        let mut all: Vec<&str> = vec![];
        for line in from..=to {
            all.extend(self.before[line].iter().map(String::as_str));
            if line < to && self.kept[line] {
                all.push(base[line]);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "kind: Pod\nlabels:\n  a: b\nspec:\n  image: one\nversion: 1\n";

    #[test]
    fn changes_in_different_places_are_both_kept() {
        let mine = BASE.replace("  a: b\n", "  a: b\n  mine: yes\n");
        let theirs = BASE.replace("version: 1", "version: 2").replace("image: one", "image: two");
        let both = mine.replace("version: 1", "version: 2").replace("image: one", "image: two");
        assert_eq!(merge(BASE, &mine, &theirs), (both, 0));
    }

    #[test]
    fn one_side_alone_is_taken_as_it_is() {
        let mine = BASE.replace("spec:\n", "").replace("kind: Pod\n", "new: first\nkind: Pod\n") + "last: line\n";
        assert_eq!(merge(BASE, &mine, BASE), (mine.clone(), 0));
        assert_eq!(merge(BASE, BASE, &mine), (mine.clone(), 0));
        assert_eq!(merge(BASE, &mine, &mine), (mine, 0));
    }

    #[test]
    fn what_both_changed_is_for_people_to_decide() {
        let (merged, conflicts) = merge(BASE, &BASE.replace("one", "mine"), &BASE.replace("one", "theirs"));
        assert_eq!(conflicts, 1);
        assert!(merged.contains("<<<<<<< yours\n  image: mine\n=======\n  image: theirs\n>>>>>>> theirs\nversion: 1\n"), "{merged}");
    }
}
