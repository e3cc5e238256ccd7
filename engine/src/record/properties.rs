//! The property string: `name 0x01 value 0x02`, repeated; the last terminator may be missing.
//!
//! Readers of this format ignore an entry without a name or without a value, and let a later entry of the same name win.

/// Ends a name.
pub const NAME_END: u8 = 1;
/// Ends a value.
pub const VALUE_END: u8 = 2;

/// The property that holds a record's tag.
pub const TAGS: &str = "TAGS";

/// The entries of a property string, in order, without those that readers ignore.
pub(crate) fn entries(properties: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    properties.split(|byte| *byte == VALUE_END).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == NAME_END)?;
        let (name, rest) = entry.split_at(at);
        let value = &rest[1..];
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

/// The value of the last entry called `name`.
pub(crate) fn find<'a>(properties: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    entries(properties)
        .filter(|(found, _)| *found == name)
        .last()
        .map(|(_, value)| value)
}

/// What consume queues keep of a tag: Java's `String.hashCode` of it, which is over UTF-16 units, sign-extended. Clients
/// compute the same number of the tags they subscribe to.
pub fn tags_code(tag: &str) -> i64 {
    let hash = tag.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    i64::from(hash)
}

/// The tags code of a record with these properties: 0 without a tag.
pub(crate) fn tags_code_of(properties: &[u8]) -> i64 {
    find(properties, TAGS.as_bytes()).map_or(0, |tag| tags_code(&String::from_utf8_lossy(tag)))
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
        assert_eq!(
            all,
            [
                (b"A".as_slice(), b"1".as_slice()),
                (b"D", b"x\x01y"),
                (b"A", b"2"),
                (b"E", b"last"),
            ]
        );
        assert_eq!(find(string, b"A"), Some(b"2".as_slice()));
        assert_eq!(find(string, b"B"), None);
        assert_eq!(find(string, b"C"), None);
        assert_eq!(find(string, b"E"), Some(b"last".as_slice()));
    }

    #[test]
    fn no_tag_is_zero() {
        assert_eq!(tags_code_of(b"KEYS\x01k\x02"), 0);
        assert_eq!(tags_code_of(b"KEYS\x01k\x02TAGS\x01TagA"), 2_598_919);
    }
}
