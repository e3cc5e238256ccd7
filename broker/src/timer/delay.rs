//! What a message's properties say of when it is to be delivered.
//!
//! A delay level wins over everything; then `TIMER_DELAY_SEC` over `TIMER_DELAY_MS` over `TIMER_DELIVER_MS`.

use thiserror::Error;

use super::DELAY_LEVEL_MAX;
use crate::code;
use crate::name::{SCHEDULE_TOPIC, TIMER_TOPIC};
use crate::property::{self, Properties};

/// When a message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    /// At once.
    None,
    /// After the time of a delay level, 1 to [`DELAY_LEVEL_MAX`].
    Level(i32),
    /// At that time, in milliseconds since the epoch.
    Until(i64),
}

/// Why a message cannot be delivered when it says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DelayError {
    /// Timers other than delay levels are not served.
    #[error("accurate timer message is not enabled, timerWheelEnable is false")]
    NotEnabled,
    /// The property is no whole number.
    #[error("timer message illegal: the property {name} must be a whole number, and is {value:?}")]
    NotANumber {
        /// The property.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Later than may be.
    #[error(
        "timer message illegal: it is to be delivered in {delay_s} s, and the most is {max_s} s; send it later, or raise \
         timer-max-delay-sec of the broker"
    )]
    TooFar {
        /// How far away it is, in seconds.
        delay_s: i64,
        /// The most.
        max_s: i64,
    },
    /// A message that takes back another, as upstream sends them between its own parts.
    #[error(
        "timer message illegal: the property TIMER_DEL_UNIQKEY is not served; recall the message with its recall handle"
    )]
    Recalls,
}

impl DelayError {
    /// The protocol's number for it.
    pub fn response_code(&self) -> i32 {
        match self {
            Self::NotEnabled => code::SYSTEM_ERROR,
            Self::NotANumber { .. } | Self::TooFar { .. } | Self::Recalls => code::MESSAGE_ILLEGAL,
        }
    }
}

impl Delay {
    /// What the properties say. A time that has come is no delay.
    ///
    /// # Errors
    /// [`DelayError::NotANumber`].
    pub(crate) fn of(properties: &Properties<'_>, now_ms: i64) -> Result<Self, DelayError> {
        if properties.delay_level > 0 {
            return Ok(Self::Level(properties.delay_level.min(DELAY_LEVEL_MAX)));
        }
        let timer = &properties.timer;
        // With this one it has been a timer before and was delivered; whoever sends it again wants it delivered.
        if timer.is_over {
            return Ok(Self::None);
        }
        let due_ms = if let Some(seconds) = timer.delay_s {
            let seconds = number(property::TIMER_DELAY_SEC, seconds)?;
            now_ms.saturating_add(seconds.saturating_mul(1_000))
        } else if let Some(ms) = timer.delay_ms {
            now_ms.saturating_add(number(property::TIMER_DELAY_MS, ms)?)
        } else if let Some(ms) = timer.deliver_ms {
            number(property::TIMER_DELIVER_MS, ms)?
        } else {
            return Ok(Self::None);
        };
        Ok(if due_ms > now_ms {
            Self::Until(due_ms)
        } else {
            Self::None
        })
    }

    /// Whether it is no further than may be.
    ///
    /// # Errors
    /// [`DelayError::TooFar`].
    pub(crate) fn check(self, now_ms: i64, delay_ms_max: i64) -> Result<(), DelayError> {
        match self {
            Self::Until(due_ms) if due_ms.saturating_sub(now_ms) > delay_ms_max => Err(DelayError::TooFar {
                delay_s: due_ms.saturating_sub(now_ms) / 1_000,
                max_s: delay_ms_max / 1_000,
            }),
            _ => Ok(()),
        }
    }

    /// Where a message waits so long. There is no place for one that does not wait.
    pub(crate) fn place(self) -> (&'static str, u32) {
        match self {
            Self::Level(level) => (SCHEDULE_TOPIC, u32::try_from(level - 1).unwrap_or(0)),
            Self::Until(_) | Self::None => (TIMER_TOPIC, 0),
        }
    }
}

/// Room for what [`push_due`] adds.
pub(crate) const DUE_PROPERTY_SIZE_BYTES_MAX: usize = 40;

/// Adds to the properties of a message in the timer topic when it is due.
pub(crate) fn push_due(properties: &mut Vec<u8>, due_ms: i64) {
    property::end_last(properties);
    property::push(properties, property::TIMER_OUT_MS, due_ms.to_string().as_bytes());
}

fn number(name: &'static str, value: &[u8]) -> Result<i64, DelayError> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| DelayError::NotANumber {
            name,
            value: String::from_utf8_lossy(value).chars().take(64).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000_000;

    fn delay(properties: &[(&str, &str)]) -> Result<Delay, DelayError> {
        let mut text = Vec::new();
        for (name, value) in properties {
            property::push(&mut text, name, value.as_bytes());
        }
        Delay::of(&Properties::read(&text), NOW_MS)
    }

    #[test]
    fn the_order_of_the_properties() {
        let all = [
            ("TIMER_DELIVER_MS", "1003000"),
            ("TIMER_DELAY_MS", "2000"),
            ("TIMER_DELAY_SEC", "1"),
            ("DELAY", "3"),
        ];
        assert_eq!(delay(&all), Ok(Delay::Level(3)));
        assert_eq!(delay(&all[..3]), Ok(Delay::Until(1_001_000)));
        assert_eq!(delay(&all[..2]), Ok(Delay::Until(1_002_000)));
        assert_eq!(delay(&all[..1]), Ok(Delay::Until(1_003_000)));
        assert_eq!(delay(&[("DELAY", "99")]), Ok(Delay::Level(18)));
        assert_eq!(delay(&[]), Ok(Delay::None));
    }

    #[test]
    fn a_time_that_has_come_is_no_delay() {
        for past in ["1000000", "999999", "0", "-1", "-9223372036854775808"] {
            assert_eq!(delay(&[("TIMER_DELIVER_MS", past)]), Ok(Delay::None), "{past}");
        }
        for past in ["0", "-1", "-9223372036854775808"] {
            assert_eq!(delay(&[("TIMER_DELAY_SEC", past)]), Ok(Delay::None), "{past}");
            assert_eq!(delay(&[("TIMER_DELAY_MS", past)]), Ok(Delay::None), "{past}");
        }
        assert_eq!(
            delay(&[("TIMER_DELIVER_MS", "1000001")]),
            Ok(Delay::Until(1_000_001))
        );
        assert_eq!(
            delay(&[("TIMER_OUT_MS", "5"), ("TIMER_DELAY_SEC", "5")]),
            Ok(Delay::None),
            "it was delivered before"
        );
    }

    #[test]
    fn what_is_no_number_is_named() {
        for bad in ["soon", "1.5", "", "99999999999999999999"] {
            let error = delay(&[("TIMER_DELAY_SEC", bad)]);
            if bad.is_empty() {
                assert_eq!(error, Ok(Delay::None), "no value, no property");
            } else {
                assert_eq!(
                    error,
                    Err(DelayError::NotANumber {
                        name: "TIMER_DELAY_SEC",
                        value: bad.to_owned()
                    })
                );
            }
        }
    }

    #[test]
    fn not_too_far() {
        assert_eq!(Delay::Until(NOW_MS + 5_000).check(NOW_MS, 5_000), Ok(()));
        assert_eq!(
            Delay::Until(NOW_MS + 5_001).check(NOW_MS, 5_000),
            Err(DelayError::TooFar { delay_s: 5, max_s: 5 })
        );
        let most = delay(&[("TIMER_DELAY_SEC", "9223372036854775807")]).unwrap();
        assert!(most.check(NOW_MS, i64::MAX / 2).is_err());
        assert_eq!(Delay::Level(18).check(NOW_MS, 0), Ok(()));
    }
}
