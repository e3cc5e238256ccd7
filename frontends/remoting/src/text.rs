//! Texts of a header, to be kept beyond it.

use bytes::{Bytes, BytesMut};
use kourou_broker::Text;

/// Copies texts into one buffer that they then share: one allocation, however many there are.
pub(crate) fn share<const N: usize>(texts: [&str; N]) -> [Bytes; N] {
    let mut buffer = BytesMut::with_capacity(texts.iter().map(|text| text.len()).sum());
    for text in texts {
        buffer.extend_from_slice(text.as_bytes());
    }
    let all = buffer.freeze();
    let mut at = 0;
    texts.map(|text| {
        let start = at;
        at += text.len();
        all.slice(start..at)
    })
}

/// Bytes that came out of a `str`.
pub(crate) fn text(bytes: Bytes) -> Text {
    // They are UTF-8: `share` copied them from text.
    Text::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_share_one_buffer() {
        let [a, b, c] = share(["one", "", "three"]);
        assert_eq!(text(a.clone()), "one");
        assert_eq!(text(b), "");
        assert_eq!(text(c.clone()), "three");
        assert_eq!(a.as_ptr().wrapping_add(3), c.as_ptr());
    }
}
