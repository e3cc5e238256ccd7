//! Keys of a record, and the hash under which the key index knows them.
//!
//! A record has the unique key that its producer (or the broker) gave it, and the keys that its sender put into `KEYS`, separated
//! by blanks. Both are looked up together with the topic. The hash is part of the index files' format:
//!
//! ```text
//! mix(a, b) = low half ^ high half of the 128-bit product a * b
//! h = fold(0, topic) ; h = fold(h, key)
//! fold(h, bytes): for each 8 bytes, little-endian, the last ones filled up with zeros: h = mix(h ^ word ^ A, B)
//!                 h = mix(h ^ length ^ C, D)
//! ```
//!
//! It need not resist an attacker: a look-up compares the keys themselves, and looks at a bounded number of records.

use super::properties;

/// The property that holds a record's keys, separated by blanks.
pub const KEYS: &str = "KEYS";
/// The property that holds a record's unique key.
pub const UNIQ_KEY: &str = "UNIQ_KEY";

/// Separates the keys in [`KEYS`].
const KEY_SEPARATOR: u8 = b' ';

/// Keys of one record that are indexed, the unique key included; further ones cannot be looked up. It bounds what a message
/// costs in the index: upstream has no such bound. Clients that trace send the traces of a hundred messages as one, with the keys of
/// all of them.
pub const KEYS_PER_RECORD_MAX: usize = u8::MAX as usize;

const A: u64 = 0x9E37_79B9_7F4A_7C15;
const B: u64 = 0xD6E8_FEB8_6659_FD93;
const C: u64 = 0xA076_1D64_78BD_642F;
const D: u64 = 0xE703_7ED1_A0B4_28DB;

/// The hash of a topic and a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(u64);

impl KeyHash {
    /// The hash of `key` in `topic`.
    pub fn new(topic: &str, key: &[u8]) -> Self {
        TopicHash::new(topic).key(key)
    }

    /// All of it.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// What the hashes of a topic's keys begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicHash(u64);

impl TopicHash {
    pub(crate) fn new(topic: &str) -> Self {
        Self(fold(0, topic.as_bytes()))
    }

    pub(crate) fn key(self, key: &[u8]) -> KeyHash {
        KeyHash(fold(self.0, key))
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

fn fold(begin: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = words
        .iter()
        .fold(begin, |hash, word| mix(hash ^ u64::from_le_bytes(*word) ^ A, B));
    if !rest.is_empty() {
        let word = rest
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = mix(hash ^ word ^ A, B);
    }
    mix(hash ^ bytes.len() as u64 ^ C, D)
}

/// The keys in the value of [`KEYS`].
pub(crate) fn keys(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == KEY_SEPARATOR)
        .filter(|key| !key.is_empty())
}

/// The keys of a record, as far as they are indexed, the unique key first.
pub(crate) fn indexed<'a>(
    unique: Option<&'a [u8]>,
    value_of_keys: Option<&'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    unique
        .into_iter()
        .chain(value_of_keys.into_iter().flat_map(keys))
        .take(KEYS_PER_RECORD_MAX)
}

/// Which keys a look-up compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    /// The unique key and all others.
    #[default]
    Any,
    /// The unique key alone.
    Unique,
}

/// Whether a record with these properties has the key.
pub(crate) fn has_key(properties: &[u8], key: &[u8], kind: KeyKind) -> bool {
    if key.is_empty() {
        return false;
    }
    properties::find(properties, UNIQ_KEY.as_bytes()) == Some(key)
        || kind == KeyKind::Any
            && properties::find(properties, KEYS.as_bytes())
                .is_some_and(|value| keys(value).any(|one| one == key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes are on disks.
    #[test]
    fn hashes_stay_as_they_are() {
        let cases: [(&str, &[u8], u64); 4] = [
            ("", b"", 0x832F_F0D4_5093_5050),
            ("orders", b"k", 0xB57A_67E3_33D0_3888),
            (
                "orders",
                b"7F0000010A2B3C4D5E6F00000001FFFF",
                0xA8DA_7240_7A0E_7D77,
            ),
            ("orders", b"12345678", 0xD859_A173_79D7_F94D),
        ];
        for (topic, key, hash) in cases {
            assert_eq!(KeyHash::new(topic, key).value(), hash, "{topic} {key:?}");
        }
    }

    #[test]
    fn hashes_tell_topics_keys_and_their_border_apart() {
        let mut hashes = std::collections::HashSet::new();
        for topic in ["a", "ab", "b", "abcdefgh", "abcdefghi"] {
            for at in 0..10_000_u32 {
                assert!(hashes.insert(KeyHash::new(topic, at.to_string().as_bytes()).value() >> 16));
            }
        }
        assert_ne!(KeyHash::new("ab", b"c"), KeyHash::new("a", b"bc"));
        assert_ne!(KeyHash::new("a", b"c\0"), KeyHash::new("a", b"c"));
    }

    #[test]
    fn keys_are_what_stands_between_blanks() {
        let of = |unique, value| indexed(unique, value).collect::<Vec<_>>();
        assert_eq!(of(None, None), [b""; 0]);
        assert_eq!(of(Some(b"u"), Some(b" a  bc ")), [b"u".as_slice(), b"a", b"bc"]);
        let many = b"k ".repeat(1_000);
        assert_eq!(of(Some(b"u"), Some(&many)).len(), KEYS_PER_RECORD_MAX);
    }

    #[test]
    fn a_key_is_compared_as_a_whole() {
        let properties = b"KEYS\x01red blue\x02UNIQ_KEY\x01id\x02";
        let has = |key: &[u8], kind| has_key(properties, key, kind);
        for key in [b"red".as_slice(), b"blue", b"id"] {
            assert!(has(key, KeyKind::Any));
        }
        for key in [b"".as_slice(), b"re", b"red blue", b"i"] {
            assert!(!has(key, KeyKind::Any));
        }
        assert!(has(b"id", KeyKind::Unique) && !has(b"red", KeyKind::Unique));
    }
}
