//! How well a few typed letters fit a name: for the palette and the search.

/// Higher is better; `None` when a letter is missing. Whole words beat beginnings of words, those beat letters apart.
pub fn score(typed: &str, name: &str) -> Option<i32> {
    let name = name.to_lowercase();
    typed.to_lowercase().split_whitespace().map(|word| one(word, &name)).try_fold(0, |sum, s| Some(sum + s?))
}

fn one(word: &str, name: &str) -> Option<i32> {
    if let Some(at) = name.find(word) {
        let starts = at == 0 || name[..at].ends_with(|c: char| !c.is_alphanumeric());
        let ends = name[at + word.len()..].starts_with(|c: char| !c.is_alphanumeric()) || at + word.len() == name.len();
        return Some(100 + if starts { 60 } else { 0 } + if ends { 20 } else { 0 } - short(name.len()));
    }
    // The letters in their order, with anything between; the first begins a word.
    let first = word.chars().next()?;
    let begins = |at: usize| at == 0 || name[..at].ends_with(|c: char| !c.is_alphanumeric());
    let start = name.char_indices().find(|(at, c)| *c == first && begins(*at))?.0;
    let mut rest = name[start..].char_indices();
    let mut last = None;
    let mut near = 0;
    for letter in word.chars() {
        let (at, _) = rest.find(|(_, c)| *c == letter)?;
        near += if last.is_some_and(|l| at == l + 1) { 4 } else { 0 };
        last = Some(at);
    }
    Some(near - short(name.len()))
}

fn short(length: usize) -> i32 {
    i32::try_from(length.min(40)).unwrap_or(40) / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_fits_come_first() {
        let names = ["hello-controller", "web-hello", "helium-lotus", "other"];
        let mut found: Vec<(i32, &str)> = names.iter().filter_map(|n| Some((score("hello", n)?, *n))).collect();
        found.sort_by(|a, b| b.cmp(a));
        assert_eq!(found.iter().map(|f| f.1).collect::<Vec<_>>(), ["web-hello", "hello-controller", "helium-lotus"]);
        assert_eq!(score("xyz", "hello"), None);
        assert!(score("pods hack", "Pods in hack").is_some());
    }
}
