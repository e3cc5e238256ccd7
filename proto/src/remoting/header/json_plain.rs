//! The JSON header as machines write it: no spaces, members that are known, values of their usual kinds. Every client of today
//! writes it so, and a request in five costs as much to read as to store; anything else is left to the general reader.

use super::Header;
use crate::json::before_quote;
use crate::limits::{MAX_EXT_FIELDS, MAX_EXT_KEY_BYTES};
use crate::remoting::fields::ExtFields;
use crate::remoting::language::Language;

/// Members of a header beside its fields; there are eight to know.
const MEMBERS_MAX: usize = 16;

/// Reads `text` into `header`, which is empty. `None`: it is not as expected, and what `header` holds means nothing.
pub(super) fn decode(header: &mut Header, text: &str) -> Option<()> {
    let mut input = Input { text, at: 0 };
    input.expect(b'{')?;
    for _ in 0..MEMBERS_MAX {
        match input.key()? {
            "code" => header.code = input.integer()?,
            "version" => header.version = input.integer()?,
            "opaque" => header.opaque = input.integer()?,
            "flag" => header.flag = input.integer()?,
            "language" => header.language = Language::from_name(input.string()?),
            "remark" => header.remark = Some(input.string()?.to_owned().into()),
            "serializeTypeCurrentRPC" => {
                input.string()?;
            }
            "extFields" if header.fields.is_empty() => input.fields(&mut header.fields)?,
            _ => return None,
        }
        if input.ends()? {
            return (input.at == text.len()).then_some(());
        }
    }
    None
}

struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.byte()? == wanted).then_some(())
    }

    /// What follows a member: whether the object ends.
    fn ends(&mut self) -> Option<bool> {
        match self.byte()? {
            b',' => Some(false),
            b'}' => Some(true),
            _ => None,
        }
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        self.at += before_quote(&self.text.as_bytes()[start..], b'"');
        let end = self.at;
        self.expect(b'"')?;
        self.text.get(start..end)
    }

    fn key(&mut self) -> Option<&'a str> {
        let key = self.string()?;
        self.expect(b':')?;
        Some(key)
    }

    /// An integer that cannot overflow on the way.
    fn integer(&mut self) -> Option<i32> {
        const DIGITS_MAX: usize = 18;
        let rest = &self.text.as_bytes()[self.at..];
        let (negative, digits) = match rest.split_first()? {
            (b'-', digits) => (true, digits),
            _ => (false, rest),
        };
        let mut value = 0_i64;
        let mut len = 0;
        while let Some(digit) = digits.get(len).filter(|digit| digit.is_ascii_digit()) {
            if len == DIGITS_MAX {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            len += 1;
        }
        if len == 0 {
            return None;
        }
        self.at += len + usize::from(negative);
        i32::try_from(if negative { -value } else { value }).ok()
    }

    fn fields(&mut self, fields: &mut ExtFields) -> Option<()> {
        self.expect(b'{')?;
        if self.text.as_bytes().get(self.at) == Some(&b'}') {
            self.at += 1;
            return Some(());
        }
        while fields.len() < MAX_EXT_FIELDS {
            let key = self.key().filter(|key| key.len() <= MAX_EXT_KEY_BYTES)?;
            fields
                .push_with(key, |value| self.string_into(value).ok_or(()))
                .ok()?;
            if self.ends()? {
                return Some(());
            }
        }
        None
    }

    /// Appends a string to `out`. Of the escapes only those of control characters and of a quote or a backslash: property
    /// strings are full of the first.
    fn string_into(&mut self, out: &mut String) -> Option<()> {
        self.expect(b'"')?;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let run = before_quote(rest, b'"');
            out.push_str(self.text.get(self.at..self.at + run)?);
            self.at += run;
            match rest[run..] {
                [b'"', ..] => {
                    self.at += 1;
                    return Some(());
                }
                [b'\\', b'u', b'0', b'0', b'0', digit @ b'0'..=b'9', ..] => {
                    out.push(char::from(digit - b'0'));
                    self.at += 6;
                }
                [b'\\', quoted @ (b'"' | b'\\'), ..] => {
                    out.push(char::from(quoted));
                    self.at += 2;
                }
                _ => return None,
            }
        }
    }
}
