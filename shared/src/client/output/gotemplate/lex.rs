//! Template text to pieces: plain text, and actions cut into tokens.

pub enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Field(String),
    Dot,
    Variable(String),
    Word(String),
    Str(String),
    Number(String),
    Char(i64),
    Pipe,
    Comma,
    Declare,
    Assign,
    Open,
    Close,
    Space,
}

/// Cuts a template at its actions; comments vanish, trim marks are applied.
pub fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut out: Vec<Piece> = Vec::new();
    let (mut rest, mut trim) = (text, false);
    while let Some(at) = rest.find("{{") {
        let mut before = &rest[..at];
        let mut inner = &rest[at + 2..];
        if trim {
            before = before.trim_start();
        }
        if let Some(cut) = inner.strip_prefix('-').filter(|i| i.starts_with(char::is_whitespace)) {
            before = before.trim_end();
            inner = cut;
        }
        if !before.is_empty() {
            out.push(Piece::Text(before.to_string()));
        }
        let comment = inner.trim_start().starts_with("/*");
        let (body, after, trims) = if comment {
            let end = inner.find("*/").ok_or("unclosed comment")?;
            let tail = inner[end + 2..].find("}}").ok_or("comment ends before closing delimiter")? + end + 2;
            ("", &inner[tail + 2..], inner[..tail].ends_with('-'))
        } else {
            let end = closing(inner)?;
            let body = &inner[..end];
            let cut = body.strip_suffix('-').filter(|b| b.ends_with(char::is_whitespace));
            (cut.unwrap_or(body), &inner[end + 2..], cut.is_some())
        };
        if !comment {
            let tokens = tokens(body)?;
            if tokens.iter().all(|t| *t == Token::Space) {
                return Err("missing value for command".into());
            }
            out.push(Piece::Action(tokens));
        }
        trim = trims;
        rest = after;
    }
    let tail = if trim { rest.trim_start() } else { rest };
    if !tail.is_empty() {
        out.push(Piece::Text(tail.to_string()));
    }
    Ok(out)
}

/// Where the action's `}}` stands, quotes skipped.
fn closing(text: &str) -> Result<usize, String> {
    let bytes = text.as_bytes();
    let mut quote = 0u8;
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if quote == b'"' || quote == b'\'' => i += 1,
            c if quote != 0 => quote = if c == quote { 0 } else { quote },
            c @ (b'"' | b'`' | b'\'') => quote = c,
            b'}' if bytes.get(i + 1) == Some(&b'}') => return Ok(i),
            _ => {}
        }
        i += 1;
    }
    Err("unclosed action".into())
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    let word_at = |from: usize| chars[from..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect::<String>();
    while i < chars.len() {
        let c = chars[i];
        let next_is_word = chars.get(i + 1).is_some_and(|c| c.is_alphabetic() || *c == '_');
        let signed = (c == '-' || c == '+') && chars.get(i + 1).is_some_and(char::is_ascii_digit);
        match c {
            c if c.is_whitespace() => {
                if out.last() != Some(&Token::Space) {
                    out.push(Token::Space);
                }
                i += 1;
            }
            '.' if next_is_word => {
                let word = word_at(i + 1);
                i += 1 + word.chars().count();
                out.push(Token::Field(word));
            }
            '.' if !chars.get(i + 1).is_some_and(char::is_ascii_digit) => {
                out.push(Token::Dot);
                i += 1;
            }
            '$' => {
                let word = word_at(i + 1);
                i += 1 + word.chars().count();
                out.push(Token::Variable(word));
            }
            '|' | ',' | '(' | ')' | '=' => {
                out.push(match c {
                    '|' => Token::Pipe,
                    ',' => Token::Comma,
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Assign,
                });
                i += 1;
            }
            ':' if chars.get(i + 1) == Some(&'=') => {
                out.push(Token::Declare);
                i += 2;
            }
            '`' => {
                let raw: String = chars[i + 1..].iter().take_while(|c| **c != '`').collect();
                i += raw.chars().count() + 2;
                out.push(Token::Str(raw));
            }
            '"' | '\'' => {
                let (text, used) = quoted(&chars[i..])?;
                i += used;
                out.push(if c == '"' { Token::Str(text) } else { Token::Char(text.chars().next().map_or(0, |c| i64::from(c as u32))) });
            }
            c if c.is_ascii_digit() || signed || c == '.' => {
                let digits: String = chars[i + 1..].iter().take_while(|c| c.is_alphanumeric() || **c == '.' || **c == '_').collect();
                i += 1 + digits.chars().count();
                out.push(Token::Number(format!("{c}{digits}")));
            }
            c if c.is_alphabetic() || c == '_' => {
                let word = word_at(i);
                i += word.chars().count();
                out.push(Token::Word(word));
            }
            c => return Err(format!("unexpected {c:?} in command")),
        }
    }
    Ok(out)
}

fn quoted(chars: &[char]) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut i = 1;
    while let Some(c) = chars.get(i) {
        match c {
            c if *c == chars[0] => return Ok((out, i + 1)),
            '\\' => {
                i += 1;
                out.push(match chars.get(i) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('0') => '\0',
                    Some(c) => *c,
                    None => break,
                });
            }
            c => out.push(*c),
        }
        i += 1;
    }
    Err("unterminated quoted string".into())
}
