//! Batches: several messages of one topic in one body.
//!
//! ```text
//! 0      4       8      12     16          20            20+n        22+n
//! | size | magic | crc  | flag | body size | body        | properties size | properties |     repeated, big-endian
//! ```
//!
//! `size` counts all of it. Magic and crc are not set by clients. The messages become records of their own, with the
//! properties that they have here and no others.

use thiserror::Error;

use crate::text::Text;

/// Bytes of a message in a batch beside its body and properties.
const FIXED_SIZE_BYTES: usize = 22;

/// Why a batch cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// It goes to a retry topic.
    #[error("batch request does not support retry group {topic}")]
    RetryTopic {
        /// The topic.
        topic: Text,
    },
    /// The topic's name is too long for a batch.
    #[error("message topic length too long {size_bytes}")]
    TopicTooLong {
        /// Its size.
        size_bytes: usize,
    },
    /// It is delayed.
    #[error("batch messages can not be delayed")]
    Delayed,
    /// It is one half of a transaction.
    #[error("batch messages can not be transactional")]
    Transaction,
    /// It holds no message.
    #[error("the batch is empty")]
    Empty,
    /// It holds more messages than a batch may.
    #[error("the batch has more than {max_messages} messages")]
    TooMany {
        /// The limit.
        max_messages: usize,
    },
    /// It is longer than a batch may be.
    #[error("the batch has {size_bytes} bytes, at most {max_bytes} are allowed")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The sizes in it do not add up.
    #[error("the sizes in the batch do not add up at byte {at}")]
    Damaged {
        /// Where.
        at: usize,
    },
}

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchMessage<'a> {
    pub(crate) flag: i32,
    pub(crate) body: &'a [u8],
    pub(crate) properties: &'a [u8],
}

/// Takes a batch apart. Ends with the first error.
pub(crate) fn messages(
    batch: &[u8],
    messages_max: usize,
) -> impl Iterator<Item = Result<BatchMessage<'_>, BatchError>> {
    let mut rest = batch;
    let mut count = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = batch.len() - rest.len();
        count += 1;
        let message = if count > messages_max {
            Err(BatchError::TooMany {
                max_messages: messages_max,
            })
        } else {
            take(&mut rest).ok_or(BatchError::Damaged { at })
        };
        if message.is_err() {
            rest = &[];
        }
        Some(message)
    })
}

/// How many messages a batch holds, up to the first that does not add up.
pub(crate) fn count(batch: &[u8]) -> u64 {
    let mut rest = batch;
    let mut count = 0;
    while !rest.is_empty() && take(&mut rest).is_some() {
        count += 1;
    }
    count
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<BatchMessage<'a>> {
    let mut fields = *rest;
    let size = usize::try_from(i32_of(&mut fields)?).ok()?;
    let (message, after) = rest.split_at_checked(size)?;
    let mut fields = message.get(4..)?;
    let (_magic, _crc) = (i32_of(&mut fields)?, i32_of(&mut fields)?);
    let flag = i32_of(&mut fields)?;
    let body_size = usize::try_from(i32_of(&mut fields)?).ok()?;
    let (body, mut fields) = fields.split_at_checked(body_size)?;
    let (properties_size, properties) = fields.split_first_chunk()?;
    let properties_size = usize::try_from(i16::from_be_bytes(*properties_size)).ok()?;
    fields = properties;
    if fields.len() != properties_size || size != FIXED_SIZE_BYTES + body_size + properties_size {
        return None;
    }
    *rest = after;
    Some(BatchMessage {
        flag,
        body,
        properties,
    })
}

fn i32_of(fields: &mut &[u8]) -> Option<i32> {
    let (field, rest) = fields.split_first_chunk()?;
    *fields = rest;
    Some(i32::from_be_bytes(*field))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn parse(batch: &[u8], messages_max: usize) -> Result<Vec<BatchMessage<'_>>, BatchError> {
        messages(batch, messages_max).collect()
    }

    /// What a client makes of one message.
    pub(crate) fn encode(body: &[u8], properties: &[u8], flag: i32) -> Vec<u8> {
        let size = FIXED_SIZE_BYTES + body.len() + properties.len();
        let mut out = Vec::new();
        for field in [size as i32, 0, 0, flag, body.len() as i32] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(body);
        out.extend_from_slice(&(properties.len() as i16).to_be_bytes());
        out.extend_from_slice(properties);
        out
    }

    #[test]
    fn takes_apart_what_clients_put_together() {
        let batch = [encode(b"one", b"K\x01v\x02", 1), encode(b"", b"", 2)].concat();
        let expected = [
            BatchMessage {
                flag: 1,
                body: b"one",
                properties: b"K\x01v\x02",
            },
            BatchMessage {
                flag: 2,
                body: b"",
                properties: b"",
            },
        ];
        assert_eq!(parse(&batch, 2), Ok(expected.to_vec()));
        assert_eq!(parse(&batch, 1), Err(BatchError::TooMany { max_messages: 1 }));
        assert_eq!(parse(b"", 1), Ok(Vec::new()));
    }

    #[test]
    fn sizes_that_lie_are_found() {
        let good = encode(b"body", b"K\x01v\x02", 0);
        for end in 1..good.len() {
            let cut = good.get(..end).unwrap_or_default();
            assert_eq!(parse(cut, 9), Err(BatchError::Damaged { at: 0 }), "cut at {end}");
        }
        for at in [0, 16, 24] {
            for value in [0xff, 0x7f, 0x01] {
                let mut bad = good.clone();
                if let Some(byte) = bad.get_mut(at) {
                    *byte = value;
                }
                assert_eq!(
                    parse(&bad, 9),
                    Err(BatchError::Damaged { at: 0 }),
                    "byte {at} is {value}"
                );
            }
        }
    }
}
