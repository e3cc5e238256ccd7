//! Finding the bytes that mean something in a string, eight at a time.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The high bit of the lowest byte that is zero, and perhaps of higher ones; none if no byte is.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// The same for bytes equal to `byte`.
const fn equal(word: u64, byte: u8) -> u64 {
    zeros(word ^ (ONES * byte as u64))
}

/// How many bytes come before the first that `hits` marks in its word or `hit` says of itself.
fn run(bytes: &[u8], hits: impl Fn(u64) -> u64, hit: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let found = hits(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = after;
    }
    at + rest.iter().position(|byte| hit(*byte)).unwrap_or(rest.len())
}

/// Length of the run before the closing quote or a backslash.
pub(crate) fn before_quote(bytes: &[u8], quote: u8) -> usize {
    run(
        bytes,
        |word| equal(word, quote) | equal(word, b'\\'),
        |byte| byte == quote || byte == b'\\',
    )
}

/// Length of the run that may stand inside quotes as it is.
pub(super) fn before_escape(bytes: &[u8]) -> usize {
    // Below 0x20: the subtraction borrows, unless the byte has its high bit anyway.
    let control = |word: u64| word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    run(
        bytes,
        |word| control(word) | equal(word, b'"') | equal(word, b'\\'),
        |byte| byte < 0x20 || byte == b'"' || byte == b'\\',
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    for fill in [b'a', 0x7f, 0x80, 0xff] {
                        let mut bytes = vec![fill; len];
                        bytes[at] = byte;
                        let plain = |byte: u8| byte != b'"' && byte != b'\\';
                        let wanted = if plain(byte) { len } else { at };
                        assert_eq!(before_quote(&bytes, b'"'), wanted, "{bytes:?}");
                        let wanted = if plain(byte) && byte >= 0x20 { len } else { at };
                        assert_eq!(before_escape(&bytes), wanted, "{bytes:?}");
                    }
                }
            }
        }
    }
}
