//! The part of Go's text/template that people use with `osc get --template`.
//!
//! Fields, pipelines, `range`, `if`, `else`, `with`, `end`, variables, trimming, and the common functions.
//! A field that is absent prints `<no value>`, as in Go.
use serde_json::Value;

/// Deepest nesting of blocks.
const DEPTH_MAX: usize = 64;

enum Node {
    Text(String),
    Print(String),
    Block { word: &'static str, pipeline: String, body: Vec<Node>, otherwise: Vec<Node> },
}

/// Runs the template over the object. Fields are looked for in `value` and, where absent, in `other` (the same object in
/// another version's form).
pub fn render(template: &str, value: &Value, other: &Value) -> Result<String, String> {
    let mut tokens = tokens(template)?.into_iter().peekable();
    let (nodes, end) = parse(&mut tokens, 0)?;
    if let Some(word) = end {
        return Err(format!("unexpected {{{{{word}}}}}"));
    }
    let mut out = String::new();
    let root = Scope { dot: value.clone(), other: other.clone(), variables: vec![("$".into(), value.clone())] };
    run(&nodes, &root, &mut out)?;
    Ok(out)
}

enum Token {
    Text(String),
    Action(String),
}

fn tokens(template: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    let mut trim_next = false;
    while let Some(at) = rest.find("{{") {
        let mut text = &rest[..at];
        if trim_next {
            text = text.trim_start();
        }
        rest = &rest[at + 2..];
        let end = rest.find("}}").ok_or("unclosed action: {{ without }}")?;
        let mut action = &rest[..end];
        rest = &rest[end + 2..];
        if let Some(inner) = action.strip_prefix("- ") {
            text = text.trim_end();
            action = inner;
        }
        trim_next = action.ends_with(" -");
        action = action.strip_suffix(" -").unwrap_or(action);
        out.push(Token::Text(text.into()));
        if !action.trim_start().starts_with("/*") {
            out.push(Token::Action(action.trim().into()));
        }
    }
    out.push(Token::Text(if trim_next { rest.trim_start().into() } else { rest.into() }));
    Ok(out)
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

fn parse(tokens: &mut Tokens, depth: usize) -> Result<(Vec<Node>, Option<String>), String> {
    if depth > DEPTH_MAX {
        return Err("the template is nested too deep".into());
    }
    let mut nodes = Vec::new();
    while let Some(token) = tokens.next() {
        let action = match token {
            Token::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Token::Action(action) => action,
        };
        let (word, pipeline) = action.split_once(' ').unwrap_or((&action, ""));
        let word = match word {
            "range" => "range",
            "if" => "if",
            "with" => "with",
            "end" | "else" => return Ok((nodes, Some(action))),
            _ => {
                nodes.push(Node::Print(action));
                continue;
            }
        };
        let (body, mut end) = parse(tokens, depth + 1)?;
        let mut otherwise = Vec::new();
        if let Some(inner) = end.as_deref().and_then(|e| e.strip_prefix("else if ")) {
            // `else if` is an `if` inside the else, ended by the same `end`.
            let (inner_body, inner_end) = parse(tokens, depth + 1)?;
            let (rest, last) = if inner_end.as_deref() == Some("else") { parse(tokens, depth + 1)? } else { (Vec::new(), inner_end) };
            otherwise.push(Node::Block { word: "if", pipeline: inner.into(), body: inner_body, otherwise: rest });
            end = last;
        } else if end.as_deref() == Some("else") {
            (otherwise, end) = parse(tokens, depth + 1)?;
        }
        if end.as_deref() != Some("end") {
            return Err(format!("{{{{{word}}}}} without {{{{end}}}}"));
        }
        nodes.push(Node::Block { word, pipeline: pipeline.trim().into(), body, otherwise });
    }
    Ok((nodes, None))
}

#[derive(Clone)]
struct Scope {
    dot: Value,
    other: Value,
    variables: Vec<(String, Value)>,
}

fn run(nodes: &[Node], scope: &Scope, out: &mut String) -> Result<(), String> {
    let mut scope = scope.clone();
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(action) => match action.split_once(":=").filter(|(n, _)| n.trim().starts_with('$')) {
                Some((name, pipeline)) => {
                    let value = evaluate(pipeline, &scope)?;
                    scope.variables.push((name.trim().into(), value));
                }
                None => out.push_str(&print(&evaluate(action, &scope)?)),
            },
            Node::Block { word, pipeline, body, otherwise } => block(word, pipeline, body, otherwise, &scope, out)?,
        }
    }
    Ok(())
}

fn block(word: &str, pipeline: &str, body: &[Node], otherwise: &[Node], scope: &Scope, out: &mut String) -> Result<(), String> {
    let (names, pipeline) = match pipeline.split_once(":=") {
        Some((names, rest)) => (names.split(',').map(|n| n.trim().to_string()).collect(), rest.trim()),
        None => (Vec::new(), pipeline),
    };
    let value = evaluate(pipeline, scope)?;
    if !truth(&value) {
        return run(otherwise, scope, out);
    }
    let inside = |key: Value, item: Value| {
        let mut inner = Scope { dot: item.clone(), other: Value::Null, variables: scope.variables.clone() };
        match names.as_slice() {
            [one] => inner.variables.push((one.clone(), item)),
            [first, second] => {
                inner.variables.push((first.clone(), key));
                inner.variables.push((second.clone(), item));
            }
            _ => {}
        }
        inner
    };
    match (word, &value) {
        ("range", Value::Array(items)) => items.iter().enumerate().try_for_each(|(i, v)| run(body, &inside(i.into(), v.clone()), out)),
        ("range", Value::Object(map)) => map.iter().try_for_each(|(k, v)| run(body, &inside(k.clone().into(), v.clone()), out)),
        ("range", other) => Err(format!("range can't iterate over {other}")),
        ("with", _) => run(body, &inside(Value::Null, value.clone()), out),
        _ => run(body, scope, out),
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

/// As Go prints values.
fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => format!("map[{}]", map.iter().map(|(k, v)| format!("{k}:{}", print(v))).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

fn evaluate(pipeline: &str, scope: &Scope) -> Result<Value, String> {
    let mut last: Option<Value> = None;
    for command in split(pipeline, '|')? {
        let mut words = split(command.trim(), ' ')?;
        words.retain(|w| !w.trim().is_empty());
        let Some((head, arguments)) = words.split_first() else { return Err("an empty command in the template".into()) };
        let mut values = arguments.iter().map(|w| operand(w, scope)).collect::<Result<Vec<_>, _>>()?;
        values.extend(last.take());
        last = Some(if is_function(head) { call(head, &values)? } else { operand(head, scope)? });
    }
    last.ok_or_else(|| "an empty action in the template".into())
}

/// Splits outside of quotes and parentheses.
fn split(text: &str, at: char) -> Result<Vec<String>, String> {
    let (mut parts, mut part, mut quote, mut depth, mut escaped) = (Vec::new(), String::new(), None, 0usize, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q && !escaped => quote = None,
            (None, '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.checked_sub(1).ok_or("unexpected ')' in the template")?,
            (None, c) if c == at && depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        part.push(c);
    }
    if quote.is_some() || depth > 0 {
        return Err(format!("unclosed quote or parenthesis in {text:?}"));
    }
    parts.push(part);
    Ok(parts)
}

fn operand(word: &str, scope: &Scope) -> Result<Value, String> {
    let word = word.trim();
    if let Some(inner) = word.strip_prefix('(') {
        let (inner, rest) = inner.rsplit_once(')').ok_or("missing ')' in the template")?;
        return Ok(fields(&evaluate(inner, scope)?, rest));
    }
    if word.starts_with('"') {
        return serde_json::from_str(word).map_err(|_| format!("bad string {word}"));
    }
    if let Some(raw) = word.strip_prefix('`').and_then(|w| w.strip_suffix('`')) {
        return Ok(raw.into());
    }
    if let Some(path) = word.strip_prefix('.') {
        let found = fields(&scope.dot, path);
        return Ok(if found.is_null() { fields(&scope.other, path) } else { found });
    }
    if word.starts_with('$') {
        let (name, path) = word.split_once('.').unwrap_or((word, ""));
        let found = scope.variables.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v);
        return found.map(|v| fields(v, path)).ok_or_else(|| format!("undefined variable {name:?}"));
    }
    match word {
        "true" => Ok(true.into()),
        "false" => Ok(false.into()),
        "nil" => Ok(Value::Null),
        _ if is_function(word) => call(word, &[]),
        _ => serde_json::from_str(word).map_err(|_| format!("function {word:?} is not defined")),
    }
}

fn fields(value: &Value, path: &str) -> Value {
    let parts = path.split('.').filter(|p| !p.is_empty());
    parts.fold(value.clone(), |v, part| v.get(part).cloned().unwrap_or(Value::Null))
}

const FUNCTIONS: [&str; 17] = [
    "len",
    "index",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and",
    "or",
    "not",
    "print",
    "println",
    "printf",
    "exists",
    "base64decode",
    "html",
];

fn is_function(word: &str) -> bool {
    FUNCTIONS.contains(&word)
}

fn call(name: &str, a: &[Value]) -> Result<Value, String> {
    let arg = |i: usize| a.get(i).ok_or_else(|| format!("{name} needs more arguments"));
    let order = |wanted: &[std::cmp::Ordering]| -> Result<Value, String> {
        let (x, y) = (arg(0)?, arg(1)?);
        let found = match (x.as_f64(), y.as_f64()) {
            (Some(x), Some(y)) => x.total_cmp(&y),
            _ => print(x).cmp(&print(y)),
        };
        Ok(wanted.contains(&found).into())
    };
    use std::cmp::Ordering::{Equal, Greater, Less};
    match name {
        "len" => Ok(match arg(0)? {
            Value::String(s) => s.len(),
            Value::Array(v) => v.len(),
            Value::Object(o) => o.len(),
            other => return Err(format!("len of {other}")),
        }
        .into()),
        "index" => Ok(a.iter().skip(1).fold(arg(0)?.clone(), |v, key| match key {
            Value::Number(n) => n.as_u64().and_then(|n| v.get(n as usize)).cloned().unwrap_or(Value::Null),
            key => key.as_str().and_then(|k| v.get(k)).cloned().unwrap_or(Value::Null),
        })),
        "exists" => Ok((!a
            .iter()
            .skip(1)
            .fold(arg(0)?.clone(), |v, k| k.as_str().and_then(|k| v.get(k)).cloned().unwrap_or(Value::Null))
            .is_null())
        .into()),
        "eq" => Ok(a.iter().skip(1).any(|v| Some(v) == a.first()).into()),
        "ne" => Ok((arg(0)? != arg(1)?).into()),
        "lt" => order(&[Less]),
        "le" => order(&[Less, Equal]),
        "gt" => order(&[Greater]),
        "ge" => order(&[Greater, Equal]),
        "and" => Ok(a.iter().find(|v| !truth(v)).or(a.last()).cloned().unwrap_or(Value::Null)),
        "or" => Ok(a.iter().find(|v| truth(v)).or(a.last()).cloned().unwrap_or(Value::Null)),
        "not" => Ok((!truth(arg(0)?)).into()),
        "print" | "html" => Ok(a.iter().map(print).collect::<String>().into()),
        "println" => Ok((a.iter().map(print).collect::<Vec<_>>().join(" ") + "\n").into()),
        "printf" => Ok(printf(a).into()),
        _ => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(arg(0)?.as_str().unwrap_or_default());
            Ok(String::from_utf8_lossy(&bytes.map_err(|e| e.to_string())?).into_owned().into())
        }
    }
}

fn printf(a: &[Value]) -> String {
    let format = a.first().and_then(Value::as_str).unwrap_or_default();
    let (mut out, mut rest, mut chars) = (String::new(), a.iter().skip(1), format.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let verb = chars.find(|c| c.is_ascii_alphabetic() || *c == '%').unwrap_or('%');
        match verb {
            '%' => out.push('%'),
            'q' => out.push_str(&format!("{:?}", rest.next().map(print).unwrap_or_default())),
            _ => out.push_str(&rest.next().map_or_else(|| format!("%!{verb}(MISSING)"), print)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn go(template: &str) -> String {
        let old =
            json!({"portalIP": "172.30.0.5", "port": 27017, "items": [{"id": "a"}, {"id": "b"}], "labels": {"x": "y"}, "data": "aGk="});
        let new = json!({"spec": {"clusterIP": "172.30.0.5"}, "items": []});
        render(template, &old, &new).unwrap_or_else(|e| format!("error: {e}"))
    }

    #[test]
    fn the_tutorials_template_and_todays_fields() {
        assert_eq!(go("{{ .portalIP}}:{{ .port}}"), "172.30.0.5:27017");
        assert_eq!(go("{{.spec.clusterIP}}"), "172.30.0.5");
        assert_eq!(go("{{.missing}}"), "<no value>");
    }

    #[test]
    fn blocks_functions_and_variables() {
        assert_eq!(go("{{range .items}}{{.id}} {{end}}"), "a b ");
        assert_eq!(go("{{range $i, $e := .items}}{{$i}}{{$e.id}}{{end}}"), "0a1b");
        assert_eq!(go("{{if eq .port 27017}}yes{{else}}no{{end}}"), "yes");
        assert_eq!(go("{{if .missing}}a{{else if .port}}b{{else}}c{{end}}"), "b");
        assert_eq!(go("{{with .labels}}{{.x}}{{end}}{{len .items}}"), "y2");
        assert_eq!(go("{{ .port | printf \"%v!\" }} {{- \"x\" -}}  z"), "27017!xz");
        assert_eq!(go("{{(index .items 1).id}}{{base64decode .data}}"), "bhi");
        assert_eq!(go("{{$v := .port}}{{$v}}"), "27017");
        assert!(go("{{range .items}}").starts_with("error"));
        assert!(go("{{nonsense 1}}").starts_with("error"));
    }
}
