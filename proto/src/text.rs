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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_text() {
        assert!(matches!(lossy(b"abc"), Cow::Borrowed("abc")));
        assert_eq!(lossy(b"a\xffc"), "a\u{FFFD}c");
    }
}
