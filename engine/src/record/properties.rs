//! The property string: `name 0x01 value 0x02`, repeated; the last terminator may be missing.
//!
//! Readers of this format ignore an entry without a name or without a value, and let a later entry of the same name win.

use memchr::{memchr, memrchr};

/// Ends a name.
pub const NAME_END: u8 = 1;
/// Ends a value.
pub const VALUE_END: u8 = 2;

/// The property that holds a record's tag.
pub const TAGS: &str = "TAGS";

/// The entries of a property string, in order, each with its terminator if it has one.
pub(crate) fn entries(properties: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = properties;
    std::iter::from_fn(move || {
        let end = memchr(VALUE_END, rest).map_or(rest.len(), |at| at + 1);
        let entry = rest.split_off(..end)?;
        (!entry.is_empty()).then_some(entry)
    })
}

/// The value, if `entry` is called `name` and has one.
pub(crate) fn value<'a>(entry: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = entry.strip_prefix(name)?.strip_prefix(&[NAME_END])?;
    let value = value.strip_suffix(&[VALUE_END]).unwrap_or(value);
    (!value.is_empty()).then_some(value)
}

/// The value of the last entry called `name`.
pub(crate) fn find<'a>(properties: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if name.is_empty() || name.contains(&NAME_END) {
        return None;
    }
    let mut rest = properties;
    while !rest.is_empty() {
        let unterminated = rest.strip_suffix(&[VALUE_END]).unwrap_or(rest);
        let start = memrchr(VALUE_END, unterminated).map_or(0, |before| before + 1);
        if let Some(value) = value(&unterminated[start..], name) {
            return Some(value);
        }
        rest = &rest[..start];
    }
    None
}

/// What consume queues keep of a tag: Java's `String.hashCode` of it, which is over UTF-16 units, sign-extended. Clients
/// compute the same number of the tags they subscribe to.
pub fn tags_code(tag: &str) -> i64 {
    let hash = tag.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    i64::from(hash)
}

/// The tags code of a record with this tag: 0 without one.
pub(crate) fn tags_code_of(tag: Option<&[u8]>) -> i64 {
    let Some(tag) = tag else { return 0 };
    if tag.is_ascii() {
        // Each byte is a unit of its own.
        let hash = tag.iter().fold(0_i32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(i32::from(*byte))
        });
        return i64::from(hash);
    }
    tags_code(&String::from_utf8_lossy(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_java_does() {
        assert_eq!(tags_code(""), 0);
        assert_eq!(tags_code("TagA"), 2_598_919);
        assert_eq!(tags_code("polygenelubricants"), i64::from(i32::MIN));
        // One unit in UTF-16, then two.
        assert_eq!(tags_code("\u{e9}"), 0xe9);
        assert_eq!(tags_code("\u{1F600}"), 0xD83D * 31 + 0xDE00);
    }

    #[test]
    fn reads_as_other_readers_do() {
        let string = b"A\x011\x02\x01noname\x02B\x01\x02C\x02D\x01x\x01y\x02A\x012\x02E\x01last";
        let all: Vec<_> = entries(string).collect();
        assert_eq!(all.len(), 7);
        assert_eq!(all.concat(), string);
        assert_eq!(find(string, b"A"), Some(b"2".as_slice()));
        assert_eq!(find(string, b"B"), None);
        assert_eq!(find(string, b"C"), None);
        assert_eq!(find(string, b"D"), Some(b"x\x01y".as_slice()));
        assert_eq!(find(string, b"E"), Some(b"last".as_slice()));
        assert_eq!(find(string, b"D\x01x"), None);
        assert_eq!(find(string, b""), None);
        assert_eq!(
            find(b"A\x011\x02A\x01\x02", b"A"),
            Some(b"1".as_slice()),
            "an empty value does not count"
        );
        assert_eq!(find(b"\x02\x02", b"A"), None);
        assert_eq!(entries(b"").count(), 0);
    }

    #[test]
    fn a_tag_in_bytes_hashes_as_its_text() {
        for tag in ["", "TagA", "polygenelubricants", "\u{e9}", "a\u{1F600}b"] {
            assert_eq!(tags_code_of(Some(tag.as_bytes())), tags_code(tag), "{tag}");
        }
    }

    #[test]
    fn no_tag_is_zero() {
        assert_eq!(tags_code_of(None), 0);
        assert_eq!(
            tags_code_of(find(b"KEYS\x01k\x02TAGS\x01TagA", b"TAGS")),
            2_598_919
        );
    }
}
