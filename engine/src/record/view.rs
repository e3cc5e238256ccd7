//! Reading a stored record without copying it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::STATE_TOPIC;
use super::checksum::{self, Found};
use super::key::{self, KEYS, KeyHash, KeyKind, TopicHash, UNIQ_KEY};
use super::layout::{
    BODY_CRC_AT, BORN_HOST_AT, BORN_MS_AT, FLAG_AT, HOST_V4_SIZE, MAGIC_AT, MAGIC_V1, MAGIC_V2, POSITION_AT,
    QUEUE_ID_AT, QUEUE_OFFSET_AT, RECORD_SIZE_BYTES_MIN, SYS_FLAG_AT, SYS_FLAG_TRANSACTION_MASK,
    SYS_FLAG_TRANSACTION_ROLLBACK, TOPIC_V1_SIZE_MAX, TOTAL_SIZE_AT, born_host_size, indexed_by_flags,
    is_batch_by_flags, offsets_by_flags, store_host_size,
};
use super::properties;

/// Why bytes are not a record, or not the record that should be there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There are fewer bytes than the record, or the smallest record, takes.
    #[error("{available_bytes} bytes where a record of {needed_bytes} should be")]
    Truncated {
        /// What the record takes.
        needed_bytes: u64,
        /// What there is.
        available_bytes: u64,
    },
    /// The magic is not that of a record.
    #[error("magic {found:#010x} is not a record's")]
    BadMagic {
        /// The magic that was found.
        found: u32,
    },
    /// The sizes inside the record do not add up to its total size.
    #[error("the parts of the record do not add up to its total of {total_bytes} bytes")]
    SizesDisagree {
        /// The total size that the record announces.
        total_bytes: u32,
    },
    /// The topic is not text.
    #[error("the topic is not UTF-8")]
    TopicNotUtf8,
    /// A host's port is not a port.
    #[error("port {found} is not a port")]
    BadPort {
        /// What was found in its place.
        found: u32,
    },
    /// The record belongs elsewhere: it is left over from an earlier use of this space, or was copied.
    #[error("the record says it lies at {found}, it lies at {expected}")]
    WrongPosition {
        /// Where it lies.
        expected: u64,
        /// Where it says it lies.
        found: u64,
    },
    /// The checksum over the whole record does not hold.
    #[error("the record's checksum is {found:#010x}, it should be {expected:#010x}")]
    RecordChecksum {
        /// The checksum that the record carries.
        expected: u32,
        /// The checksum of its bytes.
        found: u32,
    },
    /// The checksum property is there but not readable.
    #[error("the record's checksum property is damaged")]
    ChecksumDamaged,
    /// The record has no checksum over the whole, and that over its body does not hold.
    #[error("the body's checksum is {found:#010x}, it should be {expected:#010x}")]
    BodyChecksum {
        /// The checksum that the record carries.
        expected: u32,
        /// The checksum of the body.
        found: u32,
    },
}

/// A record that lies in `bytes`. The structure has been checked, the checksums have not: see [`RecordView::verify`].
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    topic: &'a str,
    body: &'a [u8],
    /// All of them, the checksum property included.
    stored_properties: &'a [u8],
    checksum: Found,
    sys_flag: i32,
    store_ms: i64,
    born_host: SocketAddr,
    store_host: SocketAddr,
    reconsume_times: i32,
    prepared_transaction_offset: i64,
}

impl<'a> RecordView<'a> {
    /// Parses the record at the start of `bytes`; what follows it is ignored. Costs the same for any body.
    ///
    /// # Errors
    /// The structural ones of [`RecordError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let truncated = |needed: usize| RecordError::Truncated {
            needed_bytes: needed as u64,
            available_bytes: bytes.len() as u64,
        };
        if bytes.len() < RECORD_SIZE_BYTES_MIN {
            return Err(truncated(RECORD_SIZE_BYTES_MIN));
        }
        let magic = u32_at(bytes, MAGIC_AT);
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::BadMagic { found: magic });
        }
        let total_bytes = u32_at(bytes, TOTAL_SIZE_AT);
        let disagree = RecordError::SizesDisagree { total_bytes };
        let total_size = total_bytes as usize;
        if total_size < RECORD_SIZE_BYTES_MIN || total_bytes > i32::MAX as u32 {
            return Err(disagree);
        }
        let bytes = bytes.get(..total_size).ok_or_else(|| truncated(total_size))?;
        let sys_flag = i32_at(bytes, SYS_FLAG_AT);

        let mut rest = Rest(&bytes[BORN_HOST_AT..]);
        let born_host = rest.host(born_host_size(sys_flag));
        let store_ms = rest.take();
        let store_host = rest.host(store_host_size(sys_flag));
        let (reconsume_times, prepared) = (rest.take(), rest.take());
        let body = rest
            .take()
            .map(i32::from_be_bytes)
            .and_then(|size| rest.slice(usize::try_from(size).ok()?));
        let topic = if magic == MAGIC_V1 {
            rest.take()
                .map(u8::from_be_bytes)
                .map(usize::from)
                .filter(|size| *size <= TOPIC_V1_SIZE_MAX)
        } else {
            rest.take().map(u16::from_be_bytes).map(usize::from)
        }
        .and_then(|size| rest.slice(size));
        let stored_properties = rest
            .take()
            .map(i16::from_be_bytes)
            .and_then(|size| rest.slice(usize::try_from(size).ok()?));

        let (
            Some(born_host),
            Some(store_ms),
            Some(store_host),
            Some(reconsume_times),
            Some(prepared),
            Some(body),
            Some(topic),
            Some(stored_properties),
            Rest([]),
        ) = (
            born_host,
            store_ms,
            store_host,
            reconsume_times,
            prepared,
            body,
            topic,
            stored_properties,
            rest,
        )
        else {
            return Err(disagree);
        };
        Ok(Self {
            bytes,
            topic: std::str::from_utf8(topic).map_err(|_| RecordError::TopicNotUtf8)?,
            body,
            stored_properties,
            checksum: checksum::find(stored_properties),
            sys_flag,
            store_ms: i64::from_be_bytes(store_ms),
            born_host: born_host?,
            store_host: store_host?,
            reconsume_times: i32::from_be_bytes(reconsume_times),
            prepared_transaction_offset: i64::from_be_bytes(prepared),
        })
    }

    /// Checks that this record is the one written at `position`, and that its bytes are those that were written: by the
    /// checksum over the whole record, or, in a record of a writer that leaves that out, by the one over the body.
    ///
    /// # Errors
    /// The others of [`RecordError`].
    pub fn verify(&self, position: u64) -> Result<(), RecordError> {
        if self.position() != position {
            return Err(RecordError::WrongPosition {
                expected: position,
                found: self.position(),
            });
        }
        match self.checksum {
            Found::Present => {
                let expected =
                    checksum::read_digits(self.stored_properties).ok_or(RecordError::ChecksumDamaged)?;
                let covered = self.bytes.len() - checksum::PROPERTY_SIZE;
                let found = checksum::crc31(&self.bytes[..covered]);
                if found == expected {
                    Ok(())
                } else {
                    Err(RecordError::RecordChecksum { expected, found })
                }
            }
            Found::Damaged => Err(RecordError::ChecksumDamaged),
            Found::Absent => {
                let expected = u32_at(self.bytes, BODY_CRC_AT);
                let found = checksum::crc31(self.body);
                if found == expected {
                    Ok(())
                } else {
                    Err(RecordError::BodyChecksum { expected, found })
                }
            }
        }
    }

    /// As [`RecordView::verify`], for a record that this engine wrote: it has a checksum over all its bytes. One without is one
    /// whose end was lost, the checksum with it.
    ///
    /// # Errors
    /// As [`RecordView::verify`].
    pub fn verify_own(&self, position: u64) -> Result<(), RecordError> {
        self.verify(position)?;
        if self.has_record_checksum() {
            Ok(())
        } else {
            Err(RecordError::ChecksumDamaged)
        }
    }

    /// The record's bytes, all of them and no others.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The record's size in the log.
    pub fn size_bytes(&self) -> u32 {
        u32_at(self.bytes, TOTAL_SIZE_AT)
    }

    /// The topic.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The queue of the topic.
    pub fn queue_id(&self) -> u32 {
        u32_at(self.bytes, QUEUE_ID_AT)
    }

    /// The user's flag.
    pub fn flag(&self) -> i32 {
        i32_at(self.bytes, FLAG_AT)
    }

    /// The record's number in its queue; 0 if it is not [`indexed`](Self::indexed).
    pub fn queue_offset(&self) -> u64 {
        u64_at(self.bytes, QUEUE_OFFSET_AT)
    }

    /// Where the record says it lies in the log.
    pub fn position(&self) -> u64 {
        u64_at(self.bytes, POSITION_AT)
    }

    /// The system flags.
    pub fn sys_flag(&self) -> i32 {
        self.sys_flag
    }

    /// When the producer made the message.
    pub fn born_ms(&self) -> i64 {
        i64::from_be_bytes(array_at(self.bytes, BORN_MS_AT))
    }

    /// Who sent it.
    pub fn born_host(&self) -> SocketAddr {
        self.born_host
    }

    /// When it was stored.
    pub fn store_ms(&self) -> i64 {
        self.store_ms
    }

    /// Who stored it.
    pub fn store_host(&self) -> SocketAddr {
        self.store_host
    }

    /// How often consumers have sent it back.
    pub fn reconsume_times(&self) -> i32 {
        self.reconsume_times
    }

    /// The position of another record that this one ends, or 0.
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.prepared_transaction_offset
    }

    /// The body, as it is delivered.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The property string, without the checksum property.
    pub fn properties(&self) -> &'a [u8] {
        match self.checksum {
            Found::Absent => self.stored_properties,
            Found::Present | Found::Damaged => {
                &self.stored_properties[..self.stored_properties.len() - checksum::PROPERTY_SIZE]
            }
        }
    }

    /// The value of a property: `None` if it is absent, empty, or not UTF-8. Scans the property string.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::find(self.properties(), name.as_bytes()).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The tags code, computed from the properties: 0 without a tag.
    pub fn tags_code(&self) -> i64 {
        properties::tags_code_of(properties::find(self.properties(), properties::TAGS.as_bytes()))
    }

    /// The hash of the record's unique key, if it has one.
    pub fn unique_key(&self) -> Option<KeyHash> {
        let key = properties::find(self.properties(), UNIQ_KEY.as_bytes())?;
        Some(KeyHash::new(self.topic, key))
    }

    /// Whether the record has this key.
    pub fn has_key(&self, key: &str, kind: KeyKind) -> bool {
        key::has_key(self.properties(), key.as_bytes(), kind)
    }

    /// The hashes under which the key index knows the record.
    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyHash> + use<'a> {
        let find = |name: &str| properties::find(self.properties(), name.as_bytes());
        let (unique, keys) = if self.sys_flag & SYS_FLAG_TRANSACTION_MASK == SYS_FLAG_TRANSACTION_ROLLBACK {
            (None, None)
        } else {
            (find(UNIQ_KEY), find(KEYS))
        };
        let topic = TopicHash::new(self.topic);
        key::indexed(unique, keys).map(move |key| topic.key(key))
    }

    /// Whether the record took a queue offset and appears in its queue.
    pub fn indexed(&self) -> bool {
        self.topic != STATE_TOPIC && indexed_by_flags(self.sys_flag)
    }

    /// How many queue offsets the record takes, if it is indexed: one, or as many as the batch that it holds has messages.
    pub fn offsets(&self) -> u32 {
        offsets_by_flags(self.sys_flag, self.properties())
    }

    /// Whether the record is a batch, whose messages consumers take out.
    pub fn is_batch(&self) -> bool {
        is_batch_by_flags(self.sys_flag)
    }

    /// Whether the record carries a checksum over all its bytes, as everything that this engine writes does.
    pub fn has_record_checksum(&self) -> bool {
        self.checksum == Found::Present
    }
}

/// What has not been parsed yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn slice(&mut self, size: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// `None` if it is not all there.
    fn host(&mut self, size: usize) -> Option<Result<SocketAddr, RecordError>> {
        let ip: IpAddr = if size == HOST_V4_SIZE {
            Ipv4Addr::from(self.take::<4>()?).into()
        } else {
            Ipv6Addr::from(self.take::<16>()?).into()
        };
        let port = u32::from_be_bytes(self.take()?);
        Some(match u16::try_from(port) {
            Ok(port) => Ok(SocketAddr::new(ip, port)),
            Err(_) => Err(RecordError::BadPort { found: port }),
        })
    }
}

/// Only for fields that lie within the smallest record, which `parse` has made sure of.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array_at(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}
