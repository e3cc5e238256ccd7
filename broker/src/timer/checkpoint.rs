//! Timers in a checkpoint.
//!
//! ```text
//! u32 0xffffffff, u8 format 1, u64 count, then for each, in order of due time and position:
//!     varint   due_ms - that of the one before
//!     varint   position - that of the one before, 1 bit for the sign
//!     varint   size of the record
//!     u32      hash of the unique key
//! ```
//!
//! A varint holds seven bits a byte, the lowest first; the last byte's top bit is clear. Before there was a format it was
//! u32 count, then i64 due_ms, u64 position for each, in no order. No count was ever 0xffffffff.

use super::sorted::{Sorted, Timer};
use crate::state::Fields;

const MARK: u32 = u32::MAX;
const FORMAT: u8 = 1;
/// The fewest bytes that a timer takes.
const TIMER_SIZE_BYTES_MIN: usize = 7;

/// Writes those that wait, and others.
pub(super) fn encode(waiting: &Sorted, others: &[Timer], out: &mut Vec<u8>) {
    // Few: what may be in flight, and what could not be read.
    let others: Sorted = others.iter().copied().collect();
    let count = waiting.len() + others.len();
    out.extend_from_slice(&MARK.to_le_bytes());
    out.push(FORMAT);
    out.extend_from_slice(&(count as u64).to_le_bytes());
    out.reserve(count.saturating_mul(12));
    let (mut due_ms, mut position) = (0_i64, 0_u64);
    for timer in merged(waiting.iter(), others.iter()) {
        put(out, timer.due_ms.wrapping_sub(due_ms).cast_unsigned());
        let step = timer.position.wrapping_sub(position).cast_signed();
        put(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
        put(out, timer.size_bytes.into());
        out.extend_from_slice(&timer.key_hash.to_le_bytes());
        (due_ms, position) = (timer.due_ms, timer.position);
    }
}

fn merged<'a>(
    one: impl Iterator<Item = &'a Timer>,
    other: impl Iterator<Item = &'a Timer>,
) -> impl Iterator<Item = &'a Timer> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    let order = |timer: &&Timer| (timer.due_ms, timer.position);
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if order(second) < order(first) => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

/// Reads them; `None` if the bytes are not timers.
pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Sorted> {
    let mut ahead = *fields;
    if ahead.u32()? != MARK {
        return decode_before_formats(fields);
    }
    *fields = ahead;
    if fields.u8()? != FORMAT {
        return None;
    }
    let count = usize::try_from(fields.u64()?).ok()?;
    if count > fields.size_bytes() / TIMER_SIZE_BYTES_MIN {
        return None;
    }
    let (mut due_ms, mut position) = (0_i64, 0_u64);
    let mut timers = Sorted::default();
    for _ in 0..count {
        due_ms = due_ms.wrapping_add(take(fields)?.cast_signed());
        let step = take(fields)?;
        let step = (step >> 1).cast_signed() ^ -(step & 1).cast_signed();
        position = position.wrapping_add(step.cast_unsigned());
        timers.insert(Timer {
            due_ms,
            position,
            size_bytes: u32::try_from(take(fields)?).ok()?,
            key_hash: fields.u32()?,
        });
    }
    Some(timers)
}

fn decode_before_formats(fields: &mut Fields<'_>) -> Option<Sorted> {
    (0..fields.count()?)
        .map(|_| {
            Some(Timer {
                due_ms: fields.i64()?,
                position: fields.u64()?,
                size_bytes: 0,
                key_hash: 0,
            })
        })
        .collect()
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(fields: &mut Fields<'_>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = fields.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::Writer;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            all in proptest::collection::vec((any::<i64>(), any::<u64>(), any::<u32>(), any::<u32>()), 0..40),
            others in 0_usize..40,
        ) {
            let timers: Vec<Timer> = all
                .into_iter()
                .map(|(due_ms, position, size_bytes, key_hash)| Timer { due_ms, position, size_bytes, key_hash })
                .collect();
            let (waiting, others) = timers.split_at(others.min(timers.len()));
            let mut bytes = Vec::new();
            encode(&waiting.iter().copied().collect(), others, &mut bytes);
            let mut fields = Fields::new(&bytes);
            let read = decode(&mut fields).unwrap();
            prop_assert!(fields.is_empty());
            let all: Sorted = timers.iter().copied().collect();
            prop_assert!(read.iter().eq(all.iter()));
            for end in 0..bytes.len() {
                prop_assert!(decode(&mut Fields::new(&bytes[..end])).is_none());
            }
        }

        #[test]
        fn anything_else_is_refused_or_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let marked = [&MARK.to_le_bytes()[..], &[FORMAT], &bytes].concat();
            decode(&mut Fields::new(&bytes));
            decode(&mut Fields::new(&marked));
        }
    }

    #[test]
    fn neighbours_take_few_bytes() {
        let timers: Sorted = (0..100_000)
            .map(|at| Timer {
                due_ms: 1_700_000_000_000 + at / 10,
                position: 77 + at as u64 * 300,
                size_bytes: 300,
                key_hash: 0x1234_5678,
            })
            .collect();
        let mut bytes = Vec::new();
        encode(&timers, &[], &mut bytes);
        assert!(bytes.len() <= 100_000 * 9 + 64, "{} bytes", bytes.len());
    }

    #[test]
    fn those_of_before_there_was_a_format_are_read() {
        let mut out = Writer::new();
        out.count(2);
        for (due_ms, position) in [(20, 7), (10, 9)] {
            out.i64(due_ms);
            out.u64(position);
        }
        let timers = decode(&mut Fields::new(&out.finish())).unwrap();
        let all: Vec<_> = timers
            .iter()
            .map(|timer| (timer.due_ms, timer.position))
            .collect();
        assert_eq!(all, [(10, 9), (20, 7)]);
    }
}
