//! Template text to nodes.
use super::lex::{Piece, Token, pieces};
use std::collections::BTreeMap;

/// Deepest nesting of blocks and parentheses.
const DEPTH_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Text(String),
    Action(Pipeline),
    If(Vec<(Option<Pipeline>, Vec<Node>)>),
    With(Vec<(Option<Pipeline>, Vec<Node>)>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    Template(String, Option<Pipeline>),
    Define(String, Vec<Node>),
    Break,
    Continue,
}

/// `$a, $b := cmd | cmd`
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Pipeline {
    pub variables: Vec<String>,
    pub declares: bool,
    pub commands: Vec<Vec<Term>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// `.a.b`
    Fields(Vec<String>),
    /// `$x.a.b`; `$` is the variable with the empty name.
    Variable(String, Vec<String>),
    Function(String),
    /// `(pipeline).a.b`
    Group(Box<Pipeline>, Vec<String>),
}

pub const FUNCTIONS: &[&str] = &[
    "and",
    "or",
    "not",
    "len",
    "index",
    "slice",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "call",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "exists",
    "base64decode",
    "json",
];

pub fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    let mut parser = Parser { pieces: &mut pieces };
    let (nodes, end) = parser.block(0)?;
    match end {
        End::Eof => Ok(nodes),
        End::End => Err("unexpected {{end}}".into()),
        End::Else(_) => Err("unexpected {{else}}".into()),
    }
}

enum End {
    Eof,
    End,
    /// `{{else}}` or the tokens after `{{else if`/`{{else with`.
    Else(Option<Vec<Token>>),
}

struct Parser<'a> {
    pieces: &'a mut dyn Iterator<Item = Piece>,
}

impl Parser<'_> {
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, End), String> {
        if depth > DEPTH_MAX {
            return Err(format!("blocks are nested more than {DEPTH_MAX} deep"));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let mut tokens: Vec<Token> = tokens.into_iter().skip_while(|t| *t == Token::Space).collect();
            let word = if let Some(Token::Word(w)) = tokens.first() { w.clone() } else { String::new() };
            match word.as_str() {
                "end" => return Ok((nodes, End::End)),
                "else" => {
                    let rest: Vec<Token> = tokens.split_off(1).into_iter().skip_while(|t| *t == Token::Space).collect();
                    let chained = matches!(rest.first(), Some(Token::Word(w)) if w == "if" || w == "with");
                    return Ok((nodes, End::Else(chained.then(|| rest[1..].to_vec()))));
                }
                "if" | "with" => {
                    let branches = self.branches(pipeline(&tokens[1..])?, depth)?;
                    nodes.push(if word == "if" { Node::If(branches) } else { Node::With(branches) });
                }
                "range" => {
                    let head = pipeline(&tokens[1..])?;
                    let (body, end) = self.block(depth + 1)?;
                    let otherwise = match end {
                        End::Else(None) => self.ended(depth)?,
                        End::End => Vec::new(),
                        _ => return Err("unexpected EOF".into()),
                    };
                    nodes.push(Node::Range(head, body, otherwise));
                }
                "define" => {
                    let name = name_of(&tokens[1..])?.0;
                    nodes.push(Node::Define(name, self.ended(depth)?));
                }
                "template" => {
                    let (name, rest) = name_of(&tokens[1..])?;
                    let argument = if rest.iter().all(|t| *t == Token::Space) { None } else { Some(pipeline(&rest)?) };
                    nodes.push(Node::Template(name, argument));
                }
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                _ => nodes.push(Node::Action(pipeline(&tokens)?)),
            }
        }
        Ok((nodes, End::Eof))
    }

    fn ended(&mut self, depth: usize) -> Result<Vec<Node>, String> {
        match self.block(depth + 1)? {
            (nodes, End::End) => Ok(nodes),
            (_, End::Eof) => Err("unexpected EOF".into()),
            (_, End::Else(_)) => Err("unexpected {{else}}".into()),
        }
    }

    fn branches(&mut self, first: Pipeline, depth: usize) -> Result<Vec<(Option<Pipeline>, Vec<Node>)>, String> {
        let mut branches = Vec::new();
        let mut condition = Some(first);
        loop {
            let last = condition.is_none();
            let (body, end) = self.block(depth + 1)?;
            branches.push((condition, body));
            match end {
                End::End => return Ok(branches),
                End::Eof => return Err("unexpected EOF".into()),
                End::Else(_) if last => return Err("unexpected {{else}}".into()),
                End::Else(None) => condition = None,
                End::Else(Some(tokens)) => condition = Some(pipeline(&tokens)?),
            }
        }
    }
}

fn name_of(tokens: &[Token]) -> Result<(String, Vec<Token>), String> {
    let tokens: Vec<Token> = tokens.iter().skip_while(|t| **t == Token::Space).cloned().collect();
    match tokens.first() {
        Some(Token::Str(name)) => Ok((name.clone(), tokens[1..].to_vec())),
        _ => Err("expected a quoted template name".into()),
    }
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let mut at = 0;
    let out = pipeline_at(tokens, &mut at, 0)?;
    if at < tokens.len() { Err("unexpected right paren".into()) } else { Ok(out) }
}

fn pipeline_at(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Pipeline, String> {
    if depth > DEPTH_MAX {
        return Err(format!("parentheses are nested more than {DEPTH_MAX} deep"));
    }
    let mut out = Pipeline::default();
    declaration(tokens, at, &mut out);
    loop {
        let command = command(tokens, at, depth)?;
        if command.is_empty() {
            return Err("missing value for command".into());
        }
        out.commands.push(command);
        if tokens.get(*at) != Some(&Token::Pipe) {
            return Ok(out);
        }
        *at += 1;
    }
}

/// `$a :=`, `$a, $b :=` or `$a =` at the front.
fn declaration(tokens: &[Token], at: &mut usize, out: &mut Pipeline) {
    let mut probe = *at;
    let mut names = Vec::new();
    loop {
        match tokens.get(probe) {
            Some(Token::Space | Token::Comma) => {}
            Some(Token::Variable(name)) => names.push(name.clone()),
            Some(Token::Declare | Token::Assign) if !names.is_empty() => {
                out.declares = tokens[probe] == Token::Declare;
                out.variables = names;
                *at = probe + 1;
                return;
            }
            _ => return,
        }
        probe += 1;
    }
}

fn command(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Vec<Term>, String> {
    let mut terms: Vec<Term> = Vec::new();
    while let Some(token) = tokens.get(*at) {
        let term = match token {
            Token::Pipe | Token::Close => break,
            Token::Space => {
                *at += 1;
                continue;
            }
            Token::Dot => Term::Dot,
            Token::Field(name) => Term::Fields(vec![name.clone()]),
            Token::Variable(name) => Term::Variable(name.clone(), Vec::new()),
            Token::Str(text) => Term::Str(text.clone()),
            Token::Char(code) => Term::Int(*code),
            Token::Number(text) => number(text)?,
            Token::Word(word) => match word.as_str() {
                "true" => Term::Bool(true),
                "false" => Term::Bool(false),
                "nil" => Term::Nil,
                name if FUNCTIONS.contains(&name) => Term::Function(name.to_string()),
                name => return Err(format!("function {name:?} not defined")),
            },
            Token::Open => {
                *at += 1;
                let inner = pipeline_at(tokens, at, depth + 1)?;
                if tokens.get(*at) != Some(&Token::Close) {
                    return Err("unclosed left paren".into());
                }
                Term::Group(Box::new(inner), Vec::new())
            }
            other => return Err(format!("unexpected {other:?} in operand")),
        };
        *at += 1;
        terms.push(chained(term, tokens, at));
    }
    Ok(terms)
}

/// Takes the `.a.b` that follow without a blank.
fn chained(mut term: Term, tokens: &[Token], at: &mut usize) -> Term {
    while let Some(Token::Field(name)) = tokens.get(*at) {
        match &mut term {
            Term::Fields(path) | Term::Variable(_, path) | Term::Group(_, path) => path.push(name.clone()),
            _ => return term,
        }
        *at += 1;
    }
    term
}

fn number(text: &str) -> Result<Term, String> {
    let plain = text.replace('_', "");
    let hex = plain.strip_prefix("0x").and_then(|h| i64::from_str_radix(h, 16).ok());
    if let Some(n) = hex.or_else(|| plain.parse().ok()) {
        return Ok(Term::Int(n));
    }
    plain.parse().map(Term::Float).map_err(|_| format!("bad number syntax: {text:?}"))
}

/// Named templates of a text, wherever they stand.
pub fn defines(nodes: &[Node]) -> BTreeMap<&str, &[Node]> {
    nodes.iter().filter_map(|n| if let Node::Define(name, body) = n { Some((name.as_str(), body.as_slice())) } else { None }).collect()
}
