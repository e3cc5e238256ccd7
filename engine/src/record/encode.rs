//! Encoding: the caller's thread lays the whole record out; the writer stamps where and when it was stored.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::STATE_TOPIC;
use super::checksum;
use super::key::{self, KEYS, KeyHash, TopicHash, UNIQ_KEY};
use super::layout::{
    AFTER_HOSTS_SIZE, BODY_SIZE_BYTES_MAX, BORN_HOST_AT, MAGIC_V1, MAGIC_V2, POSITION_AT,
    PROPERTIES_SIZE_BYTES_MAX, QUEUE_OFFSET_AT, SYS_FLAG_BORN_HOST_V6, SYS_FLAG_STORE_HOST_V6,
    SYS_FLAG_TRANSACTION_MASK, SYS_FLAG_TRANSACTION_ROLLBACK, TOPIC_SIZE_BYTES_MAX, TOPIC_V1_SIZE_MAX,
    born_host_size, indexed_by_flags, is_batch_by_flags, offsets_by_flags, store_host_size,
};
use super::properties::{self, TAGS, VALUE_END, tags_code_of};

/// The largest sizes that [`RecordDraft::encode_within`] accepts. Topic and properties are bounded by the layout itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest body, in bytes.
    pub body_size_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_size_bytes_max: BODY_SIZE_BYTES_MAX,
        }
    }
}

/// Why a draft cannot become a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The body is over the limit.
    #[error("the body has {size_bytes} bytes, at most {max_bytes} are allowed")]
    BodyTooLarge {
        /// The body's size.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The properties, with the checksum property appended, are longer than the layout can say.
    #[error("the properties take {size_bytes} bytes, at most {max_bytes} are allowed")]
    PropertiesTooLarge {
        /// Their size, the checksum property included.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The topic is longer than any topic may be.
    #[error("the topic has {size_bytes} bytes, at most {max_bytes} are allowed")]
    TopicTooLong {
        /// The topic's size.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// A record belongs to a topic.
    #[error("the topic is empty")]
    TopicEmpty,
    /// The layout's queue id is signed.
    #[error("queue id {queue_id} is too large")]
    QueueIdTooLarge {
        /// The queue id.
        queue_id: u32,
    },
}

/// A record before it is encoded, borrowed from wherever its parts are.
#[derive(Debug, Clone, Copy)]
pub struct RecordDraft<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue of the topic.
    pub queue_id: u32,
    /// The user's flag.
    pub flag: i32,
    /// The system flags; those that tell the hosts' address families are set by the encoder.
    pub sys_flag: i32,
    /// When the producer made the message.
    pub born_ms: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// Who stores it.
    pub store_host: SocketAddr,
    /// How often consumers have sent it back.
    pub reconsume_times: i32,
    /// The position of another record that this one ends (a half message, a delayed message), or 0.
    pub prepared_transaction_offset: i64,
    /// The body, as it will be delivered.
    pub body: &'a [u8],
    /// The property string. A checksum property in it is left out; the record gets its own.
    pub properties: &'a [u8],
}

impl<'a> RecordDraft<'a> {
    /// A draft of a topic, a queue and a body; everything else is zero or empty.
    pub fn new(topic: &'a str, queue_id: u32, body: &'a [u8]) -> Self {
        let nobody = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0));
        Self {
            topic,
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_ms: 0,
            born_host: nobody,
            store_host: nobody,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            properties: b"",
        }
    }

    /// Encodes with the default [`Limits`].
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode(&self) -> Result<EncodedRecord, EncodeError> {
        self.encode_within(&Limits::default())
    }

    /// Encodes the whole record, body checksum included. What is stamped later is zero until then.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode_within(&self, limits: &Limits) -> Result<EncodedRecord, EncodeError> {
        let (mut bytes, mut keys) = (Vec::new(), Vec::new());
        let shape = self.encode_onto(&mut bytes, &mut keys, limits)?;
        Ok(EncodedRecord { bytes, keys, shape })
    }

    /// Encodes behind what is in `bytes`, and adds the hashes of the record's keys to `keys`. Both stay as they are after an
    /// error.
    pub(super) fn encode_onto(
        &self,
        bytes: &mut Vec<u8>,
        keys: &mut Vec<KeyHash>,
        limits: &Limits,
    ) -> Result<Shape, EncodeError> {
        let properties = Properties::new(self.properties);
        self.check(limits, &properties)?;

        let sys_flag = host_flags(self.sys_flag, self.born_host, self.store_host);
        let born_size = born_host_size(sys_flag);
        let body_at = BORN_HOST_AT + born_size + 8 + store_host_size(sys_flag) + AFTER_HOSTS_SIZE;
        let v2 = self.topic.len() > TOPIC_V1_SIZE_MAX;
        let topic_at = body_at + self.body.len() + if v2 { 2 } else { 1 };
        let properties_at = topic_at + self.topic.len() + 2;
        let total_size = properties_at + properties.size();

        let begin = bytes.len();
        bytes.reserve(total_size);
        // `check` has bounded every size, so the casts below lose nothing.
        put(bytes, (total_size as u32).to_be_bytes());
        put(bytes, if v2 { MAGIC_V2 } else { MAGIC_V1 }.to_be_bytes());
        put(bytes, checksum::crc31(self.body).to_be_bytes());
        put(bytes, self.queue_id.to_be_bytes());
        put(bytes, self.flag.to_be_bytes());
        put(bytes, [0; 16]);
        put(bytes, sys_flag.to_be_bytes());
        put(bytes, self.born_ms.to_be_bytes());
        put_host(bytes, self.born_host);
        put(bytes, [0; 8]);
        put_host(bytes, self.store_host);
        put(bytes, self.reconsume_times.to_be_bytes());
        put(bytes, self.prepared_transaction_offset.to_be_bytes());
        put(bytes, (self.body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(self.body);
        if v2 {
            put(bytes, (self.topic.len() as u16).to_be_bytes());
        } else {
            bytes.push(self.topic.len() as u8);
        }
        bytes.extend_from_slice(self.topic.as_bytes());
        put(bytes, (properties.size() as u16).to_be_bytes());
        properties.put(bytes);
        debug_assert_eq!(bytes.len() - begin, total_size);

        let before = keys.len();
        if sys_flag & SYS_FLAG_TRANSACTION_MASK != SYS_FLAG_TRANSACTION_ROLLBACK {
            properties.hash_keys(self.topic, keys);
        }
        Ok(Shape {
            size_bytes: total_size as u32,
            topic_at: topic_at as u32,
            properties_at: properties_at as u32,
            queue_id: self.queue_id,
            // No more than `KEYS_PER_RECORD_MAX`.
            key_count: (keys.len() - before) as u8,
            has_unique_key: properties.unique_key.is_some(),
            tags_code: tags_code_of(properties.tag),
            store_ms_at: (BORN_HOST_AT + born_size) as u8,
            indexed: self.topic != STATE_TOPIC && indexed_by_flags(sys_flag),
            offsets: offsets_by_flags(sys_flag, self.properties),
            is_batch: is_batch_by_flags(sys_flag),
        })
    }

    fn check(&self, limits: &Limits, properties: &Properties<'_>) -> Result<(), EncodeError> {
        // Leaves room for all else in a total that has to fit a signed 32-bit number.
        let body_max = limits.body_size_bytes_max.min(i32::MAX as usize - (1 << 16));
        if self.body.len() > body_max {
            return Err(EncodeError::BodyTooLarge {
                size_bytes: self.body.len(),
                max_bytes: body_max,
            });
        }
        if self.topic.is_empty() {
            return Err(EncodeError::TopicEmpty);
        }
        if self.topic.len() > TOPIC_SIZE_BYTES_MAX {
            return Err(EncodeError::TopicTooLong {
                size_bytes: self.topic.len(),
                max_bytes: TOPIC_SIZE_BYTES_MAX,
            });
        }
        if properties.size() > PROPERTIES_SIZE_BYTES_MAX {
            return Err(EncodeError::PropertiesTooLarge {
                size_bytes: properties.size(),
                max_bytes: PROPERTIES_SIZE_BYTES_MAX,
            });
        }
        if i32::try_from(self.queue_id).is_err() {
            return Err(EncodeError::QueueIdTooLarge {
                queue_id: self.queue_id,
            });
        }
        Ok(())
    }
}

/// The properties as they will be stored.
struct Properties<'a> {
    given: &'a [u8],
    /// Bytes of `given` that stay.
    kept_size: usize,
    /// Whether the last entry that stays needs a terminator.
    terminate: bool,
    tag: Option<&'a [u8]>,
    unique_key: Option<&'a [u8]>,
    /// The value of `KEYS`.
    keys: Option<&'a [u8]>,
}

impl<'a> Properties<'a> {
    fn new(given: &'a [u8]) -> Self {
        let mut stored = Self {
            given,
            kept_size: 0,
            terminate: false,
            tag: None,
            unique_key: None,
            keys: None,
        };
        for entry in kept(given) {
            stored.kept_size += entry.len();
            stored.terminate = !entry.ends_with(&[VALUE_END]);
            let (name, found) = match entry.first() {
                Some(b'T') => (TAGS, &mut stored.tag),
                Some(b'U') => (UNIQ_KEY, &mut stored.unique_key),
                Some(b'K') => (KEYS, &mut stored.keys),
                _ => continue,
            };
            *found = properties::value(entry, name.as_bytes()).or(*found);
        }
        stored
    }

    fn size(&self) -> usize {
        self.kept_size + usize::from(self.terminate) + checksum::PROPERTY_SIZE
    }

    fn hash_keys(&self, topic: &str, hashes: &mut Vec<KeyHash>) {
        if self.unique_key.is_none() && self.keys.is_none() {
            return;
        }
        let topic = TopicHash::new(topic);
        hashes.extend(key::indexed(self.unique_key, self.keys).map(|key| topic.key(key)));
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        if self.kept_size == self.given.len() {
            bytes.extend_from_slice(self.given);
        } else {
            kept(self.given).for_each(|entry| bytes.extend_from_slice(entry));
        }
        if self.terminate {
            bytes.push(VALUE_END);
        }
        put(bytes, checksum::template());
    }
}

/// The entries of `given`, each with its terminator, without checksum properties.
fn kept(given: &[u8]) -> impl Iterator<Item = &[u8]> {
    properties::entries(given).filter(|entry| !checksum::is_checksum(entry))
}

fn put<const N: usize>(bytes: &mut Vec<u8>, field: [u8; N]) {
    bytes.extend_from_slice(&field);
}

fn put_host(bytes: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => put(bytes, ip.octets()),
        IpAddr::V6(ip) => put(bytes, ip.octets()),
    }
    put(bytes, u32::from(host.port()).to_be_bytes());
}

fn host_flags(sys_flag: i32, born_host: SocketAddr, store_host: SocketAddr) -> i32 {
    let mut flags = sys_flag & !(SYS_FLAG_BORN_HOST_V6 | SYS_FLAG_STORE_HOST_V6);
    if born_host.is_ipv6() {
        flags |= SYS_FLAG_BORN_HOST_V6;
    }
    if store_host.is_ipv6() {
        flags |= SYS_FLAG_STORE_HOST_V6;
    }
    flags
}

/// What the writer needs to know of an encoded record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) size_bytes: u32,
    topic_at: u32,
    properties_at: u32,
    queue_id: u32,
    pub(super) key_count: u8,
    pub(super) has_unique_key: bool,
    tags_code: i64,
    store_ms_at: u8,
    indexed: bool,
    offsets: u32,
    is_batch: bool,
}

/// A whole record, but for where and when it is stored.
#[derive(Debug, Clone)]
pub struct EncodedRecord {
    pub(super) bytes: Vec<u8>,
    pub(super) keys: Vec<KeyHash>,
    pub(super) shape: Shape,
}

impl EncodedRecord {
    /// The record's size in the log.
    pub fn size_bytes(&self) -> u32 {
        self.shape.size_bytes
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        self.borrowed().topic()
    }

    /// The queue of the topic.
    pub fn queue_id(&self) -> u32 {
        self.shape.queue_id
    }

    /// The tags code, 0 without a tag.
    pub fn tags_code(&self) -> i64 {
        self.shape.tags_code
    }

    /// Whether the record takes a queue offset and appears in its queue.
    pub fn indexed(&self) -> bool {
        self.shape.indexed
    }

    /// How many queue offsets it takes, if it is indexed.
    pub fn offsets(&self) -> u32 {
        self.shape.offsets
    }

    /// The property string, without the checksum property.
    pub fn properties(&self) -> &[u8] {
        &self.bytes[self.shape.properties_at as usize..self.bytes.len() - checksum::PROPERTY_SIZE]
    }

    /// The record, unstamped: copy it, then [`stamp`](Self::stamp) the copy.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Copies the record into `out` and stamps it.
    ///
    /// # Panics
    /// If `out` is not [`size_bytes`](Self::size_bytes) long.
    pub fn write_into(&self, out: &mut [u8], queue_offset: u64, position: u64, store_ms: i64) {
        out.copy_from_slice(&self.bytes);
        self.stamp(out, queue_offset, position, store_ms);
    }

    /// Finishes `copy`, a copy of [`bytes`](Self::bytes): queue offset, position, store time, then the checksum of it all.
    ///
    /// # Panics
    /// If `copy` is not [`size_bytes`](Self::size_bytes) long.
    pub fn stamp(&self, copy: &mut [u8], queue_offset: u64, position: u64, store_ms: i64) {
        self.borrowed().stamp(copy, queue_offset, position, store_ms);
    }

    fn borrowed(&self) -> Unstamped<'_> {
        Unstamped {
            bytes: &self.bytes,
            keys: &self.keys,
            shape: &self.shape,
        }
    }
}

/// An encoded record in somebody's buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unstamped<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) keys: &'a [KeyHash],
    pub(super) shape: &'a Shape,
}

impl<'a> Unstamped<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn size_bytes(self) -> u32 {
        self.shape.size_bytes
    }

    pub(crate) fn topic(self) -> &'a str {
        // The size of the properties stands between the two.
        let topic = self.shape.topic_at as usize..self.shape.properties_at as usize - 2;
        // These bytes were copied from a str.
        std::str::from_utf8(&self.bytes[topic]).unwrap_or_default()
    }

    pub(crate) fn queue_id(self) -> u32 {
        self.shape.queue_id
    }

    pub(crate) fn tags_code(self) -> i64 {
        self.shape.tags_code
    }

    pub(crate) fn indexed(self) -> bool {
        self.shape.indexed
    }

    /// How many queue offsets it takes, if it is indexed.
    pub(crate) fn offsets(self) -> u32 {
        self.shape.offsets
    }

    /// Whether it is a batch.
    pub(crate) fn is_batch(self) -> bool {
        self.shape.is_batch
    }

    /// The hashes of the record's keys.
    pub(crate) fn keys(self) -> &'a [KeyHash] {
        self.keys
    }

    /// See [`EncodedRecord::stamp`].
    pub(crate) fn stamp(self, copy: &mut [u8], queue_offset: u64, position: u64, store_ms: i64) {
        assert_eq!(copy.len(), self.bytes.len(), "a copy of the record");
        let store_ms_at = usize::from(self.shape.store_ms_at);
        copy[QUEUE_OFFSET_AT..QUEUE_OFFSET_AT + 8].copy_from_slice(&queue_offset.to_be_bytes());
        copy[POSITION_AT..POSITION_AT + 8].copy_from_slice(&position.to_be_bytes());
        copy[store_ms_at..store_ms_at + 8].copy_from_slice(&store_ms.to_be_bytes());
        if let Some((covered, property)) = copy.split_last_chunk_mut::<{ checksum::PROPERTY_SIZE }>() {
            checksum::write_digits(property, checksum::crc31(covered));
        }
    }
}
