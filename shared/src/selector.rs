//! Label and field selectors: parse, print, match.
//!
//! Grammar: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>.
use crate::meta::StringMap;
use serde::Deserialize;
use std::fmt;

/// The text is not a selector; the message says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct ParseSelectorError(pub String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    Exists,
    NotExists,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
}

/// All requirements must hold; an empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    pub requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// The selector of a service or replication controller: every pair must be present.
    pub fn from_map(map: &StringMap) -> LabelSelector {
        LabelSelector {
            requirements: map.iter().map(|(k, v)| Requirement { key: k.clone(), operator: Operator::In(vec![v.clone()]) }).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn matches(&self, labels: &StringMap) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// As `matches`, over any way of looking a label up.
    pub fn matches_with<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| {
            let value = get(&r.key);
            match &r.operator {
                Operator::Exists => value.is_some(),
                Operator::NotExists => value.is_none(),
                Operator::In(set) => value.is_some_and(|v| set.iter().any(|s| s == v)),
                Operator::NotIn(set) => value.is_none_or(|v| !set.iter().any(|s| s == v)),
                Operator::Greater(n) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *n),
                Operator::Less(n) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *n),
            }
        })
    }

    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub fn parse(text: &str) -> Result<LabelSelector, ParseSelectorError> {
        let mut requirements = Vec::new();
        for part in split_top_level(text)? {
            if !part.is_empty() {
                requirements.push(parse_requirement(part)?);
            } else if !text.trim().is_empty() {
                return Err(ParseSelectorError(format!("found ',' with nothing beside it in {text:?}")));
            }
        }
        Ok(LabelSelector { requirements })
    }
}

fn split_top_level(text: &str) -> Result<Vec<&str>, ParseSelectorError> {
    let (mut parts, mut start, mut open) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            '(' if !open => open = true,
            ')' if open => open = false,
            '(' | ')' => return Err(ParseSelectorError(format!("unbalanced {c:?} in {text:?}"))),
            ',' if !open => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if open {
        return Err(ParseSelectorError(format!("missing ')' in {text:?}")));
    }
    parts.push(text[start..].trim());
    Ok(parts)
}

fn parse_requirement(part: &str) -> Result<Requirement, ParseSelectorError> {
    let make = |key: &str, operator: Operator| -> Result<Requirement, ParseSelectorError> {
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) {
            return Err(ParseSelectorError(format!("{key:?} is not a label key in {part:?}")));
        }
        Ok(Requirement { key: key.into(), operator })
    };
    let value = |v: &str| -> Result<String, ParseSelectorError> {
        let v = v.trim();
        if v.len() > 63 || !v.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(ParseSelectorError(format!("{v:?} is not a label value in {part:?}")));
        }
        Ok(v.to_string())
    };
    if let Some(open) = part.strip_suffix(')') {
        let (head, list) = open.split_once('(').ok_or_else(|| ParseSelectorError(format!("missing '(' in {part:?}")))?;
        let values = list.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => make(key, Operator::In(values)),
            (Some(key), Some("notin"), None) => make(key, Operator::NotIn(values)),
            _ => Err(ParseSelectorError(format!("expected 'in' or 'notin' in {part:?}"))),
        };
    }
    if let Some((k, v)) = part.split_once("!=") {
        return make(k, Operator::NotIn(vec![value(v)?]));
    }
    if let Some((k, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return make(k, Operator::In(vec![value(v)?]));
    }
    let number = |v: &str| v.trim().parse().map_err(|_| ParseSelectorError(format!("{:?} is not a number in {part:?}", v.trim())));
    if let Some((k, v)) = part.split_once('>') {
        return make(k, Operator::Greater(number(v)?));
    }
    if let Some((k, v)) = part.split_once('<') {
        return make(k, Operator::Less(number(v)?));
    }
    match part.strip_prefix('!') {
        Some(key) => make(key, Operator::NotExists),
        None => make(part, Operator::Exists),
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match &r.operator {
                Operator::Exists => write!(f, "{}", r.key)?,
                Operator::NotExists => write!(f, "!{}", r.key)?,
                Operator::In(v) if v.len() == 1 => write!(f, "{}={}", r.key, v[0])?,
                Operator::NotIn(v) if v.len() == 1 => write!(f, "{}!={}", r.key, v[0])?,
                Operator::In(v) => write!(f, "{} in ({})", r.key, v.join(","))?,
                Operator::NotIn(v) => write!(f, "{} notin ({})", r.key, v.join(","))?,
                Operator::Greater(n) => write!(f, "{}>{n}", r.key)?,
                Operator::Less(n) => write!(f, "{}<{n}", r.key)?,
            }
        }
        Ok(())
    }
}

/// `matchLabels` + `matchExpressions` as objects carry it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelectorSpec {
    pub match_labels: StringMap,
    pub match_expressions: Vec<MatchExpression>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchExpression {
    pub key: String,
    pub operator: String,
    pub values: Vec<String>,
}

impl LabelSelectorSpec {
    pub fn to_selector(&self) -> Result<LabelSelector, ParseSelectorError> {
        let mut selector = LabelSelector::from_map(&self.match_labels);
        for e in &self.match_expressions {
            let operator = match e.operator.as_str() {
                "In" => Operator::In(e.values.clone()),
                "NotIn" => Operator::NotIn(e.values.clone()),
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::NotExists,
                other => return Err(ParseSelectorError(format!("{other:?} is not a label selector operator"))),
            };
            selector.requirements.push(Requirement { key: e.key.clone(), operator });
        }
        Ok(selector)
    }
}

/// One term of a field selector: `field=value` or `field!=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    pub field: String,
    pub value: String,
    pub equal: bool,
}

/// All terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Parses `metadata.name=x,status.phase!=Running`. A backslash escapes comma, equals sign and itself.
    pub fn parse(text: &str) -> Result<FieldSelector, ParseSelectorError> {
        let mut requirements = Vec::new();
        for part in split_escaped(text) {
            if part.is_empty() {
                continue;
            }
            let (field, value, equal) = if let Some((f, v)) = part.split_once("!=") {
                (f, v, false)
            } else if let Some((f, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (f, v, true)
            } else {
                return Err(ParseSelectorError(format!("invalid field selector {part:?}: expected field=value or field!=value")));
            };
            requirements.push(FieldRequirement { field: field.trim().into(), value: unescape(value), equal });
        }
        Ok(FieldSelector { requirements })
    }

    /// `value_of` gives a field's value; an absent field is the empty string.
    pub fn matches_with<'a>(&self, value_of: impl Fn(&str) -> &'a str) -> bool {
        self.requirements.iter().all(|r| (value_of(&r.field) == r.value) == r.equal)
    }

    /// The value that the selector demands of a field, if it demands one.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.equal && r.field == field).map(|r| r.value.as_str())
    }
}

fn split_escaped(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if c == ',' && !escaped {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        escaped = c == '\\' && !escaped;
        part.push(c);
    }
    parts.push(part);
    parts
}

fn unescape(text: &str) -> String {
    let (mut out, mut escaped) = (String::new(), false);
    for c in text.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(c);
            escaped = false;
        }
    }
    out
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<String> = self
            .requirements
            .iter()
            .map(|r| {
                format!(
                    "{}{}{}",
                    r.field,
                    if r.equal { "=" } else { "!=" },
                    r.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
                )
            })
            .collect();
        f.write_str(&terms.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> StringMap {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn selectors_match_and_print() {
        let l = labels(&[("tier", "frontend"), ("environment", "production"), ("n", "5")]);
        for (text, wanted) in [
            ("tier=frontend,environment==production", true),
            ("tier!=frontend", false),
            ("x!=y", true),
            ("tier in (a, frontend)", true),
            ("tier notin (frontend)", false),
            ("missing notin (a)", true),
            ("tier", true),
            ("!tier", false),
            ("!x", true),
            ("n>4", true),
            ("n<5", false),
            ("", true),
        ] {
            let s = LabelSelector::parse(text).unwrap();
            assert_eq!(s.matches(&l), wanted, "{text}");
            assert_eq!(LabelSelector::parse(&s.to_string()).unwrap(), s);
        }
        for bad in ["a in (b", "a b", "=x", "a,,b", "a in b)", "a>x"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_selectors_escape() {
        let s = FieldSelector::parse(r"metadata.name=a\,b,status.phase!=Running").unwrap();
        assert_eq!(s.required("metadata.name"), Some("a,b"));
        assert!(s.matches_with(|f| if f == "metadata.name" { "a,b" } else { "Pending" }));
        assert_eq!(FieldSelector::parse(&s.to_string()).unwrap(), s);
    }
}
