//! From characters to tokens.

use memchr::memchr;
use memchr::memmem;

use super::error::{SqlError, SqlReason};

/// A word that is no property's name, in whatever case it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
}

const KEYWORDS: [(&str, Keyword); 12] = [
    ("NOT", Keyword::Not),
    ("AND", Keyword::And),
    ("OR", Keyword::Or),
    ("BETWEEN", Keyword::Between),
    ("IN", Keyword::In),
    ("TRUE", Keyword::True),
    ("FALSE", Keyword::False),
    ("NULL", Keyword::Null),
    ("IS", Keyword::Is),
    ("CONTAINS", Keyword::Contains),
    ("STARTSWITH", Keyword::StartsWith),
    ("ENDSWITH", Keyword::EndsWith),
];

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Keyword(Keyword),
    Name,
    Integer,
    Float,
    String,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Open,
    Close,
    Comma,
    Plus,
    Minus,
    End,
}

/// A token, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As it is written, quotes included.
    pub(super) text: &'a str,
    /// Bytes before it.
    pub(super) at: usize,
}

/// Cuts an expression into tokens, each as long as can be.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    expression: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(expression: &'a str) -> Self {
        Self { expression, at: 0 }
    }

    /// An error at so many bytes into the expression.
    pub(super) fn error(&self, at: usize, reason: SqlReason) -> SqlError {
        let before = self.expression.get(..at).unwrap_or(self.expression);
        SqlError {
            position: before.chars().count() + 1,
            reason,
        }
    }

    fn rest(&self) -> &'a str {
        self.expression.get(self.at..).unwrap_or_default()
    }

    /// The next token; at the end, again and again, the end.
    pub(super) fn token(&mut self) -> Result<Token<'a>, SqlError> {
        self.pass_over_blanks()?;
        let (at, rest) = (self.at, self.rest());
        let bytes = rest.as_bytes();
        let Some(first) = bytes.first() else {
            return Ok(Token {
                kind: Kind::End,
                text: "",
                at,
            });
        };
        let (kind, size) = match (first, bytes.get(1)) {
            (b'<', Some(b'>')) => (Kind::NotEqual, 2),
            (b'<', Some(b'=')) => (Kind::LessEqual, 2),
            (b'<', _) => (Kind::Less, 1),
            (b'>', Some(b'=')) => (Kind::GreaterEqual, 2),
            (b'>', _) => (Kind::Greater, 1),
            (b'=', _) => (Kind::Equal, 1),
            (b'(', _) => (Kind::Open, 1),
            (b')', _) => (Kind::Close, 1),
            (b',', _) => (Kind::Comma, 1),
            (b'+', _) => (Kind::Plus, 1),
            (b'-', _) => (Kind::Minus, 1),
            (b'\'', _) => (Kind::String, self.string()?),
            (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => number(bytes),
            (b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$', _) => word(rest),
            _ => {
                let found = rest.chars().next().unwrap_or_default();
                return Err(self.error(at, SqlReason::Character { found }));
            }
        };
        self.at += size;
        let text = rest.get(..size).unwrap_or(rest);
        Ok(Token { kind, text, at })
    }

    /// Blanks, `-- ...` to the end of the line, and `/* ... */`.
    fn pass_over_blanks(&mut self) -> Result<(), SqlError> {
        loop {
            let bytes = self.rest().as_bytes();
            self.at += match bytes {
                [b' ' | b'\t' | b'\n' | b'\r' | b'\x0c', ..] => 1,
                [b'-', b'-', ..] => memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len()),
                [b'/', b'*', inside @ ..] => match memmem::find(inside, b"*/") {
                    Some(size) => size + 4,
                    None => return Err(self.error(self.at, SqlReason::OpenComment)),
                },
                _ => return Ok(()),
            };
        }
    }

    /// The size of the string that begins here; two quotes in it are one.
    fn string(&self) -> Result<usize, SqlError> {
        let bytes = self.rest().as_bytes();
        let mut size = 1;
        loop {
            let Some(quote) = memchr(b'\'', bytes.get(size..).unwrap_or_default()) else {
                return Err(self.error(self.at, SqlReason::OpenString));
            };
            size += quote + 1;
            if bytes.get(size) != Some(&b'\'') {
                return Ok(size);
            }
            size += 1;
        }
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// `0`, `12`, `12L`; `1.`, `1.5`, `.5`, `1.5E-3`, `1E3`. A whole number does not begin with 0.
fn number(bytes: &[u8]) -> (Kind, usize) {
    let tail = |at: usize| bytes.get(at..).unwrap_or_default();
    let whole = digits(bytes);
    let mut size = whole;
    if tail(size).first() == Some(&b'.') {
        size += 1 + digits(tail(size + 1));
    }
    if let [b'e' | b'E', exponent @ ..] = tail(size) {
        let sign = usize::from(matches!(exponent, [b'+' | b'-', ..]));
        let power = digits(exponent.get(sign..).unwrap_or_default());
        if power > 0 {
            size += 1 + sign + power;
        }
    }
    if size > whole {
        return (Kind::Float, size);
    }
    if bytes.first() == Some(&b'0') {
        return (Kind::Integer, 1);
    }
    let suffix = matches!(tail(whole), [b'l' | b'L', ..]);
    (Kind::Integer, whole + usize::from(suffix))
}

fn word(rest: &str) -> (Kind, usize) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    let size = rest.bytes().take_while(is_part).count();
    let text = rest.get(..size).unwrap_or(rest);
    let keyword = KEYWORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    match keyword {
        Some((_, keyword)) => (Kind::Keyword(*keyword), size),
        None => (Kind::Name, size),
    }
}
