//! Receipt handles: what names one delivery to the client that got it, and to nobody else.
//!
//! ```text
//! offset, pop time, invisible time, revive queue, kind of topic, broker, queue, offset, position, check    with spaces between them
//! ```
//!
//! Clients hand them back as they got them. The first nine are those of Apache's proxy; the check is the CRC-32 of group, topic and all
//! before it, so that a handle that was cut, mixed up, or is another group's is told from one whose time has ended. It keeps no secret:
//! what is out, and for whom, only the broker's own table says.

use kourou_broker::Text;
use kourou_broker::delivery::{Handle, RetryKind};

use crate::refusal::Refusal;
use crate::wire::v2::Code;

/// Stands for "in order".
const REVIVE_QUEUE_ORDERED: i32 = 999;
/// Stands there for any other.
const REVIVE_QUEUE: i32 = 0;
/// The longest that is looked at: a broker's name and some numbers.
const SIZE_BYTES_MAX: usize = 1_024;

/// What a handle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The delivery.
    pub(crate) handle: Handle,
    /// Which topic its message is stored in.
    pub(crate) retry: RetryKind,
    /// Where the message's record is.
    pub(crate) position: u64,
}

/// Who was given a message, as requests name them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) group: &'a str,
    /// The topic that was asked for, not the retry topic of it that a message may be stored in.
    pub(crate) topic: &'a str,
    pub(crate) broker_name: &'a str,
}

impl Given<'_> {
    /// The handle of a delivery as text.
    pub(crate) fn write(&self, receipt: &Receipt) -> String {
        let Receipt { handle, position, .. } = receipt;
        let Handle {
            queue_id,
            offset,
            pop_ms,
            invisible_ms,
            ..
        } = handle;
        let revive = if handle.ordered {
            REVIVE_QUEUE_ORDERED
        } else {
            REVIVE_QUEUE
        };
        let kind = match receipt.retry {
            RetryKind::Normal => 0,
            RetryKind::V1 => 1,
            RetryKind::V2 => 2,
        };
        let broker_name = self.broker_name;
        let said = format!(
            "{offset} {pop_ms} {invisible_ms} {revive} {kind} {broker_name} {queue_id} {offset} {position}"
        );
        let check = self.check(&said);
        format!("{said} {check}")
    }

    /// The delivery that a client speaks of.
    pub(crate) fn read(&self, text: &str) -> Result<Receipt, Refusal> {
        self.parse(text).ok_or_else(|| {
            Refusal::new(
                Code::InvalidReceiptHandle,
                format!(
                    "the receipt handle is not one that the group {} was given for a message of {}",
                    self.group, self.topic
                ),
            )
        })
    }

    fn parse(&self, text: &str) -> Option<Receipt> {
        if text.len() > SIZE_BYTES_MAX {
            return None;
        }
        let (said, check) = text.rsplit_once(' ')?;
        if check.parse() != Ok(self.check(said)) {
            return None;
        }
        // A broker's name may have spaces: it is what is left between the numbers.
        let mut numbers = said.rsplitn(4, ' ');
        let position = numbers.next()?.parse().ok()?;
        let offset = numbers.next()?.parse().ok()?;
        let queue_id = numbers.next()?.parse().ok()?;
        let mut fields = numbers.next()?.splitn(6, ' ').skip(1);
        let pop_ms = fields.next()?.parse().ok()?;
        let invisible_ms = fields.next()?.parse().ok()?;
        let revive: i32 = fields.next()?.parse().ok()?;
        let retry = match fields.next()? {
            "0" => RetryKind::Normal,
            "1" => RetryKind::V1,
            "2" => RetryKind::V2,
            _ => return None,
        };
        if fields.next()? != self.broker_name {
            return None;
        }
        let handle = Handle {
            group: Text::from(self.group),
            topic: Text::from(retry.topic(self.group, self.topic).as_str()),
            queue_id,
            offset,
            pop_ms,
            invisible_ms,
            ordered: revive == REVIVE_QUEUE_ORDERED,
        };
        Some(Receipt {
            handle,
            retry,
            position,
        })
    }

    fn check(&self, said: &str) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        for part in [self.group, " ", self.topic, " ", said] {
            sum.update(part.as_bytes());
        }
        sum.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: Given<'_> = Given {
        group: "g",
        topic: "t",
        broker_name: "a broker 1",
    };

    fn receipt() -> Receipt {
        let handle = Handle {
            group: "g".into(),
            topic: "%RETRY%g+t".into(),
            queue_id: 3,
            offset: 12,
            pop_ms: 1_795_564_800_123,
            invisible_ms: 60_000,
            ordered: false,
        };
        Receipt {
            handle,
            retry: RetryKind::V2,
            position: 77,
        }
    }

    #[test]
    fn there_and_back() {
        let text = GIVEN.write(&receipt());
        assert!(
            text.starts_with("12 1795564800123 60000 0 2 a broker 1 3 12 77 "),
            "{text}"
        );
        assert_eq!(GIVEN.read(&text), Ok(receipt()));
        let ordered = Receipt {
            handle: Handle {
                ordered: true,
                topic: "t".into(),
                ..receipt().handle
            },
            retry: RetryKind::Normal,
            position: 0,
        };
        assert_eq!(GIVEN.read(&GIVEN.write(&ordered)), Ok(ordered));
    }

    #[test]
    fn nothing_else_is_a_handle() {
        let text = GIVEN.write(&receipt());
        let others = [
            Given { group: "h", ..GIVEN },
            Given { topic: "u", ..GIVEN },
            Given {
                group: "",
                topic: "g t",
                ..GIVEN
            },
            Given {
                broker_name: "another",
                ..GIVEN
            },
        ];
        for other in others {
            assert!(other.read(&text).is_err(), "{other:?}");
        }
        for end in 0..text.len() {
            assert!(GIVEN.read(&text[..end]).is_err(), "cut at {end}");
            for byte in [b' ', b'0', b'9', b'-', b'x'] {
                let mut bytes = text.clone().into_bytes();
                bytes[end] = byte;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(changed == text || GIVEN.read(&changed).is_err(), "{changed}");
            }
        }
        for bad in [
            "",
            " ",
            "1 2 3",
            &" ".repeat(20),
            &"9".repeat(5_000),
            "\u{e9} \u{e9}",
        ] {
            assert!(GIVEN.read(bad).is_err(), "{bad}");
        }
    }
}
