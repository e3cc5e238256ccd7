//! Writes JSON in the shape the other side reads.

use bytes::{BufMut, BytesMut};

use super::scan::before_escape;

/// How keys that are not text are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyStyle {
    /// As fastjson does: integers without quotes.
    #[default]
    Fastjson,
    /// As the standard asks: integers in quotes.
    Standard,
}

/// Appends one JSON document to a buffer. Keys are written in the order they are given; Java writes them sorted.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
    style: KeyStyle,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut BytesMut, style: KeyStyle) -> Self {
        Self { out, style }
    }

    /// How keys that are not text are written.
    pub fn style(&self) -> KeyStyle {
        self.style
    }

    /// `{`
    pub fn open_object(&mut self) {
        self.out.put_u8(b'{');
    }

    /// `}`, taking back the comma after the last member.
    pub fn close_object(&mut self) {
        self.take_comma();
        self.out.put_u8(b'}');
    }

    /// `[`
    pub fn open_array(&mut self) {
        self.out.put_u8(b'[');
    }

    /// `]`, taking back the comma after the last element.
    pub fn close_array(&mut self) {
        self.take_comma();
        self.out.put_u8(b']');
    }

    /// A quoted key and its colon.
    pub fn key(&mut self, key: &str) {
        self.string(key);
        self.colon();
    }

    /// `:`
    pub fn colon(&mut self) {
        self.out.put_u8(b':');
    }

    /// `,` after a member or an element; the closing bracket takes the last one back.
    pub fn comma(&mut self) {
        self.out.put_u8(b',');
    }

    /// Text that needs no escaping: a number or a literal.
    pub fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A floating point number, with a fraction as Java writes it; what is not finite has no JSON and becomes null.
    pub fn float(&mut self, value: f64) {
        if value.is_finite() {
            self.out.extend_from_slice(format!("{value:?}").as_bytes());
        } else {
            self.raw("null");
        }
    }

    /// A quoted string.
    pub fn string(&mut self, text: &str) {
        self.out.put_u8(b'"');
        escape_into(self.out, text);
        self.out.put_u8(b'"');
    }

    /// An integer as a key, quoted or not by style.
    pub fn integer_key(&mut self, key: i64) {
        match self.style {
            KeyStyle::Fastjson => self.integer(key),
            KeyStyle::Standard => {
                self.out.put_u8(b'"');
                self.integer(key);
                self.out.put_u8(b'"');
            }
        }
        self.colon();
    }

    fn take_comma(&mut self) {
        if self.out.last() == Some(&b',') {
            self.out.truncate(self.out.len() - 1);
        }
    }
}

/// Appends `text` with everything escaped that may not stand inside quotes.
pub(crate) fn escape_into(out: &mut BytesMut, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text.as_bytes();
    loop {
        let plain = before_escape(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&escaped) = rest.get(plain) else {
            return;
        };
        match escaped {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.put_u8(HEX[usize::from(control >> 4)]);
                out.put_u8(HEX[usize::from(control & 15)]);
            }
        }
        rest = &rest[plain + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_java_does() {
        let mut out = BytesMut::new();
        escape_into(&mut out, "a\u{1}b\u{2}\"\\\n\u{1f}\u{20ac}");
        assert_eq!(&out[..], "a\\u0001b\\u0002\\\"\\\\\\n\\u001F\u{20ac}".as_bytes());
    }

    #[test]
    fn keys_by_style() {
        for (style, want) in [
            (KeyStyle::Fastjson, "{0:1,\"k\":[]}"),
            (KeyStyle::Standard, "{\"0\":1,\"k\":[]}"),
        ] {
            let mut out = BytesMut::new();
            let mut writer = Writer::new(&mut out, style);
            writer.open_object();
            writer.integer_key(0);
            writer.integer(1);
            writer.comma();
            writer.key("k");
            writer.open_array();
            writer.close_array();
            writer.comma();
            writer.close_object();
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
    }
}
