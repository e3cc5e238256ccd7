//! Java's hash of a string, by which tags are compared and keys are indexed.

/// `String.hashCode()`: over UTF-16 units, with wrapping 32 bit arithmetic.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// What the consume queue keeps of a message's tag: its hash, 0 without one.
pub fn tag_code(tag: Option<&str>) -> i64 {
    tag.map_or(0, |tag| i64::from(java_hash(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_java_hashes() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("\u{6807}\u{7b7e}"), 857_175);
        assert_eq!(java_hash("\u{1F680}x"), 54_963_957);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(tag_code(Some("polygenelubricants")), -2_147_483_648);
        assert_eq!(tag_code(None), 0);
    }
}
