//! Stored messages: what the body of a pull, query or view response is made of, one behind the other.
//!
//! ```text
//! size i32 | magic i32 | body CRC i32 | queue i32 | flag i32 | queue offset i64 | position i64 | system flag i32
//! born time i64 | born host 4 or 16 + 4 | store time i64 | store host 4 or 16 + 4 | reconsume times i32
//! prepared transaction position i64 | body length i32 | body | topic length u8 or i16 | topic
//! properties length i16 | properties
//! ```
//!
//! The magic says how wide the topic's length is, the system flag how wide the hosts are.

use std::net::SocketAddr;

use thiserror::Error;

use super::sysflag::{BORN_HOST_V6, STORE_HOST_V6};
use super::{Fields, properties, put_host};

/// Magic of records whose topic has a length of one byte.
pub const MAGIC_V1: i32 = i32::from_be_bytes([0xDA, 0xA3, 0x20, 0xA7]);
/// Magic of records whose topic has a length of two bytes.
pub const MAGIC_V2: i32 = i32::from_be_bytes([0xDA, 0xA3, 0x20, 0xAB]);

/// Longest topic of a record with [`MAGIC_V1`].
const MAX_V1_TOPIC_BYTES: usize = 127;

/// A message as the broker keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// The offset in the queue.
    pub queue_offset: i64,
    /// Position of the record in the commit log.
    pub position: i64,
    /// The user's flag.
    pub flag: i32,
    /// Message system flags.
    pub sys_flag: i32,
    /// When the producer made it, in milliseconds.
    pub born_timestamp_ms: i64,
    /// The producer.
    pub born_host: SocketAddr,
    /// When the broker stored it, in milliseconds.
    pub store_timestamp_ms: i64,
    /// The broker.
    pub store_host: SocketAddr,
    /// How often it has been consumed in vain.
    pub reconsume_times: i32,
    /// For the end of a transaction, position of its half.
    pub prepared_transaction_position: i64,
    /// The body, compressed if the system flag says so.
    pub body: &'a [u8],
    /// The property string, see [`properties`].
    pub properties: &'a str,
}

/// A record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoredError {
    /// A length is negative, or leads beyond the end or the record's own size.
    #[error("the record is damaged")]
    Damaged,
    /// No kind of record we know.
    #[error("unknown record magic {0:#010x}")]
    UnknownMagic(i32),
    /// The body is not the one that was stored.
    #[error("the body's checksum is {found:#010x} and not {expected:#010x}")]
    BodyChecksum {
        /// As stored.
        expected: i32,
        /// Of the body that is here.
        found: i32,
    },
    /// The topic or the properties are not UTF-8.
    #[error("the record's {0} is no text")]
    NoText(&'static str),
}

/// CRC-32 as records and registrations carry it: without its top bit.
pub fn checksum(bytes: &[u8]) -> i32 {
    // The mask leaves 31 bits, which an i32 holds.
    i32::try_from(crc32fast::hash(bytes) & 0x7FFF_FFFF).unwrap_or(0)
}

/// The records of a response body, in order. After an error there is nothing more.
#[derive(Debug, Clone)]
pub struct StoredMessages<'a> {
    rest: &'a [u8],
}

impl<'a> StoredMessages<'a> {
    /// Reads this body.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for StoredMessages<'a> {
    type Item = Result<StoredMessage<'a>, StoredError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match StoredMessage::parse(self.rest) {
            Ok((message, rest)) => {
                self.rest = rest;
                Some(Ok(message))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

impl<'a> StoredMessage<'a> {
    /// Reads the record at the front, checks its body, and returns what follows.
    ///
    /// # Errors
    /// The record is cut short, of an unknown kind, or damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), StoredError> {
        let mut fields = Fields { rest: bytes };
        let size = fields.i32().ok_or(StoredError::Damaged)?;
        let mut fields = Fields { rest: bytes };
        let mut record = Fields {
            rest: fields.bytes(size).ok_or(StoredError::Damaged)?,
        };
        let message = Self::parse_record(&mut record)?;
        if !record.rest.is_empty() {
            return Err(StoredError::Damaged);
        }
        Ok((message, fields.rest))
    }

    fn parse_record(record: &mut Fields<'a>) -> Result<Self, StoredError> {
        let damaged = StoredError::Damaged;
        record.i32().ok_or(damaged)?;
        let magic = record.i32().ok_or(damaged)?;
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(StoredError::UnknownMagic(magic));
        }
        let expected = record.i32().ok_or(damaged)?;
        let (message, topic, properties) = Self::parse_fields(record, magic).ok_or(damaged)?;
        let found = checksum(message.body);
        if found != expected {
            return Err(StoredError::BodyChecksum { expected, found });
        }
        let topic = std::str::from_utf8(topic).map_err(|_| StoredError::NoText("topic"))?;
        let properties =
            std::str::from_utf8(properties).map_err(|_| StoredError::NoText("property string"))?;
        Ok(Self {
            topic,
            properties,
            ..message
        })
    }

    /// Everything behind the checksum; the texts apart, not yet looked into.
    fn parse_fields(record: &mut Fields<'a>, magic: i32) -> Option<(Self, &'a [u8], &'a [u8])> {
        let queue_id = record.i32()?;
        let flag = record.i32()?;
        let queue_offset = record.i64()?;
        let position = record.i64()?;
        let sys_flag = record.i32()?;
        let born_timestamp_ms = record.i64()?;
        let born_host = record.host(sys_flag & BORN_HOST_V6 != 0)?;
        let store_timestamp_ms = record.i64()?;
        let store_host = record.host(sys_flag & STORE_HOST_V6 != 0)?;
        let reconsume_times = record.i32()?;
        let prepared_transaction_position = record.i64()?;
        let body_len = record.i32()?;
        let body = record.bytes(body_len)?;
        let topic_len = if magic == MAGIC_V1 {
            let [len] = record.array()?;
            i16::from(len)
        } else {
            record.i16()?
        };
        let topic = record.bytes(topic_len)?;
        let properties_len = record.i16()?;
        let properties = record.bytes(properties_len)?;
        let message = Self {
            topic: "",
            queue_id,
            queue_offset,
            position,
            flag,
            sys_flag,
            born_timestamp_ms,
            born_host,
            store_timestamp_ms,
            store_host,
            reconsume_times,
            prepared_transaction_position,
            body,
            properties: "",
        };
        Some((message, topic, properties))
    }

    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::get(self.properties, name)
    }

    /// Appends the record. The host bits of the system flag follow the hosts.
    ///
    /// # Errors
    /// A length does not fit its field; nothing has been appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), RecordTooLong> {
        let start = out.len();
        let result = self.encode_at(start, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_at(&self, start: usize, out: &mut Vec<u8>) -> Result<(), RecordTooLong> {
        let v1 = self.topic.len() <= MAX_V1_TOPIC_BYTES;
        let mut sys_flag = self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6);
        sys_flag |= if self.born_host.is_ipv6() { BORN_HOST_V6 } else { 0 };
        sys_flag |= if self.store_host.is_ipv6() {
            STORE_HOST_V6
        } else {
            0
        };
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(if v1 { MAGIC_V1 } else { MAGIC_V2 }).to_be_bytes());
        out.extend_from_slice(&checksum(self.body).to_be_bytes());
        out.extend_from_slice(&self.queue_id.to_be_bytes());
        out.extend_from_slice(&self.flag.to_be_bytes());
        out.extend_from_slice(&self.queue_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
        out.extend_from_slice(&sys_flag.to_be_bytes());
        out.extend_from_slice(&self.born_timestamp_ms.to_be_bytes());
        put_host(out, self.born_host);
        out.extend_from_slice(&self.store_timestamp_ms.to_be_bytes());
        put_host(out, self.store_host);
        out.extend_from_slice(&self.reconsume_times.to_be_bytes());
        out.extend_from_slice(&self.prepared_transaction_position.to_be_bytes());
        let body_len = i32::try_from(self.body.len()).map_err(|_| RecordTooLong)?;
        out.extend_from_slice(&body_len.to_be_bytes());
        out.extend_from_slice(self.body);
        let topic_len = i16::try_from(self.topic.len())
            .map_err(|_| RecordTooLong)?
            .to_be_bytes();
        out.extend_from_slice(if v1 { &topic_len[1..] } else { &topic_len });
        out.extend_from_slice(self.topic.as_bytes());
        let properties_len = i16::try_from(self.properties.len()).map_err(|_| RecordTooLong)?;
        out.extend_from_slice(&properties_len.to_be_bytes());
        out.extend_from_slice(self.properties.as_bytes());
        let size = i32::try_from(out.len() - start).map_err(|_| RecordTooLong)?;
        out[start..start + 4].copy_from_slice(&size.to_be_bytes());
        Ok(())
    }
}

/// A message with a body, topic or property string that does not fit a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the message does not fit a record")]
pub struct RecordTooLong;

#[cfg(test)]
mod tests;
