//! What a terminal sends for a key, as xterm does.

/// The bytes for a key as the browser names it; none where the key is the browser's own.
pub fn bytes(key: &str, ctrl: bool, alt: bool, application_cursor: bool) -> Option<Vec<u8>> {
    let arrow = |c: char| Some(format!("\x1b{}{c}", if application_cursor { 'O' } else { '[' }).into_bytes());
    let plain = match key {
        "Enter" => Some(b"\r".to_vec()),
        "Backspace" => Some(vec![0x7f]),
        "Tab" => Some(b"\t".to_vec()),
        "Escape" => Some(vec![0x1b]),
        "ArrowUp" => arrow('A'),
        "ArrowDown" => arrow('B'),
        "ArrowRight" => arrow('C'),
        "ArrowLeft" => arrow('D'),
        "Home" => arrow('H'),
        "End" => arrow('F'),
        "PageUp" => Some(b"\x1b[5~".to_vec()),
        "PageDown" => Some(b"\x1b[6~".to_vec()),
        "Delete" => Some(b"\x1b[3~".to_vec()),
        _ => None,
    };
    if plain.is_some() {
        return plain;
    }
    let mut letters = key.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else { return None };
    if ctrl {
        return match letter.to_ascii_uppercase() {
            c @ '@'..='_' => Some(vec![u8::try_from(c).ok()? & 0x1f]),
            ' ' => Some(vec![0]),
            _ => None,
        };
    }
    let mut out = if alt { vec![0x1b] } else { vec![] };
    out.extend_from_slice(letter.to_string().as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_shells_expect() {
        let plain = |key: &str| bytes(key, false, false, false).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(plain("a").as_deref(), Some("a"));
        assert_eq!(plain("ü").as_deref(), Some("ü"));
        assert_eq!(plain("ArrowUp").as_deref(), Some("\x1b[A"));
        assert_eq!(plain("F5"), None);
        assert_eq!(plain("Shift"), None);
        assert_eq!(bytes("c", true, false, false), Some(vec![3]));
        assert_eq!(bytes("d", true, false, false), Some(vec![4]));
        assert_eq!(bytes("ArrowUp", false, false, true), Some(b"\x1bOA".to_vec()));
        assert_eq!(bytes("b", false, true, false), Some(b"\x1bb".to_vec()));
    }
}
