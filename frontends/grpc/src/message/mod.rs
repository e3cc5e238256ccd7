//! Messages, between the v2 protocol's form and the broker's.

mod body;
mod incoming;
mod kind;
mod outgoing;
mod receipt;
mod reserved;
mod transaction_id;

use std::time::Duration;

pub(crate) use incoming::{Draft, draft};
pub(crate) use kind::{accepted_types, check_type};
pub(crate) use outgoing::delivered;
pub(crate) use receipt::{Given, Receipt};
pub(crate) use transaction_id::TransactionId;

/// A duration as the wire has it.
pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A duration off the wire; nothing if it is below 0.
pub(crate) fn positive(duration: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).ok()?;
    let nanos = u32::try_from(duration.nanos).ok()?;
    Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))
}

/// A time as the wire has it.
pub(crate) fn timestamp(time_ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time_ms.div_euclid(1_000),
        // Below 10^9.
        nanos: (time_ms.rem_euclid(1_000) * 1_000_000) as i32,
    }
}

/// A time off the wire, in milliseconds.
pub(crate) fn time_ms(timestamp: &prost_types::Timestamp) -> i64 {
    timestamp
        .seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(timestamp.nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_both_ways() {
        for ms in [0, 1, 999, 1_000, 1_795_564_800_123, -1, -1_001] {
            assert_eq!(time_ms(&timestamp(ms)), ms);
        }
        let extreme = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: i32::MIN,
        };
        assert!(time_ms(&extreme) > 0);
        assert_eq!(
            positive(&duration(Duration::from_millis(1_500))),
            Some(Duration::from_millis(1_500))
        );
        for (seconds, nanos) in [(-1, 0), (0, -1)] {
            assert_eq!(positive(&prost_types::Duration { seconds, nanos }), None);
        }
        assert!(
            positive(&prost_types::Duration {
                seconds: i64::MAX,
                nanos: i32::MAX
            })
            .is_some()
        );
    }
}
