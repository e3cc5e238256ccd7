//! Messages that become visible later: after a delay level, or at a time.
//!
//! A delayed message is stored under the schedule topic, one that waits for a time under the timer topic, and it becomes a
//! timer when its record is applied. When it is due its content is appended again, under its real topic, with the delayed
//! record's position in `prepared_transaction_offset`; when *that* record is applied the timer is gone. So one durable append
//! both delivers and ends a timer, and a crash leaves it either waiting or delivered. A recall ends it by a state record
//! instead. Before a segment expires its timers are appended once more, as they are, each naming the record that it is in the place of: that ends
//! the one and adds the other. No record lies at position 0, where the log's first group mark is, so 0 there means no timer.

mod carry;
mod checkpoint;
mod delay;
mod deliver;
mod handle;
mod recall;
mod sorted;
mod table;

use kourou_engine::record::RecordView;

pub use delay::DelayError;
pub(crate) use delay::{DUE_PROPERTY_SIZE_BYTES_MAX, Delay, push_due};
pub(crate) use handle::RecallHandle;
pub use recall::{RecallError, RecallRequest};
pub(crate) use sorted::Timer;
pub(crate) use table::TimerTable;

use crate::name::{SCHEDULE_TOPIC, TIMER_TOPIC};
use crate::property::{REAL_TOPIC, TIMER_OUT_MS, UNIQ_KEY};
/// How long each delay level waits, level 1 first.
pub const DELAY_LEVELS_MS: [i64; 18] = {
    const S: i64 = 1_000;
    const M: i64 = 60 * S;
    const H: i64 = 60 * M;
    [
        S,
        5 * S,
        10 * S,
        30 * S,
        M,
        2 * M,
        3 * M,
        4 * M,
        5 * M,
        6 * M,
        7 * M,
        8 * M,
        9 * M,
        10 * M,
        20 * M,
        30 * M,
        H,
        2 * H,
    ]
};

/// The highest level; whoever asks for more gets this.
pub(crate) const DELAY_LEVEL_MAX: i32 = DELAY_LEVELS_MS.len() as i32;

/// When a message in this queue of the schedule topic is due. A queue without a level is due at once.
pub(crate) fn due_ms(queue_id: u32, store_ms: i64) -> i64 {
    let delay_ms = DELAY_LEVELS_MS.get(queue_id as usize).copied().unwrap_or(0);
    store_ms.saturating_add(delay_ms)
}

/// The timer that a record becomes when it is applied, if it does.
pub(crate) fn timer_of(record: &RecordView<'_>) -> Option<Timer> {
    let (due_ms, key_hash) = match record.topic() {
        SCHEDULE_TOPIC => (due_ms(record.queue_id(), record.store_ms()), 0),
        TIMER_TOPIC => {
            let due_ms = record.property(TIMER_OUT_MS).and_then(|ms| ms.parse().ok());
            let key = record.property(REAL_TOPIC).zip(record.property(UNIQ_KEY));
            (
                due_ms.unwrap_or_else(|| record.store_ms()),
                key.map_or(0, |(topic, key)| recall::key_hash(topic, key)),
            )
        }
        _ => return None,
    };
    Some(Timer {
        due_ms,
        position: record.position(),
        size_bytes: record.size_bytes(),
        key_hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_that_clients_expect() {
        assert_eq!(due_ms(0, 100), 1_100);
        assert_eq!(due_ms(17, 0), 7_200_000);
        assert_eq!(due_ms(18, 5), 5);
        assert!(DELAY_LEVELS_MS.is_sorted());
    }
}
