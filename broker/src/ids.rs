//! Unique ids for messages whose producer made none.
//!
//! ```text
//! 0                        10             14        16
//! | seed of this life      | time, 32 bits | counter |      as 32 hexadecimal digits, upper case
//! ```
//!
//! The time is in milliseconds since the month began (UTC), as tools expect it; the counter separates ids of one millisecond.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::send::push_hex;

const DAY_MS: i64 = 86_400_000;

/// Makes unique ids.
#[derive(Debug)]
pub(crate) struct MessageIds {
    seed: [u8; 10],
    counter: AtomicU32,
}

impl MessageIds {
    pub(crate) fn new(seed: [u8; 10]) -> Self {
        Self {
            seed,
            counter: AtomicU32::new(0),
        }
    }

    /// Appends a new id to `out`.
    pub(crate) fn push_next(&self, now_ms: i64, out: &mut String) {
        let time = (now_ms - month_start_ms(now_ms)) as u32;
        let counter = self.counter.fetch_add(1, Ordering::Relaxed) as u16;
        push_hex(out, &self.seed);
        push_hex(out, &time.to_be_bytes());
        push_hex(out, &counter.to_be_bytes());
    }
}

/// When the month of `now_ms` began. Days of the Gregorian calendar, counted in years that begin in March.
fn month_start_ms(now_ms: i64) -> i64 {
    let days = now_ms.div_euclid(DAY_MS) + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    (now_ms.div_euclid(DAY_MS) - day_of_month) * DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_where_calendars_say() {
        for (now_ms, start_ms) in [
            (0, 0),
            (30 * DAY_MS + 5, 0),
            (31 * DAY_MS, 31 * DAY_MS),
            // 2024-02-29T12:00:00Z and 2024-03-01T00:00:00Z.
            (1_709_208_000_000, 1_706_745_600_000),
            (1_709_251_200_000, 1_709_251_200_000),
            // 2026-11-25.
            (1_795_564_800_000, 1_793_491_200_000),
        ] {
            assert_eq!(month_start_ms(now_ms), start_ms, "{now_ms}");
        }
    }

    #[test]
    fn ids_differ_and_carry_the_time() {
        let ids = MessageIds::new([0xAB; 10]);
        let next = || {
            let mut id = String::new();
            ids.push_next(65_536, &mut id);
            id
        };
        let (first, second) = (next(), next());
        assert_eq!(first, "ABABABABABABABABABAB000100000000");
        assert_ne!(first, second);
    }
}
