//! The checksum property: the last 20 bytes of a record, which cover all bytes before them.
//!
//! Apache RocketMQ knows the same property (its `enabledAppendPropCRC`), so records that carry it are ordinary records to
//! every client.

use super::properties::VALUE_END;

/// Bytes of the whole property: name, separator, ten digits, terminator.
pub(crate) const PROPERTY_SIZE: usize = DIGITS_AT + DIGITS + 1;

const DIGITS: usize = 10;
const DIGITS_AT: usize = 9;
/// The property up to its digits.
const TEMPLATE_NAME: &[u8; DIGITS_AT] = b"__CRC32#\x01";
/// What each digit counts, in their order.
const UNITS: [u32; DIGITS] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// How many of the property's ten fixed bytes may be wrong for it to be still taken for a damaged checksum property
/// rather than for some other property. Without this a flipped bit in the name would switch the check off.
const DAMAGED_BYTES_MAX: usize = 2;

/// The CRC-32 that records carry: the top bit is left out, as other readers take it for a sign.
pub(crate) fn crc31(bytes: &[u8]) -> u32 {
    strip(crc32fast::hash(bytes))
}

/// Leaves the top bit out.
pub(crate) const fn strip(crc: u32) -> u32 {
    crc & 0x7FFF_FFFF
}

/// The property with its digits at zero, to be filled by [`write_digits`].
pub(crate) const fn template() -> [u8; PROPERTY_SIZE] {
    *b"__CRC32#\x010000000000\x02"
}

/// Writes `crc` into a property made by [`template`].
pub(crate) fn write_digits(property: &mut [u8; PROPERTY_SIZE], crc: u32) {
    // Each digit for itself, so that none waits for another.
    for (digit, unit) in property[DIGITS_AT..DIGITS_AT + DIGITS].iter_mut().zip(UNITS) {
        // The remainder is below ten, so the cast loses nothing.
        *digit = b'0' + (crc / unit % 10) as u8;
    }
}

/// What the end of a record's properties says about its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no checksum property.
    Absent,
    /// There is one, as far as its fixed bytes tell; see [`read_digits`].
    Present,
    /// There was one, but it is not whole.
    Damaged,
}

/// Looks for the checksum property at the end of `properties`.
pub(crate) fn find(properties: &[u8]) -> Found {
    let Some(property) = properties.last_chunk::<PROPERTY_SIZE>() else {
        return Found::Absent;
    };
    let (name, rest) = property.split_at(DIGITS_AT);
    if name == TEMPLATE_NAME && rest.ends_with(&[VALUE_END]) {
        return Found::Present;
    }
    let wrong_in_name = name
        .iter()
        .zip(TEMPLATE_NAME)
        .filter(|(is, should)| is != should)
        .count();
    let wrong = wrong_in_name + usize::from(!rest.ends_with(&[VALUE_END]));
    if wrong <= DAMAGED_BYTES_MAX {
        Found::Damaged
    } else {
        Found::Absent
    }
}

/// The checksum that the property at the end of `properties` holds, if that is a number.
pub(crate) fn read_digits(properties: &[u8]) -> Option<u32> {
    let property = properties.last_chunk::<PROPERTY_SIZE>()?;
    let mut value = 0_u64;
    for (digit, unit) in property[DIGITS_AT..DIGITS_AT + DIGITS].iter().zip(UNITS) {
        if !digit.is_ascii_digit() {
            return None;
        }
        value += u64::from(digit - b'0') * u64::from(unit);
    }
    u32::try_from(value).ok()
}

/// Whether one property, `name 0x01 value`, is a checksum property.
pub(crate) fn is_checksum(entry: &[u8]) -> bool {
    entry.starts_with(TEMPLATE_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_go_least_significant_first() {
        let mut property = template();
        write_digits(&mut property, 1_234_567_890);
        assert_eq!(&property, b"__CRC32#\x010987654321\x02");
        assert_eq!(read_digits(&property), Some(1_234_567_890));
        write_digits(&mut property, 42);
        assert_eq!(&property, b"__CRC32#\x012400000000\x02");
        assert_eq!(read_digits(&property), Some(42));
    }

    #[test]
    fn every_flipped_bit_of_the_fixed_part_is_damage_not_absence() {
        let mut whole = template();
        write_digits(&mut whole, 77);
        for bit in 0..PROPERTY_SIZE * 8 {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(find(&flipped), Found::Absent, "bit {bit}");
            let same = find(&flipped) == Found::Present && read_digits(&flipped) == Some(77);
            assert!(!same, "bit {bit}");
        }
    }

    #[test]
    fn other_properties_are_not_taken_for_it() {
        assert_eq!(find(b""), Found::Absent);
        assert_eq!(
            find(b"KEYS\x01a\x02TAGS\x01bcdefghijklmnopqrst\x02"),
            Found::Absent
        );
        assert_eq!(find(b"__CRC32\x010123456789\x02"), Found::Absent);
    }

    #[test]
    fn a_value_beyond_32_bits_is_damage() {
        assert_eq!(read_digits(b"__CRC32#\x019999999999\x02"), None);
        assert_eq!(read_digits(b"__CRC32#\x01123456789x\x02"), None);
    }
}
