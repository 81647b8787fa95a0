//! Runs parsed nodes over data.
use super::parse::{Node, Pipeline, Term, defines};
use super::value::{Val, equal, float, order, printed};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Deepest chain of templates that call templates.
const CALLS_MAX: usize = 50;
/// Longest text that a template may make.
const OUTPUT_MAX: usize = 256 << 20;

struct Run<'a> {
    templates: BTreeMap<&'a str, &'a [Node]>,
    variables: Vec<(String, Val<'a>)>,
    out: String,
    calls: usize,
}

enum Flow {
    On,
    Break,
    Continue,
}

pub fn render(nodes: &[Node], main: &Value, other: Option<&Value>) -> Result<String, String> {
    let dot = Val::Json(Cow::Borrowed(main), other);
    let mut run = Run { templates: defines(nodes), variables: vec![(String::new(), dot.clone())], out: String::new(), calls: 0 };
    run.nodes(nodes, &dot)?;
    Ok(run.out)
}

impl<'a> Run<'a> {
    fn nodes(&mut self, nodes: &'a [Node], dot: &Val<'a>) -> Result<Flow, String> {
        for node in nodes {
            match self.node(node, dot)? {
                Flow::On => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::On)
    }

    /// A block sees the variables around it; its own end with it.
    fn scoped(&mut self, nodes: &'a [Node], dot: &Val<'a>) -> Result<Flow, String> {
        let mark = self.variables.len();
        let flow = self.nodes(nodes, dot);
        self.variables.truncate(mark);
        flow
    }

    fn node(&mut self, node: &'a Node, dot: &Val<'a>) -> Result<Flow, String> {
        if self.out.len() > OUTPUT_MAX {
            return Err("the template makes too much text".into());
        }
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&value.printed());
                }
            }
            Node::If(branches) => return self.branches(branches, dot, false),
            Node::With(branches) => return self.branches(branches, dot, true),
            Node::Range(head, body, otherwise) => return self.range(head, body, otherwise, dot),
            Node::Define(..) => {}
            Node::Template(name, argument) => {
                let body = *self.templates.get(name.as_str()).ok_or_else(|| format!("template {name:?} not defined"))?;
                let value = argument.as_ref().map_or(Ok(Val::Missing), |p| self.pipeline(p, dot))?;
                self.calls += 1;
                if self.calls > CALLS_MAX {
                    return Err("templates call each other too deeply".into());
                }
                let outer = std::mem::replace(&mut self.variables, vec![(String::new(), value.clone())]);
                self.nodes(body, &value)?;
                self.variables = outer;
                self.calls -= 1;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn branches(&mut self, branches: &'a [(Option<Pipeline>, Vec<Node>)], dot: &Val<'a>, with: bool) -> Result<Flow, String> {
        let mark = self.variables.len();
        for (condition, body) in branches {
            let value = match condition {
                Some(pipeline) => self.pipeline(pipeline, dot)?,
                None => Val::own(true),
            };
            if value.is_true() {
                let inner = if with && condition.is_some() { &value } else { dot };
                let flow = self.scoped(body, inner);
                self.variables.truncate(mark);
                return flow;
            }
        }
        self.variables.truncate(mark);
        Ok(Flow::On)
    }

    fn range(&mut self, head: &'a Pipeline, body: &'a [Node], otherwise: &'a [Node], dot: &Val<'a>) -> Result<Flow, String> {
        let value = self.commands(head, dot)?;
        let entries = value.entries().ok_or_else(|| format!("range can't iterate over {}", value.printed()))?;
        if entries.is_empty() {
            return self.scoped(otherwise, dot);
        }
        let mark = self.variables.len();
        for (key, item) in entries {
            match head.variables.as_slice() {
                [] => {}
                [one] => self.variables.push((one.clone(), item.clone())),
                [k, v, ..] => self.variables.extend([(k.clone(), key), (v.clone(), item.clone())]),
            }
            let flow = self.scoped(body, &item);
            self.variables.truncate(mark);
            if let Flow::Break = flow? {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Val<'a>) -> Result<Val<'a>, String> {
        let value = self.commands(pipeline, dot)?;
        if let Some(name) = pipeline.variables.first() {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                let slot = self.variables.iter_mut().rev().find(|(n, _)| n == name);
                slot.ok_or_else(|| format!("undefined variable \"${name}\""))?.1 = value.clone();
            }
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &'a Pipeline, dot: &Val<'a>) -> Result<Val<'a>, String> {
        let mut last: Option<Val<'a>> = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last, dot)?);
        }
        Ok(last.unwrap_or(Val::Missing))
    }

    fn command(&mut self, terms: &'a [Term], piped: Option<Val<'a>>, dot: &Val<'a>) -> Result<Val<'a>, String> {
        let Some((first, rest)) = terms.split_first() else { return Err("missing value for command".into()) };
        let Term::Function(name) = first else {
            if !rest.is_empty() || piped.is_some() {
                return Err("can't give argument to non-function".into());
            }
            return self.term(first, dot);
        };
        let mut args = Vec::with_capacity(rest.len() + 1);
        for term in rest {
            let value = self.term(term, dot)?;
            // `and` and `or` stop at the first value that decides.
            let decided = (name == "and" && !value.is_true()) || (name == "or" && value.is_true());
            if decided {
                return Ok(value);
            }
            args.push(value);
        }
        args.extend(piped);
        call(name, args)
    }

    fn term(&mut self, term: &'a Term, dot: &Val<'a>) -> Result<Val<'a>, String> {
        let walk = |start: Val<'a>, path: &[String]| path.iter().try_fold(start, |v, name| v.field(name));
        Ok(match term {
            Term::Dot => dot.clone(),
            Term::Nil => Val::own(Value::Null),
            Term::Bool(b) => Val::own(*b),
            Term::Int(n) => Val::own(*n),
            Term::Float(x) => Val::own(*x),
            Term::Str(s) => Val::own(s.as_str()),
            Term::Fields(path) => walk(dot.clone(), path)?,
            Term::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
                walk(found.ok_or_else(|| format!("undefined variable \"${name}\""))?, path)?
            }
            Term::Function(name) => call(name, Vec::new())?,
            Term::Group(pipeline, path) => walk(self.pipeline(pipeline, dot)?, path)?,
        })
    }
}

fn call<'a>(name: &str, mut args: Vec<Val<'a>>) -> Result<Val<'a>, String> {
    let need = |n: usize| {
        if args.len() < n { Err(format!("wrong number of args for {name}: want at least {n} got {}", args.len())) } else { Ok(()) }
    };
    match name {
        "print" | "println" | "printf" | "html" | "js" | "urlquery" => return text_call(name, &args),
        "exists" => return Ok(Val::own(exists(&args))),
        "and" | "or" => {
            need(1)?;
            return Ok(args.pop().unwrap_or(Val::Missing));
        }
        "not" | "len" | "base64decode" | "json" => need(1)?,
        "index" | "slice" => need(1)?,
        _ => need(2)?,
    }
    let first = args[0].json();
    Ok(match name {
        "not" => Val::own(!args[0].is_true()),
        "len" => Val::own(match first {
            Value::String(s) => s.len(),
            Value::Array(a) => a.len(),
            Value::Object(m) => m.len(),
            Value::Null => return Err("error calling len: len of nil pointer".into()),
            other => return Err(format!("error calling len: len of type {}", super::value::go_type(other))),
        }),
        "base64decode" => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(first.as_str().unwrap_or_default());
            Val::own(String::from_utf8_lossy(&bytes.map_err(|e| format!("error calling base64decode: {e}"))?).into_owned())
        }
        "json" => Val::own(first.to_string()),
        "index" => index(args)?,
        "slice" => slice(first, &args[1..])?,
        "eq" => Val::own(args[1..].iter().any(|b| equal(first, b.json()))),
        "ne" => Val::own(!equal(first, args[1].json())),
        "lt" | "le" | "gt" | "ge" => {
            let found = order(first, args[1].json()).ok_or_else(|| format!("error calling {name}: incompatible types for comparison"))?;
            Val::own(match name {
                "lt" => found == Ordering::Less,
                "le" => found != Ordering::Greater,
                "gt" => found == Ordering::Greater,
                _ => found != Ordering::Less,
            })
        }
        other => return Err(format!("function {other:?} not defined")),
    })
}

/// `exists . "a" "b" 0`: whether the path is there.
fn exists(args: &[Val]) -> bool {
    let Some((Val::Json(start, other), path)) = args.split_first() else { return false };
    let found = |from: &Value| reaches(from, path);
    found(start) || other.is_some_and(found)
}

fn reaches(from: &Value, path: &[Val]) -> bool {
    let mut at = from;
    for key in path {
        let next = match key.json() {
            Value::String(k) => at.get(k.as_str()),
            Value::Number(n) => n.as_u64().and_then(|n| at.get(n as usize)),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    true
}

fn index<'a>(args: Vec<Val<'a>>) -> Result<Val<'a>, String> {
    let mut args = args.into_iter();
    let mut value = args.next().unwrap_or(Val::Missing);
    for key in args {
        value = match key.json() {
            Value::String(name) => value.field(name).map_err(|_| "error calling index: cannot index by a string".to_string())?,
            Value::Number(n) => {
                let at = n.as_u64().unwrap_or(u64::MAX) as usize;
                if let Value::String(s) = value.json() {
                    Val::own(*s.as_bytes().get(at).ok_or_else(|| format!("error calling index: index out of range: {n}"))?)
                } else {
                    let entries = value.entries().filter(|_| value.json().is_array()).ok_or("error calling index: can't index item")?;
                    entries.into_iter().nth(at).ok_or_else(|| format!("error calling index: index out of range: {n}"))?.1
                }
            }
            _ => return Err("error calling index: cannot index with nil".into()),
        };
    }
    Ok(value)
}

fn slice<'a>(value: &Value, bounds: &[Val]) -> Result<Val<'a>, String> {
    let len = value.as_str().map(str::len).or(value.as_array().map(Vec::len)).ok_or("error calling slice: can't slice item")?;
    let bound = |i: usize, default: usize| bounds.get(i).and_then(|b| b.json().as_u64()).map_or(default, |n| n as usize);
    let (from, to) = (bound(0, 0), bound(1, len));
    let part = match value {
        Value::String(s) => s.get(from..to).map(Value::from),
        Value::Array(a) => a.get(from..to).map(|p| Value::from(p.to_vec())),
        _ => None,
    };
    part.map(Val::own).ok_or_else(|| format!("error calling slice: index out of range: {from}:{to}"))
}

fn text_call<'a>(name: &str, args: &[Val]) -> Result<Val<'a>, String> {
    let spaced = || args.iter().map(|a| printed(a.json())).collect::<Vec<_>>().join(" ");
    Ok(Val::own(match name {
        "println" => spaced() + "\n",
        "print" => {
            let mut out = String::new();
            for (i, arg) in args.iter().enumerate() {
                // Go puts a blank between operands when neither is a string.
                if i > 0 && !arg.json().is_string() && !args[i - 1].json().is_string() {
                    out.push(' ');
                }
                out.push_str(&printed(arg.json()));
            }
            out
        }
        "html" => spaced().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;"),
        "js" => spaced().replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"").replace('\n', "\\n"),
        "urlquery" => crate::client::http::encode(&spaced()),
        _ => {
            let (format, rest) = args.split_first().ok_or("wrong number of args for printf: want at least 1 got 0")?;
            printf(format.json().as_str().ok_or("error calling printf: the format is no string")?, rest)
        }
    }))
}

fn printf(format: &str, args: &[Val]) -> String {
    let mut out = String::new();
    let (mut chars, mut args) = (format.chars().peekable(), args.iter());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = String::new();
        while let Some(f) = chars.next_if(|c| "-+# 0".contains(*c)) {
            flags.push(f);
        }
        let mut spec = String::new();
        while let Some(d) = chars.next_if(|c| c.is_ascii_digit() || *c == '.') {
            spec.push(d);
        }
        let (width, precision) = spec.split_once('.').map_or((spec.as_str(), None), |(w, p)| (w, Some(p.parse().unwrap_or(0))));
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let text = match args.next() {
            Some(arg) => verb_text(verb, arg.json(), precision),
            None => format!("%!{verb}(MISSING)"),
        };
        let missing = width.parse::<usize>().unwrap_or(0).min(10_000).saturating_sub(text.chars().count());
        match (flags.contains('-'), flags.contains('0') && verb != 's') {
            (true, _) => out.push_str(&(text + &" ".repeat(missing))),
            (false, true) => out.push_str(&("0".repeat(missing) + &text)),
            (false, false) => out.push_str(&(" ".repeat(missing) + &text)),
        }
    }
    out
}

fn verb_text(verb: char, value: &Value, precision: Option<usize>) -> String {
    match (verb, value) {
        ('s' | 'v', _) => {
            let text = printed(value);
            precision.map_or(text.clone(), |p| text.chars().take(p).collect())
        }
        ('d', Value::Number(n)) if n.as_f64().is_some_and(|x| x.fract() == 0.0) => {
            n.as_i64().map_or_else(|| n.to_string(), |i| i.to_string())
        }
        ('q', Value::String(s)) => Value::from(s.as_str()).to_string(),
        ('t', Value::Bool(b)) => b.to_string(),
        ('f', Value::Number(n)) => format!("{:.*}", precision.unwrap_or(6), n.as_f64().unwrap_or(0.0)),
        ('g', Value::Number(n)) => float(n.as_f64().unwrap_or(0.0)),
        ('x', Value::Number(n)) => format!("{:x}", n.as_i64().unwrap_or(0)),
        ('T', _) => super::value::go_type(value).into(),
        _ => format!("%!{verb}({}={})", super::value::go_type(value), printed(value)),
    }
}
