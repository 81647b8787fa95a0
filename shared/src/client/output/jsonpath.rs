//! kubectl's JSONPath: `{.items[*].metadata.name}`, `range`/`end`, filters, quoted text.
use serde_json::Value;

/// Runs a template of text and `{…}` expressions.
pub fn render(template: &str, value: &Value) -> Result<String, String> {
    let template = if template.contains('{') { template.to_string() } else { format!("{{{template}}}") };
    let mut out = String::new();
    run(&pieces(&template)?, value, &mut out)?;
    Ok(out)
}

enum Piece {
    Text(String),
    Expression(String),
}

fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let (mut out, mut rest) = (Vec::new(), template);
    while let Some(at) = rest.find('{') {
        out.push(Piece::Text(rest[..at].into()));
        let end = rest[at..].find('}').ok_or("unclosed { in the JSONPath")? + at;
        out.push(Piece::Expression(rest[at + 1..end].trim().into()));
        rest = &rest[end + 1..];
    }
    out.push(Piece::Text(rest.into()));
    Ok(out)
}

fn run(pieces: &[Piece], value: &Value, out: &mut String) -> Result<(), String> {
    let mut i = 0;
    while i < pieces.len() {
        match &pieces[i] {
            Piece::Text(text) => out.push_str(text),
            Piece::Expression(e) => {
                if let Some(path) = e.strip_prefix("range ") {
                    let end = matching_end(pieces, i)?;
                    for item in find(path.trim(), value)? {
                        run(&pieces[i + 1..end], &item, out)?;
                    }
                    i = end;
                } else if let Some(text) = e.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
                    out.push_str(&text.replace("\\n", "\n").replace("\\t", "\t"));
                } else {
                    let found: Vec<String> = find(e, value)?.iter().map(print).collect();
                    out.push_str(&found.join(" "));
                }
            }
        }
        i += 1;
    }
    Ok(())
}

fn matching_end(pieces: &[Piece], start: usize) -> Result<usize, String> {
    let mut depth = 0;
    for (i, piece) in pieces.iter().enumerate().skip(start) {
        if let Piece::Expression(e) = piece {
            depth += i32::from(e.starts_with("range ")) - i32::from(e == "end");
            if depth == 0 {
                return Ok(i);
            }
        }
    }
    Err("range without {end}".into())
}

fn print(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// The values that a path leads to.
pub fn find(path: &str, value: &Value) -> Result<Vec<Value>, String> {
    let mut current = vec![value.clone()];
    let mut rest = path.trim().trim_start_matches(['$', '@']);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']').ok_or_else(|| format!("missing ] in {path:?}"))?;
            let inside = after[..end].trim();
            current = step(&current, inside)?;
            rest = &after[end + 1..];
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let (name, next) = member(after);
            if name.is_empty() && next.is_empty() {
                break;
            }
            if !name.is_empty() {
                current = if name == "*" {
                    current.iter().flat_map(children).collect()
                } else {
                    current.iter().filter_map(|v| v.get(&name).cloned()).collect()
                };
            }
            rest = next;
        }
    }
    Ok(current)
}

/// A member's name up to the next dot or bracket; a backslash keeps a dot in it.
fn member(text: &str) -> (String, &str) {
    let (mut name, mut escaped) = (String::new(), false);
    for (i, c) in text.char_indices() {
        if (c == '.' || c == '[') && !escaped {
            return (name, &text[i..]);
        }
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        name.push(c);
    }
    (name, "")
}

fn children(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Object(map) => map.values().cloned().collect(),
        _ => Vec::new(),
    }
}

fn step(current: &[Value], inside: &str) -> Result<Vec<Value>, String> {
    if inside == "*" {
        return Ok(current.iter().flat_map(children).collect());
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        return current.iter().flat_map(children).filter_map(|v| matches(filter, &v).map(|m| m.then_some(v)).transpose()).collect();
    }
    if let Some(name) = inside.strip_prefix('\'').and_then(|n| n.strip_suffix('\'')) {
        return Ok(current.iter().filter_map(|v| v.get(name).cloned()).collect());
    }
    let index = |text: &str, len: usize, absent: usize| -> Result<usize, String> {
        if text.is_empty() {
            return Ok(absent);
        }
        let n: i64 = text.parse().map_err(|_| format!("{text:?} is no index"))?;
        Ok(usize::try_from(if n < 0 { n + len as i64 } else { n }).unwrap_or(0))
    };
    let mut out = Vec::new();
    for items in current.iter().filter_map(Value::as_array) {
        for part in inside.split(',') {
            match part.split_once(':') {
                Some((from, to)) => {
                    let (from, to) = (index(from, items.len(), 0)?, index(to, items.len(), items.len())?);
                    out.extend(items.iter().take(to).skip(from).cloned());
                }
                None => out.extend(items.get(index(part.trim(), items.len(), 0)?).cloned()),
            }
        }
    }
    Ok(out)
}

/// `@.type=="Ready"` and its like.
fn matches(filter: &str, value: &Value) -> Result<bool, String> {
    for operator in ["==", "!=", ">=", "<=", ">", "<"] {
        let Some((left, right)) = filter.split_once(operator) else { continue };
        let left = find(left.trim(), value)?.into_iter().next().unwrap_or(Value::Null);
        let right = right.trim().trim_matches(['"', '\'']);
        let same = print(&left) == right;
        let order = left.as_f64().zip(right.parse::<f64>().ok()).map(|(a, b)| a.total_cmp(&b));
        return Ok(match operator {
            "==" => same,
            "!=" => !same,
            ">=" => order.is_some_and(|o| o.is_ge()),
            "<=" => order.is_some_and(|o| o.is_le()),
            ">" => order.is_some_and(|o| o.is_gt()),
            _ => order.is_some_and(|o| o.is_lt()),
        });
    }
    Ok(!find(filter.trim(), value)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_as_kubectl_reads_them() {
        let v = json!({"items": [{"metadata": {"name": "a", "labels": {"x.y/z": "l"}}, "c": [{"type": "Ready", "status": "True"}]}, {"metadata": {"name": "b"}}]});
        for (path, wanted) in [
            ("{.items[*].metadata.name}", "a b"),
            (".items[0].metadata.name", "a"),
            ("{.items[-1].metadata.name}", "b"),
            ("{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "a\nb\n"),
            ("{.items[0].c[?(@.type==\"Ready\")].status}", "True"),
            ("{.items[0].metadata.labels['x.y/z']}", "l"),
            ("{.items[0].metadata.labels.x\\.y/z}", "l"),
            ("{.items[0:1].metadata.name}", "a"),
            ("{.none}", ""),
        ] {
            assert_eq!(render(path, &v).unwrap(), wanted, "{path}");
        }
        assert!(render("{range .items[*]}", &v).is_err());
    }
}
