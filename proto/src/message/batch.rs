//! The body of SEND_BATCH_MESSAGE: messages of one topic, one behind the other.
//!
//! ```text
//! size i32 | magic i32 = 0 | body CRC i32 = 0 | flag i32 | body length i32 | body | properties length i16 | properties
//! ```

use thiserror::Error;

use super::Fields;

/// Bytes of a record without its body and properties.
const FIXED_BYTES: usize = 22;

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    /// The user's flag.
    pub flag: i32,
    /// The body.
    pub body: &'a [u8],
    /// The property string, see [`super::properties`].
    pub properties: &'a str,
}

/// A batch that cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A length is negative, or leads beyond the end or the record's own size.
    #[error("message {index} of the batch is damaged")]
    Damaged {
        /// Which message, counted from 0.
        index: usize,
    },
    /// The properties are not UTF-8.
    #[error("the properties of message {index} of the batch are no text")]
    NoText {
        /// Which message, counted from 0.
        index: usize,
    },
}

/// The messages of a batch, in order. After an error there is nothing more.
#[derive(Debug, Clone)]
pub struct BatchMessages<'a> {
    fields: Fields<'a>,
    index: usize,
}

impl<'a> BatchMessages<'a> {
    /// Reads this body.
    pub fn new(body: &'a [u8]) -> Self {
        Self {
            fields: Fields { rest: body },
            index: 0,
        }
    }
}

impl<'a> Iterator for BatchMessages<'a> {
    type Item = Result<BatchMessage<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.rest.is_empty() {
            return None;
        }
        let index = self.index;
        self.index += 1;
        let message = read(&mut self.fields)
            .ok_or(BatchError::Damaged { index })
            .and_then(|(flag, body, properties)| match std::str::from_utf8(properties) {
                Ok(properties) => Ok(BatchMessage {
                    flag,
                    body,
                    properties,
                }),
                Err(_) => Err(BatchError::NoText { index }),
            });
        if message.is_err() {
            self.fields.rest = &[];
        }
        Some(message)
    }
}

fn read<'a>(fields: &mut Fields<'a>) -> Option<(i32, &'a [u8], &'a [u8])> {
    let before = fields.rest.len();
    let size = usize::try_from(fields.i32()?).ok()?;
    let _magic_and_crc = fields.i64()?;
    let flag = fields.i32()?;
    let body_len = fields.i32()?;
    let body = fields.bytes(body_len)?;
    let properties_len = fields.i16()?;
    let properties = fields.bytes(properties_len)?;
    (before - fields.rest.len() == size).then_some((flag, body, properties))
}

/// A message that does not fit a batch record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a body of {body_bytes} bytes with {properties_bytes} bytes of properties does not fit a batch")]
pub struct TooLong {
    /// Length of the body.
    pub body_bytes: usize,
    /// Length of the property string.
    pub properties_bytes: usize,
}

impl BatchMessage<'_> {
    /// Appends this message to the body of a batch.
    ///
    /// # Errors
    /// A length does not fit its field; nothing has been appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let too_long = TooLong {
            body_bytes: self.body.len(),
            properties_bytes: self.properties.len(),
        };
        let size = FIXED_BYTES + self.body.len() + self.properties.len();
        let size = i32::try_from(size).map_err(|_| too_long)?;
        let body_len = i32::try_from(self.body.len()).map_err(|_| too_long)?;
        let properties_len = i16::try_from(self.properties.len()).map_err(|_| too_long)?;
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.flag.to_be_bytes());
        out.extend_from_slice(&body_len.to_be_bytes());
        out.extend_from_slice(self.body);
        out.extend_from_slice(&properties_len.to_be_bytes());
        out.extend_from_slice(self.properties.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JAVA: &[u8] = b"\0\0\0\x35\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03one\0\x1cKEYS\x01k1\x02WAIT\x01true\x02TAGS\x01TagA\x02\
        \0\0\0\x28\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x03two\0\x0fp\x01\xc3\xa9\x02WAIT\x01true\x02";

    #[test]
    fn as_java_writes_it() {
        let messages: Vec<_> = BatchMessages::new(JAVA).map(Result::unwrap).collect();
        assert_eq!(
            messages[0].properties,
            "KEYS\u{1}k1\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}"
        );
        assert_eq!((messages[1].flag, messages[1].body), (3, &b"two"[..]));
        let mut written = Vec::new();
        messages
            .iter()
            .for_each(|message| message.encode(&mut written).unwrap());
        assert_eq!(written, JAVA);
    }

    #[test]
    fn damage_ends_the_batch() {
        for end in [1, 52, 54, JAVA.len() - 1] {
            let last = BatchMessages::new(&JAVA[..end]).last().unwrap();
            assert_eq!(
                last,
                Err(BatchError::Damaged {
                    index: usize::from(end > 53)
                })
            );
        }
        let mut lie = JAVA.to_vec();
        lie[3] += 1;
        assert_eq!(
            BatchMessages::new(&lie).collect::<Vec<_>>(),
            [Err(BatchError::Damaged { index: 0 })]
        );
        lie = JAVA.to_vec();
        lie[16] = 0xff;
        assert_eq!(
            BatchMessages::new(&lie).collect::<Vec<_>>(),
            [Err(BatchError::Damaged { index: 0 })]
        );
        lie = JAVA.to_vec();
        lie[30] = 0xff;
        assert_eq!(
            BatchMessages::new(&lie).collect::<Vec<_>>(),
            [Err(BatchError::NoText { index: 0 })]
        );
    }

    #[test]
    fn properties_too_long() {
        let long = "x".repeat(40_000);
        let message = BatchMessage {
            flag: 0,
            body: b"",
            properties: &long,
        };
        let error = message.encode(&mut Vec::new()).unwrap_err();
        assert_eq!(
            error,
            TooLong {
                body_bytes: 0,
                properties_bytes: 40_000
            }
        );
    }

    proptest! {
        #[test]
        fn round_trip(all in prop::collection::vec((any::<i32>(), any::<Vec<u8>>(), ".{0,20}"), 0..6)) {
            let messages: Vec<_> = all
                .iter()
                .map(|(flag, body, properties)| BatchMessage { flag: *flag, body, properties })
                .collect();
            let mut body = Vec::new();
            for message in &messages {
                message.encode(&mut body).unwrap();
            }
            let read: Result<Vec<_>, _> = BatchMessages::new(&body).collect();
            prop_assert_eq!(read.unwrap(), messages);
        }

        #[test]
        fn any_bytes_are_survived(body in any::<Vec<u8>>()) {
            prop_assert!(BatchMessages::new(&body).count() <= body.len());
        }
    }
}
