//! The checksum property: the last 20 bytes of a record, which cover all bytes before them.
//!
//! Apache RocketMQ knows the same property (its `enabledAppendPropCRC`), so records that carry it are ordinary records to
//! every client.

use super::properties::NAME_END;

/// The property's name.
pub(crate) const NAME: &[u8] = b"__CRC32#";
/// Bytes of the whole property: name, separator, ten digits, terminator.
pub(crate) const PROPERTY_SIZE: usize = NAME.len() + 1 + DIGITS + 1;

const DIGITS: usize = 10;
const DIGITS_AT: usize = NAME.len() + 1;

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
    let mut rest = crc;
    for digit in &mut property[DIGITS_AT..DIGITS_AT + DIGITS] {
        // The remainder is below ten, so the cast loses nothing.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// What the end of a record's properties says about its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no checksum property.
    Absent,
    /// The checksum.
    Crc(u32),
    /// There was one, but it is not whole.
    Damaged,
}

/// Looks for the checksum property at the end of `properties`.
pub(crate) fn find(properties: &[u8]) -> Found {
    let Some(property) = properties.last_chunk::<PROPERTY_SIZE>() else {
        return Found::Absent;
    };
    let mut wrong = 0;
    for (at, (is, should)) in property.iter().zip(&template()).enumerate() {
        if !(DIGITS_AT..DIGITS_AT + DIGITS).contains(&at) && is != should {
            wrong += 1;
        }
    }
    match wrong {
        0 => read_digits(property).map_or(Found::Damaged, Found::Crc),
        1..=DAMAGED_BYTES_MAX => Found::Damaged,
        _ => Found::Absent,
    }
}

fn read_digits(property: &[u8; PROPERTY_SIZE]) -> Option<u32> {
    let mut value = 0_u64;
    for digit in property[DIGITS_AT..DIGITS_AT + DIGITS].iter().rev() {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    u32::try_from(value).ok()
}

/// Whether one property, `name 0x01 value`, is a checksum property.
pub(crate) fn is_checksum(entry: &[u8]) -> bool {
    entry
        .strip_prefix(NAME)
        .is_some_and(|rest| rest.first() == Some(&NAME_END))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_go_least_significant_first() {
        let mut property = template();
        write_digits(&mut property, 1_234_567_890);
        assert_eq!(&property, b"__CRC32#\x010987654321\x02");
        assert_eq!(find(&property), Found::Crc(1_234_567_890));
        write_digits(&mut property, 42);
        assert_eq!(&property, b"__CRC32#\x012400000000\x02");
        assert_eq!(find(&property), Found::Crc(42));
    }

    #[test]
    fn every_flipped_bit_of_the_fixed_part_is_damage_not_absence() {
        let mut whole = template();
        write_digits(&mut whole, 77);
        for bit in 0..PROPERTY_SIZE * 8 {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(find(&flipped), Found::Absent, "bit {bit}");
            assert_ne!(find(&flipped), Found::Crc(77), "bit {bit}");
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
        assert_eq!(find(b"__CRC32#\x019999999999\x02"), Found::Damaged);
    }
}
