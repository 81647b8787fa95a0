//! The values of a template and how Go prints, compares and counts them.
use serde_json::Value;
use std::borrow::Cow;

/// A JSON value, with the same place of the second form beside it; or nothing at all.
#[derive(Clone, Debug)]
pub enum Val<'a> {
    Json(Cow<'a, Value>, Option<&'a Value>),
    Missing,
}

impl<'a> Val<'a> {
    pub fn own(value: impl Into<Value>) -> Val<'a> {
        Val::Json(Cow::Owned(value.into()), None)
    }

    pub fn json(&self) -> &Value {
        match self {
            Val::Json(v, _) => v,
            Val::Missing => &Value::Null,
        }
    }

    /// The member `name`: of the first form, else of the second.
    pub fn field(&self, name: &str) -> Result<Val<'a>, String> {
        let Val::Json(value, other) = self else { return Ok(Val::Missing) };
        let beside = other.and_then(|o| o.get(name));
        let own = match value {
            Cow::Borrowed(v) => v.get(name).map(Cow::Borrowed),
            Cow::Owned(v) => v.get(name).cloned().map(Cow::Owned),
        };
        match (own, beside) {
            (Some(v), beside) => Ok(Val::Json(v, beside)),
            (None, Some(b)) => Ok(Val::Json(Cow::Borrowed(b), None)),
            (None, None) if value.is_object() => Ok(Val::Missing),
            (None, None) if value.is_null() => Err(format!("nil pointer evaluating interface {{}}.{name}")),
            (None, None) => Err(format!("can't evaluate field {name} in type {}", go_type(value))),
        }
    }

    /// The members of a list or map in Go's order, with their keys.
    pub fn entries(&self) -> Option<Vec<(Val<'a>, Val<'a>)>> {
        let Val::Json(value, other) = self else { return Some(Vec::new()) };
        let part = |i: Cow<'a, Value>, beside: Option<&'a Value>| Val::Json(i, beside);
        match (value, value.as_ref()) {
            (_, Value::Null) => Some(Vec::new()),
            (Cow::Borrowed(Value::Array(list)), _) => {
                let beside = other.and_then(|o| o.as_array()).filter(|o| o.len() == list.len());
                let at = |i: usize| beside.and_then(|b| b.get(i));
                Some(list.iter().enumerate().map(|(i, v)| (Val::own(i), part(Cow::Borrowed(v), at(i)))).collect())
            }
            (Cow::Borrowed(Value::Object(map)), _) => {
                let at = |k: &str| other.and_then(|o| o.get(k));
                Some(map.iter().map(|(k, v)| (Val::own(k.as_str()), part(Cow::Borrowed(v), at(k)))).collect())
            }
            (_, Value::Array(list)) => Some(list.iter().enumerate().map(|(i, v)| (Val::own(i), Val::own(v.clone()))).collect()),
            (_, Value::Object(map)) => Some(map.iter().map(|(k, v)| (Val::own(k.as_str()), Val::own(v.clone()))).collect()),
            (_, Value::Number(n)) if n.is_u64() => {
                let n = n.as_u64().unwrap_or(0).min(1_000_000);
                Some((0..n).map(|i| (Val::own(i), Val::own(i))).collect())
            }
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        match self.json() {
            Value::Null => false,
            Value::Bool(b) => *b,
            Value::Number(n) => n.as_f64() != Some(0.0),
            Value::String(s) => !s.is_empty(),
            Value::Array(a) => !a.is_empty(),
            Value::Object(m) => !m.is_empty(),
        }
    }

    /// As an action prints it.
    pub fn printed(&self) -> String {
        match self {
            Val::Missing => "<no value>".into(),
            Val::Json(v, _) if v.is_null() => "<no value>".into(),
            Val::Json(v, _) => printed(v),
        }
    }
}

pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `%v`. A whole number that is printed alone stays whole; inside maps and lists it prints as Go prints a float.
pub fn printed(value: &Value) -> String {
    match value {
        Value::Number(n) if !n.is_f64() => n.to_string(),
        other => nested(other),
    }
}

fn nested(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => float(n.as_f64().unwrap_or(0.0)),
        Value::String(s) => s.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(nested).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => format!("map[{}]", map.iter().map(|(k, v)| format!("{k}:{}", nested(v))).collect::<Vec<_>>().join(" ")),
    }
}

/// Go's `%v` of a float64: shortest digits, with an exponent of two digits below 1e-04 and from 1e+06 on.
pub fn float(x: f64) -> String {
    let text = format!("{x:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exp: i32 = exponent.parse().unwrap_or(0);
    if x == 0.0 || (-4..6).contains(&exp) {
        return format!("{x}");
    }
    format!("{mantissa}e{}{:02}", if exp < 0 { '-' } else { '+' }, exp.abs())
}

/// Order of two values of one kind; `None` when they cannot be ordered.
pub fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        _ => None,
    }
}

pub fn equal(a: &Value, b: &Value) -> bool {
    if let (Value::Number(_), Value::Number(_)) = (a, b) { order(a, b) == Some(std::cmp::Ordering::Equal) } else { a == b }
}
