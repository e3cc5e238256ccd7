//! Small things about text that both codecs need on every request.

use std::borrow::Cow;

/// Bytes as text; what is not UTF-8 becomes U+FFFD, as Java does it.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    // The standard's lossy conversion goes byte by byte; the plain check does not, and nearly always suffices.
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// The decimal form of an integer, without an allocation.
pub(crate) struct Decimal {
    digits: [u8; Self::LEN],
    start: usize,
}

impl Decimal {
    /// The longest 64 bit integer with its sign.
    const LEN: usize = 20;

    pub(crate) fn new(value: i64) -> Self {
        let mut digits = [b'0'; Self::LEN];
        let mut start = Self::LEN;
        let mut rest = value.unsigned_abs();
        loop {
            start -= 1;
            // A remainder by ten fits a byte.
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            start -= 1;
            digits[start] = b'-';
        }
        Self { digits, start }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }

    pub(crate) fn as_str(&self) -> &str {
        // Digits and a sign are text.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_at_both_ends() {
        for value in [0, 7, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(Decimal::new(value).as_str(), value.to_string());
        }
    }

    #[test]
    fn not_text() {
        assert!(matches!(lossy(b"abc"), Cow::Borrowed("abc")));
        assert_eq!(lossy(b"a\xffc"), "a\u{FFFD}c");
    }
}
