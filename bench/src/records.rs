//! Walks the records of a pull's answer, and looks only at what a run needs of them.

use kourou_proto::message::stored::checksum;
use kourou_proto::message::sysflag::{BORN_HOST_V6, STORE_HOST_V6};

/// One message as a broker keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) queue_offset: i64,
    /// The checksum of the body that the broker keeps.
    checksum: i32,
    pub(crate) body: &'a [u8],
}

impl Record<'_> {
    /// Whether the body has the checksum that the broker keeps with it.
    pub(crate) fn is_intact(&self) -> bool {
        checksum(self.body) == self.checksum
    }
}

/// The records of an answer's body. After one that cannot be, there is nothing more.
#[derive(Debug, Clone)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
}

/// A record whose lengths lead beyond its end or the answer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Where fields of fixed place are.
const CHECKSUM_AT: usize = 8;
const QUEUE_OFFSET_AT: usize = 20;
const SYS_FLAG_AT: usize = 36;
const BORN_HOST_AT: usize = 48;
const HOST_V4_BYTES: usize = 8;
const HOST_V6_BYTES: usize = 20;
const STORE_TIME_BYTES: usize = 8;
/// Reconsume times, position of the prepared transaction.
const BEFORE_BODY_BYTES: usize = 12;

impl<'a> Records<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    fn parse(&mut self) -> Option<Record<'a>> {
        let size = usize::try_from(i32_at(self.rest, 0)?).ok()?;
        let record = self.rest.get(..size)?;
        let sys_flag = i32_at(record, SYS_FLAG_AT)?;
        let host_bytes = |flag| {
            if sys_flag & flag != 0 {
                HOST_V6_BYTES
            } else {
                HOST_V4_BYTES
            }
        };
        let body_at = BORN_HOST_AT
            + host_bytes(BORN_HOST_V6)
            + STORE_TIME_BYTES
            + host_bytes(STORE_HOST_V6)
            + BEFORE_BODY_BYTES;
        let body_bytes = usize::try_from(i32_at(record, body_at)?).ok()?;
        let body = record.get(body_at + 4..)?.get(..body_bytes)?;
        let queue_offset = i64::from_be_bytes(*record.get(QUEUE_OFFSET_AT..)?.first_chunk()?);
        let checksum = i32_at(record, CHECKSUM_AT)?;
        self.rest = self.rest.get(size..)?;
        Some(Record {
            queue_offset,
            checksum,
            body,
        })
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.parse().ok_or(Damaged);
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use kourou_proto::message::stored::StoredMessage;

    use super::*;

    fn stored(host: &str, queue_offset: i64, body: &[u8]) -> Vec<u8> {
        let message = StoredMessage {
            topic: "topic",
            queue_id: 1,
            queue_offset,
            position: 99,
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: host.parse().unwrap(),
            store_timestamp_ms: 2,
            store_host: "[::1]:2".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_position: 0,
            body,
            properties: "A\u{1}b\u{2}",
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_a_broker_stores_is_read() {
        let bytes = [stored("127.0.0.1:1", 7, b"seven"), stored("[::1]:1", 8, b"")].concat();
        let records: Vec<_> = Records::new(&bytes).map(Result::unwrap).collect();
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.queue_offset, record.body))
            .collect();
        assert_eq!(found, [(7, &b"seven"[..]), (8, &b""[..])]);
        assert!(records.iter().all(Record::is_intact));
    }

    #[test]
    fn damage_is_found_and_ends_the_walk() {
        let bytes = stored("127.0.0.1:1", 7, b"seven");
        for end in 1..bytes.len() {
            let found: Vec<_> = Records::new(&bytes[..end]).collect();
            assert_eq!(found, [Err(Damaged)], "cut at {end}");
        }
        let mut other = bytes.clone();
        let at = memchr::memmem::find(&other, b"seven").unwrap();
        other[at] = b'S';
        assert!(!Records::new(&other).next().unwrap().unwrap().is_intact());
        let mut other = bytes;
        other[..4].fill(0);
        assert_eq!(Records::new(&other).collect::<Vec<_>>(), [Err(Damaged)]);
    }
}
