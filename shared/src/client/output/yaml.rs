//! YAML as kubectl writes it: sorted members, lists not indented, quotes only where a reader would mistake the text.
use serde_json::Value;

pub fn to_yaml(value: &Value) -> String {
    to_yaml_with(value, false)
}

/// With `bare_times`, times stand without quotes, as the client of 2015 wrote them.
pub fn to_yaml_with(value: &Value, bare_times: bool) -> String {
    let mut out = String::new();
    write(value, 0, false, bare_times, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn pad(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// `inline`: the caller has written the indentation of the first line (after `- `).
fn write(value: &Value, depth: usize, mut inline: bool, bare_times: bool, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                if !std::mem::take(&mut inline) {
                    pad(out, depth);
                }
                out.push_str(&scalar(key, depth));
                out.push(':');
                match item {
                    Value::Object(m) if !m.is_empty() => {
                        out.push('\n');
                        write(item, depth + 1, false, bare_times, out);
                    }
                    Value::Array(a) if !a.is_empty() => {
                        out.push('\n');
                        write(item, depth, false, bare_times, out);
                    }
                    _ => {
                        out.push(' ');
                        write(item, depth + 1, true, bare_times, out);
                    }
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                if !std::mem::take(&mut inline) {
                    pad(out, depth);
                }
                out.push_str("- ");
                write(item, depth + 1, true, bare_times, out);
            }
        }
        Value::Object(_) => out.push_str("{}\n"),
        Value::Array(_) => out.push_str("[]\n"),
        Value::String(text) if bare_times && is_time(text) => {
            out.push_str(text);
            out.push('\n');
        }
        Value::String(text) => {
            out.push_str(&scalar(text, depth));
            out.push('\n');
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

fn scalar(text: &str, depth: usize) -> String {
    let printable = text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control());
    let block = text.contains('\n') && printable && !text.starts_with([' ', '\n', '\t']) && !text.lines().any(|l| l.ends_with(' '));
    if block {
        let chomp = if text.ends_with("\n\n") {
            "+"
        } else if text.ends_with('\n') {
            ""
        } else {
            "-"
        };
        let indent = "  ".repeat(depth.max(1));
        let lines: Vec<String> =
            text.trim_end_matches('\n').split('\n').map(|l| if l.is_empty() { String::new() } else { format!("{indent}{l}") }).collect();
        let more = "\n".repeat(text.len() - text.trim_end_matches('\n').len()).chars().skip(1).collect::<String>();
        return format!("|{chomp}\n{}{more}", lines.join("\n"));
    }
    if !printable || text.contains(['\n', '\t']) {
        return Value::String(text.to_string()).to_string();
    }
    if is_plain(text) {
        return text.to_string();
    }
    if text.contains('\'') || text.contains('\\') && text.contains('"') {
        return Value::String(text.to_string()).to_string();
    }
    if looks_typed(text) { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) } else { format!("'{text}'") }
}

/// Text that a reader would take for a number, a truth value, a null or a date.
fn looks_typed(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let word = matches!(
        lower.as_str(),
        "" | "~" | "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | ".inf" | "-.inf" | "+.inf" | ".nan"
    );
    word || is_number(text) || is_time(text)
}

/// Whole numbers in any base, and decimal ones.
fn is_number(text: &str) -> bool {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |t: &str, radix: u32| !t.is_empty() && t.chars().all(|c| c.is_digit(radix) || c == '_');
    let based = [("0x", 16), ("0o", 8), ("0b", 2)].iter().any(|(p, radix)| bare.strip_prefix(p).is_some_and(|t| digits(t, *radix)));
    // Older readers count in sixties: 1:30 is ninety to them.
    let sixties = bare.contains(':') && bare.split([':', '.']).all(|part| digits(part, 10)) && bare.matches('.').count() <= 1;
    let starts = bare.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    based || sixties || starts && bare.replace('_', "").parse::<f64>().is_ok()
}

/// `2026-01-02`, with or without a time of the day.
fn is_time(text: &str) -> bool {
    let b = text.as_bytes();
    b.len() >= 8
        && b[..4].iter().all(u8::is_ascii_digit)
        && b[4] == b'-'
        && b[5..].iter().all(|c| c.is_ascii_digit() || b"-:.+TtZz ".contains(c))
}

fn is_plain(text: &str) -> bool {
    let odd_start = text.starts_with(|c: char| " -?:,[]{}#&*!|>'\"%@`=".contains(c))
        && !(text.starts_with('-') && text.len() > 1 && !text.starts_with("- "));
    !looks_typed(text) && !odd_start && !text.ends_with([' ', ':']) && !text.contains(": ") && !text.contains(" #")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn reads_like_kubectl() {
        let value = json!({"a":{"b":[{"c":1,"d":["x"]},"2"]},"e":{},"f":[],"g":"true","h":"a: b","i":null,"j":"one\ntwo\n"});
        let want = "a:\n  b:\n  - c: 1\n    d:\n    - x\n  - \"2\"\ne: {}\nf: []\ng: \"true\"\nh: 'a: b'\ni: null\nj: |\n  one\n  two\n";
        assert_eq!(to_yaml(&value), want);
    }

    #[test]
    fn addresses_are_no_numbers_and_times_are_as_of_old() {
        let value = json!({"ip":"10.1.2.3","at":"10.1.2.3:80","uid":"3e1d-4e5","n":"1e3","x":"0x1f","m":"1:30","t":"2026-01-02T03:04:05Z"});
        let want = "at: 10.1.2.3:80\nip: 10.1.2.3\nm: \"1:30\"\n\"n\": \"1e3\"\nt: \"2026-01-02T03:04:05Z\"\nuid: 3e1d-4e5\nx: \"0x1f\"\n";
        assert_eq!(to_yaml(&value), want);
        assert!(to_yaml_with(&value, true).contains("t: 2026-01-02T03:04:05Z\n"));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let text = prop_oneof!["[ -~]{0,12}", "[a-z:#\\-'\" \n]{0,9}", "-?[0-9]{1,6}(\\.[0-9])?"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z./-]{1,8}", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_json()) {
            prop_assume!(value.is_object());
            let text = to_yaml(&value);
            let back: Value = serde_saphyr::from_str(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(back, value, "{}", text);
        }
    }
}
