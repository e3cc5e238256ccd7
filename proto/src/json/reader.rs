//! A pull reader over one JSON document: no tree, no allocation but for strings with escapes.

use std::borrow::Cow;

use super::scan::before_quote;
use super::{JsonError, JsonErrorKind};
use crate::limits::{MAX_JSON_CONTAINERS, MAX_JSON_DEPTH, MAX_JSON_VALUES};

type Result<T> = std::result::Result<T, JsonError>;

/// How much a document may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Deepest nesting.
    pub max_depth: u32,
    /// Most values altogether.
    pub max_values: u32,
    /// Most arrays and objects.
    pub max_containers: u32,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self {
            max_depth: MAX_JSON_DEPTH,
            max_values: MAX_JSON_VALUES,
            max_containers: MAX_JSON_CONTAINERS,
        }
    }
}

/// What the next value is, judged by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// A quote, double or single.
    String,
    /// A digit or a minus.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// Reads one document from front to back.
///
/// Accepted beyond standard JSON, because fastjson writes or reads it: keys without quotes, objects as keys, single
/// quotes, stray commas, raw control characters in strings.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    values: u32,
    containers: u32,
    limits: JsonLimits,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a str, limits: JsonLimits) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            values: 0,
            containers: 0,
            limits,
        }
    }

    /// The kind of the value that comes next. Consumes white space only.
    ///
    /// # Errors
    /// No value can start here.
    pub fn peek(&mut self) -> Result<Kind> {
        match self.peek_byte()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' | b'\'' => Ok(Kind::String),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' | b'f' => Ok(Kind::Bool),
            b'n' => Ok(Kind::Null),
            other => Err(self.error(JsonErrorKind::UnexpectedByte(other))),
        }
    }

    /// Reads an object: `member` is called once per member with the reader at its key, and must consume the key
    /// (by [`Reader::key`], or a value and [`Reader::colon`]) and the value.
    ///
    /// # Errors
    /// Not an object, or whatever `member` fails with.
    pub fn members(&mut self, mut member: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'{', "an object")?;
        loop {
            match self.skip_commas()? {
                b'}' => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                _ => member(self)?,
            }
            self.expect_separator(b'}')?;
        }
    }

    /// Reads an array: `element` is called once per element and must consume it.
    ///
    /// # Errors
    /// Not an array, or whatever `element` fails with.
    pub fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'[', "an array")?;
        loop {
            match self.skip_commas()? {
                b']' => {
                    self.at += 1;
                    self.depth -= 1;
                    return Ok(());
                }
                _ => element(self)?,
            }
            self.expect_separator(b']')?;
        }
    }

    /// Reads a member's key and the colon after it; a key without quotes is taken as its text.
    ///
    /// # Errors
    /// No key here, or one that is an object.
    pub fn key(&mut self) -> Result<Cow<'a, str>> {
        let key = match self.peek_byte()? {
            b'"' | b'\'' => self.raw_string()?,
            _ => Cow::Borrowed(self.bare_word()?),
        };
        self.colon()?;
        Ok(key)
    }

    /// Consumes the colon between a key and its value.
    ///
    /// # Errors
    /// There is none.
    pub fn colon(&mut self) -> Result<()> {
        match self.peek_byte()? {
            b':' => {
                self.at += 1;
                Ok(())
            }
            other => Err(self.error(JsonErrorKind::UnexpectedByte(other))),
        }
    }

    /// Consumes `null` if that is what comes next, and says whether it was.
    ///
    /// # Errors
    /// The document ends here, or has too many values.
    pub fn null(&mut self) -> Result<bool> {
        if self.peek_byte()? != b'n' {
            return Ok(false);
        }
        self.count()?;
        self.literal("null")?;
        Ok(true)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// Not a string, or a bad one.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.want(Kind::String, "a string")?;
        self.count()?;
        self.raw_string()
    }

    /// Reads any scalar as text: a string's content, or a number's or literal's own characters. An array or object
    /// gives its source text, as Java's string maps do.
    ///
    /// # Errors
    /// No well-formed value here.
    pub fn scalar_text(&mut self) -> Result<Cow<'a, str>> {
        if self.peek()? == Kind::String {
            return self.string();
        }
        self.source_text().map(Cow::Borrowed)
    }

    /// Passes over one value of any kind and returns its text as it stands in the document.
    ///
    /// # Errors
    /// No well-formed value here.
    pub fn source_text(&mut self) -> Result<&'a str> {
        self.peek()?;
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Appends the string that comes next to `out`.
    ///
    /// # Errors
    /// As [`Reader::string`].
    pub fn string_into(&mut self, out: &mut String) -> Result<()> {
        self.want(Kind::String, "a string")?;
        self.count()?;
        self.raw_string_into(out)
    }

    /// Reads an integer; a string of digits will do, and so will a fraction of zero.
    ///
    /// # Errors
    /// Not an integer, or not within 64 bits.
    pub fn integer(&mut self) -> Result<i64> {
        if let Some(value) = self.plain_integer() {
            self.count()?;
            return Ok(value);
        }
        let start = self.at;
        let text = match self.peek()? {
            Kind::Number => Cow::Borrowed(self.number_text()?),
            Kind::String => self.string()?,
            _ => return Err(self.error(JsonErrorKind::WrongType("an integer"))),
        };
        let digits = text.trim().strip_suffix(".0").unwrap_or_else(|| text.trim());
        digits
            .parse()
            .map_err(|error: std::num::ParseIntError| JsonError {
                kind: match error.kind() {
                    std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                        JsonErrorKind::NumberOutOfRange
                    }
                    _ => JsonErrorKind::WrongType("an integer"),
                },
                at: start,
            })
    }

    /// Reads a number, fraction and exponent included.
    ///
    /// # Errors
    /// Not a number.
    pub fn float(&mut self) -> Result<f64> {
        let start = self.at;
        let text = match self.peek()? {
            Kind::Number => Cow::Borrowed(self.number_text()?),
            Kind::String => self.string()?,
            _ => return Err(self.error(JsonErrorKind::WrongType("a number"))),
        };
        text.trim().parse().map_err(|_| JsonError {
            kind: JsonErrorKind::WrongType("a number"),
            at: start,
        })
    }

    /// Reads a boolean, also as a string or a number as Java's reader does.
    ///
    /// # Errors
    /// Not a boolean.
    pub fn boolean(&mut self) -> Result<bool> {
        let start = self.at;
        let text = self.scalar_text()?;
        match &*text {
            "true" | "1" => Ok(true),
            "false" | "0" | "" => Ok(false),
            other if other.eq_ignore_ascii_case("true") => Ok(true),
            other if other.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(JsonError {
                kind: JsonErrorKind::WrongType("a boolean"),
                at: start,
            }),
        }
    }

    /// Passes over one value of any kind.
    ///
    /// # Errors
    /// The value is not well formed.
    pub fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            Kind::Object => self.members(|reader| {
                reader.skip_key()?;
                reader.skip()
            }),
            Kind::Array => self.elements(Self::skip),
            Kind::String => {
                self.count()?;
                self.skip_string()
            }
            Kind::Number => self.number_text().map(|_| ()),
            Kind::Bool => {
                self.count()?;
                let word = if self.text.as_bytes()[self.at] == b't' {
                    "true"
                } else {
                    "false"
                };
                self.literal(word)
            }
            Kind::Null => self.null().map(|_| ()),
        }
    }

    /// Ends the document.
    ///
    /// # Errors
    /// Something other than white space is left.
    pub fn finish(mut self) -> Result<()> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.error(JsonErrorKind::TrailingText));
        }
        Ok(())
    }

    /// An error of this `kind` at the current position.
    pub fn error(&self, kind: JsonErrorKind) -> JsonError {
        JsonError { kind, at: self.at }
    }

    /// The integer that stands right here, if it is short enough not to overflow and something that ends a number
    /// follows.
    fn plain_integer(&mut self) -> Option<i64> {
        const MAX_DIGITS: usize = 18;
        let rest = &self.text.as_bytes()[self.at..];
        let (negative, digits) = match rest.split_first()? {
            (b'-', digits) => (true, digits),
            _ => (false, rest),
        };
        let mut value = 0;
        let mut len = 0;
        while let Some(digit) = digits.get(len).filter(|digit| digit.is_ascii_digit()) {
            if len == MAX_DIGITS {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            len += 1;
        }
        if len == 0 || !matches!(digits.get(len), Some(b',' | b'}' | b']')) {
            return None;
        }
        self.at += len + usize::from(negative);
        Some(if negative { -value } else { value })
    }

    fn skip_key(&mut self) -> Result<()> {
        match self.peek_byte()? {
            b'"' | b'\'' => self.skip_string()?,
            b'{' | b'[' => self.skip()?,
            _ => {
                self.bare_word()?;
            }
        }
        self.colon()
    }

    fn enter(&mut self, open: u8, wanted: &'static str) -> Result<()> {
        if self.peek_byte()? != open {
            return Err(self.error(JsonErrorKind::WrongType(wanted)));
        }
        self.count()?;
        if self.depth >= self.limits.max_depth {
            return Err(self.error(JsonErrorKind::TooDeep(self.limits.max_depth)));
        }
        if self.containers >= self.limits.max_containers {
            return Err(self.error(JsonErrorKind::TooManyContainers(self.limits.max_containers)));
        }
        self.depth += 1;
        self.containers += 1;
        self.at += 1;
        Ok(())
    }

    /// Skips white space and commas up to a byte that is neither, and returns that byte.
    fn skip_commas(&mut self) -> Result<u8> {
        loop {
            match self.peek_byte()? {
                b',' => self.at += 1,
                other => return Ok(other),
            }
        }
    }

    fn expect_separator(&mut self, close: u8) -> Result<()> {
        match self.peek_byte()? {
            b',' => Ok(()),
            byte if byte == close => Ok(()),
            other => Err(self.error(JsonErrorKind::UnexpectedByte(other))),
        }
    }

    fn want(&mut self, kind: Kind, name: &'static str) -> Result<()> {
        if self.peek()? == kind {
            Ok(())
        } else {
            Err(self.error(JsonErrorKind::WrongType(name)))
        }
    }

    fn count(&mut self) -> Result<()> {
        if self.values >= self.limits.max_values {
            return Err(self.error(JsonErrorKind::TooManyValues(self.limits.max_values)));
        }
        self.values += 1;
        Ok(())
    }

    fn skip_space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
    }

    #[inline]
    fn peek_byte(&mut self) -> Result<u8> {
        match self.text.as_bytes().get(self.at) {
            Some(&byte) if byte > b' ' => Ok(byte),
            _ => {
                self.skip_space();
                let byte = self.text.as_bytes().get(self.at);
                byte.copied().ok_or(JsonError {
                    kind: JsonErrorKind::UnexpectedEnd,
                    at: self.at,
                })
            }
        }
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        let byte = self.text.as_bytes()[self.at];
        Err(self.error(JsonErrorKind::UnexpectedByte(byte)))
    }

    fn number_text(&mut self) -> Result<&'a str> {
        self.count()?;
        let rest = &self.text[self.at..];
        let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = rest.bytes().take_while(digits).count();
        self.at += len;
        Ok(&rest[..len])
    }

    fn bare_word(&mut self) -> Result<&'a str> {
        let rest = &self.text[self.at..];
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'-' | b'.');
        let len = rest.bytes().take_while(word).count();
        if len == 0 {
            let byte = self.peek_byte()?;
            return Err(self.error(JsonErrorKind::UnexpectedByte(byte)));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn raw_string(&mut self) -> Result<Cow<'a, str>> {
        let quote = self.text.as_bytes()[self.at];
        let start = self.at + 1;
        let plain = before_quote(&self.text.as_bytes()[start..], quote);
        if self.text.as_bytes().get(start + plain) == Some(&quote) {
            self.at = start + plain + 1;
            return Ok(Cow::Borrowed(&self.text[start..start + plain]));
        }
        let mut out = String::new();
        self.raw_string_into(&mut out)?;
        Ok(Cow::Owned(out))
    }

    fn raw_string_into(&mut self, out: &mut String) -> Result<()> {
        let quote = self.text.as_bytes()[self.at];
        self.at += 1;
        loop {
            let plain = before_quote(&self.text.as_bytes()[self.at..], quote);
            out.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.text.as_bytes().get(self.at) {
                None => return Err(self.error(JsonErrorKind::UnexpectedEnd)),
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => {
                    self.at += 1;
                    return Ok(());
                }
            }
        }
    }

    fn skip_string(&mut self) -> Result<()> {
        let quote = self.text.as_bytes()[self.at];
        self.at += 1;
        loop {
            self.at += before_quote(&self.text.as_bytes()[self.at..], quote);
            match self.text.as_bytes().get(self.at) {
                None => return Err(self.error(JsonErrorKind::UnexpectedEnd)),
                Some(b'\\') => {
                    self.escape()?;
                }
                Some(_) => {
                    self.at += 1;
                    return Ok(());
                }
            }
        }
    }

    /// One escape, the reader standing at its backslash. A surrogate without its other half becomes U+FFFD: Java
    /// strings can hold one, UTF-8 cannot.
    fn escape(&mut self) -> Result<char> {
        let code = self.text.as_bytes().get(self.at + 1).copied();
        let Some(code) = code else {
            return Err(self.error(JsonErrorKind::UnexpectedEnd));
        };
        let plain = match code {
            b'"' | b'\\' | b'/' | b'\'' => char::from(code),
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'v' => '\u{b}',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.error(JsonErrorKind::BadEscape)),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let Some(first) = self.hex4(self.at + 2) else {
            return Err(self.error(JsonErrorKind::BadEscape));
        };
        self.at += 6;
        if let Some(plain) = char::from_u32(first) {
            return Ok(plain);
        }
        let followed = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
        if (0xD800..0xDC00).contains(&first)
            && followed
            && let Some(second @ 0xDC00..0xE000) = self.hex4(self.at + 2)
        {
            self.at += 6;
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.text.as_bytes().get(at..at + 4)?;
        digits.iter().try_fold(0, |value, &digit| {
            Some(value * 16 + char::from(digit).to_digit(16)?)
        })
    }
}

#[cfg(test)]
mod tests;
