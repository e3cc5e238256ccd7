//! The property string: `name \u{1} value \u{2}`, repeated. There is no escaping.
//!
//! Reading follows upstream: the last separator may be missing; an entry shorter than three characters, without a
//! name or without a value, is passed over.

/// Between a name and its value.
pub const NAME_VALUE_SEPARATOR: char = '\u{1}';
/// Behind a value.
pub const PROPERTY_SEPARATOR: char = '\u{2}';

/// The properties in a string, in order. A name may repeat; the last one counts.
pub fn iter(properties: &str) -> impl DoubleEndedIterator<Item = (&str, &str)> + Clone {
    properties.split(PROPERTY_SEPARATOR).filter_map(|entry| {
        let (name, value) = entry.split_once(NAME_VALUE_SEPARATOR)?;
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

/// The value under a name.
pub fn get<'p>(properties: &'p str, name: &str) -> Option<&'p str> {
    iter(properties)
        .rev()
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Appends a property. One without a name or a value would not be read back and is left out, as is one that holds a
/// separator.
///
/// Returns whether it was appended.
pub fn push(properties: &mut String, name: &str, value: &str) -> bool {
    let separator = [NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR];
    if name.is_empty() || value.is_empty() || name.contains(separator) || value.contains(separator) {
        return false;
    }
    if !properties.is_empty() && !properties.ends_with(PROPERTY_SEPARATOR) {
        properties.push(PROPERTY_SEPARATOR);
    }
    properties.push_str(name);
    properties.push(NAME_VALUE_SEPARATOR);
    properties.push_str(value);
    properties.push(PROPERTY_SEPARATOR);
    true
}

/// Writes properties into a string.
pub fn encode<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let mut properties = String::new();
    for (name, value) in pairs {
        push(&mut properties, name, value);
    }
    properties
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_entries() {
        let pairs = |text| iter(text).collect::<Vec<_>>();
        assert_eq!(pairs("a\u{1}b\u{2}c\u{1}d"), [("a", "b"), ("c", "d")]);
        assert_eq!(
            pairs("\u{2}a\u{1}\u{2}\u{1}b\u{2}ab\u{2}abc\u{2}a\u{1}b\u{1}c\u{2}"),
            [("a", "b\u{1}c")]
        );
        assert_eq!(pairs(""), []);
        assert_eq!(get("a\u{1}1\u{2}a\u{1}2\u{2}", "a"), Some("2"));
        assert_eq!(get("a\u{1}1\u{2}", "b"), None);
    }

    #[test]
    fn appending() {
        let mut text = String::from("a\u{1}b");
        assert!(push(&mut text, "c", "d"));
        assert!(!push(&mut text, "", "d"));
        assert!(!push(&mut text, "e", ""));
        assert!(!push(&mut text, "e", "\u{2}"));
        assert_eq!(text, "a\u{1}b\u{2}c\u{1}d\u{2}");
    }

    proptest! {
        #[test]
        fn round_trip(pairs in prop::collection::vec(("[^\u{1}\u{2}]{1,9}", "[^\u{1}\u{2}]{1,9}"), 0..9)) {
            let text = encode(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let read: Vec<_> = iter(&text).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(read, pairs);
        }
    }
}
